// SPDX-License-Identifier: GPL-2.0

//! What it takes to make an operation undone.
//!
//! Undoing cannot fail: everything that it needs is allocated before the change is made.

use super::{BlockRun, Epoch, Store};
use crate::{
    device::BlockDevice,
    journal::{record::ENTRY_SIZE, Pos, OP_BYTES},
    plant::{self, Fault},
};
use kernel::prelude::*;

/// Old bytes of one change: block, offset in it, start in the arena. They end where the next one's start.
type Old = (u64, u16, usize);

/// Undo log of the running operation. Its memory is kept from one operation to the next.
pub(super) struct Undo {
    old: KVec<Old>,
    arena: KVec<u8>,
    /// Metadata blocks allocated; `true`: from the allocator, else a bitmap block come into being.
    fresh: KVec<(u64, bool)>,
    /// Metadata blocks freed.
    freed: KVec<u64>,
    /// Data blocks reserved.
    reserved: KVec<BlockRun>,
    /// Where the epoch's lists ended, and its bytes, when the operation began.
    touched: usize,
    revokes: usize,
    frees: usize,
    bytes: usize,
}

impl Undo {
    pub(super) const fn new() -> Self {
        Self {
            old: KVec::new(),
            arena: KVec::new(),
            fresh: KVec::new(),
            freed: KVec::new(),
            reserved: KVec::new(),
            touched: 0,
            revokes: 0,
            frees: 0,
            bytes: 0,
        }
    }

    /// An operation begins.
    pub(super) fn begin(&mut self, epoch: &Epoch) {
        self.clear();
        self.touched = epoch.touched.len();
        self.revokes = epoch.revokes.len();
        self.frees = epoch.frees.len();
        self.bytes = epoch.bytes;
    }

    fn clear(&mut self) {
        self.old.clear();
        self.arena.clear();
        self.fresh.clear();
        self.freed.clear();
        self.reserved.clear();
    }

    /// `bytes` stood at `offset` of `block`.
    pub(super) fn note_bytes(&mut self, block: u64, offset: u16, bytes: &[u8]) -> Result {
        self.old.reserve(1, GFP_KERNEL)?;
        let start = self.arena.len();
        self.arena.extend_from_slice(bytes, GFP_KERNEL)?;
        self.old.push((block, offset, start), GFP_KERNEL)?;
        Ok(())
    }

    /// Metadata block `block` came into being.
    pub(super) fn note_fresh(&mut self, block: u64, allocated: bool) -> Result {
        Ok(self.fresh.push((block, allocated), GFP_KERNEL)?)
    }

    /// Metadata block `block` is freed when the operation succeeds.
    pub(super) fn note_freed(&mut self, block: u64) -> Result {
        Ok(self.freed.push(block, GFP_KERNEL)?)
    }

    /// Data blocks are reserved.
    pub(super) fn note_reserved(&mut self, run: BlockRun) -> Result {
        Ok(self.reserved.push(run, GFP_KERNEL)?)
    }

    /// Whether the operation has added more to the epoch's record than it may.
    pub(super) fn is_over(&self, epoch: &Epoch) -> bool {
        epoch.bytes.saturating_sub(self.bytes) > OP_BYTES
    }
}

impl<D: BlockDevice> Store<D> {
    /// The operation succeeded: blocks that it freed lose their buffers.
    pub(super) fn finish_op(&mut self) {
        while let Some(block) = self.undo.freed.pop() {
            if let Some(buffer) = self.cache.remove(block) {
                self.epoch.bytes = self.epoch.bytes.saturating_sub(buffer.cost());
                // A crash before the epoch is durable needs the block as it was (FREED PIN).
                if !plant::is(Fault::FreedPin) {
                    self.epoch.pinned = Pos::older(self.epoch.pinned, buffer.first);
                }
            }
        }
        self.undo.clear();
    }

    /// The operation failed: memory is again as it was when it began.
    pub(super) fn roll_back(&mut self) {
        if plant::is(Fault::Undo) {
            self.undo.old.clear();
        }
        let mut end = self.undo.arena.len();
        while let Some((block, offset, start)) = self.undo.old.pop() {
            let old = self.undo.arena.get(start..end).unwrap_or_default();
            let at = usize::from(offset);
            let place = self.cache.get_mut(block);
            if let Some(place) = place.and_then(|b| b.bytes.get_mut(at..at + old.len())) {
                place.copy_from_slice(old);
            }
            end = start;
        }
        while let Some(block) = self.undo.freed.pop() {
            if let Some(buffer) = self.cache.get_mut(block) {
                buffer.freed = false;
            }
        }
        // Buffers that were touched before stay so, perhaps with ranges in which nothing changed.
        for &block in self.epoch.touched.iter().skip(self.undo.touched) {
            if let Some(buffer) = self.cache.get_mut(block) {
                self.epoch.bytes = self.epoch.bytes.saturating_sub(buffer.cost());
                buffer.untouch();
            }
        }
        let revokes = self.epoch.revokes.len() - self.undo.revokes;
        self.epoch.bytes = self.epoch.bytes.saturating_sub(revokes * ENTRY_SIZE);
        self.epoch.touched.truncate(self.undo.touched);
        self.epoch.revokes.truncate(self.undo.revokes);
        self.epoch.frees.truncate(self.undo.frees);
        while let Some((block, allocated)) = self.undo.fresh.pop() {
            self.cache.remove(block);
            if allocated {
                self.give_back(block, 1);
            }
        }
        while let Some((block, len)) = self.undo.reserved.pop() {
            self.give_back(block, len);
        }
    }

    /// Blocks are free in the allocator again. It counts and reports by itself what is not right
    /// about that, and there is nobody else here to tell.
    pub(super) fn give_back(&self, block: u64, len: u32) {
        let _ = self.allocator.free(block, len);
    }
}
