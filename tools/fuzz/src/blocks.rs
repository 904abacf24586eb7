// SPDX-License-Identifier: GPL-2.0

//! Metadata blocks in memory, without a volume.

use std::collections::BTreeMap;

use kernel::prelude::*;
use permfs_core::{
    format::{Kind, PAYLOAD_SIZE},
    meta::{MetaRead, MetaWrite},
};

/// Blocks by number: owner and payload. Freeing or changing what is not there fails the run.
#[derive(Default)]
pub struct Blocks {
    blocks: BTreeMap<u64, (u64, std::vec::Vec<u8>)>,
    next: u64,
}

impl Blocks {
    /// Blocks in use.
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Changes bytes of the `nth` block behind the tree's back.
    pub fn damage(&mut self, nth: usize, at: usize, bytes: &[u8]) {
        let count = self.blocks.len().max(1);
        if let Some((_, payload)) = self.blocks.values_mut().nth(nth % count) {
            for (i, byte) in bytes.iter().enumerate() {
                payload[(at + i) % PAYLOAD_SIZE] = *byte;
            }
        }
    }
}

impl MetaRead for Blocks {
    fn read(&mut self, block: u64, _: Kind, owner: u64) -> Result<&[u8]> {
        match self.blocks.get(&block) {
            Some((its, payload)) if *its == owner => Ok(payload),
            _ => Err(EFSCORRUPTED),
        }
    }
}

impl MetaWrite for Blocks {
    fn write(&mut self, block: u64, offset: usize, bytes: &[u8]) -> Result {
        let (_, payload) = self.blocks.get_mut(&block).ok_or(EFSCORRUPTED)?;
        payload[offset..offset + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn alloc(&mut self, _: Kind, owner: u64, _: u64) -> Result<u64> {
        self.next += 1;
        let fresh = (owner, vec![0; PAYLOAD_SIZE]);
        self.blocks.insert(self.next, fresh);
        Ok(self.next)
    }

    fn free(&mut self, block: u64) -> Result {
        self.blocks.remove(&block).map(drop).ok_or(EFSCORRUPTED)
    }
}
