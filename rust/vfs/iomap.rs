// SPDX-License-Identifier: GPL-2.0

//! File data through iomap: buffered and direct I/O, writeback, mappings.
//!
//! C header: [`include/linux/iomap.h`](srctree/include/linux/iomap.h)
//!
//! The filesystem says where bytes are ([`begin`](crate::ops::IomapOperations::begin)), chooses blocks when dirty data
//! is written back ([`writeback_map`](crate::ops::IomapOperations::writeback_map)), and is told when the data is on the device
//! ([`writeback_done`](crate::ops::IomapOperations::writeback_done), [`direct_done`](crate::ops::IomapOperations::direct_done)), always in process
//! context. A filesystem that enters blocks into its map only then never shows stale data after a
//! crash.

use crate::bindings;
use core::ops::BitOr;
use kernel::prelude::*;

/// What a range of a file is mapped to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    /// Nothing: it reads as zeroes.
    Hole,
    /// Space is reserved, blocks are not chosen.
    Delalloc,
    /// Blocks with data; the device address, in bytes, of the start of the mapping.
    Mapped(u64),
    /// Blocks that were never written and read as zeroes; address as above.
    Unwritten(u64),
}

/// Flags of a mapping (`IOMAP_F_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MapFlags(pub(crate) u16);

impl MapFlags {
    /// No flags.
    pub const NONE: Self = Self(0);
    /// The blocks or the reservation are new: what is not written of a block must be zeroed.
    pub const NEW: Self = Self(bindings::VFS_CONST_IOMAP_F_NEW);
    /// `fdatasync` must write metadata for this range to be read back.
    pub const DIRTY: Self = Self(bindings::VFS_CONST_IOMAP_F_DIRTY);
    /// The blocks are shared with another file.
    pub const SHARED: Self = Self(bindings::VFS_CONST_IOMAP_F_SHARED);

    /// Whether all of `other` is set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for MapFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A mapping of a range of a file (`struct iomap`).
#[derive(Clone, Copy, Debug)]
pub struct Mapping {
    /// Start in the file, in bytes; a multiple of the block size.
    pub offset: u64,
    /// Length in bytes; a multiple of the block size, not 0.
    pub len: u64,
    /// What is there.
    pub kind: MapKind,
    /// Flags.
    pub flags: MapFlags,
    /// The state of the map that this was read from, for [`mapping_valid`](crate::ops::IomapOperations::mapping_valid).
    pub cookie: u64,
}

/// What a mapping is for (`IOMAP_*`).
#[derive(Clone, Copy)]
pub struct BeginFlags(u32);

impl BeginFlags {
    pub(crate) fn from_raw(flags: u32) -> Self {
        Self(flags)
    }

    fn has(self, flag: u32) -> bool {
        self.0 & flag != 0
    }

    /// To write.
    pub fn write(self) -> bool {
        self.has(bindings::VFS_CONST_IOMAP_WRITE)
    }

    /// To zero: holes may be left alone.
    pub fn zero(self) -> bool {
        self.has(bindings::VFS_CONST_IOMAP_ZERO)
    }

    /// To report only (`SEEK_HOLE`, fiemap).
    pub fn report(self) -> bool {
        self.has(bindings::VFS_CONST_IOMAP_REPORT)
    }

    /// For a write fault: a folio is locked, writeback must not be waited for.
    pub fn fault(self) -> bool {
        self.has(bindings::VFS_CONST_IOMAP_FAULT)
    }

    /// For direct I/O.
    pub fn direct(self) -> bool {
        self.has(bindings::VFS_CONST_IOMAP_DIRECT)
    }

    /// A direct write under the shared lock: `EAGAIN` unless one mapping with data covers all of
    /// it.
    pub fn overwrite_only(self) -> bool {
        self.has(bindings::VFS_CONST_IOMAP_OVERWRITE_ONLY)
    }
}

/// Dirty data that was written back.
#[derive(Clone, Copy, Debug)]
pub struct Ioend {
    /// Start in the file, in bytes.
    pub pos: u64,
    /// Length in bytes, cut at the size that the file had when the write was submitted.
    pub len: u64,
    /// Device address of the first byte.
    pub addr: u64,
    /// Why it failed, if it did.
    pub error: Option<Error>,
}

/// One bio with file data, for those who count.
#[derive(Clone, Copy, Debug)]
pub struct Io {
    /// A write, else a read.
    pub write: bool,
    /// Its size in bytes; for writeback, cut at the size of the file.
    pub bytes: u64,
}
