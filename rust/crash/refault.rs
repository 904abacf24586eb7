// SPDX-License-Identifier: GPL-2.0

//! An oops while the kernel panics.
//!
//! The kernel ends an oops by killing the task, unless `panic_on_oops` is set or the task was interrupted.
//! On the CPU that panics, that is the end of the panic: what it had still to do (other notifiers, pstore, the
//! restart) is not done. The other CPUs are stopped and so is this one's timer, so that the machine stands
//! still for ever. [`Die::resume_panic`] goes on with the panic instead.
//!
//! `panic()` on the CPU that panics begins with its notifiers again. Who faulted there once may do so
//! again: then those behind the notifiers of this crate are left out, so that the log comes to its dumpers. A
//! third fault ends the panic as `kernel.panic` says, without anything else. So there is an end to it, whoever
//! faults and wherever.
//!
//! What is not in our hands: an oops first waits for the lock of oopses (`die_lock`). A CPU that was in an oops of
//! its own, and was stopped by NMI in it, holds that for ever.

// Everything here is `#[inline]`: a module that does not use it has nothing of it.

use crate::{bindings, context, die::Die};
use kernel::{
    prelude::*,
    sync::atomic::{Atomic, Relaxed},
};

/// Oopses that have broken off this panic.
static BROKEN_OFF: Atomic<u32> = Atomic::<u32>::new(0);

/// What `panic()` says then.
const MESSAGE: &CStr = c"an oops within the panic";

/// `panic()` waits in steps; ours have this many in a second.
const STEPS_PER_SECOND: u32 = 10;

impl Die<'_> {
    /// Whether the kernel was panicking before this oops, on whatever CPU: then there is nothing to be saved
    /// for later.
    #[inline]
    pub fn is_within_panic(&self) -> bool {
        // SAFETY: Reads a variable of the kernel image.
        unsafe { bindings::panic_in_progress() }
    }

    /// Goes on with the panic that this oops has broken off, and does not return; if it is another CPU that
    /// panics, or none, it does.
    ///
    /// For the last of what is called for an oops: what comes after it does not run.
    #[inline]
    pub fn resume_panic(&self) {
        // SAFETY: Reads a variable of the kernel image and this CPU's number.
        if !unsafe { bindings::panic_on_this_cpu() } {
            return;
        }
        match BROKEN_OFF.fetch_add(1u32, Relaxed) {
            0 | 1 => context::trigger(MESSAGE),
            2 => end(),
            // It was the restart that faulted.
            _ => stand_still(),
        }
    }
}

/// Whether faults have broken off this panic so often that the rest of its notifiers is better left out.
#[inline]
pub(crate) fn leaves_out_others() -> bool {
    BROKEN_OFF.load(Relaxed) >= 2
}

/// The end of `panic()`: waits and restarts, or stands still.
#[inline]
fn end() -> ! {
    let timeout = context::timeout();
    if timeout == 0 {
        stand_still();
    }
    for _ in 0..timeout.max(0).unsigned_abs() {
        for _ in 0..STEPS_PER_SECOND {
            // SAFETY: Waits by counting, which any context may.
            unsafe { bindings::crash_helper_delay_tenth_second() };
        }
    }
    // SAFETY: Made for a kernel in trouble, in any context.
    unsafe { bindings::emergency_restart() };
    stand_still()
}

#[inline]
fn stand_still() -> ! {
    loop {
        context::cpu_relax();
    }
}
