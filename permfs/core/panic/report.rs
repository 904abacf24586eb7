// SPDX-License-Identifier: GPL-2.0

//! The static report: how far the handler came, for crash and drgn to find in a vmcore.

use super::{PanicStrategy, VolumeSlot, VolumeTable, SLOTS, VOLUMES};
use crate::alloc::AllocatorPanicReport;
use core::mem::size_of;
use kernel::sync::atomic::{Acquire, Atomic, Full, Relaxed, Release};

/// `PERMFSPR`, read as little-endian bytes.
const MAGIC: u64 = u64::from_le_bytes(*b"PERMFSPR");
const VERSION: u32 = 1;
/// No CPU is in the handler.
const NOBODY: u32 = 0;

/// The report of this kernel. Its layout is stable: `Documentation/panic-path.md` has it byte by byte.
pub static PERMFS_PANIC_REPORT: PanicReport = PanicReport::new(&VOLUMES);

/// How far the handler has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// No panic was seen.
    Idle,
    /// Closing the gates.
    Gate,
    /// Printing what is known.
    Known,
    /// Draining what is in flight.
    Drain,
    /// Printing the outcome.
    Outcome,
    /// Halting, rebooting or waiting for a reboot that does not come.
    Stop,
    /// Returned to the kernel.
    Done,
}

impl Stage {
    /// Number of the stage in the static report.
    pub const fn as_u32(self) -> u32 {
        match self {
            Stage::Idle => 0,
            Stage::Gate => 1,
            Stage::Known => 2,
            Stage::Drain => 3,
            Stage::Outcome => 4,
            Stage::Stop => 5,
            Stage::Done => 6,
        }
    }

    const fn from_u32(n: u32) -> Self {
        match n {
            0 => Stage::Idle,
            1 => Stage::Gate,
            2 => Stage::Known,
            3 => Stage::Drain,
            4 => Stage::Outcome,
            5 => Stage::Stop,
            _ => Stage::Done,
        }
    }

    /// Name as printed in panic lines.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Idle => "idle",
            Stage::Gate => "gate",
            Stage::Known => "known",
            Stage::Drain => "drain",
            Stage::Outcome => "outcome",
            Stage::Stop => "stop",
            Stage::Done => "done",
        }
    }
}

/// Who comes into the handler.
pub(super) enum Entry {
    /// The first: it does the work.
    First,
    /// The CPU that is in it already: the handler itself has panicked, in the stage given.
    Nested(Stage),
    /// It was here before, or another CPU is: nothing to do.
    Again,
}

/// State of the panic handler, in static memory.
#[repr(C)]
pub struct PanicReport {
    magic: u64,
    version: u32,
    size: u32,
    volumes: &'static VolumeTable,
    slot_size: u32,
    slots: u32,
    /// [`Stage`].
    stage: Atomic<u32>,
    /// The CPU in the handler, plus one.
    owner: Atomic<u32>,
    /// Entries after the first one.
    reentries: Atomic<u32>,
    /// Hooks are installed.
    installed: Atomic<u32>,
    strategy: Atomic<u32>,
    id: Atomic<u32>,
    lines: Atomic<u32>,
    in_flight: Atomic<u32>,
    wall_ns: Atomic<u64>,
    start_ns: Atomic<u64>,
    end_ns: Atomic<u64>,
}

impl PanicReport {
    /// Of a kernel that has not panicked.
    pub const fn new(volumes: &'static VolumeTable) -> Self {
        Self {
            magic: MAGIC,
            version: VERSION,
            // Lossless: both are far below 4 GiB.
            size: size_of::<Self>() as u32,
            volumes,
            slot_size: size_of::<VolumeSlot>() as u32,
            slots: SLOTS as u32,
            stage: Atomic::<u32>::new(0),
            owner: Atomic::<u32>::new(NOBODY),
            reentries: Atomic::<u32>::new(0),
            installed: Atomic::<u32>::new(0),
            strategy: Atomic::<u32>::new(0),
            id: Atomic::<u32>::new(0),
            lines: Atomic::<u32>::new(0),
            in_flight: Atomic::<u32>::new(0),
            wall_ns: Atomic::<u64>::new(0),
            start_ns: Atomic::<u64>::new(0),
            end_ns: Atomic::<u64>::new(0),
        }
    }

