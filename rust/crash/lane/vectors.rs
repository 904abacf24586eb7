// SPDX-License-Identifier: GPL-2.0

//! The interrupts of a device, and calling their handlers by hand.
//!
//! C headers: [`include/linux/interrupt.h`](srctree/include/linux/interrupt.h),
//! [`include/linux/irq.h`](srctree/include/linux/irq.h)
//!
//! A controller that is reset frees its interrupts and asks for new ones, so what was found at
//! mount may be wrong later: each handler is looked up again before each call, and has to be the
//! one that was found.

use super::queue::{HwQueue, InUse};
use crate::{bindings, Stopped};
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
    pub(super) fn state(&self, _: Stopped<'_>) -> Call {
        let mut now = MaybeUninit::<bindings::crash_irq>::uninit();
        let mut busy = false;
        // SAFETY: Both are ours to write. The lookup walks a tree without a lock; what it finds is
        // neither changed nor freed, because who would do that is stopped.
        let found = unsafe {
            bindings::crash_helper_irq_find_at_panic(self.number, now.as_mut_ptr(), &mut busy)
        };
        if !found {
            return Call::Changed;
        }
        // SAFETY: What is found is written.
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
    /// The driver was proven to stand it: no lock that its handler takes is held for ever.
    pub(super) unsafe fn call(&self, stopped: Stopped<'_>) -> Call {
        let state = self.state(stopped);
        if state != Call::Called {
            return state;
        }
        // SAFETY: `state` has just seen that it is registered with this `dev_id` and that nobody is in the
        // middle of it; interrupts are off, as they are in a handler. For its locks see our contract.
        unsafe { bindings::crash_helper_irq_call(&self.irq, self.number) };
        Call::Called
    }
}

/// The interrupt whose handler gets the hardware queue's own data.
///
/// NVMe: `queue_request_irq()` and `nvme_init_hctx()` both give the `nvme_queue`.
pub(super) fn of_queue<'a>(vectors: &'a [Vector], hw: HwQueue<'_>) -> Option<&'a Vector> {
    vectors.iter().find(|vector| hw.has_data(vector.dev_id()))
}

/// The interrupts of the PCI function that the device sits on, those with one handler each; none if it
/// sits on none. Process context.
///
/// # Errors
///
/// `ENOMEM`.
pub(super) fn of(used: &InUse<'_>) -> Result<KVec<Vector>> {
    let mut vectors = KVec::new();
    // SAFETY: The disk is open. Its queue is in use, so that its driver is not past removing it: the
    // devices above are all there.
    let pci = unsafe { bindings::crash_helper_bdev_pci(used.device().as_ptr()) };
    if pci.is_null() {
        return Ok(vectors);
    }
    for n in 0..MAX_VECTORS {
        // SAFETY: The function stays while the queue is in use, as above; its vectors are looked up under
        // a lock of its own.
        let number = unsafe { bindings::pci_irq_vector(pci, n) };
        let Ok(number) = u32::try_from(number) else {
            break;
        };
        let mut irq = MaybeUninit::<bindings::crash_irq>::uninit();
        // SAFETY: `irq` is ours to write. The interrupt's own lock keeps its action while it is read.
        if unsafe { bindings::crash_helper_irq_find(number, irq.as_mut_ptr()) } {
            // SAFETY: What is found is written.
            let irq = unsafe { irq.assume_init() };
            vectors.push(Vector { number, irq }, GFP_KERNEL)?;
        }
    }
    Ok(vectors)
}
