// SPDX-License-Identifier: GPL-2.0

//! Draining a device's request queue, in a context that may sleep.
//!
//! C header: [`include/linux/blk-mq.h`](srctree/include/linux/blk-mq.h)
//!
//! A frozen queue lets nobody in: whoever submits waits until it is unfrozen, and gets no error. It
//! is the whole disk's queue, also for a partition. What may not be done while it is frozen is I/O on
//! it, and an allocation or a lock that could wait for such I/O; so nothing but a wait is done here,
//! and no guard is given out.

use super::device::BlockDevice;
use crate::{bindings, scope::NoIo};
use kernel::{prelude::*, time::msecs_to_jiffies};

/// How far a device was drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quiesced {
    /// There was a moment at which no request was in flight.
    pub drained: bool,
    /// If not: requests of this device (a partition's own) that had not completed when time was over.
    /// The kernel counts them only while `queue/iostats` is on.
    pub in_flight: u32,
}

/// A frozen queue; unfrozen when it is dropped.
///
/// # Invariants
///
/// `blk_freeze_queue_start()` was called on `queue`, which is `device`'s, by this task, and is still to be
/// undone.
struct Frozen<'a> {
    device: &'a BlockDevice,
    queue: *mut bindings::request_queue,
    // Restored last: fields drop after `Drop::drop`.
    _no_io: NoIo,
}

impl<'a> Frozen<'a> {
    fn start(device: &'a BlockDevice) -> Self {
        let no_io = NoIo::enter();
        let queue = device.queue();
        // INVARIANT: It is frozen here, and unfrozen by `Drop`.
        // SAFETY: `device` is open while it is borrowed, and so keeps its queue. Freezes nest, and the
        // owner that lockdep keeps is this task, which also unfreezes: `NoIo` does not leave it.
        unsafe { bindings::blk_freeze_queue_start(queue) };
        Self {
            device,
            queue,
            _no_io: no_io,
        }
    }

    /// Waits until the queue is empty, `ms` milliseconds at most.
    fn wait(&self, ms: u32) -> Quiesced {
        // At least one turn of the clock, so that the change to the counter's atomic mode is seen.
        let timeout = msecs_to_jiffies(ms).max(1);
        // SAFETY: `device` is borrowed and keeps its queue, whose freezing was started. This is process
        // context, for the freeze's start sleeps too.
        let left = unsafe { bindings::blk_mq_freeze_queue_wait_timeout(self.queue, timeout) };
        if left > 0 {
            return Quiesced {
                drained: true,
                in_flight: 0,
            };
        }
        Quiesced {
            drained: false,
            in_flight: self.device.in_flight(),
        }
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        // Also after a wait that was in vain: the counter may be taken out of its dying state
        // whatever its value is, and requests that are in flight stay counted.
        // SAFETY: `device` is borrowed and keeps its queue. `start` has frozen it, and it is unfrozen once.
        unsafe { bindings::blk_mq_unfreeze_queue_nomemrestore(self.queue) };
    }
}

impl BlockDevice {
    fn queue(&self) -> *mut bindings::request_queue {
        // SAFETY: A pointer that is set before a device can be opened, and stays.
        unsafe { self.ask(bindings::vfs_helper_bdev_queue) }
    }

    /// Whether the device's driver is given requests (blk-mq). If not, it is given bios (device mapper,
    /// md, NVMe multipath), and its queue knows nothing of those that are in flight.
    pub fn is_request_based(&self) -> bool {
        // SAFETY: This handle keeps the device open, and that its queue; a pointer of it is read.
        unsafe { bindings::vfs_helper_queue_is_mq(self.queue()) }
    }

    /// Requests of this device that have not completed, as `/sys/block/…/inflight` has them: 0 where
    /// `queue/iostats` is off.
    pub fn in_flight(&self) -> u32 {
        // SAFETY: Sums up counters of each CPU, which the open device keeps.
        unsafe { self.ask(bindings::bdev_count_inflight) }
    }

    /// Freezes the device's queue, waits `timeout_ms` milliseconds at most until nothing is in flight,
    /// and unfreezes it. Submitters wait meanwhile, those of other partitions too.
    ///
    /// What has completed by then may be in the device's cache still: see [`Self::flush`].
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if the device is not [request-based](Self::is_request_based): its queue would be
    /// found empty with bios in flight.
    pub fn quiesce(&self, timeout_ms: u32) -> Result<Quiesced> {
        if !self.is_request_based() {
            return Err(EOPNOTSUPP);
        }
        Ok(Frozen::start(self).wait(timeout_ms))
    }
}
