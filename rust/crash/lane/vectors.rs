// SPDX-License-Identifier: GPL-2.0

//! The interrupts of a device, and calling their handlers by hand.
//!
//! C headers: [`include/linux/interrupt.h`](srctree/include/linux/interrupt.h),
//! [`include/linux/irq.h`](srctree/include/linux/irq.h)
//!
//! A controller that is reset frees its interrupts and asks for new ones, so what was found at
//! mount may be wrong later: each handler is looked up again before each call, and has to be the
//! one that was found.

use crate::bindings;
use core::{ffi::c_void, mem::MaybeUninit};
use kernel::prelude::*;

/// Interrupts that are looked at, at most: more than any PCI function has is 2048.
const MAX_VECTORS: u32 = 2048;

/// What became of calling a handler.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// It was called, or may be.
    Called,
    /// It is being executed, here or on a CPU that was stopped in it, or was disabled.
    InProgress,
    /// It is not the one that was found at mount.
    Changed,
}

/// One interrupt with one handler.
pub(super) struct Vector {
    number: u32,
    irq: bindings::crash_irq,
}

impl Vector {
    /// What the handler is called with.
    pub(super) fn dev_id(&self) -> *mut c_void {
        self.irq.dev_id
    }

    /// Whether the handler may be called now; the same as [`Self::call`] without calling it.
    ///
    /// Context: panic context.
    pub(super) fn state(&self) -> Call {
        let mut now = MaybeUninit::<bindings::crash_irq>::uninit();
        let mut busy = false;
        // SAFETY: Both are valid for writes. In panic context nobody changes interrupts; the lookup
        // is a walk of a tree under RCU, and what it finds cannot be freed, because who would is
        // stopped.
        let found = unsafe {
            bindings::crash_helper_irq_find_at_panic(self.number, now.as_mut_ptr(), &mut busy)
        };
        if !found {
            return Call::Changed;
        }
        // SAFETY: It was found, so it was written.
        let now = unsafe { now.assume_init() };
        if now.dev_id != self.irq.dev_id
            || now.handler.map(|f| f as usize) != self.irq.handler.map(|f| f as usize)
        {
            return Call::Changed;
        }
        if busy {
            return Call::InProgress;
        }
        Call::Called
    }

    /// Calls the handler, as the interrupt would.
    ///
    /// # Safety
    ///
    /// In panic context, outside of NMIs, and the driver was proven to stand it: the handler takes
    /// no lock but irq-safe ones.
    pub(super) unsafe fn call(&self) -> Call {
        let state = self.state();
        if state != Call::Called {
            return state;
        }
        // SAFETY: By the contract. It is registered with this `dev_id`, as `state` has just seen;
        // interrupts are off as they are in a handler; nobody is in the middle of it.
        unsafe { bindings::crash_helper_irq_call(&self.irq, self.number) };
        Call::Called
    }
}

/// The interrupts of the PCI function that `bdev` sits on, those with one handler each; none if it
/// sits on none.
///
/// # Errors
///
/// `ENOMEM`.
///
/// # Safety
///
/// `bdev` is open. Process context.
pub(super) unsafe fn of(bdev: *mut bindings::block_device) -> Result<KVec<Vector>> {
    let mut vectors = KVec::new();
    // SAFETY: By the contract; the open device keeps those above it.
    let pci = unsafe { bindings::crash_helper_bdev_pci(bdev) };
    if pci.is_null() {
        return Ok(vectors);
    }
    for n in 0..MAX_VECTORS {
        // SAFETY: As above.
        let number = unsafe { bindings::pci_irq_vector(pci, n) };
        let Ok(number) = u32::try_from(number) else {
            break;
        };
        let mut irq = MaybeUninit::<bindings::crash_irq>::uninit();
        // SAFETY: Valid for writes.
        if unsafe { bindings::crash_helper_irq_find(number, irq.as_mut_ptr()) } {
            // SAFETY: It was found, so it was written.
            let irq = unsafe { irq.assume_init() };
            vectors.push(Vector { number, irq }, GFP_KERNEL)?;
        }
    }
    Ok(vectors)
}
