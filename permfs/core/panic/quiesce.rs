// SPDX-License-Identifier: GPL-2.0

//! How far a volume's I/O was stopped, and stopping it inside a panic: gate, drain, flush.
//!
//! The result is the same for an orderly quiesce, in a context that may sleep, and for a panic.
//!
//! Inside a panic, this depth gates and counts. Nothing is polled or reaped, so what was in flight
//! stays so, and the device's cache is not flushed: the result says that, and never more than that.

#[cfg(permfs_panic)]
use super::{Gate, VolumeTable};

/// What became of the cache flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// None was issued.
    NotAttempted,
    /// It completed: what the device had acknowledged before is durable.
    Ok,
    /// The device answered with an error.
    Failed,
    /// None had completed when time was over.
    Timeout,
    /// It could not be issued in this context or on this device.
    Refused,
}

impl Flush {
    /// Name as printed in panic lines.
    pub const fn name(self) -> &'static str {
        match self {
            Flush::NotAttempted => "not-attempted",
            Flush::Ok => "ok",
            Flush::Failed => "failed",
            Flush::Timeout => "timeout",
            Flush::Refused => "refused",
        }
    }
}

/// How far a volume's I/O was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PanicQuiesceResult {
    /// Nothing is in flight, and nothing more can be submitted.
    pub drained: bool,
    /// Submissions that have not completed; may be too high, never too low ([`Gate`](super::Gate)).
    pub in_flight: u32,
    /// What became of the cache flush.
    pub flush_issued: Flush,
}

/// The ways to stop I/O inside a panic.
#[cfg(permfs_panic)]
pub struct PanicQuiesce;

#[cfg(permfs_panic)]
impl PanicQuiesce {
    /// Closes the gates of all volumes, mounted or not: one that is being mounted may take a slot that
    /// was free. Returns what was in flight in all of them.
    pub fn panic_freeze(volumes: &VolumeTable) -> u32 {
        let slots = volumes.slots().iter().map(|slot| slot.gate().close());
        let in_slots = slots.fold(0u32, u32::saturating_add);
        in_slots.saturating_add(volumes.overflow().close())
    }
}

/// Drains one gate that was closed by [`PanicQuiesce::panic_freeze`].
#[cfg(permfs_panic)]
pub fn drain_for_panic(gate: &Gate) -> PanicQuiesceResult {
    let in_flight = gate.in_flight();
    PanicQuiesceResult {
        drained: in_flight == 0 && gate.is_closed(),
        in_flight,
        flush_issued: Flush::NotAttempted,
    }
}
