// SPDX-License-Identifier: GPL-2.0

//! File data through iomap: buffered and direct I/O, writeback, mappings.
//!
//! C header: [`include/linux/iomap.h`](srctree/include/linux/iomap.h)
//!
//! The filesystem says where bytes are ([`IomapOperations::begin`]), chooses blocks when dirty data
//! is written back ([`IomapOperations::writeback_map`]), and is told when the data is on the device
//! ([`IomapOperations::writeback_done`], [`IomapOperations::direct_done`]), always in process
//! context. A filesystem that enters blocks into its map only then never shows stale data after a
//! crash.

use crate::{
    bindings,
    fs::{Complete, FileSystem},
    inode::Inode,
    super_block::SuperBlock,
};
use core::ops::BitOr;
use kernel::{error::VTABLE_DEFAULT_ERROR, prelude::*};

mod aops;
mod direct;
pub(crate) mod ioend;
mod map;
mod read;
mod writeback;

pub(crate) use self::{
    aops::address_space_operations,
    direct::{dio_ops, Dio},
    map::{ops, write_ops},
};

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
pub struct MapFlags(u16);

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
    /// The state of the map that this was read from, for [`IomapOperations::mapping_valid`].
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

/// The filesystem's side of iomap.
///
/// Positions and lengths are in bytes. Lock order: `i_rwsem`, `invalidate_lock`, folio lock, then
/// what these callbacks take; so a lock that one of them takes must not be held while a page of
/// this filesystem may be faulted in or written.
#[vtable]
pub trait IomapOperations: FileSystem {
    /// The mapping at `pos`; it must cover `pos` and may be shorter or longer than `len`.
    ///
    /// - To read: what is there.
    /// - For a buffered write or a write fault: what is there if it is [`MapKind::Mapped`]; else
    ///   space is reserved, and the answer is [`MapKind::Delalloc`], with [`MapFlags::NEW`] for
    ///   space that this call has reserved.
    /// - For a direct write: [`MapKind::Mapped`], with [`MapFlags::NEW`] if the blocks were chosen
    ///   now.
    /// - Blocks that were chosen for writeback and are not in the map yet: to write,
    ///   [`MapKind::Mapped`] with [`MapFlags::NEW`]; to read, [`MapKind::Unwritten`]. What the page
    ///   cache does not hold of them was never written, and the device has old data there.
    ///
    /// # Errors
    ///
    /// `ENOSPC` and what else the filesystem meets. A mapping that breaks the rules becomes
    /// `EFSCORRUPTED`.
    fn begin(inode: &Inode<Self>, pos: u64, len: u64, flags: BeginFlags) -> Result<Mapping>;

    /// Ends what [`Self::begin`] began; `written` of `len` bytes were done. Optional.
    fn end(
        _inode: &Inode<Self>,
        _pos: u64,
        _len: u64,
        _written: u64,
        _flags: BeginFlags,
        _mapping: &Mapping,
    ) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Whether mappings read when the cookie was `cookie` still hold. Called with a folio locked;
    /// to be no more than the comparison of a per-inode sequence that every change of the map
    /// increments. Optional: without it mappings are not kept across folios in writeback, and
    /// nothing but writeback may change the map under a buffered write.
    fn mapping_valid(_inode: &Inode<Self>, _cookie: u64) -> bool {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Drops reservations (and nothing but reservations) in `start..end`, for which there will be
    /// no writeback: a short write, or writeback that failed before blocks were chosen. A folio may
    /// be locked. Optional.
    fn punch_delalloc(_inode: &Inode<Self>, _start: u64, _end: u64) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Chooses blocks for dirty data at `pos`: [`MapKind::Mapped`], or [`MapKind::Hole`] if there
    /// is nothing to be written (it was truncated). `len` bytes are known to be dirty; blocks for
    /// more are welcome. For a range that has blocks, in the map or on the way, these are the
    /// answer. Called in a NOFS scope with a folio locked.
    fn writeback_map(inode: &Inode<Self>, pos: u64, len: u64) -> Result<Mapping>;

    /// The data of [`Self::writeback_map`] is on the device, though maybe in its cache only, or
    /// failed. The folios are still under writeback, so that `fsync` waits for this. Adjacent
    /// writes come as one. Process context, NOFS.
    ///
    /// # Errors
    ///
    /// Become the error that the next `fsync` reports.
    fn writeback_done(inode: &Inode<Self>, io: &Ioend) -> Result;

    /// A direct write that was no pure overwrite is on the device, or failed. `i_rwsem` is held
    /// exclusively and no other direct write is under way. The in-memory size is set after an `Ok`.
    /// NOFS.
    fn direct_done(inode: &Inode<Self>, pos: u64, len: u64, error: Option<Error>) -> Result;

    /// A write is about to begin behind the end of the file: bytes from `size`, the end, to that of its
    /// block were zeroed in the page cache. They must be on the device before a size behind them can be
    /// durable, or what was there before comes to light in a crash. `i_rwsem` and `invalidate_lock` are
    /// held exclusively. Optional.
    fn eof_zeroed(_inode: &Inode<Self>, _size: u64) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Called before each bio with file data is submitted; an error refuses it. Must neither sleep
    /// nor take a lock. Optional.
    fn submit_io(_sb: &SuperBlock<Self>, _io: Io) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Called once for each bio that [`Self::submit_io`] has let through, when it has ended; maybe
    /// in hard interrupt context. Optional.
    fn end_io(_sb: &SuperBlock<Self>, _io: Io) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// Asks the observer about a bio of `inode`.
///
/// # Safety
///
/// `inode` is a valid inode of type `T`.
unsafe fn announce<T: Complete>(inode: *mut bindings::inode, io: Io) -> Result {
    if T::HAS_SUBMIT_IO {
        // SAFETY: The caller vouches for the inode, and its super block stays as long.
        T::submit_io(unsafe { Inode::<T>::from_raw(inode) }.super_block(), io)?;
    }
    Ok(())
}

/// Tells the observer that a bio that was let through has ended.
///
/// # Safety
///
/// `inode` is a valid inode of type `T`, and stays until the end of the call because its I/O has
/// not been completed yet.
unsafe fn ended<T: Complete>(inode: *mut bindings::inode, io: Io) {
    if T::HAS_END_IO {
        // SAFETY: The caller vouches for the inode; while it stays, so does its super block.
        T::end_io(unsafe { Inode::<T>::from_raw(inode) }.super_block(), io);
    }
}
