// SPDX-License-Identifier: GPL-2.0

//! One operation: the only way to change metadata.

use super::{block, buffer::Buffer, BlockRun, Store};
use crate::{
    alloc::{Refused, Run},
    device::BlockDevice,
    format::*,
    journal::record::ENTRY_SIZE,
    meta::{MetaRead, MetaWrite},
    plant::{self, Fault},
};
use kernel::prelude::*;

/// A running operation, see [`Store::run`].
pub struct Op<'a, D: BlockDevice> {
    pub(super) store: &'a mut Store<D>,
}

impl<D: BlockDevice> Op<'_, D> {
    /// Takes up to `want` contiguous blocks for file data at `goal` or near it, in memory only: they are
    /// on the device when they are claimed. Given back if the operation fails.
    pub fn reserve_data(&mut self, goal: u64, want: u32) -> Result<BlockRun> {
        let run = self.store.take_data(goal, want, false)?;
        self.store
            .undo
            .note_reserved(run)
            .inspect_err(|_| self.store.give_back(run.0, run.1))?;
        Ok(run)
    }

    /// Enters reserved blocks into the on-disk bitmap and summary, with the change that maps them.
    pub fn claim(&mut self, block: u64, len: u32) -> Result {
        self.mark_used(block, len)
    }

    /// Frees data blocks: on disk with this operation, for reuse when its epoch is durable.
    ///
    /// `EFSCORRUPTED` if one of them is free, or belongs to the volume itself.
    pub fn free_data(&mut self, block: u64, len: u32) -> Result {
        self.mark_free(block, len)
    }

    /// The device.
    pub fn device(&self) -> &D {
        self.store.device()
    }

    /// Epoch that the operation belongs to: it is durable when that is.
    pub fn epoch(&self) -> u64 {
        self.store.running_epoch()
    }

    /// Puts the zeroed block `block` under a header, as a buffer that the epoch logs whole.
    pub(super) fn create(&mut self, block: u64, kind: Kind, owner: u64, allocated: bool) -> Result {
        let mut bytes = KBox::<block::Block>::zeroed(GFP_KERNEL)?;
        block::stamp(&mut bytes, kind, block, owner, &self.store.sb.uuid);
        let mut buffer = Buffer::new(bytes);
        buffer.fresh = true;
        // A clean buffer may be left from what the block was before: it is replaced.
        self.store.cache.remove(block);
        self.store.cache.insert(block, buffer)?;
        if let Err(e) = self.store.undo.note_fresh(block, allocated) {
            self.store.cache.remove(block);
            return Err(e);
        }
        self.touch(block)
    }

    /// Enters `block`, whose buffer is in memory, into the epoch's list.
    fn touch(&mut self, block: u64) -> Result {
        let store = &mut *self.store;
        let buffer = store.cache.get_mut(block).ok_or(EIO)?;
        if buffer.freed {
            return Err(EFSCORRUPTED);
        }
        if !buffer.touched {
            store.epoch.touched.push(block, GFP_KERNEL)?;
            // A block that is changed all the time would hold the tail: it is logged whole once in
            // half a ring.
            let old = buffer.first.is_some_and(|pos| {
                store.ring.head.saturating_sub(pos.lsn) > store.ring.sectors() / 2
            });
            buffer.touch(old);
            store.epoch.bytes += buffer.cost();
        }
        Ok(())
    }
}

impl<D: BlockDevice> MetaRead for Op<'_, D> {
    fn read(&mut self, block: u64, kind: Kind, owner: u64) -> Result<&[u8]> {
        self.store.read(block, kind, owner)
    }
}

