// SPDX-License-Identifier: GPL-2.0

//! One record of the log: what an epoch changed.
//!
//! ```text
//! RecordHeader (96)  Entry (16) * entries  bytes of the entries, one after the other  zeros to the sector
//! ```
//!
//! The CRC covers all of it. Entries of a block stand in the order in which they apply.

use super::Pos;
use crate::{
    crc::crc32c,
    device::{BlockDevice, WriteFlags},
    format::*,
    plant::{self, Fault},
};
use kernel::{
    prelude::*,
    sync::atomic::{Acquire, Atomic, Full, Release},
};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy_derive::{Immutable, KnownLayout, Unaligned};

/// Bytes of [`RecordHeader`].
pub const HEADER_BYTES: usize = size_of::<RecordHeader>();
/// Bytes of [`Entry`].
pub const ENTRY_SIZE: usize = size_of::<Entry>();
/// Blocks that one revoke entry covers at most.
pub const MAX_REVOKE: u32 = 256;

/// The bytes that follow are the whole block up to where only zeros are left.
pub const IMAGE: u8 = 1;
/// The bytes that follow replace as many at `offset` in the block.
pub const DELTA: u8 = 2;
/// The bytes that follow are file data: the whole block, zeros behind them.
pub const DATA: u8 = 3;
/// No entry of this or an earlier epoch for `len` blocks from `block` is to be applied.
pub const REVOKE: u8 = 4;

/// Head of a record. 96 bytes.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RecordHeader {
    /// Kind [`Kind::JournalRecord`], `lsn` its place in the log; the CRC covers the record.
    pub header: BlockHeader,
    /// Epoch that it makes durable: one more than that of the record before.
    pub epoch: U64,
    /// Generation of the mount that wrote it.
    pub generation: U64,
    /// Length in 512-byte sectors.
    pub sectors: U32,
    /// Entries.
    pub entries: U32,
    /// Bytes in use: header, entries and their bytes.
    pub used: U32,
    /// Zero.
    pub reserved: U32,
}

/// One change. 16 bytes.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Entry {
    /// Block that it changes.
    pub block: U64,
    /// [`IMAGE`], [`DELTA`], [`DATA`] or [`REVOKE`].
    pub kind: u8,
    /// Zero.
    pub reserved: u8,
    /// Where in the block, for a delta.
    pub offset: U16,
    /// Bytes that belong to it, or blocks, for a revoke.
    pub len: U32,
}

impl Entry {
    /// Bytes that stand in the record for it.
    fn bytes(&self) -> usize {
        if self.kind == REVOKE {
            0
        } else {
            self.len.get() as usize
        }
    }

    /// Whether the fields make sense on a volume of `blocks` blocks.
    fn is_sound(&self, blocks: u64) -> bool {
        let (offset, len) = (usize::from(self.offset.get()), self.len.get() as usize);
        let shape = match self.kind {
            IMAGE => offset == 0 && (HEADER_SIZE..=BLOCK_SIZE).contains(&len),
            DELTA => offset >= HEADER_SIZE && len > 0 && len <= BLOCK_SIZE - offset.min(BLOCK_SIZE),
            DATA => offset == 0 && len <= BLOCK_SIZE,
            REVOKE => offset == 0 && len > 0 && len <= MAX_REVOKE as usize,
            _ => false,
        };
        let count = if self.kind == REVOKE { len as u64 } else { 1 };
        shape && count <= blocks && self.block.get() <= blocks - count
    }
}

/// A record as it is written: bytes and their place on the device.
pub struct Record {
    /// Epoch that it makes durable.
    pub epoch: u64,
    /// Its place in the log.
    pub lsn: u64,
    /// First sector on the device.
    pub sector: u64,
    /// The record, padded.
    pub bytes: KVVec<u8>,
    /// Who writes it (ONE WRITE): `SEALED` until somebody claims it, then for good `TAKEN`, or `OWNER` and what
    /// came of that.
    claim: Atomic<u32>,
}

/// Nobody has begun to write the record.
const SEALED: u32 = 0;
/// The one who sealed it is writing it.
const OWNER: u32 = 1;
/// Somebody who needed it durable has taken it over: its owner will not write it.
const TAKEN: u32 = 2;
/// Its owner has written it, and it is durable.
const WRITTEN: u32 = 3;
/// Its owner could not write it.
const FAILED: u32 = 4;

impl Record {
    /// A record that nobody has begun to write.
    pub fn new(pos: Pos, sector: u64, bytes: KVVec<u8>) -> Self {
        Self {
            epoch: pos.epoch,
            lsn: pos.lsn,
            sector,
            bytes,
            claim: Atomic::<u32>::new(SEALED),
        }
    }

    /// Writes it durably, by the one who sealed it, once (else `EINVAL`). `Ok` without a write if it was
    /// taken over: who did that knows what came of it.
    pub fn write_as_owner<D: BlockDevice>(&self, dev: &D) -> Result {
        match self.begin_as_owner()? {
            true => {
                let outcome = self.write(dev);
                self.end_as_owner(outcome);
                outcome
            }
            false if plant::is(Fault::OneWrite) => self.write(dev),
            false => Ok(()),
        }
    }

