// SPDX-License-Identifier: GPL-2.0

//! Tree nodes in memory: what a new volume's first trees are built in.

use crate::{
    device::BlockDevice,
    format::*,
    meta::{MetaRead, MetaWrite},
    store::block::{seal, stamp, Block},
};
use kernel::prelude::*;

/// Consecutive blocks from `start` on, in memory.
pub(super) struct Nodes {
    uuid: [u8; 16],
    start: u64,
    blocks: KVec<KBox<Block>>,
}

impl Nodes {
    pub(super) fn new(uuid: [u8; 16], start: u64) -> Self {
        Self {
            uuid,
            start,
            blocks: KVec::new(),
        }
    }

    /// Writes all blocks and returns the number of the block behind the last one.
    pub(super) fn write<D: BlockDevice>(mut self, dev: &D) -> Result<u64> {
        let mut at = self.start;
        for block in &mut self.blocks {
            seal(block, 0);
            dev.write_blocks(&[(at, &block[..])])?;
            at += 1;
        }
        Ok(at)
    }

    fn place(&mut self, block: u64) -> Result<&mut Block> {
        let i = block.checked_sub(self.start).ok_or(EFSCORRUPTED)?;
        let block = self
            .blocks
            .get_mut(usize::try_from(i)?)
            .ok_or(EFSCORRUPTED)?;
        Ok(block)
    }
}

impl MetaRead for Nodes {
    fn read(&mut self, block: u64, _kind: Kind, _owner: u64) -> Result<&[u8]> {
        self.place(block)?.get(HEADER_SIZE..).ok_or(EFSCORRUPTED)
    }
}

impl MetaWrite for Nodes {
    fn write(&mut self, block: u64, offset: usize, bytes: &[u8]) -> Result {
        let payload = self
            .place(block)?
            .get_mut(HEADER_SIZE..)
            .ok_or(EFSCORRUPTED)?;
        let target = payload
            .get_mut(offset..)
            .and_then(|p| p.get_mut(..bytes.len()));
        target.ok_or(EINVAL)?.copy_from_slice(bytes);
        Ok(())
    }

    fn alloc(&mut self, kind: Kind, owner: u64, _near: u64) -> Result<u64> {
        let number = self.start + self.blocks.len() as u64;
        let mut block = KBox::<Block>::zeroed(GFP_KERNEL)?;
        stamp(&mut block, kind, number, owner, &self.uuid);
        self.blocks.push(block, GFP_KERNEL)?;
        Ok(number)
    }

    fn free(&mut self, _block: u64) -> Result {
        // Nothing is ever taken out of the trees of a new volume.
        Err(EINVAL)
    }
}
