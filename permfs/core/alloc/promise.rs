// SPDX-License-Identifier: GPL-2.0

//! Promises of blocks, and what is kept for metadata.

use super::{space::Class, Allocator, TELEMETRY};
use kernel::{prelude::*, sync::atomic::Relaxed};

impl Allocator {
    /// Blocks that file data may still get: free, not reserved, not kept for metadata.
    pub fn available(&self) -> u64 {
        self.space.available()
    }

    /// Free blocks that nobody was promised: those that metadata may still get. When data has run out,
    /// metadata lives on what was kept for it.
    pub fn unpromised(&self) -> u64 {
        self.space.unpromised()
    }

    /// Keeps `more` blocks for metadata beside those that are always kept. The caller serialises this.
    pub fn keep(&self, more: u64) {
        self.space.keep(more);
    }

    /// Makes a promise that cannot be refused: the caller has just given so many unpromised blocks back,
    /// and nobody can have taken them meanwhile.
    pub(crate) fn promise_again(&self, blocks: u64) {
        self.space.force(blocks);
        self.promised(blocks, 0);
    }

    /// Promises `blocks` blocks to delayed allocation: [`Allocator::alloc_reserved`] will find them.
    ///
    /// Errors: `ENOSPC`, and then nothing is promised.
    pub fn reserve(&self, blocks: u64) -> Result {
        if blocks > 0 && self.space.take(blocks, blocks, Class::Data) == 0 {
            self.refused(self.hint().load(Relaxed), blocks);
            return Err(ENOSPC);
        }
        self.promised(blocks, 0);
        Ok(())
    }

    /// Takes back a promise that was not used.
    pub fn unreserve(&self, blocks: u64) {
        self.promised(0, blocks);
        self.space.give(blocks, Class::Data);
    }

    /// Counts blocks that were promised, and blocks whose promise was kept or taken back.
    pub(super) fn promised(&self, more: u64, less: u64) {
        if TELEMETRY {
            let reserved = &self.sink.counters().reserved;
            reserved.fetch_add(more.wrapping_sub(less), Relaxed);
        }
    }
}
