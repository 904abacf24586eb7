// SPDX-License-Identifier: GPL-2.0

//! Who may have how many blocks: delayed allocation is promised its blocks, metadata keeps a reserve.

use kernel::sync::atomic::{Atomic, Full, Relaxed};

/// Free blocks that nobody was promised.
///
/// `available` = free - reserved - what is kept for metadata. It is one word, so that a promise is exact:
/// two CPUs cannot be promised the same block. It goes down to minus what is kept, by
/// allocations of metadata only. Its count is taken *before* a block is looked for and given
/// back *after* a block's bit was cleared; so whoever has a count has a clear bit somewhere.
pub(super) struct Space {
    available: Atomic<i64>,
    /// Blocks that file data leaves alone.
    kept: Atomic<i64>,
    /// The part of them that does not change.
    base: i64,
}

/// Blocks kept for metadata, at least and at most; between that a 64th of the volume.
pub(super) const KEPT_MIN: u64 = 32;
const KEPT_MAX: u64 = 2048;

/// What blocks are wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// File data without a promise.
    Data,
    /// Metadata: may use the reserve.
    Metadata,
    /// File data that [`Space::take`] was called for when it was promised.
    Promised,
}

/// Block counts are below 2^63: a volume's size in bytes fits 64 bits.
fn signed(blocks: u64) -> i64 {
    i64::try_from(blocks).unwrap_or(i64::MAX)
}

impl Space {
    /// For a volume of `total` blocks, of which `free` are free.
    pub(super) fn new(total: u64, free: u64) -> Self {
        let base = signed((total / 64).clamp(KEPT_MIN, KEPT_MAX));
        Self {
            available: Atomic::<i64>::new(signed(free).saturating_sub(base)),
            kept: Atomic::<i64>::new(base),
            base,
        }
    }

    /// Blocks that file data may still get.
    pub(super) fn available(&self) -> u64 {
        u64::try_from(self.available.load(Relaxed)).unwrap_or(0)
    }

    /// Free blocks that nobody was promised: those that metadata may still get.
    pub(super) fn unpromised(&self) -> u64 {
        let left = self.available.load(Relaxed);
        u64::try_from(left.saturating_add(self.kept.load(Relaxed))).unwrap_or(0)
    }

    /// Keeps `more` blocks for metadata beside those that are always kept. Callers take turns with each other, and with
    /// whoever takes blocks for metadata: the volume is locked for both.
    pub(super) fn keep(&self, more: u64) {
        let kept = self.base.saturating_add(signed(more));
        let before = self.kept.xchg(kept, Relaxed);
        if kept != before {
            self.available.fetch_sub(kept.saturating_sub(before), Full);
        }
    }

    /// Takes between `least` and `most` blocks from the count: as many as there are, 0 if too few.
    pub(super) fn take(&self, least: u64, most: u64, class: Class) -> u64 {
        let floor = match class {
            Class::Data => 0,
            Class::Metadata => -self.kept.load(Relaxed),
            Class::Promised => return most,
        };
        let mut seen = self.available.load(Relaxed);
        loop {
            let room = u64::try_from(seen.saturating_sub(floor)).unwrap_or(0);
            let got = most.min(room);
            if got < least || got == 0 {
                return 0;
            }
            match self.available.cmpxchg(seen, seen - signed(got), Full) {
                Ok(_) => return got,
                Err(now) => seen = now,
            }
        }
    }

    /// Gives back what [`Space::take`] took and was not used, or what was freed.
    pub(super) fn give(&self, blocks: u64, class: Class) {
        if class != Class::Promised {
            self.available.fetch_add(signed(blocks), Full);
        }
    }

    /// Takes blocks that are already in use.
    pub(super) fn force(&self, blocks: u64) {
        self.available.fetch_sub(signed(blocks), Full);
    }
}
