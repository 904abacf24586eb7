// SPDX-License-Identifier: GPL-2.0

//! Why a lane may not write now.

use super::{
    ata,
    entered::Entered,
    flight::{Flight, Phase},
    place::Place,
    queue::HwQueue,
    scsi,
    vectors::{of_queue, Call},
    way::{Mode, Reason, Way},
};

const QUEUE_SHARED: &str = Reason::QueueShared.name();
const IN_BLOCK_LAYER: &str = "in-block-layer";

impl Entered<'_> {
    /// Why the interrupt of `hw` cannot be called now, if it cannot.
    fn vector_refusal(&self, hw: HwQueue<'_>) -> Option<&'static str> {
        match of_queue(&self.vectors, hw).map(|v| v.state(self.stopped)) {
            Some(Call::Called) => None,
            Some(Call::InProgress) => Some("in-progress"),
            Some(Call::Changed) | None => Some("vectors"),
        }
    }

    /// virtio: the handlers hold the queues' locks, and which belongs to which queue is the driver's
    /// secret.
    pub(super) fn vectors_refusal(&self) -> Option<&'static str> {
        let mut changed = false;
        for vector in &self.vectors {
            match vector.state(self.stopped) {
                Call::InProgress => return Some("in-progress"),
                Call::Changed => changed = true,
                Call::Called => {}
            }
        }
        (changed && self.mode != Mode::Force).then_some("vectors")
    }

    /// Why an AHCI port is to be left alone, if so. Its lock is seen, not guessed at.
    ///
    /// # Safety
    ///
    /// As [`ata::refusal`].
    pub(super) unsafe fn port_refusal(&self) -> Option<&'static str> {
        // SAFETY: Their contract is ours.
        let (refusal, locked) = unsafe {
            (
                ata::refusal(&self.queue, self.stopped),
                ata::is_locked(&self.queue, self.stopped),
            )
        };
        refusal
            .or_else(|| self.vectors_refusal())
            .or(locked.then_some(IN_BLOCK_LAYER))
    }

    /// Why nothing may be written now, if so.
    pub(super) fn refusal(&self, flight: &mut Flight) -> Option<&'static str> {
        if let Way::None(reason) = self.writes {
            return Some(reason.name());
        }
        if flight.phase == Phase::Dead {
            return Some("deadline");
        }
        let stopped = self.stopped;
        if self.queue.is_going(&self.device, stopped) {
            return Some("queue-frozen");
        }
        if self.queue.is_quiesced(stopped) {
            return Some("queue-quiesced");
        }
        // SAFETY: There is a way, so it is a queue for requests; it is not going, as was just seen.
        let Some(hw) = (unsafe { self.queue.polled(stopped) }) else {
            return Some(QUEUE_SHARED);
        };
        if hw.is_stopped(stopped) {
            return Some("queue-stopped");
        }
        let refusal = match self.writes {
            Way::NvmeReap => self.vector_refusal(hw),
            Way::VirtioShared => self.vectors_refusal(),
            Way::VirtioScsi => {
                // SAFETY: The way says that the disk's driver is sd; its queue is not going.
                let refusal = unsafe { scsi::refusal(&self.queue, stopped) };
                refusal.or_else(|| self.vectors_refusal())
            }
            Way::Ahci => {
                // SAFETY: The way says that the disk's driver is sd, on a port of ahci; its queue is not
                // going.
                let (refusal, port, room) = unsafe {
                    (
                        scsi::refusal(&self.queue, stopped),
                        self.port_refusal(),
                        ata::has_room(&self.queue, false, stopped),
                    )
                };
                refusal.or(port).or((!room).then_some("queue-stopped"))
            }
            Way::VirtioPoll | Way::NvmePoll if !hw.is_polled() => Some(QUEUE_SHARED),
            _ => None,
        };
        // SAFETY: There is a way, so it is a queue for requests; it is not going, as was seen above.
        unsafe { self.others_poll(flight) };
        if refusal.is_some() || flight.granted || self.mode == Mode::Force {
            return refusal;
        }
        // SAFETY: There is a way, so it is a queue for requests; it is not going, as was seen above.
        let refusal = unsafe { self.class_refusal(hw, flight) };
        flight.granted = refusal.is_none();
        refusal
    }

    /// Whether a request of somebody else's keeps the lane from its queue, which [`Self::collect`] may
    /// complete.
    pub(super) fn is_blocked(&self) -> bool {
        match self.writes {
            _ if self.queue.is_unused(self.stopped) => false,
            Way::NvmeReap => {
                // SAFETY: There is a way, so it is a queue for requests, and it is not unused.
                let own = unsafe { self.queue.polled(self.stopped) };
                own.is_some_and(|hw| hw.has_requests_in_driver(self.stopped))
            }
            // SAFETY: The way says that the disk is on a port of ahci; its queue is not unused.
            Way::Ahci => unsafe { !ata::has_room(&self.queue, false, self.stopped) },
            _ => false,
        }
    }

    /// Whether any hardware queue is so.
    ///
    /// # Safety
    ///
    /// As [`Queue::hw_queues`](super::queue::Queue::hw_queues).
    unsafe fn any_queue(&self, f: impl FnMut(HwQueue<'_>) -> bool) -> bool {
        // SAFETY: Its contract is ours.
        unsafe { self.queue.hw_queues(self.stopped) }.any(f)
    }

    /// Whether this CPU may hold an irq-safe lock of the driver's.
    ///
    /// # Safety
    ///
    /// As [`Queue::hw_queues`](super::queue::Queue::hw_queues).
    pub(super) unsafe fn may_hold_irqsafe(&self, place: &Place, flight: &mut Flight) -> bool {
        // A task that polls completes requests with its queue's lock held, and nothing marks it; nor
        // the thread of an interrupt, which is what the handlers may be that were not found.
        let known = !self.vectors.is_empty();
        place.may_hold_irqsafe(known)
            // SAFETY: Its contract is ours.
            || place.task_holds_lock() && (!known || unsafe { self.others_poll(flight) })
    }

    /// Whether somebody may have been polling. Asked once, before any lane has a request: lanes keep theirs.
    ///
    /// # Safety
    ///
    /// As [`Queue::hw_queues`](super::queue::Queue::hw_queues).
    unsafe fn others_poll(&self, flight: &mut Flight) -> bool {
        if let Some(poll) = flight.others_poll {
            return poll;
        }
        // SAFETY: The contract of `any_queue` is ours.
        let poll = unsafe { self.any_queue(|hw| hw.is_polled() && hw.has_requests(self.stopped)) };
        flight.others_poll = Some(poll);
        poll
    }

    /// The classes of [the module](super).
    ///
    /// # Safety
    ///
    /// As [`Queue::hw_queues`](super::queue::Queue::hw_queues).
    unsafe fn class_refusal(&self, hw: HwQueue<'_>, flight: &mut Flight) -> Option<&'static str> {
        let stopped = self.stopped;
        let place = Place::current(stopped);
        match self.writes {
            Way::NvmePoll if hw.has_requests(stopped) => Some(QUEUE_SHARED),
            Way::VirtioPoll | Way::NvmePoll if place.any_lock.is_some() => {
                let quiet = !self.takes_locks
                    && !hw.is_newly_shared(stopped)
                    && !hw.has_requests(stopped)
                    // SAFETY: The contract of `any_queue` is ours.
                    && !unsafe { self.any_queue(|hw| hw.is_stopped(stopped)) };
                place.any_lock.filter(|_| !quiet)
            }
            // Its lock is that of those who poll, and of nobody else.
            Way::VirtioPoll => {
                (place.task_holds_lock() && hw.has_requests(stopped)).then_some(IN_BLOCK_LAYER)
            }
            Way::NvmePoll => None,
            _ if place.any_lock.is_some() => place.any_lock,
            Way::VirtioShared | Way::VirtioScsi | Way::Ahci => {
                // SAFETY: Its contract is ours.
                unsafe { self.may_hold_irqsafe(&place, flight) }.then_some(IN_BLOCK_LAYER)
            }
            _ if place.may_hold_plain() => Some(IN_BLOCK_LAYER),
            _ if hw.cpus() != 1 || hw.has_requests_in_driver(stopped) => Some(QUEUE_SHARED),
            _ => None,
        }
    }
}
