// SPDX-License-Identifier: GPL-2.0

//! The journal's header block: where the log starts.
//!
//! The block holds two slots, written in turn, each within a sector of its own and with a sequence
//! number and CRC of its own, so that a torn write loses the newer slot only. The older one is then
//! still right: the space that the newer one gave free is not reused before that is durable (TAIL FIRST).

use super::{Pos, MAX_LSN};
use crate::{
    crc::crc32c,
    device::{BlockDevice, WriteFlags},
    format::*,
};
use kernel::prelude::*;
use zerocopy::little_endian::{U32, U64};
use zerocopy_derive::{Immutable, KnownLayout, Unaligned};

/// Bytes from one slot to the other.
const SLOT_STRIDE: usize = BLOCK_SIZE / 2;
/// Bytes of a slot that its CRC covers: one sector.
const SLOT_SIZE: usize = SECTOR_SIZE;

/// Nothing is left to replay: the volume was unmounted.
const CLEAN: u32 = 1;

/// A slot of the journal's header, in the first bytes of a sector that is zero behind it. 128 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Slot {
    /// Kind [`Kind::JournalHeader`]; the CRC covers the sector.
    pub header: BlockHeader,
    /// Grows by one with every write: the valid slot with the larger one counts.
    pub sequence: U64,
    /// Number of the read-write mount; records carry it.
    pub generation: U64,
    /// LSN of the first record that replay needs.
    pub tail_lsn: U64,
    /// Epoch of that record.
    pub tail_epoch: U64,
    /// 1: clean.
    pub flags: U32,
    /// Zero.
    pub reserved: [u8; 28],
}

/// What a slot says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Grows by one with every write.
    pub sequence: u64,
    /// Number of the read-write mount.
    pub generation: u64,
    /// First record that replay needs.
    pub tail: Pos,
    /// Whether the volume was unmounted.
    pub clean: bool,
}

/// The header block of a volume, and how to write it.
pub struct JournalHeader {
    block: u64,
    uuid: [u8; 16],
    image: KBox<[u8; BLOCK_SIZE]>,
    /// What was written last.
    pub head: Head,
}

impl JournalHeader {
    /// Reads the header and takes the newer valid slot. `EFSCORRUPTED` if neither is.
    pub fn read<D: BlockDevice>(dev: &D, sb: &SuperBlock) -> Result<Self> {
        let block = sb.journal_header.get();
        if block == 0 || block >= sb.blocks.get() {
            return Err(EFSCORRUPTED);
        }
        let mut image = KBox::<[u8; BLOCK_SIZE]>::zeroed(GFP_KERNEL)?;
        let sector = block.checked_mul(SECTORS_PER_BLOCK).ok_or(EFSCORRUPTED)?;
        dev.read(sector, &mut image[..])?;
        let newest = image
            .chunks_exact(SLOT_STRIDE)
            .filter_map(|half| parse(half.get(..SLOT_SIZE)?, block, &sb.uuid))
            .max_by_key(|head| head.sequence)
            .ok_or(EFSCORRUPTED)?;
        Ok(Self {
            block,
            uuid: sb.uuid,
            image,
            head: newest,
        })
    }

    /// Writes `head` into the older slot, with the next sequence number, durably.
    ///
    /// What the header promises is durable before: the caller has flushed (TAIL FIRST).
    pub fn write<D: BlockDevice>(&mut self, dev: &D, mut head: Head) -> Result {
        head.sequence = self.head.sequence.checked_add(1).ok_or(EFSCORRUPTED)?;
        let at = put(&mut self.image, self.block, &self.uuid, &head);
        let size = dev.sector_size();
        let start = at / size * size;
        let part = self.image.get(start..start + size).ok_or(EINVAL)?;
        let sector = self.block * SECTORS_PER_BLOCK + (start / SECTOR_SIZE) as u64;
        let flags = WriteFlags {
            preflush: false,
            fua: dev.has_write_cache() && dev.has_fua(),
        };
        dev.write(sector, part, flags)?;
        if dev.has_write_cache() && !dev.has_fua() {
            dev.flush()?;
        }
        self.head = head;
        Ok(())
    }
}

/// Fills `image` with the header block of a new, empty log, for mkfs.
///
/// `generation` is a number that no earlier filesystem in the same place is likely to have used
/// (random, below 2^62): it is what keeps that one's records from being taken for ours.
pub fn format(image: &mut [u8; BLOCK_SIZE], block: u64, uuid: &[u8; 16], generation: u64) {
    image.fill(0);
    let head = Head {
        sequence: 1,
        generation: generation & (MAX_LSN - 1),
        tail: Pos { lsn: 0, epoch: 1 },
        clean: true,
    };
    put(image, block, uuid, &head);
}

