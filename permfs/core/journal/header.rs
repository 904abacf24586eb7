// SPDX-License-Identifier: GPL-2.0

//! The journal's header: where the log starts.
//!
//! Two slots, written in turn, each in a block of its own and with a sequence number and CRC of its own, so
//! that a torn write loses the newer slot only, also where the device writes 4 KiB as one. The older one is
//! then still right: the space that the newer one gave free is not reused before that is durable (TAIL FIRST).

use super::{Pos, MAX_LSN};
use crate::{
    crc::crc32c,
    device::{is_unreadable, BlockDevice, WriteFlags},
    format::*,
    plant::{self, Fault},
    store::block::Block,
};
use kernel::prelude::*;
use zerocopy::little_endian::{U32, U64};
use zerocopy_derive::{Immutable, KnownLayout, Unaligned};

/// Blocks of the header, a slot in each.
pub const HEADER_BLOCKS: u64 = 2;
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

/// The header of a volume, and how to write it.
pub struct JournalHeader {
    /// First block.
    block: u64,
    uuid: [u8; 16],
    /// What is written next: a slot, and zeros behind it.
    image: KBox<Block>,
    /// What was written last.
    pub head: Head,
    /// Both slots were valid when it was read: the newest is known. Otherwise the other one may have been torn
    /// while it was written, or have been the newest.
    pub is_whole: bool,
}

impl JournalHeader {
    /// Reads the header and takes the newer valid slot. Errors: `EFSCORRUPTED` if neither is; the device's
    /// if neither can be read.
    pub fn read<D: BlockDevice>(dev: &D, sb: &SuperBlock) -> Result<Self> {
        let block = sb.journal_header.get();
        if block == 0 || block >= sb.blocks.get() {
            return Err(EFSCORRUPTED);
        }
        let mut image = KBox::<Block>::zeroed(GFP_KERNEL)?;
        let (mut found, mut failed) = ([None; HEADER_BLOCKS as usize], None);
        for (slot, at) in found.iter_mut().zip(block..) {
            let sector = at.checked_mul(SECTORS_PER_BLOCK).ok_or(EFSCORRUPTED)?;
            match dev.read(sector, &mut image[..]) {
                Ok(()) => *slot = parse(&image[..SLOT_SIZE], at, &sb.uuid),
                // Torn, perhaps: then the other one counts.
                Err(e) if is_unreadable(e) => failed = Some(e),
                Err(e) => return Err(e),
            }
        }
        let newest = found.iter().flatten().max_by_key(|head| head.sequence);
        let head = *newest.ok_or(failed.unwrap_or(EFSCORRUPTED))?;
        image.fill(0);
        Ok(Self {
            block,
            uuid: sb.uuid,
            image,
            head,
            is_whole: found.iter().all(Option::is_some),
        })
    }

    /// Writes `head` into the older slot, with the next sequence number, durably.
    ///
    /// What the header promises is durable before: the caller has flushed (TAIL FIRST).
    pub fn write<D: BlockDevice>(&mut self, dev: &D, mut head: Head) -> Result {
        head.sequence = self.head.sequence.checked_add(1).ok_or(EFSCORRUPTED)?;
        let at = put(&mut self.image, self.block, &self.uuid, &head);
        let part = self.image.get(..dev.sector_size()).ok_or(EINVAL)?;
        let cached = dev.has_write_cache() && !plant::is(Fault::TailFirstHeader);
        let flags = WriteFlags {
            preflush: false,
            fua: cached && dev.has_fua(),
        };
        dev.write(at * SECTORS_PER_BLOCK, part, flags)?;
        if cached && !dev.has_fua() {
            dev.flush()?;
        }
        self.head = head;
        Ok(())
    }
}

/// Fills `images` with the header of a new, empty log that begins at `block`, for mkfs. Both slots are valid,
/// so that one that is not has been torn or damaged.
///
/// `generation` is a number that no earlier filesystem in the same place is likely to have used
/// (random, below 2^62): it is what keeps that one's records from being taken for ours.
pub fn format(
    images: [&mut Block; HEADER_BLOCKS as usize],
    block: u64,
    uuid: &[u8; 16],
    generation: u64,
) {
    for (image, sequence) in images.into_iter().zip([2, 1]) {
        image.fill(0);
        let head = Head {
            sequence,
            generation: generation & (MAX_LSN - 1),
            tail: Pos { lsn: 0, epoch: 1 },
            clean: true,
        };
        put(image, block, uuid, &head);
    }
}

/// Puts `head` at the start of `image`, which is zero behind it, and returns the block of its slot in the header
/// that begins at `block`.
fn put(image: &mut Block, block: u64, uuid: &[u8; 16], head: &Head) -> u64 {
    let at = block + head.sequence % HEADER_BLOCKS;
    let mut slot = Slot {
        header: BlockHeader {
            magic: MAGIC.into(),
            kind: (Kind::JournalHeader as u16).into(),
            version: VERSION.into(),
            block: at.into(),
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
    image[..size_of::<Slot>()].copy_from_slice(slot.as_bytes());
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

    fn slot(sequence: u64) -> (Block, u64) {
        let mut image = [0; BLOCK_SIZE];
        let at = put(&mut image, 5, &UUID, &head(sequence));
        (image, at)
    }

    #[test]
    fn slots_take_turns_and_a_torn_one_is_none() {
        let (mut even, mut odd) = ([1; BLOCK_SIZE], [1; BLOCK_SIZE]);
        format([&mut even, &mut odd], 5, &UUID, 6);
        let new = [(&even, 5), (&odd, 6)].map(|(image, at)| parse(&image[..SLOT_SIZE], at, &UUID));
        let sequences = new.map(|head| head.map(|h| (h.sequence, h.generation, h.clean)));
        assert_eq!(sequences, [Some((2, 6, true)), Some((1, 6, true))]);
        for (sequence, block) in [(2, 5), (3, 6)] {
            let (image, at) = slot(sequence);
            assert_eq!(at, block);
            assert_eq!(parse(&image[..SLOT_SIZE], at, &UUID), Some(head(sequence)));
            for byte in 0..SLOT_SIZE {
                let mut torn = image;
                torn[byte] ^= 0x10;
                assert_eq!(parse(&torn[..SLOT_SIZE], at, &UUID), None);
            }
        }
    }

    #[test]
    fn another_volume_or_block_is_refused() {
        let (image, at) = slot(2);
        assert_eq!(parse(&image[..SLOT_SIZE], at + 1, &UUID), None);
        assert_eq!(parse(&image[..SLOT_SIZE], at, &[1; 16]), None);
        assert_eq!(size_of::<Slot>(), 128);
    }
}
