// SPDX-License-Identifier: GPL-2.0

//! The static report: how far the handler came, for crash and drgn to find in a vmcore.

use super::{PanicQuiesceResult, PanicStrategy, VolumeSlot, VolumeTable, SLOTS, VOLUMES};
use crate::{alloc::AllocatorPanicReport, crc::crc32c};
use core::mem::size_of;
use kernel::sync::atomic::{Acquire, Atomic, Full, Relaxed, Release};

/// `PERMFSPR`, read as little-endian bytes.
const MAGIC: u64 = u64::from_le_bytes(*b"PERMFSPR");
const VERSION: u32 = 2;
/// No CPU is in the handler.
const NOBODY: u32 = 0;

/// The report of this kernel. Its layout is stable: `Documentation/panic-path.md` has it byte by byte.
pub static PERMFS_PANIC_REPORT: PanicReport = PanicReport::new(&VOLUMES);

/// How far the handler has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// Writing the volumes' records, and flushing their caches.
    Lane,
    /// Returned to the kernel, with the rest to be done in a kmsg dumper.
    Deferred,
    /// Writing a piece of the kernel's log for pstore.
    Log,
    /// Returned to the kernel with the records written, and the rest to be done in a kmsg dumper.
    Recorded,
    /// Flushing what the drain has collected.
    Flush,
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
            Stage::Lane => 7,
            Stage::Deferred => 8,
            Stage::Log => 9,
            Stage::Recorded => 10,
            Stage::Flush => 11,
        }
    }

    /// The stage with this number.
    pub const fn from_u32(n: u32) -> Self {
        match n {
            0 => Stage::Idle,
            1 => Stage::Gate,
            2 => Stage::Known,
            3 => Stage::Drain,
            4 => Stage::Outcome,
            5 => Stage::Stop,
            7 => Stage::Lane,
            8 => Stage::Deferred,
            9 => Stage::Log,
            10 => Stage::Recorded,
            11 => Stage::Flush,
            _ => Stage::Done,
        }
    }

    /// The stage that is printed as `name`.
    pub fn by_name(name: &str) -> Option<Self> {
        let mut all = (0..=u8::MAX.into()).map(Self::from_u32);
        all.find(|stage| stage.name() == name)
    }

    /// Whether the handler itself is at work, and not others around it.
    const fn is_ours(self) -> bool {
        !matches!(self, Stage::Deferred | Stage::Recorded | Stage::Done)
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
            Stage::Lane => "lane",
            Stage::Deferred => "deferred",
            Stage::Log => "log",
            Stage::Recorded => "recorded",
            Stage::Flush => "flush",
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
    /// [`super::Flush`] of all volumes together.
    flush: Atomic<u32>,
    /// Another pstore backend comes before the records.
    deferred: Atomic<u32>,
    /// Panics that made the breaker halt; 0: it did not.
    breaker: Atomic<u32>,
    /// Pieces of the kernel's log that were written.
    logs: Atomic<u32>,
    /// End of the deadline, monotonic clock.
    deadline_ns: Atomic<u64>,
    /// End of the time for the kernel's log; 0: none was written.
    log_deadline_ns: Atomic<u64>,
    /// What the records have left of the time for the disk, nanoseconds.
    left_ns: Atomic<u64>,
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
            flush: Atomic::<u32>::new(0),
            deferred: Atomic::<u32>::new(0),
            breaker: Atomic::<u32>::new(0),
            logs: Atomic::<u32>::new(0),
            deadline_ns: Atomic::<u64>::new(0),
            log_deadline_ns: Atomic::<u64>::new(0),
            left_ns: Atomic::<u64>::new(0),
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
                // One line about a nested panic, and none when printing that line panics too, nor for what died
                // of somebody else's.
                if owner == me && before == 0 && self.stage().is_ours() {
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

    pub(super) fn wall_ns(&self) -> u64 {
        self.wall_ns.load(Relaxed)
    }

    pub(super) fn start_ns(&self) -> u64 {
        self.start_ns.load(Relaxed)
    }

    /// The CPU that has the handler.
    pub(super) fn is_owner(&self, cpu: u32) -> bool {
        self.owner.load(Relaxed) == cpu.wrapping_add(1)
    }

    pub(super) fn set_deferred(&self, deferred: bool) {
        self.deferred.store(deferred.into(), Relaxed);
    }

    pub(super) fn is_deferred(&self) -> bool {
        self.deferred.load(Relaxed) != 0
    }

    pub(super) fn set_breaker(&self, count: u32) {
        self.breaker.store(count, Relaxed);
    }

    /// Whether the panic-loop breaker turned the reboot into a halt.
    pub(super) fn is_broken(&self) -> bool {
        self.breaker.load(Relaxed) != 0
    }

    pub(super) fn set_left_ns(&self, left_ns: u64) {
        self.left_ns.store(left_ns, Relaxed);
    }

    pub(super) fn left_ns(&self) -> u64 {
        self.left_ns.load(Relaxed)
    }

    pub(super) fn set_deadline_ns(&self, end_ns: u64) {
        self.deadline_ns.store(end_ns, Relaxed);
    }

    /// End of the time for the kernel's log: that of the panic's deadline, or a little later if it is
    /// nearly over when the first piece comes.
    pub(super) fn log_deadline_ns(&self, now_ns: u64, reserve_ns: u64) -> u64 {
        if self.log_deadline_ns.load(Relaxed) == 0 {
            let reserve = now_ns.saturating_add(reserve_ns);
            let end = self.deadline_ns.load(Relaxed).max(reserve);
            self.log_deadline_ns.store(end, Relaxed);
        }
        self.log_deadline_ns.load(Relaxed)
    }

    pub(super) fn count_log(&self) {
        self.logs.fetch_add(1u32, Relaxed);
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

    pub(super) fn finish(&self, result: &PanicQuiesceResult, end_ns: u64) {
        self.in_flight.store(result.in_flight, Relaxed);
        self.flush.store(result.flush_issued.as_u32(), Relaxed);
        self.end_ns.store(end_ns, Relaxed);
    }
}

/// Tells the lines of one panic or oops from those of another in the same log; never 0, which is none.
pub(super) fn id_of(wall_ns: u64, mono_ns: u64, cpu: u32) -> u32 {
    let id = crc32c(0, &wall_ns.to_le_bytes());
    let id = crc32c(id, &mono_ns.to_le_bytes());
    crc32c(id, &cpu.to_le_bytes()).max(1)
}

/// What the handler tells of a volume's allocator, read from its slot alone into `report`.
pub fn allocator_panic_report(slot: &VolumeSlot, report: &mut AllocatorPanicReport) {
    report.fill(slot.running_epoch(), slot.counters(), slot.events());
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
            (offset_of!(PanicReport, flush), 88),
            (offset_of!(PanicReport, deferred), 92),
            (offset_of!(PanicReport, breaker), 96),
            (offset_of!(PanicReport, logs), 100),
            (offset_of!(PanicReport, deadline_ns), 104),
            (offset_of!(PanicReport, log_deadline_ns), 112),
            (offset_of!(PanicReport, left_ns), 120),
            (size_of::<PanicReport>(), 128),
        ];
        for (is, documented) in offsets {
            assert_eq!(is, documented);
        }
    }
}
