// SPDX-License-Identifier: GPL-2.0

//! On-disk format, version 1. Written down byte by byte in `Documentation/format.md`.
//!
//! Little endian, blocks of 4 KiB, and every metadata block starts with a [`BlockHeader`], so that a
//! torn, stale or misdirected write is caught and not believed. The types are zerocopy types: reading
//! a block is a checked cast, and any bytes whatever are a valid value of each of them.

use kernel::prelude::*;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy_derive::{Immutable, KnownLayout, Unaligned};

pub mod inode;
pub mod panic;

/// Bytes in a block.
pub const BLOCK_SIZE: usize = 4096;
/// Bytes in the sectors that [`crate::device::BlockDevice`] counts in.
pub const SECTOR_SIZE: usize = 512;
/// Sectors in a block.
pub const SECTORS_PER_BLOCK: u64 = (BLOCK_SIZE / SECTOR_SIZE) as u64;
/// Bytes of [`BlockHeader`] at the start of every metadata block.
pub const HEADER_SIZE: usize = 64;
/// Bytes in a metadata block behind its header.
pub const PAYLOAD_SIZE: usize = BLOCK_SIZE - HEADER_SIZE;

/// Blocks in a shard: as many as one bitmap block's payload has bits. 126 MiB, a multiple of 2 MiB.
pub const SHARD_BLOCKS: u64 = PAYLOAD_SIZE as u64 * 8;
/// Block of a shard that is kept for the super block or a backup of it.
pub const SHARD_SUPER: u64 = 0;
/// Block of a shard that holds its bitmap; bit set means used.
pub const SHARD_BITMAP: u64 = 1;
/// Blocks at the start of a shard that never hold anything else.
pub const SHARD_RESERVED: u64 = 2;
/// The block that holds what changes: tree roots and counters.
pub const STATE_BLOCK: u64 = 2;
/// First block of the summary table.
pub const SUMMARY_START: u64 = 3;
/// Shards that one block of the summary table describes.
pub const SUMMARY_PER_BLOCK: u64 = (PAYLOAD_SIZE / size_of::<SummaryEntry>()) as u64;

/// "PmFS" in the first four bytes of every metadata block.
pub const MAGIC: u32 = u32::from_le_bytes(*b"PmFS");
/// Version of the format.
pub const VERSION: u16 = 1;
/// `statfs.f_type`: the bytes "PmFS".
pub const STATFS_MAGIC: u32 = MAGIC;

/// Inode number of the root directory.
pub const ROOT_INO: u64 = 2;
/// First inode number that is given out.
pub const FIRST_INO: u64 = 16;
/// Longest name of a directory entry in bytes.
pub const NAME_MAX: usize = 255;
/// Longest target of a symbolic link in bytes.
pub const SYMLINK_MAX: usize = 4095;
/// Owner in the header of blocks that belong to the volume itself.
pub const OWNER_VOLUME: u64 = 0;
/// Owner of the nodes of the inode tree.
pub const OWNER_INODES: u64 = 1;
/// Owner of the nodes of the orphan tree.
pub const OWNER_ORPHANS: u64 = 3;

/// What a metadata block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Kind {
    /// [`SuperBlock`] or a backup of it.
    Super = 1,
    /// [`State`].
    State = 2,
    /// [`SummaryEntry`] table.
    Summary = 3,
    /// Bitmap of a shard.
    Bitmap = 4,
    /// Node of a B+tree.
    Node = 5,
    /// Piece of a long symbolic link's target.
    Symlink = 6,
    /// Head of the journal.
    JournalHeader = 7,
    /// Record in the journal's ring.
    JournalRecord = 8,
    /// Slot of the panic area.
    PanicSlot = 9,
}

/// Head of every metadata block. 64 bytes.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct BlockHeader {
    /// [`MAGIC`].
    pub magic: U32,
    /// [`Kind`].
    pub kind: U16,
    /// [`VERSION`].
    pub version: U16,
    /// CRC32C of the whole block with this field zero.
    pub crc: U32,
    /// Zero.
    pub flags: U32,
    /// The block's own number.
    pub block: U64,
    /// Log sequence number of the last change that this copy holds.
    pub lsn: U64,
    /// UUID of the volume.
    pub uuid: [u8; 16],
    /// Inode that the block belongs to, or one of the `OWNER_` numbers.
    pub owner: U64,
    /// Zero.
    pub reserved: U64,
}

