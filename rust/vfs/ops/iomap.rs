// SPDX-License-Identifier: GPL-2.0

//! Where the data of files is: the filesystem's side of iomap.

#[allow(unused_imports)] // for the documentation
use crate::iomap::{MapFlags, MapKind};
use crate::{
    fs::FileSystem,
    inode::Inode,
    iomap::{BeginFlags, Io, Ioend, Mapping},
    super_block::SuperBlock,
};
use kernel::{error::VTABLE_DEFAULT_ERROR, prelude::*};

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

    /// A write, or a fault that writes, found no space. Returns whether it should be tried once more, for example
    /// because data was written back that more had been reserved for than it took. No lock of the file is held, and
    /// nothing was written. Optional.
    fn no_space(_inode: &Inode<Self>) -> bool {
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