impl<D: BlockDevice> MetaWrite for Op<'_, D> {
    fn write(&mut self, block: u64, offset: usize, bytes: &[u8]) -> Result {
        let end = offset
            .checked_add(bytes.len())
            .filter(|&end| end <= PAYLOAD_SIZE)
            .ok_or(EINVAL)?;
        // Lossless: both are at most BLOCK_SIZE.
        let (start, end) = ((offset + HEADER_SIZE) as u16, (end + HEADER_SIZE) as u16);
        let range = usize::from(start)..usize::from(end);
        let store = &mut *self.store;
        let buffer = store.cache.load(&store.dev, &store.sb, block)?;
        let old = buffer.bytes.get(range.clone()).ok_or(EINVAL)?;
        if old == bytes {
            return Ok(());
        }
        store.undo.note_bytes(block, start, old)?;
        self.touch(block)?;
        let store = &mut *self.store;
        let buffer = store.cache.get_mut(block).ok_or(EIO)?;
        let before = buffer.cost();
        buffer.note(start, end);
        store.epoch.bytes = (store.epoch.bytes + buffer.cost()).saturating_sub(before);
        buffer
            .bytes
            .get_mut(range)
            .ok_or(EINVAL)?
            .copy_from_slice(bytes);
        if store.undo.is_over(&store.epoch) {
            return Err(E2BIG);
        }
        Ok(())
    }

    fn alloc(&mut self, kind: Kind, owner: u64, near: u64) -> Result<u64> {
        let Run { start, .. } = self
            .store
            .take(false, |allocator| allocator.alloc_meta(near, 1))?;
        // From here on undoing the creation gives the block back.
        if let Err(e) = self.create(start, kind, owner, true) {
            if self.store.cache.get(start).is_none() {
                self.store.give_back(start, 1);
            }
            return Err(e);
        }
        self.mark_used(start, 1)?;
        self.store.taken += 1;
        Ok(start)
    }

    fn free(&mut self, block: u64) -> Result {
        if self
            .store
            .cache
            .load(&self.store.dev, &self.store.sb, block)?
            .freed
        {
            return Err(EFSCORRUPTED);
        }
        self.mark_free(block, 1)?;
        let store = &mut *self.store;
        store.undo.note_freed(block)?;
        // It may have been evicted meanwhile, but not if it is fresh: then it is dirty.
        let buffer = store.cache.load(&store.dev, &store.sb, block)?;
        buffer.freed = true;
        // The log may hold entries for it, also if it is clean (REVOKE).
        if !buffer.fresh && !plant::is(Fault::Revoke) {
            store.epoch.revokes.push(block, GFP_KERNEL)?;
            store.epoch.bytes += ENTRY_SIZE;
        }
        store.freed += 1;
        Ok(())
    }
}

impl<D: BlockDevice> Store<D> {
    /// Takes up to `want` contiguous data blocks at `goal` or near it, in memory only. `promised`: they
    /// were promised by [`crate::alloc::Allocator::reserve`].
    ///
    /// Outside of an operation; what is not claimed is given back by [`Store::release_reserved`].
    /// `ENOSPC` only after what earlier operations freed has been tried too.
    pub fn reserve_data(&mut self, goal: u64, want: u32, promised: bool) -> Result<BlockRun> {
        self.check_writable()?;
        match self.take_data(goal, want, promised) {
            Err(e) if e == ENOSPC && self.reclaim()? => self.take_data(goal, want, promised),
            taken => taken,
        }
    }

    /// Gives back reserved blocks that were not claimed: the data write failed, or less was needed.
    pub fn release_reserved(&mut self, block: u64, len: u32) {
        self.give_back(block, len);
    }

    fn take_data(&mut self, goal: u64, want: u32, promised: bool) -> Result<BlockRun> {
        let run = self.take(promised, |allocator| {
            if promised {
                allocator.alloc_reserved(goal, want)
            } else {
                allocator.alloc(goal, want)
            }
        })?;
        Ok((run.start, run.len))
    }

    /// Asks the allocator, loading the bitmaps that it asks for. A shard whose bitmap is damaged is passed
    /// by. `promised`: the blocks were promised, and the allocator takes them for that.
    fn take(
        &mut self,
        promised: bool,
        ask: impl Fn(&crate::alloc::Allocator) -> Result<Run, Refused>,
    ) -> Result<Run> {
        // Each round loads or gives up one more shard, and there is an end of them.
        for _ in 0..=self.sb.shards.get().saturating_mul(2) {
            let run = match ask(&self.allocator) {
                Ok(run) => run,
                Err(Refused::NeedShard(shard)) => {
                    self.has_bitmap(shard)?;
                    continue;
                }
                Err(Refused::NoSpace) => return Err(ENOSPC),
            };
            // What was in memory may have left it since, and not be readable any more.
            match self.has_bitmap(run.start / SHARD_BLOCKS) {
                Ok(true) => return Ok(run),
                // The blocks are lost with their shard.
                Ok(false) => (),
                Err(e) => {
                    self.give_back(run.start, run.len);
                    if promised {
                        self.allocator.promise_again(run.len.into());
                    }
                    return Err(e);
                }
            }
            if promised {
                self.allocator.promise_again(run.len.into());
            }
        }
        Err(ENOSPC)
    }
}