    /// The volumes that the handler tells of.
    pub fn volumes(&self) -> &'static VolumeTable {
        self.volumes
    }

    /// How far the handler has come.
    pub fn stage(&self) -> Stage {
        Stage::from_u32(self.stage.load(Acquire))
    }

    /// Entries into the handler after the first.
    pub fn reentries(&self) -> u32 {
        self.reentries.load(Relaxed)
    }

    /// Lines printed.
    pub fn lines(&self) -> u32 {
        self.lines.load(Relaxed)
    }

    pub(super) fn install(&self, strategy: PanicStrategy) -> bool {
        let won = self.installed.cmpxchg(0, 1, Full).is_ok();
        if won {
            self.strategy.store(strategy.as_u32(), Relaxed);
        }
        won
    }

    pub(super) fn uninstall(&self) {
        self.installed.store(0, Release);
    }

    /// Decides who does the work; the first CPU keeps the handler for ever, as panic() does not return.
    pub(super) fn enter(&self, cpu: u32) -> Entry {
        let me = cpu.wrapping_add(1);
        match self.owner.cmpxchg(NOBODY, me, Full) {
            Ok(_) => Entry::First,
            Err(owner) => {
                let before = self.reentries.fetch_add(1u32, Relaxed);
                // One line about a nested panic, and none when printing that line panics too.
                if owner == me && before == 0 && self.stage() != Stage::Done {
                    Entry::Nested(self.stage())
                } else {
                    Entry::Again
                }
            }
        }
    }

    pub(super) fn begin(&self, id: u32, wall_ns: u64, start_ns: u64) {
        self.id.store(id, Relaxed);
        self.wall_ns.store(wall_ns, Relaxed);
        self.start_ns.store(start_ns, Relaxed);
    }

    pub(super) fn id(&self) -> u32 {
        self.id.load(Relaxed)
    }

    pub(super) fn reach(&self, stage: Stage) {
        self.stage.store(stage.as_u32(), Release);
    }

    /// Index of the next line.
    pub(super) fn next_line(&self) -> u32 {
        self.lines.fetch_add(1u32, Relaxed)
    }

    pub(super) fn finish(&self, in_flight: u32, end_ns: u64) {
        self.in_flight.store(in_flight, Relaxed);
        self.end_ns.store(end_ns, Relaxed);
    }
}

/// What the handler tells of a volume's allocator, read from its slot alone.
pub fn allocator_panic_report(slot: &VolumeSlot) -> AllocatorPanicReport {
    AllocatorPanicReport::read(slot.running_epoch(), slot.counters(), slot.events())
}

#[cfg(test)]
mod layout {
    use super::PanicReport;
    use core::mem::{offset_of, size_of};

    /// crash and drgn scripts depend on it: `Documentation/panic-path.md`.
    #[test]
    fn the_report_is_as_documented() {
        let offsets = [
            (offset_of!(PanicReport, magic), 0),
            (offset_of!(PanicReport, version), 8),
            (offset_of!(PanicReport, size), 12),
            (offset_of!(PanicReport, volumes), 16),
            (offset_of!(PanicReport, slot_size), 24),
            (offset_of!(PanicReport, slots), 28),
            (offset_of!(PanicReport, stage), 32),
            (offset_of!(PanicReport, owner), 36),
            (offset_of!(PanicReport, reentries), 40),
            (offset_of!(PanicReport, installed), 44),
            (offset_of!(PanicReport, strategy), 48),
            (offset_of!(PanicReport, id), 52),
            (offset_of!(PanicReport, lines), 56),
            (offset_of!(PanicReport, in_flight), 60),
            (offset_of!(PanicReport, wall_ns), 64),
            (offset_of!(PanicReport, start_ns), 72),
            (offset_of!(PanicReport, end_ns), 80),
            (size_of::<PanicReport>(), 88),
        ];
        for (is, documented) in offsets {
            assert_eq!(is, documented);
        }
    }
}
