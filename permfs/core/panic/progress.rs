// SPDX-License-Identifier: GPL-2.0

//! How far the panic lane came with a volume.
//!
//! Written by the CPU in the handler alone. It is static, and not on that CPU's stack, for want of room
//! there, and because a vmcore shows it so.

use super::{
    word::{Word, WORD_LEN},
    Flush,
};
use kernel::sync::atomic::{Atomic, Relaxed};

/// What became of a volume's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneResult {
    /// Nothing was tried, or it is under way.
    None,
    /// Written, and the cache flushed.
    Ok,
    /// The lane would not begin, for a reason.
    Refused,
    /// The device reported an error.
    Failed,
    /// The deadline came first.
    Timeout,
}

impl LaneResult {
    const fn as_u32(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Ok => 1,
            Self::Refused => 2,
            Self::Failed => 3,
            Self::Timeout => 4,
        }
    }

    const fn from_u32(n: u32) -> Self {
        match n {
            0 => Self::None,
            1 => Self::Ok,
            2 => Self::Refused,
            3 => Self::Failed,
            _ => Self::Timeout,
        }
    }

    /// Name as printed in panic lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
        }
    }
}

/// How the drain of a volume ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DrainEnd {
    /// Nothing is in flight.
    Done,
    /// There was no way to collect, or not in this context.
    NoWay,
    /// What is in flight still is not in the driver: it was not handed over yet, or waits for what does not
    /// run in a panic (the block layer's flush machinery, a scheduler, a softirq).
    DriverEmpty,
    /// The deadline came first.
    Deadline,
}

impl DrainEnd {
    const fn as_u32(self) -> u32 {
        match self {
            Self::Done => 0,
            Self::NoWay => 1,
            Self::DriverEmpty => 2,
            Self::Deadline => 3,
        }
    }

    const fn from_u32(n: u32) -> Self {
        match n {
            0 => Self::Done,
            1 => Self::NoWay,
            2 => Self::DriverEmpty,
            _ => Self::Deadline,
        }
    }

    /// Name as printed in panic lines.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::NoWay => "no-way",
            Self::DriverEmpty => "driver-empty",
            Self::Deadline => "deadline",
        }
    }
}

/// The request that a lane is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// None.
    Rest,
    /// Reading the head of the slot.
    ReadHead,
    /// Writing head, data and guard.
    WriteRecord,
    /// Flushing them.
    FlushRecord,
    /// Flushing what was completed since.
    FlushDrained,
    /// Writing the tail.
    WriteTail,
    /// Flushing it.
    FlushTail,
    /// The deadline came during one of these: the lane is never used again.
    Gone,
}

impl Step {
    const fn as_u32(self) -> u32 {
        match self {
            Self::Rest => 0,
            Self::ReadHead => 1,
            Self::WriteRecord => 2,
            Self::FlushRecord => 3,
            Self::WriteTail => 4,
            Self::FlushTail => 5,
            Self::Gone => 6,
            Self::FlushDrained => 7,
        }
    }

    const fn from_u32(n: u32) -> Self {
        match n {
            0 => Self::Rest,
            1 => Self::ReadHead,
            2 => Self::WriteRecord,
            3 => Self::FlushRecord,
            4 => Self::WriteTail,
            5 => Self::FlushTail,
            7 => Self::FlushDrained,
            _ => Self::Gone,
        }
    }
}

/// Progress of the panic lane in a volume's slot.
#[repr(C)]
pub(super) struct Progress {
    step: Atomic<u32>,
    result: Atomic<u32>,
    flush: Atomic<u32>,
    lost: Atomic<u32>,
    /// Why the result is what it is.
    why: Word,
    drain_us: Atomic<u32>,
    write_us: Atomic<u32>,
    flush_us: Atomic<u32>,
    /// Bytes of data, or of the tail's text, in the lane's buffer.
    staged: Atomic<u32>,
    /// CRC32C of the data in the buffer.
    crc: Atomic<u32>,
    /// 1: the tail was written and flushed.
    tail: Atomic<u32>,
    /// Sequence of the record that the rest tells of; 0: none was to be written.
    sequence: Atomic<u64>,
    /// When the request under way was submitted, monotonic nanoseconds.
    since: Atomic<u64>,
    /// How the drain ended.
    drain_end: Atomic<u32>,
    /// 1: nothing was in flight when the flush was submitted, so that it is behind all that completes.
    behind_all: Atomic<u32>,
}