/// Payload of the super block. Static after mkfs but for the label and feature words.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct SuperBlock {
    /// UUID of the volume, as in every header.
    pub uuid: [u8; 16],
    /// UTF-8, padded with zeros.
    pub label: [u8; 64],
    /// Features that an older driver may ignore.
    pub feature_compat: U64,
    /// Features that an older driver may only read with.
    pub feature_ro_compat: U64,
    /// Features that an older driver must refuse.
    pub feature_incompat: U64,
    /// Blocks in the volume.
    pub blocks: U64,
    /// Bytes in a block, 4096.
    pub block_size: U32,
    /// Blocks in a shard, [`SHARD_BLOCKS`].
    pub shard_blocks: U32,
    /// Shards, the last one possibly short.
    pub shards: U64,
    /// Blocks of the summary table, from [`SUMMARY_START`].
    pub summary_blocks: U64,
    /// Block of the journal's header.
    pub journal_header: U64,
    /// First block of the journal's ring.
    pub journal_start: U64,
    /// Blocks in the journal's ring.
    pub journal_blocks: U64,
    /// First block of the panic area.
    pub panic_start: U64,
    /// Slots in the panic area, a power of two.
    pub panic_slots: U32,
    /// Blocks in a slot of the panic area.
    pub panic_slot_blocks: U32,
    /// Key of the directory hash (SipHash-2-4).
    pub hash_seed: [u8; 16],
    /// Time of mkfs, seconds since 1970.
    pub created: U64,
    /// Zero.
    pub reserved: [u8; 64],
}

/// Known bits of [`SuperBlock::feature_compat`].
pub const FEATURE_COMPAT: u64 = 0;
/// Known bits of [`SuperBlock::feature_ro_compat`].
pub const FEATURE_RO_COMPAT: u64 = 0;
/// Known bits of [`SuperBlock::feature_incompat`].
pub const FEATURE_INCOMPAT: u64 = 0;

/// Root of a tree as it stands in a block. 16 bytes.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct TreeRoot {
    /// Block of the root node, 0 for an empty tree.
    pub root: U64,
    /// Level of the root node, 0 for a leaf.
    pub level: u8,
    /// Zero.
    pub reserved: [u8; 7],
}

/// Payload of the state block.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct State {
    /// Inodes by number.
    pub inodes: TreeRoot,
    /// Inodes that are to be freed or cut, by number.
    pub orphans: TreeRoot,
    /// Next inode number to give out.
    pub next_ino: U64,
    /// Inodes in use.
    pub inode_count: U64,
    /// Zero.
    pub reserved: [U64; 8],
}

/// The shard's bitmap block was never written: only [`SHARD_RESERVED`] blocks are used.
pub const SUMMARY_UNINIT: u32 = 1;

/// What is known of a shard without its bitmap. 16 bytes.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct SummaryEntry {
    /// Free blocks according to the bitmap.
    pub free: U32,
    /// `SUMMARY_` bits.
    pub flags: U32,
    /// Zero.
    pub reserved: U64,
}

/// Run of a file's blocks. 16 bytes.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(C)]
pub struct Extent {
    /// First block within the file.
    pub logical: U32,
    /// Blocks, at least one.
    pub len: U32,
    /// First block on the device.
    pub phys: U64,
}

/// Whether shard `shard` carries a copy of the super block: 0, 1 and the powers of 3, 5 and 7.
pub fn has_super_block(shard: u64) -> bool {
    let power_of = |base: u64| {
        let mut n = shard;
        while n > 1 && n % base == 0 {
            n /= base;
        }
        n == 1
    };
    shard <= 1 || power_of(3) || power_of(5) || power_of(7)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn sizes_are_the_format() {
        assert_eq!(size_of::<BlockHeader>(), HEADER_SIZE);
        assert_eq!(size_of::<SuperBlock>(), 264);
        assert_eq!(size_of::<State>(), 112);
        assert_eq!(size_of::<TreeRoot>(), 16);
        assert_eq!(size_of::<SummaryEntry>(), 16);
        assert_eq!(size_of::<Extent>(), 16);
        assert_eq!(SHARD_BLOCKS, 32256);
        assert_eq!(SUMMARY_PER_BLOCK, 252);
    }

    #[test]
    fn backups_stand_in_sparse_shards() {
        let with: Vec<u64> = (0..60).filter(|&s| has_super_block(s)).collect();
        assert_eq!(with, [0, 1, 3, 5, 7, 9, 25, 27, 49]);
    }
}