/// Puts `head` into its slot of `image` and returns the slot's offset.
fn put(image: &mut [u8; BLOCK_SIZE], block: u64, uuid: &[u8; 16], head: &Head) -> usize {
    let at = if head.sequence % 2 == 0 {
        0
    } else {
        SLOT_STRIDE
    };
    let mut slot = Slot {
        header: BlockHeader {
            magic: MAGIC.into(),
            kind: (Kind::JournalHeader as u16).into(),
            version: VERSION.into(),
            block: block.into(),
            lsn: head.tail.lsn.into(),
            uuid: *uuid,
            owner: OWNER_VOLUME.into(),
            ..BlockHeader::default()
        },
        sequence: head.sequence.into(),
        generation: head.generation.into(),
        tail_lsn: head.tail.lsn.into(),
        tail_epoch: head.tail.epoch.into(),
        flags: if head.clean { CLEAN } else { 0 }.into(),
        reserved: [0; 28],
    };
    // The rest of the sector is zero: the CRC goes over it too.
    slot.header.crc = sector_crc(slot.as_bytes()).into();
    if let Some(sector) = image.get_mut(at..at + SLOT_SIZE) {
        let (front, rest) = sector.split_at_mut(size_of::<Slot>());
        front.copy_from_slice(slot.as_bytes());
        rest.fill(0);
    }
    at
}

/// CRC of a sector that starts with `slot`, whose CRC field is zero, and is zero behind it.
fn sector_crc(slot: &[u8]) -> u32 {
    const ZEROS: [u8; 64] = [0; 64];
    let mut crc = crc32c(0, slot);
    for _ in 0..(SLOT_SIZE - size_of::<Slot>()) / ZEROS.len() {
        crc = crc32c(crc, &ZEROS);
    }
    crc
}

fn parse(sector: &[u8], block: u64, uuid: &[u8; 16]) -> Option<Head> {
    let (slot, rest) = Slot::read_from_prefix(sector).ok()?;
    let stored = slot.header.crc.get();
    let mut plain = slot;
    plain.header.crc = 0.into();
    let valid = stored == sector_crc(plain.as_bytes())
        && rest.iter().all(|&b| b == 0)
        && slot.header.magic.get() == MAGIC
        && slot.header.kind.get() == Kind::JournalHeader as u16
        && slot.header.version.get() == VERSION
        && slot.header.block.get() == block
        && slot.header.uuid == *uuid
        && slot.tail_lsn.get() < MAX_LSN
        && slot.tail_epoch.get() < MAX_LSN
        && slot.generation.get() < u64::MAX;
    valid.then(|| Head {
        sequence: slot.sequence.get(),
        generation: slot.generation.get(),
        tail: Pos {
            lsn: slot.tail_lsn.get(),
            epoch: slot.tail_epoch.get(),
        },
        clean: slot.flags.get() & CLEAN != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const UUID: [u8; 16] = *b"0123456789abcdef";

    fn head(sequence: u64) -> Head {
        Head {
            sequence,
            generation: 7,
            tail: Pos {
                lsn: 11 * sequence,
                epoch: sequence,
            },
            clean: false,
        }
    }

    #[test]
    fn slots_take_turns_and_a_torn_one_falls_back() {
        let mut image = [0u8; BLOCK_SIZE];
        format(&mut image, 5, &UUID, 6);
        let first = put(&mut image, 5, &UUID, &head(2));
        let second = put(&mut image, 5, &UUID, &head(3));
        assert_ne!(first, second);
        let both: Vec<_> = [first, second]
            .iter()
            .filter_map(|&at| parse(&image[at..at + SLOT_SIZE], 5, &UUID))
            .collect();
        assert_eq!(both, [head(2), head(3)]);
        for byte in 0..size_of::<Slot>() {
            let mut torn = image;
            torn[second + byte] ^= 0x10;
            assert_eq!(parse(&torn[second..second + SLOT_SIZE], 5, &UUID), None);
            assert_eq!(
                parse(&torn[first..first + SLOT_SIZE], 5, &UUID),
                Some(head(2))
            );
        }
    }

    #[test]
    fn another_volume_or_block_is_refused() {
        let mut image = [0u8; BLOCK_SIZE];
        let at = put(&mut image, 5, &UUID, &head(2));
        assert_eq!(parse(&image[at..at + SLOT_SIZE], 6, &UUID), None);
        assert_eq!(parse(&image[at..at + SLOT_SIZE], 5, &[1; 16]), None);
        assert_eq!(size_of::<Slot>(), 128);
    }
}
