// SPDX-License-Identifier: GPL-2.0

//! Records between nodes: splits, merges and compaction.

use super::node::{Head, NodeHeader, SLOT};
use crate::format::PAYLOAD_SIZE;
use crate::meta::MetaWrite;
use kernel::prelude::*;

/// Records on their way from one node to another, in order.
pub(super) struct Batch {
    level: u8,
    /// The records, one behind the other.
    pub(super) bytes: KVec<u8>,
    /// Where each record ends in `bytes`.
    pub(super) ends: KVec<usize>,
}

impl Batch {
    pub(super) fn new(level: u8) -> Result<Self> {
        let bytes = KVec::with_capacity(PAYLOAD_SIZE, GFP_KERNEL)?;
        Ok(Self {
            level,
            bytes,
            ends: KVec::new(),
        })
    }

    pub(super) fn push_record(&mut self, record: &[u8]) -> Result {
        self.bytes.extend_from_slice(record, GFP_KERNEL)?;
        self.ends.push(self.bytes.len(), GFP_KERNEL)?;
        Ok(())
    }

    pub(super) fn push(&mut self, key: u64, body: &[u8]) -> Result {
        self.bytes
            .extend_from_slice(&key.to_le_bytes(), GFP_KERNEL)?;
        if self.level == 0 {
            let len = u16::try_from(body.len())?.to_le_bytes();
            self.bytes.extend_from_slice(&len, GFP_KERNEL)?;
        }
        self.push_record(body)
    }

    /// Bytes that the records and their slots take up.
    pub(super) fn used(&self) -> usize {
        self.bytes.len() + self.ends.len() * SLOT
    }

    /// Makes `block` a node of exactly these records.
    pub(super) fn write<S: MetaWrite>(&self, s: &mut S, block: u64) -> Result<Head> {
        let heap = PAYLOAD_SIZE.checked_sub(self.bytes.len()).ok_or(EINVAL)?;
        let head = Head {
            level: self.level,
            count: self.ends.len(),
            heap,
            garbage: 0,
        };
        if head.slots_end() > heap {
            return Err(EINVAL);
        }
        let mut front = KVec::with_capacity(head.slots_end(), GFP_KERNEL)?;
        let header: NodeHeader = head.encode()?;
        front.extend_from_slice(header.as_bytes(), GFP_KERNEL)?;
        let mut start = 0;
        for &end in &self.ends {
            front.extend_from_slice(&u16::try_from(heap + start)?.to_le_bytes(), GFP_KERNEL)?;
            start = end;
        }
        s.write(block, 0, &front)?;
        s.write(block, heap, &self.bytes)?;
        Ok(head)
    }
}
