// SPDX-License-Identifier: GPL-2.0

//! Volumes that fail with an oops, while the machine lives.
//!
//! A task that died in the middle of PermFS leaves a volume in the middle of a change. Such a volume is
//! given up: its gate is closed, so that nothing of it reaches the device any more, and what is durable
//! stays what it is until the next mount has replayed and checked it.
//!
//! Called from a die notifier, under the laws of [`super`]: other CPUs are running, but nothing here is
//! more than atomics and lines.

use super::report::id_of;
use super::{PanicLineBuffer, PanicLogger, PanicMachine, SlotState, VolumeTable, SLOTS, TASK_LEN};

/// An oops, and which volumes fail with it.
pub struct Oops<'a> {
    /// What the kernel calls it.
    pub message: &'a [u8],
    /// Volumes that fail: a bit for each slot.
    pub failed: u32,
    /// Those of them whose locks the dying task held.
    pub held: u32,
}

impl Oops<'_> {
    /// Fails the volumes and prints that: one line for the oops, one for each volume.
    pub fn contain<L, M>(&self, logger: &L, machine: &M, table: &'static VolumeTable)
    where
        L: PanicLogger,
        M: PanicMachine,
    {
        let slots = || {
            let numbered = (0..SLOTS as u32).zip(table.slots());
            numbered.filter(|&(number, _)| is_in(self.failed, number))
        };
        // First of all: another CPU may be about to submit.
        for (_, slot) in slots() {
            // Gates are never opened again, so that one close is enough.
            if slot.state() != SlotState::Failed || !slot.gate().is_closed() {
                slot.gate().close();
            }
            slot.set_state(SlotState::Failed);
        }

        let mut task = [0; TASK_LEN];
        let pid = machine.task(&mut task);
        let (mono, wall, cpu) = (machine.now_ns(), machine.wall_ns(), machine.cpu());
        let id = id_of(wall, mono, cpu);
        let mut line = PanicLineBuffer::new();
        line.start("oops", id, 0)
            .dec("wall", wall)
            .dec("mono", mono)
            .dec("cpu", cpu.into())
            .word("ctx", machine.context().name())
            .dec("vols", self.failed.count_ones().into())
            .signed("pid", pid)
            .quoted("comm", text(&task))
            .quoted("text", self.message);
        logger.print_line(line.finish());
        for ((number, slot), index) in slots().zip(1..=SLOTS as u32) {
            line.start("failed", id, index)
                .dec("slot", number.into())
                .flag("held", is_in(self.held, number))
                .dec("inflight", slot.gate().in_flight().into())
                .dec("run", slot.running_epoch())
                .dec("dur", slot.durable_epoch())
                .bytes("uuid", &slot.uuid())
                .quoted("name", text(&slot.name()));
            logger.print_line(line.finish());
        }
    }
}

/// The bit of slot `number`; 0 for a number past the table.
pub const fn slot_bit(number: u32) -> u32 {
    match 1u32.checked_shl(number) {
        Some(bit) => bit,
        None => 0,
    }
}

/// The bits of all slots whose volumes may still write.
pub fn slots_in_use(table: &'static VolumeTable) -> u32 {
    let numbered = (0..SLOTS as u32).zip(table.slots());
    numbered.fold(0, |bits, (number, slot)| match slot.state() {
        SlotState::Free | SlotState::Retired => bits,
        SlotState::Failed if slot.gate().is_closed() => bits,
        _ => bits | slot_bit(number),
    })
}

const fn is_in(bits: u32, number: u32) -> bool {
    bits & slot_bit(number) != 0
}

/// The text before the padding.
fn text(padded: &[u8]) -> &[u8] {
    padded.split(|&b| b == 0).next().unwrap_or(&[])
}
