// SPDX-License-Identifier: GPL-2.0

//! What can be done with a lane, by its number, when the kernel panics.
//!
//! All of this takes a [`Stopped`]: only then are lanes not freed any more, and is what they look at
//! without a lock not changed by others. All of it is for panic context: it neither sleeps nor waits;
//! every loop is over the hardware queues or interrupts of one device. What it allocates: virtio asks
//! for a descriptor table with `GFP_ATOMIC` for each request, and does without if there is none.
//!
//! Collect first, then write: what is in flight when [`refusal`] is asked counts against a lane
//! whose queue is shared.

use super::{
    ata,
    flight::{Flight, Phase},
    queue::Place,
    scsi,
    vectors::Call,
    Mode, Op, Shared, Way, TABLE,
};
use crate::{bindings::crash_helper_bdev_virtio_is_empty as virtio_is_empty, Stopped};
use core::ptr;
use kernel::sync::atomic::{Acquire, Full, Release};

/// The first of virtio-scsi's queues that is for requests: those before are for control and events.
const VIRTIO_SCSI_REQUESTS: u32 = 2;

/// A lane, for one call.
///
/// # Invariants
///
/// We hold `shared.busy`.
struct Entered {
    shared: &'static Shared,
}

impl Entered {
    /// None if there is no such lane, or this has come in the middle of another call.
    fn new(_: Stopped<'_>, lane: u32) -> Option<Self> {
        let shared = TABLE.get(lane as usize)?.load(Acquire);
        // SAFETY: Null, or not freed while it is in the table, nor ever now: `Stopped` says that the
        // flag is set which keeps `Lane` from it.
        let shared = unsafe { shared.as_ref::<'static>() }?;
        shared.busy.cmpxchg(0, 1, Full).ok()?;
        // INVARIANT: By the exchange.
        Some(Self { shared })
    }

    fn with<R>(&mut self, f: impl FnOnce(&'static Shared, &mut Flight) -> R) -> R {
        // SAFETY: By the type invariant it is ours; there is one of us, which is borrowed.
        f(self.shared, unsafe { &mut *self.shared.flight.get() })
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.shared.busy.store(0, Release);
    }
}

/// What a round of [`collect`] came to.
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

/// One round of collecting what others have in flight on the whole device.
pub fn collect(stopped: Stopped<'_>, lane: u32) -> Collected {
    match Entered::new(stopped, lane) {
        Some(mut entered) => entered.with(|shared, flight| shared.collect(flight)),
        None => Collected::NoWay,
    }
}

/// Whether the lane may not write now because of what others have in flight, and may once that has
/// been collected.
pub fn is_blocked(stopped: Stopped<'_>, lane: u32) -> bool {
    Entered::new(stopped, lane)
        .is_some_and(|mut entered| entered.with(|shared, _| shared.is_blocked()))
}

/// Why the lane may not write, here and now; none if it may. Once it may, what other lanes submit to
/// its queue does not change that.
pub fn refusal(stopped: Stopped<'_>, lane: u32) -> Option<&'static str> {
    match Entered::new(stopped, lane) {
        Some(mut entered) => entered.with(|shared, flight| shared.refusal(flight)),
        None => Some("no-lane"),
    }
}

/// Copies `bytes` to offset `at` of the buffer. False if that is out of range, or the buffer is in
/// use.
pub fn stage(stopped: Stopped<'_>, lane: u32, at: usize, bytes: &[u8]) -> bool {
    let Some(mut entered) = Entered::new(stopped, lane) else {
        return false;
    };
    entered.with(|shared, flight| {
        let Some(to) = shared.bytes(flight, at, bytes.len()) else {
            return false;
        };
        // SAFETY: That many bytes are there, and nobody else uses them.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        true
    })
}

/// Copies from offset `at` of the buffer to `out`. False as [`stage`].
pub fn peek(stopped: Stopped<'_>, lane: u32, at: usize, out: &mut [u8]) -> bool {
    let Some(mut entered) = Entered::new(stopped, lane) else {
        return false;
    };
    entered.with(|shared, flight| {
        let Some(from) = shared.bytes(flight, at, out.len()) else {
            return false;
        };
        // SAFETY: That many bytes are there, initialised, and nobody else uses them.
        unsafe { ptr::copy_nonoverlapping(from, out.as_mut_ptr(), out.len()) };
        true
    })
}

/// Begins an operation, one at a time; [`poll`] until it has ended, or [`abandon`] it.
///
/// A flush of a device without a volatile cache ends at once.
///
/// # Errors
///
/// What [`refusal`] says; `busy`; `range`: not in the area or the buffer, or not whole blocks;
/// `no-tag`; `io-error`: the driver did not take it.
pub fn submit(stopped: Stopped<'_>, lane: u32, op: Op) -> Result<(), &'static str> {
    match Entered::new(stopped, lane) {
        Some(mut entered) => entered.with(|shared, flight| shared.submit(flight, op)),
        None => Err("no-lane"),
    }
}

/// One round of collecting. None: the operation has not ended; an error is a negative errno.
pub fn poll(stopped: Stopped<'_>, lane: u32) -> Option<Result<(), i32>> {
    Entered::new(stopped, lane)?.with(|shared, flight| shared.poll(flight))
}

/// Gives an operation up. The device may still have it: request and buffer are not touched again,
/// and the lane refuses from now on.
pub fn abandon(stopped: Stopped<'_>, lane: u32) {
    if let Some(mut entered) = Entered::new(stopped, lane) {
        entered.with(|_, flight| flight.phase = Phase::Dead);
    }
}

impl Shared {
    /// A place in the buffer, if the device does not have the buffer.
    fn bytes(&self, flight: &Flight, at: usize, len: usize) -> Option<*mut u8> {
        let idle = matches!(flight.phase, Phase::Idle | Phase::Nothing);
        let inside = at.checked_add(len)? <= self.buffer.len;
        // SAFETY: Inside of the buffer, by the invariant of `Buffer`.
        (idle && inside).then(|| unsafe { self.buffer.data.add(at) })
    }

    fn collect(&self, flight: &mut Flight) -> Collected {
        if !self.collects.works() {
            return Collected::NoWay;
        }
        if self.queue.is_unused() {
            return Collected::DriverEmpty;
        }
        if !self.lets_collect() {
            return Collected::NoWay;
        }
        if !flight.collecting {
            // What completes belongs to others: its end takes their locks, which are irq-safe.
            let place = Place::current();
            let refused = match self.collects {
                Way::NvmeReap => place.any_lock.is_some(),
                _ => place.any_lock.is_some() || self.may_hold_irqsafe(&place),
            };
            if refused && self.mode != Mode::Force {
                return Collected::NoWay;
            }
            flight.collecting = true;
            self.prepare();
            self.queue.complete_here();
            self.tell_device(flight);
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

    /// Whether the state of the device lets others' requests be completed here.
    fn lets_collect(&self) -> bool {
        // SAFETY: The way says that the disk's driver is sd.
        let scsi = !self.collects.is_scsi() || unsafe { scsi::may_collect(&self.queue) };
        scsi && (self.collects != Way::Ahci || self.port_refusal().is_none())
    }

    /// Whether the device may have a request that was not found to be complete. What the driver has
    /// started and the device was not given, because its CPU was stopped between the two, is none where
    /// that can be told.
    fn device_has_requests(&self) -> bool {
        let bdev = self.device.as_ptr();
        match self.collects {
            // SAFETY: The way says that the disk is on a port of ahci.
            Way::Ahci => unsafe { ata::has_commands(&self.queue) },
            // SAFETY: In panic context, with a virtio device above the disk, as the way says.
            Way::VirtioScsi if unsafe { virtio_is_empty(bdev, VIRTIO_SCSI_REQUESTS) } => false,
            // SAFETY: As above.
            Way::VirtioShared if unsafe { virtio_is_empty(bdev, 0) } => false,
            _ => self.queue.has_requests_in_driver(),
        }
    }

    /// Whether any queue was asked.
    fn poll_queues(&self) -> bool {
        if self.vectors_refusal().is_some() {
            return false;
        }
        for hw in self.queue.hw_queues() {
            // SAFETY: The way is one of virtio's, which have `poll`; the queue is not unused; the lock is
            // irq-safe, not held by a handler that is in progress, nor by this CPU: `collect` has
            // asked.
            unsafe { hw.poll() };
        }
        true
    }

    /// Whether the port was asked.
    fn reap_port(&self) -> bool {
        let mut any = false;
        for vector in &self.vectors {
            // SAFETY: In panic context; the handler takes its port's lock or its controller's, which
            // nobody holds: `collect` has asked.
            any |= unsafe { vector.call() } == Call::Called;
        }
        any
    }

    /// Whether any queue was asked.
    fn reap_queues(&self) -> bool {
        let mut any = false;
        for hw in self.queue.hw_queues() {
            if hw.is_polled() {
                // Who polls it may have been stopped with its lock.
                if self.mode == Mode::Force && self.queue.has_poll() {
                    // SAFETY: The queue is not unused. That the lock is free was not asked for.
                    unsafe { hw.poll() };
                }
                continue;
            }
            // SAFETY: In panic context, not in an NMI unless that was not asked for; nvme_irq()
            // takes no lock.
            let call = hw.vector(&self.vectors).map(|v| unsafe { v.call() });
            any |= call == Some(Call::Called);
        }
        any
    }
}