    /// From now on it is being [written](Self::write) by the one who sealed it, until that says what came of it;
    /// once (else `EINVAL`). False: it was taken over, and is not to be written.
    pub fn begin_as_owner(&self) -> Result<bool> {
        match self.claim.cmpxchg(SEALED, OWNER, Full) {
            Ok(_) => Ok(true),
            Err(TAKEN) => Ok(false),
            Err(_) => Err(EINVAL),
        }
    }

    /// What came of the write that its owner has begun.
    pub fn end_as_owner(&self, outcome: Result) {
        let state = if outcome.is_ok() { WRITTEN } else { FAILED };
        // Release: who reads it finds the write done.
        self.claim.store(state, Release);
    }

    /// Takes the writing over, if its owner has not begun: the caller is to [write](Self::write) it then.
    pub fn take_over(&self) -> bool {
        self.claim.cmpxchg(SEALED, TAKEN, Full).is_ok()
    }

    /// What came of the owner's write. `None` while it is under way; `EIO` if it failed.
    pub fn owner_outcome(&self) -> Option<Result> {
        match self.claim.load(Acquire) {
            OWNER => None,
            WRITTEN => Some(Ok(())),
            _ => Some(Err(EIO)),
        }
    }

    /// Writes the record durably. By whom it is claimed, once.
    ///
    /// The data that the epoch refers to had been written when it was sealed; if it may still be in the
    /// device's cache, it goes first (DATA FIRST).
    pub fn write<D: BlockDevice>(&self, dev: &D) -> Result {
        let cached = dev.has_write_cache() && !plant::is(Fault::FlushRecord);
        let flags = WriteFlags {
            preflush: dev.needs_flush() && !plant::is(Fault::DataFirst),
            fua: cached && dev.has_fua(),
        };
        dev.write(self.sector, &self.bytes, flags)?;
        if cached && !dev.has_fua() {
            dev.flush()?;
        }
        Ok(())
    }
}

/// Puts a record together in memory that was allocated beforehand.
pub struct Builder {
    bytes: KVVec<u8>,
    entries: usize,
    max_entries: usize,
    used: usize,
}

impl Builder {
    /// Room for `entries` entries with `data` bytes together, in `sectors` sectors.
    pub fn new(entries: usize, data: usize, sectors: u64) -> Result<Self> {
        let size = usize::try_from(sectors).map_err(|_| EOVERFLOW)? * SECTOR_SIZE;
        let used = HEADER_BYTES + entries * ENTRY_SIZE;
        if used + data > size {
            return Err(EOVERFLOW);
        }
        Ok(Self {
            bytes: KVVec::zeroed(size, GFP_KERNEL)?,
            entries: 0,
            max_entries: entries,
            used,
        })
    }

    /// Appends an entry and its bytes. `EOVERFLOW` if more comes than was said.
    pub fn push(&mut self, entry: &Entry, bytes: &[u8]) -> Result {
        let at = HEADER_BYTES + self.entries * ENTRY_SIZE;
        let end = self.used + bytes.len();
        if self.entries >= self.max_entries || end > self.bytes.len() {
            return Err(EOVERFLOW);
        }
        let head = self.bytes.get_mut(at..at + ENTRY_SIZE).ok_or(EOVERFLOW)?;
        head.copy_from_slice(entry.as_bytes());
        let tail = self.bytes.get_mut(self.used..end).ok_or(EOVERFLOW)?;
        tail.copy_from_slice(bytes);
        self.entries += 1;
        self.used = end;
        Ok(())
    }

    /// Completes the record for `epoch` at `lsn`, which is block `block` of the device.
    pub fn finish(
        mut self,
        uuid: &[u8; 16],
        block: u64,
        lsn: u64,
        epoch: u64,
        generation: u64,
    ) -> Result<KVVec<u8>> {
        if self.entries != self.max_entries {
            return Err(EINVAL);
        }
        let count = |n: usize| u32::try_from(n).map_err(|_| EOVERFLOW);
        let mut head = RecordHeader {
            header: BlockHeader {
                magic: MAGIC.into(),
                kind: (Kind::JournalRecord as u16).into(),
                version: VERSION.into(),
                block: block.into(),
                lsn: lsn.into(),
                uuid: *uuid,
                owner: OWNER_VOLUME.into(),
                ..BlockHeader::default()
            },
            epoch: epoch.into(),
            generation: generation.into(),
            sectors: count(self.bytes.len() / SECTOR_SIZE)?.into(),
            entries: count(self.entries)?.into(),
            used: count(self.used)?.into(),
            reserved: 0.into(),
        };
        let (front, rest) = self.bytes.split_at_mut(HEADER_BYTES);
        head.header.crc = crc32c(crc32c(0, head.as_bytes()), rest).into();
        front.copy_from_slice(head.as_bytes());
        Ok(self.bytes)
    }
}

