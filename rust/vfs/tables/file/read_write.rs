// SPDX-License-Identifier: GPL-2.0

//! `read_iter` and `write_iter` of regular files.
//!
//! Locks, as in ext4 and XFS:
//! - Buffered reads take none; direct reads hold `i_rwsem` shared.
//! - Buffered writes hold it exclusively.
//! - Direct writes hold it shared when they are pure overwrites of one mapping within the size. All
//!   others (holes to fill, a size to extend, blocks to zero in part) hold it exclusively, wait for
//!   the direct I/O that is under way and for their own: so completions that change the extent map
//!   never race with each other.

use crate::{
    bindings,
    file::File,
    inode::{Inode, Locked, Write},
    ops::Complete,
    tables::iomap,
};
use core::{marker::PhantomData, ptr};
use kernel::prelude::*;

const EAGAIN_: isize = -(bindings::EAGAIN as isize);
const ENOTBLK_: isize = -(bindings::ENOTBLK as isize);
const ENOSPC_: isize = -(bindings::ENOSPC as isize);

/// One call of `read_iter` or `write_iter`.
///
/// # Invariants
///
/// `iocb` is of an open regular file of type `T`, `inode` is that file's, and `iter` has what is to be read or written; all of
/// them are valid while this lives, and only this task uses `iocb` and `iter`. (Who submits an asynchronous request has given
/// both away; the file is put when the request ends, not before this returns.)
struct Request<T> {
    iocb: *mut bindings::kiocb,
    iter: *mut bindings::iov_iter,
    inode: *mut bindings::inode,
    _fs: PhantomData<T>,
}

/// # Safety
///
/// Called by the VFS for a regular file of this filesystem that is open for reading.
pub(super) unsafe extern "C" fn read_iter<T: Complete>(
    iocb: *mut bindings::kiocb,
    iter: *mut bindings::iov_iter,
) -> isize {
    // SAFETY: `vfs_iter_read()`, `new_sync_read()`, io_uring and their like hold the file, and have filled in both for this call.
    let request = unsafe { Request::<T>::new(iocb, iter) };
    if let Err(e) = request.inode().super_block().check_read() {
        return e.to_errno() as isize;
    }
    if request.is_direct() {
        request.direct_read()
    } else {
        // SAFETY: By the invariants of `Request` this is what the function asks for; it takes no lock that we could have.
        unsafe { bindings::generic_file_read_iter(iocb, iter) }
    }
}

/// # Safety
///
/// Called by the VFS for a regular file of this filesystem that is open for writing.
pub(super) unsafe extern "C" fn write_iter<T: Complete>(
    iocb: *mut bindings::kiocb,
    iter: *mut bindings::iov_iter,
) -> isize {
    // SAFETY: As in `read_iter`. The VFS has taken write access to the super block (`kiocb_start_write()`).
    let request = unsafe { Request::<T>::new(iocb, iter) };
    if let Err(e) = request.inode().super_block().check_write() {
        return e.to_errno() as isize;
    }
    let count = request.count();
    let ret = request.write();
    // A direct write of which a part went out has consumed that: it is not to be repeated.
    if T::HAS_NO_SPACE && ret == ENOSPC_ && request.count() == count && request.no_space() {
        return request.write();
    }
    ret
}

/// # Safety
///
/// Called by the VFS for a regular file of this filesystem that is open for reading.
pub(super) unsafe extern "C" fn splice_read<T: Complete>(
    file: *mut bindings::file,
    pos: *mut i64,
    pipe: *mut bindings::pipe_inode_info,
    len: usize,
    flags: c_uint,
) -> isize {
    // SAFETY: `do_splice_read()` has a reference on the file, and all else on its stack or locked, as the function wants it.
    unsafe {
        match File::<T>::from_raw(file).inode().super_block().check_read() {
            Ok(()) => bindings::filemap_splice_read(file, pos, pipe, len, flags),
            Err(e) => e.to_errno() as isize,
        }
    }
}

impl<T: Complete> Request<T> {
    /// # Safety
    ///
    /// The type invariants hold for `iocb` and `iter`.
    unsafe fn new(iocb: *mut bindings::kiocb, iter: *mut bindings::iov_iter) -> Self {
        Self {
            iocb,
            iter,
            // SAFETY: The caller vouches for `iocb`, whose file is open.
            inode: unsafe { bindings::vfs_helper_file_inode((*iocb).ki_filp) },
            _fs: PhantomData,
        }
    }

    fn inode(&self) -> &Inode<T> {
        // SAFETY: The inode is valid and of type `T` for as long as we are.
        unsafe { Inode::from_raw(self.inode) }
    }

