// SPDX-License-Identifier: GPL-2.0

//! Metadata blocks in memory, by number.

use super::{block, buffer::Buffer};
use crate::{device::BlockDevice, format::*};
use kernel::{prelude::*, rbtree::RBTree};

/// Clean buffers kept before the clock starts to evict: 32 MiB.
const MAX_CLEAN: usize = 8192;
/// Buffers that one insertion looks at for a victim, so that its time is bounded.
const CLOCK_STEPS: usize = 32;

/// The buffers. Dirty ones stay until they are home; clean ones are evicted by a clock.
pub(super) struct Cache {
    buffers: RBTree<u64, Buffer>,
    /// Buffers in the tree.
    len: usize,
    /// Buffers allowed, at least the dirty ones: above it an insertion evicts.
    limit: usize,
    /// Block where the clock's hand stands.
    hand: u64,
}

impl Cache {
    /// An empty cache.
    pub(super) fn new() -> Self {
        Self {
            buffers: RBTree::new(),
            len: 0,
            limit: MAX_CLEAN,
            hand: 0,
        }
    }

    /// The buffer of `block`, if it is in memory.
    pub(super) fn get(&self, block: u64) -> Option<&Buffer> {
        self.buffers.get(&block)
    }

    /// As [`Cache::get`], for a change.
    pub(super) fn get_mut(&mut self, block: u64) -> Option<&mut Buffer> {
        self.buffers.get_mut(&block)
    }

    /// Every buffer, in the order of block numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Buffer)> + '_ {
        self.buffers.iter().map(|(&block, buffer)| (block, buffer))
    }

    /// First buffer at `block` or behind it.
    pub(super) fn at_or_after(&mut self, block: u64) -> Option<(u64, &mut Buffer)> {
        let found = *self.buffers.cursor_lower_bound(&block)?.current().0;
        Some((found, self.buffers.get_mut(&found)?))
    }

    /// Adds a buffer; the block has none.
    pub(super) fn insert(&mut self, block: u64, buffer: Buffer) -> Result {
        if self.len >= self.limit {
            self.evict();
        }
        if self
            .buffers
            .try_create_and_insert(block, buffer, GFP_KERNEL)?
            .is_none()
        {
            self.len += 1;
        }
        Ok(())
    }

    /// Drops a buffer, whatever its state.
    pub(super) fn remove(&mut self, block: u64) -> Option<Buffer> {
        let buffer = self.buffers.remove(&block)?;
        self.len -= 1;
        Some(buffer)
    }

    /// The buffer of `block`, read from the device and verified if it is not in memory.
    pub(super) fn load<D: BlockDevice>(
        &mut self,
        dev: &D,
        sb: &SuperBlock,
        block: u64,
    ) -> Result<&mut Buffer> {
        if self.get(block).is_none() {
            if block >= sb.blocks.get() {
                return Err(EFSCORRUPTED);
            }
            let mut bytes = KBox::<block::Block>::zeroed(GFP_KERNEL)?;
            let sector = block.checked_mul(SECTORS_PER_BLOCK).ok_or(EFSCORRUPTED)?;
            dev.read(sector, &mut bytes[..])?;
            block::verify(&bytes, block, &sb.uuid)?;
            self.insert(block, Buffer::new(bytes))?;
        }
        let buffer = self.get_mut(block).ok_or(EIO)?;
        buffer.referenced = true;
        Ok(buffer)
    }

    /// Evicts up to two clean buffers that were not used since the hand last passed them. Where it
    /// finds only dirty ones the cache grows; their number is bounded by the log's length.
    fn evict(&mut self) {
        let mut evicted = 0;
        for _ in 0..CLOCK_STEPS {
            let Some((block, buffer)) = self.at_or_after(self.hand) else {
                if self.hand == 0 {
                    return;
                }
                self.hand = 0;
                continue;
            };
            let victim = !buffer.is_dirty() && !buffer.referenced;
            buffer.referenced = false;
            self.hand = block.saturating_add(1);
            if victim {
                self.remove(block);
                evicted += 1;
            }
            if evicted == 2 {
                return;
            }
        }
    }
}

#[cfg(test)]
impl Cache {
    /// Lets a test see eviction without filling 32 MiB.
    pub(super) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Buffers in memory.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}