/// Parses the head of a record in the first sector of `bytes`, without its CRC. `None`: there is none.
pub fn parse_header(bytes: &[u8], uuid: &[u8; 16], lsn: u64) -> Option<RecordHeader> {
    let (head, _) = RecordHeader::read_from_prefix(bytes).ok()?;
    let h = &head.header;
    let ours = h.magic.get() == MAGIC
        && h.kind.get() == Kind::JournalRecord as u16
        && h.version.get() == VERSION
        && h.lsn.get() == lsn
        && h.uuid == *uuid;
    let (sectors, used) = (head.sectors.get() as usize, head.used.get() as usize);
    let least = (head.entries.get() as usize)
        .checked_mul(ENTRY_SIZE)?
        .checked_add(HEADER_BYTES)?;
    let fits = least <= used && used <= sectors.checked_mul(SECTOR_SIZE)?;
    (ours && fits && sectors > 0).then_some(head)
}

/// Whether the CRC of the whole record `bytes`, which starts with `head`, is right.
pub fn crc_is_right(bytes: &[u8], head: &RecordHeader) -> bool {
    let mut plain = *head;
    plain.header.crc = 0.into();
    if plant::is(Fault::Torn) {
        return true;
    }
    let Some(rest) = bytes.get(HEADER_BYTES..) else {
        return false;
    };
    crc32c(crc32c(0, plain.as_bytes()), rest) == head.header.crc.get()
}

/// Calls `f` with every entry of a record and its bytes. `EFSCORRUPTED` if an entry makes no sense on a
/// volume of `blocks` blocks, although the CRC was right.
pub fn for_each_entry(
    bytes: &[u8],
    head: &RecordHeader,
    blocks: u64,
    mut f: impl FnMut(&Entry, &[u8]) -> Result,
) -> Result {
    let count = head.entries.get() as usize;
    let used = bytes.get(..head.used.get() as usize).ok_or(EFSCORRUPTED)?;
    let table = used.get(HEADER_BYTES..).ok_or(EFSCORRUPTED)?;
    let split = count.checked_mul(ENTRY_SIZE).ok_or(EFSCORRUPTED)?;
    let (table, mut data) = table.split_at_checked(split).ok_or(EFSCORRUPTED)?;
    for raw in table.chunks_exact(ENTRY_SIZE) {
        let entry = Entry::read_from_bytes(raw).map_err(|_| EFSCORRUPTED)?;
        if !entry.is_sound(blocks) {
            return Err(EFSCORRUPTED);
        }
        let (own, rest) = data.split_at_checked(entry.bytes()).ok_or(EFSCORRUPTED)?;
        f(&entry, own)?;
        data = rest;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{vec, vec::Vec};

    const UUID: [u8; 16] = [3; 16];

    fn entry(block: u64, kind: u8, offset: u16, len: u32) -> Entry {
        Entry {
            block: block.into(),
            kind,
            reserved: 0,
            offset: offset.into(),
            len: len.into(),
        }
    }

    fn sample() -> KVVec<u8> {
        let mut b = Builder::new(3, 103, 2).unwrap();
        b.push(&entry(9, IMAGE, 0, 100), &[7; 100]).unwrap();
        b.push(&entry(9, DELTA, 64, 3), &[1, 2, 3]).unwrap();
        b.push(&entry(5, REVOKE, 0, 2), &[]).unwrap();
        b.finish(&UUID, 40, 16, 4, 2).unwrap()
    }

    #[test]
    fn what_goes_in_comes_out() {
        let bytes = sample();
        let head = parse_header(&bytes, &UUID, 16).unwrap();
        assert!(crc_is_right(&bytes, &head));
        assert_eq!((head.epoch.get(), head.generation.get()), (4, 2));
        let mut seen = Vec::new();
        for_each_entry(&bytes, &head, 100, |e, b| {
            seen.push((e.block.get(), e.kind, b.to_vec()));
            Ok(())
        })
        .unwrap();
        assert_eq!(
            seen,
            [
                (9, IMAGE, vec![7; 100]),
                (9, DELTA, vec![1, 2, 3]),
                (5, REVOKE, vec![])
            ]
        );
    }

    #[test]
    fn every_flipped_bit_is_caught() {
        let bytes = sample();
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.as_slice().to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            let head = parse_header(&bad, &UUID, 16);
            assert!(head.is_none_or(|h| !crc_is_right(&bad, &h)), "bit {bit}");
        }
    }

    #[test]
    fn entries_out_of_bounds_are_corruption() {
        for bad in [
            entry(100, DELTA, 64, 1),
            entry(9, DELTA, 63, 1),
            entry(9, DELTA, 4095, 2),
            entry(9, DELTA, u16::MAX, 1),
            entry(9, IMAGE, 0, 63),
            entry(9, IMAGE, 0, 4097),
            entry(99, REVOKE, 0, 2),
            entry(u64::MAX, REVOKE, 0, 1),
            entry(9, 5, 0, 0),
        ] {
            assert!(!bad.is_sound(100), "{bad:?}");
        }
        assert!(entry(99, DELTA, 4095, 1).is_sound(100));
        assert!(entry(98, REVOKE, 0, 2).is_sound(100));
    }
}
