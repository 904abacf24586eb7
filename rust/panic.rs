// SPDX-License-Identifier: GPL-2.0

//! Hearing of a panic or an oops, and what one may ask and do then.
//!
//! C headers: [`include/linux/panic_notifier.h`](srctree/include/linux/panic_notifier.h),
//! [`include/linux/kdebug.h`](srctree/include/linux/kdebug.h), [`include/linux/panic.h`](srctree/include/linux/panic.h)
//!
//! *Panic context*: interrupts are off, the other CPUs are stopped wherever they were, any lock may
//! be held for ever, and the CPU may be in an NMI. Code that runs there must not sleep, allocate,
//! or take a lock that another context takes; its loops must be bounded. What is safe there says
//! so: "Context: any, NMI included".

// Everything here is generic or `#[inline]`: a module that does not use it has nothing of it.

use crate::bindings;
use core::{mem::offset_of, slice};
use kernel::{
    error::to_result,
    prelude::*,
    sync::atomic::{Atomic, Full, Relaxed},
    types::Opaque,
};

pub mod clock;
mod context;

pub use self::context::{
    cpu, cpu_relax, emergency_restart, kexec_crash_loaded, set_timeout, timeout, trigger, Context,
};

/// The longest message that is passed on, in bytes; `panic()` itself keeps 1024.
const MAX_MESSAGE: usize = 1024;

/// Whether the kernel panics, and this crate's completions are to leave everything as it is.
static FROZEN: Atomic<bool> = Atomic::new(false);

/// Ends the ordinary life of this crate: from now on the completions of its own I/O tell their
/// observers and do nothing else, because waking up, queueing work and ending writeback take locks;
/// and [lanes](crate::block::lane) are not freed any more. There is no way back.
///
/// For panic notifiers, first thing. Context: any, NMI included.
#[inline]
pub fn freeze() {
    FROZEN.xchg(true, Full);
}

/// Whether [`freeze`] was called. Context: any, NMI included.
#[inline]
pub fn frozen() -> bool {
    FROZEN.load(Relaxed)
}

/// Hears of panics.
pub trait Notifier: Send + Sync {
    /// Higher ones are called first. Hosts that stop the machine on a panic use `i32::MAX`.
    const PRIORITY: i32 = 0;

    /// The kernel panics with `message`. Runs in panic context (see [the module](self)).
    fn notify(&self, message: &[u8]);
}

/// An oops or another exception (`struct die_args`).
///
/// # Invariants
///
/// It exists during the notifier's call, which is in an RCU read-side section. `regs` is null or valid.
pub struct Die<'a> {
    /// `DIE_*`; [`Die::OOPS`] is the one that kills.
    pub kind: u32,
    /// What the kernel calls it.
    pub message: &'a [u8],
    /// The error code of the exception.
    pub error: i64,
    /// The number of the exception.
    pub trap: i32,
    /// The signal that a user task would have got.
    pub signal: i32,
    regs: *const bindings::pt_regs,
}

impl Die<'_> {
    /// The kernel oopsed.
    pub const OOPS: u32 = bindings::die_val_DIE_OOPS;

    /// Whether code of `module` was running, or had called what was.
    #[inline]
    pub fn concerns(&self, module: &ThisModule) -> bool {
        // SAFETY: By the type invariant.
        let ip = unsafe { bindings::vfs_helper_instruction_pointer(self.regs) };
        let within = |&ip: &usize| {
            // SAFETY: `ThisModule` is that of a module which is loaded.
            unsafe { bindings::vfs_helper_within_module(ip, module.as_ptr()) }
        };
        let mut stack = [0usize; STACK_ENTRIES];
        // SAFETY: There is room for so many entries. The unwinder is the one that the oops is printed with.
        unsafe { bindings::stack_trace_save(stack.as_mut_ptr(), STACK_ENTRIES as u32, 0) };
        // First comes how the notifier was called, which may be by this very module; then where it happened.
        within(&ip) || stack.iter().skip_while(|&&at| at != ip).any(within)
    }
}

/// Return addresses that are looked at, those of the notifier included.
const STACK_ENTRIES: usize = 64;

/// Hears of exceptions.
pub trait DieNotifier: Send + Sync {
    /// Higher ones are called first.
    const PRIORITY: i32 = 0;

