// SPDX-License-Identifier: GPL-2.0

//! Who may have how many blocks: delayed allocation is promised its blocks, metadata keeps a reserve.

use kernel::sync::atomic::{Atomic, Full, Relaxed};

/// Free blocks that nobody was promised.
///
/// `available` = free - reserved - the metadata reserve. It is one word, so that a promise is exact:
/// two CPUs cannot be promised the same block. It goes down to minus the metadata reserve, by
/// allocations of metadata only. Its count is taken *before* a block is looked for and given
/// back *after* a block's bit was cleared; so whoever has a count has a clear bit somewhere.
pub(super) struct Space {
    available: Atomic<i64>,
    metadata: i64,
}

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
        let metadata = signed((total / 64).clamp(16, 2048));
        Self {
            available: Atomic::<i64>::new(signed(free).saturating_sub(metadata)),
            metadata,
        }
    }

    /// Blocks that file data may still get.
    pub(super) fn available(&self) -> u64 {
        u64::try_from(self.available.load(Relaxed)).unwrap_or(0)
    }

    /// Blocks that metadata may still get, and the reserve that it has to itself.
    pub(super) fn for_metadata(&self) -> (u64, u64) {
        let left = self.available.load(Relaxed).saturating_add(self.metadata);
        (
            u64::try_from(left).unwrap_or(0),
            self.metadata.unsigned_abs(),
        )
    }

    /// Takes between `least` and `most` blocks from the count: as many as there are, 0 if too few.
    pub(super) fn take(&self, least: u64, most: u64, class: Class) -> u64 {
        let floor = match class {
            Class::Data => 0,
            Class::Metadata => -self.metadata,
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
