// SPDX-License-Identifier: GPL-2.0

//! Collecting what others have in flight.

use super::{
    ata,
    entered::Entered,
    flight::Flight,
    place::Place,
    scsi,
    vectors::{of_queue, Call},
    way::{Mode, Way},
};
use crate::bindings::crash_helper_bdev_virtio_is_empty as virtio_is_empty;

/// The first of virtio-scsi's queues that is for requests: those before are for control and events.
const VIRTIO_SCSI_REQUESTS: u32 = 2;

/// What a round of [`super::at_panic::collect`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collected {
    /// There is no way, or not here.
    NoWay,
    /// The driver holds no request of the device. What is in flight still was not given to it yet,
    /// or waits for what does not run in a panic: nothing more will complete.
    DriverEmpty,
    /// More may complete.
    More,
}

impl Entered<'_> {
    /// One round.
    pub(super) fn collect(&self, flight: &mut Flight) -> Collected {
        if !self.collects.works() {
            return Collected::NoWay;
        }
        if self.queue.is_unused(self.stopped) {
            return Collected::DriverEmpty;
        }
        // SAFETY: There is a way, so it is a queue for requests; it is not unused, as was just seen. This
        // is the contract of all that follows.
        unsafe {
            if !self.lets_collect() || !(flight.collecting || self.begin(flight)) {
                return Collected::NoWay;
            }
            let asked = match self.collects {
                Way::VirtioShared | Way::VirtioPoll | Way::VirtioScsi => self.poll_queues(),
                Way::Ahci => self.reap_port(),
                Way::NvmeReap | Way::NvmePoll => self.reap_queues(),
                Way::None(_) => false,
            };
            if !asked {
                Collected::NoWay
            } else if self.device_has_requests() || self.is_blocked() {
                Collected::More
            } else {
                Collected::DriverEmpty
            }
        }
    }

    /// Prepares what others have in flight for being completed here, if that may be.
    ///
    /// # Safety
    ///
    /// The queue is for requests and not unused, and [`Self::lets_collect`].
    unsafe fn begin(&self, flight: &mut Flight) -> bool {
        // The driver's locks, which are irq-safe; the owners' ends are not run.
        let place = Place::current(self.stopped);
        let refused = match self.collects {
            Way::NvmeReap => place.any_lock.is_some(),
            // SAFETY: Its contract is part of ours.
            _ => place.any_lock.is_some() || unsafe { self.may_hold_irqsafe(&place, flight) },
        };
        if refused && self.mode != Mode::Force {
            return false;
        }
        flight.collecting = true;
        // SAFETY: The queue is for requests and not unused; that the lock of an AHCI port is not held is
        // part of `lets_collect`.
        unsafe {
            self.prepare();
            self.tell_device(flight);
        }
        true
    }

    /// Whether the state of the device lets others' requests be completed here.
    ///
    /// # Safety
    ///
    /// The queue is not unused.
    unsafe fn lets_collect(&self) -> bool {
        let (queue, stopped) = (&self.queue, self.stopped);
        // SAFETY: The way says that the disk's driver is sd, and its queue is not unused.
        let scsi = || unsafe { scsi::may_collect(queue, stopped) };
        // SAFETY: The way says that the disk is on a port of ahci, and its queue is not unused.
        let port = || unsafe { self.port_refusal() };
        (!self.collects.is_scsi() || scsi()) && (self.collects != Way::Ahci || port().is_none())
    }

    /// Whether the device may have a request that was not found to be complete. What the driver has
    /// started and the device was not given, because its CPU was stopped between the two, is none where
    /// that can be told.
    ///
    /// # Safety
    ///
    /// The queue is for requests and not unused.
    unsafe fn device_has_requests(&self) -> bool {
        let bdev = self.device.as_ptr();
        match self.collects {
            // SAFETY: The way says that the disk is on a port of ahci; its queue is not unused.
            Way::Ahci => unsafe { ata::has_commands(&self.queue, self.stopped) },
            // SAFETY: The way says that a virtio device is above the disk. It was not removed, or the
            // queue would be unused; nobody is left who could free its queues.
            Way::VirtioScsi if unsafe { virtio_is_empty(bdev, VIRTIO_SCSI_REQUESTS) } => false,
            // SAFETY: virtio-blk's disk has a virtio device as its parent, which was not removed either.
            Way::VirtioShared if unsafe { virtio_is_empty(bdev, 0) } => false,
            // SAFETY: The queue is for requests and not unused, which keeps its tags.
            _ => unsafe { self.queue.has_requests_in_driver(self.stopped) },
        }
    }

    /// Whether any queue was asked.
    ///
    /// # Safety
    ///
    /// The queue is one of virtio's and not unused, and [`Self::begin`] has let it through.
    unsafe fn poll_queues(&self) -> bool {
        if self.vectors_refusal().is_some() {
            return false;
        }
        // SAFETY: The queue is for requests and not unused.
        for hw in unsafe { self.queue.hw_queues(self.stopped) } {
            // SAFETY: virtio's drivers have `poll`. Its lock is irq-safe, and held neither by a handler,
            // for none is in progress, nor by this CPU, as `begin` has seen or was told not to ask.
            unsafe { hw.poll(self.stopped) };
        }
        true
    }

    /// Whether the port was asked.
    ///
    /// # Safety
    ///
    /// [`Self::lets_collect`].
    unsafe fn reap_port(&self) -> bool {
        let mut any = false;
        for vector in &self.vectors {
            // SAFETY: The handler takes its port's lock or its controller's, which `lets_collect` has seen
            // not to be held.
            any |= unsafe { vector.call(self.stopped) } == Call::Called;
        }
        any
    }

    /// Whether any queue was asked.
    ///
    /// # Safety
    ///
    /// The queue is one of NVMe's and not unused.
    unsafe fn reap_queues(&self) -> bool {
        let mut any = false;
        // SAFETY: The queue is for requests and not unused.
        for hw in unsafe { self.queue.hw_queues(self.stopped) } {
            if hw.is_polled() {
                // Who polls it may have been stopped with its lock.
                if self.mode == Mode::Force && self.queue.has_poll() {
                    // SAFETY: The driver has `poll`, and its queue is not unused. Whether the lock is free
                    // was not to be asked: that is what this mode means.
                    unsafe { hw.poll(self.stopped) };
                }
                continue;
            }
            let Some(vector) = of_queue(&self.vectors, hw) else {
                continue;
            };
            // SAFETY: nvme_irq() takes no lock.
            any |= unsafe { vector.call(self.stopped) } == Call::Called;
        }
        any
    }
}