/// One accessor pair of a word that only the handler's CPU writes.
macro_rules! words {
    ($($(#[$doc:meta])* $get:ident $set:ident $ty:ty;)+) => {
        $(
            $(#[$doc])*
            pub(super) fn $get(&self) -> $ty {
                self.$get.load(Relaxed)
            }
            pub(super) fn $set(&self, value: $ty) {
                self.$get.store(value, Relaxed);
            }
        )+
    };
}

impl Progress {
    pub(super) const fn new() -> Self {
        Self {
            step: Atomic::<u32>::new(0),
            result: Atomic::<u32>::new(0),
            flush: Atomic::<u32>::new(0),
            lost: Atomic::<u32>::new(0),
            why: Word::new(),
            drain_us: Atomic::<u32>::new(0),
            write_us: Atomic::<u32>::new(0),
            flush_us: Atomic::<u32>::new(0),
            staged: Atomic::<u32>::new(0),
            crc: Atomic::<u32>::new(0),
            tail: Atomic::<u32>::new(0),
            sequence: Atomic::<u64>::new(0),
            since: Atomic::<u64>::new(0),
            drain_end: Atomic::<u32>::new(0),
            behind_all: Atomic::<u32>::new(0),
        }
    }

    /// Forgets all: the slot gets a new volume.
    pub(super) fn reset(&self) {
        self.set_step(Step::Rest);
        self.set_lost(0);
        self.set_drain_us(0);
        self.set_drain_end(DrainEnd::Done);
        self.restart();
    }

    /// Forgets the last record: another is to be put together.
    pub(super) fn restart(&self) {
        self.set_result(LaneResult::None, b"");
        self.set_flush(Flush::NotAttempted);
        self.set_write_us(0);
        self.set_flush_us(0);
        self.set_staged(0);
        self.set_crc(0);
        self.set_sequence(0);
        self.set_tail(false);
        self.set_behind_all(false);
    }

    words! {
        /// Requests given up.
        lost set_lost u32;
        /// Microseconds of the drain, the write and the flush.
        drain_us set_drain_us u32;
        write_us set_write_us u32;
        flush_us set_flush_us u32;
        /// Bytes staged.
        staged set_staged u32;
        crc set_crc u32;
        sequence set_sequence u64;
        since set_since u64;
    }

    pub(super) fn drain_end(&self) -> DrainEnd {
        DrainEnd::from_u32(self.drain_end.load(Relaxed))
    }

    pub(super) fn set_drain_end(&self, end: DrainEnd) {
        self.drain_end.store(end.as_u32(), Relaxed);
    }

    pub(super) fn is_behind_all(&self) -> bool {
        self.behind_all.load(Relaxed) != 0
    }

    pub(super) fn set_behind_all(&self, all: bool) {
        self.behind_all.store(all.into(), Relaxed);
    }

    pub(super) fn set_tail(&self, written: bool) {
        self.tail.store(written.into(), Relaxed);
    }

    pub(super) fn step(&self) -> Step {
        Step::from_u32(self.step.load(Relaxed))
    }

    pub(super) fn set_step(&self, step: Step) {
        self.step.store(step.as_u32(), Relaxed);
    }

    pub(super) fn result(&self) -> LaneResult {
        LaneResult::from_u32(self.result.load(Relaxed))
    }

    pub(super) fn set_result(&self, result: LaneResult, why: &[u8]) {
        self.why.set(why);
        self.result.store(result.as_u32(), Relaxed);
    }

    pub(super) fn why(&self) -> [u8; WORD_LEN] {
        self.why.get()
    }

    pub(super) fn flush(&self) -> Flush {
        Flush::from_u32(self.flush.load(Relaxed)).unwrap_or(Flush::Refused)
    }

    pub(super) fn set_flush(&self, flush: Flush) {
        self.flush.store(flush.as_u32(), Relaxed);
    }
}

#[cfg(test)]
mod layout {
    use super::Progress;
    use core::mem::{offset_of, size_of};

    /// crash and drgn scripts depend on it: `Documentation/panic-path.md`, where 280 is to be added.
    #[test]
    fn progress_is_as_documented() {
        let offsets = [
            (offset_of!(Progress, step), 0),
            (offset_of!(Progress, result), 4),
            (offset_of!(Progress, flush), 8),
            (offset_of!(Progress, lost), 12),
            (offset_of!(Progress, why), 16),
            (offset_of!(Progress, drain_us), 40),
            (offset_of!(Progress, write_us), 44),
            (offset_of!(Progress, flush_us), 48),
            (offset_of!(Progress, staged), 52),
            (offset_of!(Progress, crc), 56),
            (offset_of!(Progress, tail), 60),
            (offset_of!(Progress, sequence), 64),
            (offset_of!(Progress, since), 72),
            (offset_of!(Progress, drain_end), 80),
            (offset_of!(Progress, behind_all), 84),
            (size_of::<Progress>(), 88),
        ];
        for (is, documented) in offsets {
            assert_eq!(is, documented);
        }
    }
}