    /// An exception happened. Called for NMIs and debug traps too, many times a second on some
    /// machines: look at [`Die::kind`] first. Context: any, NMI included; nothing that is not safe
    /// in panic context.
    fn notify(&self, event: &Die<'_>);
}

/// The bytes of a message, without its NUL and trailing newline.
///
/// # Safety
///
/// `message` is null or a string with a NUL within its memory, valid for `'a`.
#[inline]
pub(crate) unsafe fn bytes<'a>(message: *const c_char) -> &'a [u8] {
    if message.is_null() {
        return &[];
    }
    // SAFETY: By the contract.
    let len = unsafe { bindings::strnlen(message, MAX_MESSAGE) };
    // SAFETY: By the contract that many bytes are there.
    let bytes = unsafe { slice::from_raw_parts(message.cast::<u8>(), len) };
    bytes.strip_suffix(b"\n").unwrap_or(bytes)
}

/// A registered panic notifier.
///
/// # Invariants
///
/// `block` is on the panic notifier list, with `call` as its function, until `Drop`.
#[pin_data(PinnedDrop)]
pub struct Registration<N: Notifier> {
    #[pin]
    block: Opaque<bindings::notifier_block>,
    notifier: N,
}

// SAFETY: The list has its own lock; the notifier is `Send`.
unsafe impl<N: Notifier> Send for Registration<N> {}
// SAFETY: Only the notifier can be reached, and it is `Sync`.
unsafe impl<N: Notifier> Sync for Registration<N> {}

impl<N: Notifier> Registration<N> {
    /// Registers `notifier`.
    ///
    /// # Errors
    ///
    /// `EEXIST` never: the block is new. What else the list says.
    pub fn new(notifier: N) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // The panic may come as soon as the block is on the list: the notifier is in place
            // before.
            notifier,
            block <- Opaque::try_ffi_init(|slot: *mut bindings::notifier_block| {
                let block = bindings::notifier_block {
                    notifier_call: Some(Self::call),
                    priority: N::PRIORITY,
                    ..pin_init::zeroed()
                };
                // SAFETY: `slot` is valid for writes.
                unsafe { slot.write(block) };
                // INVARIANT: By the call.
                // SAFETY: The block is pinned and leaves the list before its memory goes.
                to_result(unsafe { bindings::atomic_notifier_chain_register(list(), slot) })
            }),
        })
    }

    /// # Safety
    ///
    /// Called by the notifier list with a block of a `Registration<N>` and, from `panic()`, its
    /// message.
    unsafe extern "C" fn call(
        block: *mut bindings::notifier_block,
        _action: c_ulong,
        data: *mut c_void,
    ) -> c_int {
        // SAFETY: By the contract the block is part of a registration, which is in place while it
        // is on the list.
        let this = unsafe { &*block.byte_sub(offset_of!(Self, block)).cast::<Self>() };
        // SAFETY: `panic()` passes a NUL-terminated string.
        this.notifier.notify(unsafe { bytes(data.cast()) });
        bindings::NOTIFY_DONE as c_int
    }
}

#[pinned_drop]
impl<N: Notifier> PinnedDrop for Registration<N> {
    fn drop(self: Pin<&mut Self>) {
        // Waits for a grace period, so that nobody is in `call` afterwards.
        // SAFETY: By the type invariant.
        unsafe { bindings::atomic_notifier_chain_unregister(list(), self.block.get()) };
    }
}

#[inline]
fn list() -> *mut bindings::atomic_notifier_head {
    &raw mut bindings::panic_notifier_list
}

/// A registered die notifier.
///
/// # Invariants
///
/// `block` is on the die notifier list, with `call` as its function, until `Drop`.
#[pin_data(PinnedDrop)]
pub struct DieRegistration<N: DieNotifier> {
    #[pin]
    block: Opaque<bindings::notifier_block>,
    notifier: N,
}

// SAFETY: The list has its own lock; the notifier is `Send`.
unsafe impl<N: DieNotifier> Send for DieRegistration<N> {}
// SAFETY: Only the notifier can be reached, and it is `Sync`.
unsafe impl<N: DieNotifier> Sync for DieRegistration<N> {}

impl<N: DieNotifier> DieRegistration<N> {
    /// Registers `notifier`.
    pub fn new(notifier: N) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // As for panics: in place before the block is on the list.
            notifier,
            block <- Opaque::try_ffi_init(|slot: *mut bindings::notifier_block| {
                let block = bindings::notifier_block {
                    notifier_call: Some(Self::call),
                    priority: N::PRIORITY,
                    ..pin_init::zeroed()
                };
                // SAFETY: `slot` is valid for writes.
                unsafe { slot.write(block) };
                // INVARIANT: By the call.
                // SAFETY: The block is pinned and leaves the list before its memory goes.
                to_result(unsafe { bindings::register_die_notifier(slot) })
            }),
        })
    }

    /// # Safety
    ///
    /// Called by the notifier list with a block of a `DieRegistration<N>` and a `die_args`.
    unsafe extern "C" fn call(
        block: *mut bindings::notifier_block,
        action: c_ulong,
        data: *mut c_void,
    ) -> c_int {
        // SAFETY: By the contract the block is part of a registration, which is in place while it
        // is on the list.
        let this = unsafe { &*block.byte_sub(offset_of!(Self, block)).cast::<Self>() };
        // SAFETY: By the contract.
        let args = unsafe { &*data.cast::<bindings::die_args>() };
        this.notifier.notify(&Die {
            kind: action as u32,
            // SAFETY: `notify_die()` is given a string constant.
            message: unsafe { bytes(args.str_) },
            error: args.err as i64,
            trap: args.trapnr,
            signal: args.signr,
            // INVARIANT: `notify_die()` holds the RCU read lock and has valid registers, if any.
            regs: args.regs,
        });
        bindings::NOTIFY_DONE as c_int
    }
}

#[pinned_drop]
impl<N: DieNotifier> PinnedDrop for DieRegistration<N> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant; waits for a grace period.
        unsafe { bindings::unregister_die_notifier(self.block.get()) };
    }
}
