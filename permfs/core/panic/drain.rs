// SPDX-License-Identifier: GPL-2.0

//! Stopping I/O inside a panic: gate and drain. The flush is the panic lane's (`lane.rs`).
//!
//! The gate is closed for all volumes at once. The drain comes when the account is on the disks, and collects
//! completions, by polling or reaping, from
//! every volume in turn: a device that never completes anything costs the others nothing but time,
//! of which the drain gets half. Volumes with nothing in flight are asked once.

use super::{
    deadline::FOR_DRAIN, progress::DrainEnd, Collected, Deadline, Flush, PanicDevices,
    PanicMachine, PanicQuiesceResult, VolumeSlot, VolumeTable, SLOTS,
};

/// The ways to stop I/O inside a panic.
pub struct PanicQuiesce;

impl PanicQuiesce {
    /// Closes the gates of all volumes, mounted or not: one that is being mounted may take a slot that
    /// was free. Returns what was in flight in all of them.
    pub fn panic_freeze(volumes: &VolumeTable) -> u32 {
        let slots = volumes.slots().iter().map(|slot| slot.gate().close());
        let in_slots = slots.fold(0u32, u32::saturating_add);
        in_slots.saturating_add(volumes.overflow().close())
    }
}

/// Drains the volumes whose gates were closed by [`PanicQuiesce::panic_freeze`]: collects completions
/// from all of them in turn until nothing is in flight, nothing more can complete, or half of the deadline is over. What is in flight then is given up, and counted as lost in each
/// volume's slot.
pub fn drain_for_panic<D: PanicDevices, M: PanicMachine>(
    volumes: &VolumeTable,
    devices: &D,
    machine: &M,
    deadline: &mut Deadline,
) -> PanicQuiesceResult {
    let begin = machine.now_ns();
    let mut waiting = 0u32;
    for (bit, slot) in bits(volumes) {
        let end = match (slot.gate().in_flight(), slot.lane()) {
            (0, None) => DrainEnd::Done,
            (_, None) => DrainEnd::NoWay,
            (_, Some(_)) => {
                waiting |= bit;
                // Unless it ends in another way before.
                DrainEnd::Deadline
            }
        };
        slot.progress().set_drain_end(end);
    }
    let mut questions = 0u32;
    while waiting != 0 && deadline.turn(machine.now_ns(), questions, FOR_DRAIN) {
        questions = 0;
        for (bit, slot) in bits(volumes) {
            if waiting & bit == 0 {
                continue;
            }
            let end = match slot.lane() {
                Some(lane) => {
                    questions = questions.saturating_add(devices.queues(lane));
                    collect(devices, slot, lane)
                }
                None => Some(DrainEnd::NoWay),
            };
            let progress = slot.progress();
            progress.set_drain_us(micros(begin, machine.now_ns()));
            if let Some(end) = end {
                progress.set_drain_end(end);
                waiting &= !bit;
            }
        }
        machine.relax();
    }
    let mut in_flight = volumes.overflow().in_flight();
    for (bit, slot) in bits(volumes) {
        let lost = slot.gate().in_flight();
        slot.progress().set_lost(lost);
        if lost == 0 && waiting & bit != 0 {
            // No time was left to find that there was nothing to wait for.
            slot.progress().set_drain_end(DrainEnd::Done);
        }
        in_flight = in_flight.saturating_add(lost);
    }
    PanicQuiesceResult {
        drained: in_flight == 0,
        in_flight,
        flush_issued: Flush::NotAttempted,
    }
}

/// One round for a volume; how its drain ends, if it does.
fn collect<D: PanicDevices>(devices: &D, slot: &VolumeSlot, lane: u32) -> Option<DrainEnd> {
    let collected = devices.collect(lane);
    if slot.gate().in_flight() == 0 {
        return Some(DrainEnd::Done);
    }
    match collected {
        Collected::NoWay => Some(DrainEnd::NoWay),
        Collected::DriverEmpty => Some(DrainEnd::DriverEmpty),
        Collected::More => None,
    }
}

/// The slots, each with a bit of its own.
fn bits(volumes: &VolumeTable) -> impl Iterator<Item = (u32, &VolumeSlot)> {
    const { assert!(SLOTS <= 32) };
    // Not mapped before it is zipped: with something to call, `Zip` counts, and checks that for overflow.
    (0..SLOTS as u32)
        .zip(volumes.slots())
        .map(|(n, slot)| (1u32.wrapping_shl(n), slot))
}

/// Microseconds from one time to another, 0 if the clock stepped back.
pub(super) fn micros(from_ns: u64, to_ns: u64) -> u32 {
    let us = to_ns.saturating_sub(from_ns) / 1000;
    // Lossless below 4295 s.
    us as u32
}
