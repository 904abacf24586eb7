// SPDX-License-Identifier: GPL-2.0

//! The write-ahead log: a ring of records, each of which makes one epoch durable.
//!
//! The protocol, its invariants (named there, cited here) and the argument for every crash point are in
//! `Documentation/crash-consistency.md`. In short: operations change buffers in memory and belong to
//! the running *epoch*. A commit *seals* the epoch into one record, which holds the changed byte
//! ranges of every block, or the whole block where it changes for the first time since it was last
//! copied home; it writes the record with one sequential write. A *checkpoint* copies committed blocks
//! home, flushes, and moves the *tail*, the first record that replay needs.
//!
//! A position in the log is a *log sequence number* (LSN): 512-byte sectors since mkfs. It never wraps;
//! its place in the ring is its remainder by the ring's length. A record is contiguous: one that
//! does not fit before the end of the ring starts at the beginning, and a reader tries there next.

use crate::{device::BlockDevice, format::*};
use kernel::prelude::*;

pub mod header;
pub mod record;
pub mod replay;

/// Whole blocks that one operation may log, whatever it does; with deltas it may touch more.
pub const OP_BLOCKS: usize = 40;
/// Bytes that one operation may add to its epoch's record. An operation that would add more fails
/// with `E2BIG` and is undone: long jobs are split by those who start them.
pub const OP_BYTES: usize = OP_BLOCKS * (record::ENTRY_SIZE + BLOCK_SIZE);
/// Longest record that is written, in bytes.
pub const MAX_RECORD_BYTES: usize = 1 << 20;
/// Smallest ring, in blocks. The worst that must fit at once: a record of a maximal operation, the
/// space that such a record skips at the end of the ring, and as much as a home batch in flight may
/// make necessary to log again.
pub const MIN_JOURNAL_BLOCKS: u64 = 128;
/// Largest ring, in blocks: 4 GiB.
pub const MAX_JOURNAL_BLOCKS: u64 = 1 << 20;
/// Positions stay below this, so that sums cannot overflow: 2^60 sectors are 512 EiB of log.
pub const MAX_LSN: u64 = 1 << 60;

/// A place in the log where a record starts, or will start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pos {
    /// Sectors since mkfs.
    pub lsn: u64,
    /// Epoch of the record there.
    pub epoch: u64,
}

impl Pos {
    /// The older of two places, either of which may not be there.
    pub fn older(a: Option<Pos>, b: Option<Pos>) -> Option<Pos> {
        match (a, b) {
            (Some(a), Some(b)) => Some(if b.lsn < a.lsn { b } else { a }),
            (one, None) | (None, one) => one,
        }
    }
}

/// Where the ring stands on the device, and which part of it is in use.
pub struct Ring {
    /// First sector on the device.
    start: u64,
    /// Length in sectors.
    sectors: u64,
    /// Sectors that are written as a unit: the device's logical block.
    grain: u64,
    /// Records start at or behind this LSN.
    pub head: u64,
    /// First record that replay needs. The header says so durably before the space in front is reused.
    pub tail: Pos,
    /// Number of the mount that writes: a record of another one is stale.
    pub generation: u64,
}

impl Ring {
    /// The ring that `sb` describes, positioned as `header` says. `EFSCORRUPTED` if it cannot be.
    pub fn new<D: BlockDevice>(dev: &D, sb: &SuperBlock, header: &header::Head) -> Result<Self> {
        let blocks = sb.journal_blocks.get();
        if !(MIN_JOURNAL_BLOCKS..=MAX_JOURNAL_BLOCKS).contains(&blocks) {
            return Err(EFSCORRUPTED);
        }
        let start = sb.journal_start.get();
        let end = start.checked_add(blocks).ok_or(EFSCORRUPTED)?;
        if end > sb.blocks.get() || end > MAX_LSN / SECTORS_PER_BLOCK {
            return Err(EFSCORRUPTED);
        }
        let size = dev.sector_size();
        if !(SECTOR_SIZE..=BLOCK_SIZE).contains(&size) || !size.is_power_of_two() {
            return Err(EINVAL);
        }
        let grain = (size / SECTOR_SIZE) as u64;
        // The volume may have been copied from a device of smaller sectors.
        let head = header.tail.lsn.next_multiple_of(grain);
        Ok(Self {
            start: start * SECTORS_PER_BLOCK,
            sectors: blocks * SECTORS_PER_BLOCK,
            grain,
            head,
            tail: header.tail,
            generation: header.generation,
        })
    }

    /// Length in sectors.
    pub fn sectors(&self) -> u64 {
        self.sectors
    }

    /// Sectors that a record of `bytes` bytes takes.
    pub fn sectors_of(&self, bytes: usize) -> u64 {
        (bytes.div_ceil(SECTOR_SIZE) as u64).next_multiple_of(self.grain)
    }

    /// Sectors from the start of the ring to where `lsn` is.
    fn offset(&self, lsn: u64) -> u64 {
        // Never 0, but the compiler does not know, and a division's panic has no place in a kernel.
        lsn.checked_rem(self.sectors).unwrap_or(0)
    }

    /// Sector of the device where `lsn` is.
    pub fn sector(&self, lsn: u64) -> u64 {
        self.start + self.offset(lsn)
    }

    /// LSN of the next start of the ring behind `lsn`.
    pub fn next_wrap(&self, lsn: u64) -> u64 {
        lsn - self.offset(lsn) + self.sectors
    }

    /// Where a record of `sectors` goes that follows one which ends at `lsn`.
    pub fn place(&self, lsn: u64, sectors: u64) -> u64 {
        if self.offset(lsn) + sectors > self.sectors {
            self.next_wrap(lsn)
        } else {
            lsn
        }
    }

    /// Whether records of these lengths in bytes fit, one behind the other, without touching the tail's.
    pub fn fits(&self, lengths: &[usize]) -> bool {
        let mut at = self.head;
        for &bytes in lengths.iter().filter(|&&bytes| bytes > 0) {
            let sectors = self.sectors_of(bytes);
            at = self.place(at, sectors) + sectors;
        }
        at - self.tail.lsn <= self.sectors && at < MAX_LSN
    }

    /// Sectors between tail and head.
    pub fn used(&self) -> u64 {
        self.head.saturating_sub(self.tail.lsn)
    }

    /// Longest record to write, in bytes: the ring always takes several.
    pub fn record_limit(&self) -> usize {
        let quarter = usize::try_from(self.sectors / 4).unwrap_or(usize::MAX);
        let quarter = quarter.saturating_mul(SECTOR_SIZE);
        quarter.clamp(record::HEADER_BYTES + OP_BYTES, MAX_RECORD_BYTES)
    }

    /// Blocks that a home batch may hold while it is written without the volume's lock.
    pub fn batch_limit(&self) -> usize {
        usize::try_from(self.sectors / SECTORS_PER_BLOCK / 8).map_or(128, |n| n.clamp(1, 128))
    }
}
