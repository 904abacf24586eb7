// SPDX-License-Identifier: GPL-2.0

//! Metadata blocks in memory, for tests.

use crate::format::{Kind, PAYLOAD_SIZE};
use crate::meta::{MetaRead, MetaWrite};
use kernel::prelude::*;
use std::collections::BTreeMap;

/// A block as [`Mock`] has it.
#[derive(Clone)]
pub(crate) struct MockBlock {
    pub(crate) payload: std::vec::Vec<u8>,
    kind: Kind,
    owner: u64,
}

/// Blocks in memory. A use that the contract of [`MetaWrite`] forbids panics.
#[derive(Clone, Default)]
pub(crate) struct Mock {
    pub(crate) blocks: BTreeMap<u64, MockBlock>,
    next: u64,
    /// Bytes that were changed.
    pub(crate) written: usize,
    /// Calls until one fails with `EIO`.
    pub(crate) fail_in: Option<u32>,
}

impl Mock {
    fn tick(&mut self) -> Result {
        match &mut self.fail_in {
            Some(0) => Err(EIO),
            Some(n) => {
                *n -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl MetaRead for Mock {
    fn read(&mut self, block: u64, kind: Kind, owner: u64) -> Result<&[u8]> {
        self.tick()?;
        match self.blocks.get(&block) {
            Some(b) if b.kind == kind && b.owner == owner => Ok(&b.payload),
            _ => Err(EFSCORRUPTED),
        }
    }
}

impl MetaWrite for Mock {
    fn write(&mut self, block: u64, offset: usize, bytes: &[u8]) -> Result {
        self.tick()?;
        assert!(!bytes.is_empty(), "empty write");
        let b = self
            .blocks
            .get_mut(&block)
            .expect("write to a block that is not allocated");
        b.payload[offset..offset + bytes.len()].copy_from_slice(bytes);
        self.written += bytes.len();
        Ok(())
    }

    fn alloc(&mut self, kind: Kind, owner: u64, _near: u64) -> Result<u64> {
        self.tick()?;
        self.next += 1;
        let payload = vec![0; PAYLOAD_SIZE];
        self.blocks.insert(
            self.next,
            MockBlock {
                payload,
                kind,
                owner,
            },
        );
        Ok(self.next)
    }

    fn free(&mut self, block: u64) -> Result {
        self.tick()?;
        self.blocks
            .remove(&block)
            .expect("free of a block that is not allocated");
        Ok(())
    }
}
