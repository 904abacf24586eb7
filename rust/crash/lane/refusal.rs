// SPDX-License-Identifier: GPL-2.0

//! Why a lane may not write now.

use super::{
    ata,
    flight::{Flight, Phase},
    queue::{HwQueue, Place},
    scsi,
    vectors::Call,
    Mode, Shared, Way,
};

pub(super) const QUEUE_SHARED: &str = "queue-shared";
const IN_BLOCK_LAYER: &str = "in-block-layer";

impl Shared {
    /// Why the interrupt of `hw` cannot be called now, if it cannot.
    fn vector_refusal(&self, hw: HwQueue) -> Option<&'static str> {
        match hw.vector(&self.vectors).map(|v| v.state()) {
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
            match vector.state() {
                Call::InProgress => return Some("in-progress"),
                Call::Changed => changed = true,
                Call::Called => {}
            }
        }
        (changed && self.mode != Mode::Force).then_some("vectors")
    }

    /// Why an AHCI port is to be left alone, if so. Its lock is seen, not guessed at.
    pub(super) fn port_refusal(&self) -> Option<&'static str> {
        // SAFETY: For the way Ahci only: the disk's driver is sd, and its port ahci's.
        let (refusal, locked) = unsafe { (ata::refusal(&self.queue), ata::is_locked(&self.queue)) };
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
        if self.queue.is_going() {
            return Some("queue-frozen");
        }
        if self.queue.is_quiesced() {
            return Some("queue-quiesced");
        }
        let Some(hw) = self.queue.polled() else {
            return Some(QUEUE_SHARED);
        };
        if hw.is_stopped() {
            return Some("queue-stopped");
        }
        let refusal = match self.writes {
            Way::NvmeReap => self.vector_refusal(hw),
            Way::VirtioShared => self.vectors_refusal(),
            Way::VirtioScsi => {
                // SAFETY: The way says that the disk's driver is sd.
                let refusal = unsafe { scsi::refusal(&self.queue) };
                refusal.or_else(|| self.vectors_refusal())
            }
            Way::Ahci => {
                // SAFETY: The way says that the disk's driver is sd, and its port ahci's.
                let refusal = unsafe { scsi::refusal(&self.queue) };
                // SAFETY: As above.
                let room = unsafe { ata::has_room(&self.queue, false) };
                refusal
                    .or_else(|| self.port_refusal())
                    .or((!room).then_some("queue-stopped"))
            }
            Way::VirtioPoll | Way::NvmePoll if !hw.is_polled() => Some(QUEUE_SHARED),
            _ => None,
        };
        if refusal.is_some() || flight.granted || self.mode == Mode::Force {
            return refusal;
        }
        let refusal = self.class_refusal(hw);
        flight.granted = refusal.is_none();
        refusal
    }

    /// Whether a request of somebody else's keeps the lane from its queue, which [`Self::collect`] may
    /// complete.
    pub(super) fn is_blocked(&self) -> bool {
        match self.writes {
            _ if self.queue.is_unused() => false,
            Way::NvmeReap => {
                let own = self.queue.polled();
                own.is_some_and(|hw| hw.has_requests_in_driver())
            }
            // SAFETY: The way says that the disk is on a port of ahci.
            Way::Ahci => unsafe { !ata::has_room(&self.queue, false) },
            _ => false,
        }
    }

    /// Whether this CPU may hold an irq-safe lock of the driver's.
    pub(super) fn may_hold_irqsafe(&self, place: &Place) -> bool {
        // A task that polls completes requests with its queue's lock held, and nothing marks it; nor
        // the thread of an interrupt, which is what the handlers may be that were not found.
        let known = !self.vectors.is_empty();
        let polls = |hw: HwQueue| hw.is_polled() && hw.has_requests();
        place.may_hold_irqsafe(known)
            || place.task_holds_lock() && (!known || self.queue.hw_queues().any(polls))
    }

    /// The classes of [the module](super).
    fn class_refusal(&self, hw: HwQueue) -> Option<&'static str> {
        let place = Place::current();
        match self.writes {
            Way::NvmePoll if hw.has_requests() => Some(QUEUE_SHARED),
            Way::VirtioPoll | Way::NvmePoll if place.any_lock.is_some() => {
                let quiet = !self.takes_locks
                    && !hw.is_newly_shared()
                    && !hw.has_requests()
                    && !self.queue.hw_queues().any(|hw| hw.is_stopped());
                place.any_lock.filter(|_| !quiet)
            }
            // Its lock is that of those who poll, and of nobody else.
            Way::VirtioPoll => {
                (place.task_holds_lock() && hw.has_requests()).then_some(IN_BLOCK_LAYER)
            }
            Way::NvmePoll => None,
            _ if place.any_lock.is_some() => place.any_lock,
            Way::VirtioShared | Way::VirtioScsi | Way::Ahci => {
                self.may_hold_irqsafe(&place).then_some(IN_BLOCK_LAYER)
            }
            _ if place.may_hold_plain() => Some(IN_BLOCK_LAYER),
            _ if hw.cpus() != 1 || hw.has_requests_in_driver() => Some(QUEUE_SHARED),
            _ => None,
        }
    }
}
