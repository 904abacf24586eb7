// SPDX-License-Identifier: GPL-2.0

//! Where code runs, and what the kernel is set to do at a panic.
//!
//! C header: [`include/linux/panic.h`](srctree/include/linux/panic.h)
//!
//! All of it is for any context, NMI included, and reads what belongs to this CPU or to the kernel
//! image.

use crate::bindings;
use core::ptr;
use kernel::prelude::*;

/// Where code runs.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// In a non-maskable interrupt.
    pub in_nmi: bool,
    /// In a hardware interrupt.
    pub in_hardirq: bool,
    /// In a software interrupt.
    pub in_softirq: bool,
    /// The CPU.
    pub cpu: u32,
    /// The current task's number, 0 for the idle task.
    pub pid: i32,
    /// The current task's name, filled with NULs.
    pub comm: [u8; 16],
}

impl Context {
    /// This very place. Context: any, NMI included.
    #[inline]
    pub fn current() -> Self {
        let mut comm = [0; 16];
        // SAFETY: Each reads a word of this CPU or of the current task, which is there while it runs;
        // `comm` has room for the length that is passed.
        unsafe {
            bindings::crash_helper_current_comm(comm.as_mut_ptr().cast(), comm.len());
            Self {
                in_nmi: bindings::crash_helper_in_nmi(),
                in_hardirq: bindings::crash_helper_in_hardirq(),
                in_softirq: bindings::crash_helper_in_softirq(),
                cpu: bindings::crash_helper_cpu(),
                pid: bindings::crash_helper_current_pid(),
                comm,
            }
        }
    }
}

/// The CPU that this runs on. It may be another one by the time this returns, unless preemption is
/// off. Context: any, NMI included.
#[inline]
pub fn cpu() -> u32 {
    // SAFETY: Reads this CPU's own number, wherever it is called.
    unsafe { bindings::crash_helper_cpu() }
}

/// Panics with `message`, for those who were told to.
#[inline]
pub fn trigger(message: &CStr) -> ! {
    // SAFETY: The format takes one string, and `message` is one. `panic()` does not return.
    unsafe {
        bindings::panic(
            kernel::str::as_char_ptr_in_const_context(c"%s"),
            message.as_char_ptr(),
        )
    }
}

/// Dies of a page fault, for those who were told to: the kernel oopses. Context: any, NMI included.
#[inline]
pub fn fault() -> ! {
    // SAFETY: It stores where nothing is mapped, which the kernel meets as an oops of whoever did it.
    unsafe { bindings::crash_helper_fault() };
    trigger(c"a page fault was survived")
}

/// `panic_timeout`: seconds from a panic to the reboot; 0 halts, negative reboots at once. Context:
/// any, NMI included.
#[inline]
pub fn timeout() -> i32 {
    // SAFETY: A variable of the kernel image, so always there. sysctl may store to it at any time; an
    // aligned `int` is read whole.
    unsafe { ptr::read_volatile(&raw const bindings::panic_timeout) }
}

/// Sets `panic_timeout`. Context: any, NMI included.
#[inline]
pub fn set_timeout(seconds: i32) {
    // SAFETY: A variable of the kernel image, so always there. An aligned `int` is stored whole: who
    // reads it meanwhile sees the old value or this one.
    unsafe { ptr::write_volatile(&raw mut bindings::panic_timeout, seconds) };
}

/// Whether a crash kernel is loaded: then `panic()` starts it before any notifier, unless the
/// kernel was started with `crash_kexec_post_notifiers`, which modules cannot see. Context: any,
/// NMI included.
#[inline]
pub fn kexec_crash_loaded() -> bool {
    // SAFETY: Tells whether a pointer of the kernel image is null, and does not follow it.
    unsafe { bindings::crash_helper_kexec_crash_loaded() }
}

/// Tells the CPU that this is a loop which waits. Context: any, NMI included.
#[inline]
pub fn cpu_relax() {
    // SAFETY: One instruction that does nothing but take a little time.
    unsafe { bindings::crash_helper_cpu_relax() };
}