    fn is_direct(&self) -> bool {
        // SAFETY: `iocb` is valid and only ours.
        unsafe { (*self.iocb).ki_flags & bindings::VFS_CONST_IOCB_DIRECT != 0 }
    }

    /// Bytes that are left to be read or written.
    fn count(&self) -> usize {
        // SAFETY: `iter` is valid and only ours.
        unsafe { bindings::vfs_helper_iov_iter_count(self.iter) }
    }

    /// Runs `f` with `i_rwsem` held shared.
    fn shared(&self, f: impl FnOnce() -> isize) -> isize {
        // SAFETY: The inode is valid, and this task, which holds none of its locks yet, releases what it takes.
        unsafe {
            bindings::vfs_helper_inode_lock_shared(self.inode);
            let ret = f();
            bindings::vfs_helper_inode_unlock_shared(self.inode);
            ret
        }
    }

    /// Runs `f` with `i_rwsem` held exclusively.
    fn exclusive(&self, f: impl FnOnce(&Locked<'_, T, Write>) -> isize) -> isize {
        // SAFETY: The inode is valid, and this task, which holds none of its locks yet, releases what it takes. The file has a
        // reference on the inode, and `f` does not keep what it gets.
        unsafe {
            bindings::vfs_helper_inode_lock(self.inode);
            let ret = f(&Locked::new(Inode::from_raw(self.inode)));
            bindings::vfs_helper_inode_unlock(self.inode);
            ret
        }
    }

    /// Limits of the file and of the process, `O_APPEND`. How many bytes may be written, or why none. `i_rwsem` is held.
    fn checks(&self) -> Result<usize, isize> {
        // SAFETY: Both are valid and only ours; the size that it looks at is kept by the lock.
        match unsafe { bindings::generic_write_checks(self.iocb, self.iter) } {
            ret if ret > 0 => Ok(ret as usize),
            ret => Err(ret),
        }
    }

    /// Drops privileges of the file and updates its times. `i_rwsem` is held, exclusively where there are privileges to drop.
    fn modified(&self) -> Result<(), isize> {
        // SAFETY: `iocb` is valid and only ours; callers hold the lock that the function asks for.
        match unsafe { bindings::kiocb_modified(self.iocb) } {
            0 => Ok(()),
            e => Err(e as isize),
        }
    }

    fn pos(&self) -> i64 {
        // SAFETY: `iocb` is valid and only ours.
        unsafe { (*self.iocb).ki_pos }
    }

    /// Direct I/O, with `i_rwsem` held as `kind` asks.
    fn direct(&self, kind: iomap::direct::Dio, flags: u32) -> isize {
        // SAFETY: Both are valid and only ours, and the lock is held. The tables are for inodes of this file's type. If the request is
        // asynchronous, what outlives this call is iomap's, which has a copy of all that it needs, and the file with it.
        unsafe {
            bindings::iomap_dio_rw(
                self.iocb,
                self.iter,
                iomap::map::ops::<T>(),
                iomap::direct::dio_ops::<T>(kind),
                flags,
                ptr::null_mut(),
                0,
            )
        }
    }

    fn direct_read(&self) -> isize {
        if self.count() == 0 {
            return 0;
        }
        // SAFETY: `iocb` is valid, and its file open for reading.
        unsafe { bindings::vfs_helper_file_accessed((*self.iocb).ki_filp) };
        self.shared(|| self.direct(iomap::direct::Dio::Overwrite, 0))
    }

    fn write(&self) -> isize {
        if self.is_direct() {
            let ret = self.direct_write();
            if ret != ENOTBLK_ {
                return ret;
            }
            // The page cache could not be invalidated: only a buffered write keeps it coherent.
        }
        self.buffered_write()
    }

    /// Tells the filesystem that there was no space. No lock is held.
    fn no_space(&self) -> bool {
        // SAFETY: By the invariants of `Request` the inode is of type `T`, and the open file holds it until the request ends.
        T::no_space(unsafe { Inode::from_raw(self.inode) })
    }

    fn buffered_write(&self) -> isize {
        let ret = self.exclusive(|inode| {
            self.checks()
                .and_then(|_| zero_eof(inode, self.pos()))
                .and_then(|()| self.modified())
                .map_or_else(|e| e, |()| self.write_to_cache())
        });
        if ret <= 0 {
            return ret;
        }
        // `O_SYNC` and `O_DSYNC`: ends in `fsync`.
        // SAFETY: `iocb` is valid and only ours, and has been moved on by the `ret` bytes that were written.
        unsafe { bindings::vfs_helper_generic_write_sync(self.iocb, ret) }
    }

    /// Copies to the page cache. `i_rwsem` is held exclusively.
    fn write_to_cache(&self) -> isize {
        // SAFETY: Both are valid and only ours, and the lock is held. The tables are for inodes of this file's type.
        unsafe {
            bindings::iomap_file_buffered_write(
                self.iocb,
                self.iter,
                iomap::map::ops::<T>(),
                iomap::write::write_ops::<T>(),
                ptr::null_mut(),
            )
        }
    }

    fn direct_write(&self) -> isize {
        let count = self.count();
        let ret = self.shared(|| self.overwrite().unwrap_or_else(|e| e));
        if ret != EAGAIN_ {
            return ret;
        }
        // The checks may have cut the iterator to a limit; they are made again.
        // SAFETY: `iter` is valid and only ours; it had `count` bytes before, and nothing of them was used.
        unsafe { bindings::vfs_helper_iov_iter_reexpand(self.iter, count) };
        self.exclusive(|inode| self.direct_write_exclusive(inode).unwrap_or_else(|e| e))
    }

    /// A device that checks or mirrors what it writes needs data that user space cannot change meanwhile.
    fn stable_flag(&self) -> u32 {
        // SAFETY: The inode is valid, and its mapping with it.
        if unsafe { bindings::vfs_helper_mapping_stable_writes(self.inode) } {
            bindings::VFS_CONST_IOMAP_DIO_BOUNCE
        } else {
            0
        }
    }

    /// Writes directly if it is a pure overwrite; else `-EAGAIN` and nothing was done. `i_rwsem` is held shared.
    fn overwrite(&self) -> Result<isize, isize> {
        let len = self.checks()?;
        let end = self.pos().saturating_add(len as i64);
        // Dropping privileges of the file needs the exclusive lock, as does growing it; where it ends is not known
        // without that lock, and so neither is where an append begins.
        // SAFETY: The inode is valid; its size is read as readers do that hold no lock.
        let is_plain = unsafe {
            bindings::vfs_helper_inode_is_nosec(self.inode)
                && end <= bindings::vfs_helper_i_size_read(self.inode)
        };
        if !is_plain || !self.is_aligned(len) {
            return Err(EAGAIN_);
        }
        self.modified()?;
        // `begin` is asked with `OVERWRITE_ONLY` for the whole range, and the first answer decides.
        let flags = bindings::VFS_CONST_IOMAP_DIO_OVERWRITE_ONLY | self.stable_flag();
        Ok(self.direct(iomap::direct::Dio::Overwrite, flags))
    }

    /// Whether `len` bytes from the position on begin and end at logical blocks of the device, as direct I/O has to.
    ///
    /// iomap asks that of each mapping when it comes to it: what lies in the mappings in front would have been written by
    /// then, and the write fails all the same. XFS asks first, too (`xfs_file_dio_write()`).
    fn is_aligned(&self, len: usize) -> bool {
        // SAFETY: The inode is valid and of type `T`; what is made of it does not outlive this call.
        let inode = unsafe { Inode::<T>::from_raw(self.inode) };
        let block = inode.super_block().block_device().logical_block_size();
        (self.pos() as u64 | len as u64) & (u64::from(block) - 1) == 0
    }

    fn direct_write_exclusive(&self, inode: &Locked<'_, T, Write>) -> Result<isize, isize> {
        if !self.checks().map(|len| self.is_aligned(len))? {
            return Err(EINVAL.to_errno() as isize);
        }
        inode.dio_wait();
        zero_eof(inode, self.pos())?;
        self.modified()?;
        let flags = bindings::VFS_CONST_IOMAP_DIO_FORCE_WAIT | self.stable_flag();
        Ok(self.direct(iomap::direct::Dio::Allocate, flags))
    }
}

/// Zeroes the rest of the page that the size is in before a write at `pos` that starts past the size: it may
/// hold what was written through a mapping after the end. What is further on was never there, and
/// iomap would warn about it.
fn zero_eof<T: Complete>(inode: &Locked<'_, T, Write>, pos: i64) -> Result<(), isize> {
    let (size, pos) = (inode.size(), pos.max(0) as u64);
    if pos <= size {
        return Ok(());
    }
    let unit = u64::from(inode.super_block().block_size()).max(kernel::page::PAGE_SIZE as u64);
    let end = size
        .checked_next_multiple_of(unit)
        .map_or(pos, |end| end.min(pos));
    let zero = || -> Result {
        let inode = inode.lock_invalidate();
        inode.zero_range(size, end - size)?;
        if T::HAS_EOF_ZEROED && end > size {
            T::eof_zeroed(&inode, size)?;
        }
        Ok(())
    };
    zero().map_err(|e| e.to_errno() as isize)
}
