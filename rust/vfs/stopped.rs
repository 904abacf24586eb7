// SPDX-License-Identifier: GPL-2.0

//! Whether the kernel has stopped for good.
//!
//! In a panic the other CPUs are stopped wherever they were, any lock may be held for ever, and the
//! last CPU that runs may have been interrupted anywhere. I/O that completes then, because somebody
//! collects what is in flight, must neither wake anybody nor end anything: that takes locks. This is
//! the one flag that completions ask. They tell their observers and leave all else as it is.

use kernel::sync::atomic::{Atomic, Full, Relaxed};

static STOPPED: Atomic<bool> = Atomic::new(false);

/// Whether the kernel has stopped. Context: any, NMI included.
#[inline]
pub fn is_set() -> bool {
    STOPPED.load(Relaxed)
}

/// Says that the kernel has stopped; there is no way back. A full memory barrier.
///
/// Context: any, NMI included.
///
/// # Safety
///
/// The kernel panics, and the other CPUs were stopped: whoever waits for I/O of this crate, or would
/// free what that I/O uses, never runs again.
#[inline]
pub unsafe fn set() {
    STOPPED.xchg(true, Full);
}
