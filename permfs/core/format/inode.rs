// SPDX-License-Identifier: GPL-2.0

//! Inode records and directory entries on disk.

use kernel::prelude::*;
use zerocopy::little_endian::{I64, U16, U32, U64};
use zerocopy_derive::{Immutable, KnownLayout, Unaligned};

/// Bytes of a record's inline fork at most. Extended attributes share them in a later version.
pub const INLINE_MAX: usize = 1024;
/// Extents that fit the record before the map becomes a tree.
pub const INLINE_EXTENTS: usize = 16;
/// Blocks of a file at most: their numbers are 32 bits wide.
pub const FILE_BLOCKS_MAX: u64 = 1 << 32;
/// Size of a file at most, in bytes (16 TiB).
pub const FILE_SIZE_MAX: u64 = FILE_BLOCKS_MAX * super::BLOCK_SIZE as u64;
/// Links to an inode at most; as in XFS, what fits a signed 32-bit number.
pub const LINK_MAX: u32 = 0x7fff_ffff;

/// Where an inode's contents stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ForkKind {
    /// In the record: a symbolic link's target or directory entries.
    Inline = 0,
    /// [`super::Extent`]s in the record; one of length 0 ends the list.
    List = 1,
    /// In a tree at `fork_root`: extents, or the entries of a directory.
    Tree = 2,
    /// In a chain of [`super::Kind::Symlink`] blocks from `fork_root`.
    Chain = 3,
}

impl ForkKind {
    /// The kind that a byte of [`InodeRecord::fork`] stands for.
    pub fn from_byte(byte: u8) -> Option<Self> {
        [Self::Inline, Self::List, Self::Tree, Self::Chain]
            .into_iter()
            .find(|k| *k as u8 == byte)
    }
}

/// Point in time. 12 bytes.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct DiskTime {
    /// Seconds since 1970.
    pub sec: I64,
    /// Nanoseconds, below 10^9.
    pub nsec: U32,
}

/// Fixed part of an inode record, the value in the inode tree. 160 bytes.
///
/// Behind it come `fork_len` bytes of inline fork, then `xattr_len` bytes of extended attributes.
/// What an append changes (size to ctime) stands together, so that its delta is one short range.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct InodeRecord {
    /// Type and permissions, as `st_mode`.
    pub mode: U16,
    /// [`ForkKind`].
    pub fork: u8,
    /// Level of the root node at `fork_root`.
    pub fork_level: u8,
    /// Owner.
    pub uid: U32,
    /// Group.
    pub gid: U32,
    /// Links. 0: the inode is in the orphan tree.
    pub nlink: U32,
    /// Bytes; of a directory: those that its entries take inline.
    pub size: U64,
    /// Blocks of data in use.
    pub blocks: U64,
    /// Last change of the contents.
    pub mtime: DiskTime,
    /// Last change of the inode.
    pub ctime: DiskTime,
    /// Last access.
    pub atime: DiskTime,
    /// Birth.
    pub btime: DiskTime,
    /// Tells apart file handles; set once.
    pub generation: U32,
    /// `FS_*_FL` attribute flags.
    pub flags: U32,
    /// Device number of a device node.
    pub rdev: U64,
    /// Directories: inode of `..`.
    pub parent: U64,
    /// Project for quotas.
    pub project: U32,
    /// Shard that the inode's blocks should come from.
    pub home: U32,
    /// Root of the fork's tree, or first block of its chain.
    pub fork_root: U64,
    /// Root of the tree of extended attributes, 0: none.
    pub xattr_root: U64,
    /// Bytes of inline fork.
    pub fork_len: U16,
    /// Bytes of inline extended attributes.
    pub xattr_len: U16,
    /// Level of the root node at `xattr_root`.
    pub xattr_level: u8,
    /// Zero.
    pub reserved: [u8; 27],
}

/// Head of a directory entry in the record, followed by the name. 18 bytes.
///
/// An entry with inode 0, or less room than a head, ends the list.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct InlineEntry {
    /// Key that the entry has in a tree: hash and collision number.
    pub key: U64,
    /// Inode.
    pub ino: U64,
    /// `DT_*`, the type bits of the mode.
    pub kind: u8,
    /// Bytes in the name.
    pub name_len: u8,
}

/// Head of a directory entry in a tree, followed by the name up to the end of the value. 9 bytes.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct TreeEntry {
    /// Inode.
    pub ino: U64,
    /// `DT_*`.
    pub kind: u8,
}

/// What the orphan tree remembers of an inode. 16 bytes.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct OrphanRecord {
    /// [`ORPHAN_DELETE`] or [`ORPHAN_TRUNCATE`].
    pub kind: u8,
    /// Zero.
    pub reserved: [u8; 7],
    /// Truncation: bytes that are kept.
    pub size: U64,
}

/// The inode has no name: free all of it.
pub const ORPHAN_DELETE: u8 = 1;
/// Free what is behind `size`.
pub const ORPHAN_TRUNCATE: u8 = 2;

/// Head of the payload of a [`super::Kind::Symlink`] block, followed by the piece. 16 bytes.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct SymlinkHead {
    /// Next block of the chain, 0: last.
    pub next: U64,
    /// Bytes of the target in this block.
    pub len: U16,
    /// Zero.
    pub reserved: [u8; 6],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_the_format() {
        assert_eq!(size_of::<InodeRecord>(), 160);
        assert_eq!(size_of::<InlineEntry>(), 18);
        assert_eq!(size_of::<TreeEntry>(), 9);
        assert_eq!(size_of::<OrphanRecord>(), 16);
        assert_eq!(size_of::<SymlinkHead>(), 16);
    }
}
