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
    fs::Complete,
    inode::{Inode, Locked, Write},
    iomap,
};
use core::ptr;
use kernel::prelude::*;

const EAGAIN_: isize = -(bindings::EAGAIN as isize);
const ENOTBLK_: isize = -(bindings::ENOTBLK as isize);

/// # Safety
///
/// `iocb` is valid.
unsafe fn is_direct(iocb: *mut bindings::kiocb) -> bool {
    // SAFETY: By the contract.
    unsafe { (*iocb).ki_flags & bindings::VFS_CONST_IOCB_DIRECT != 0 }
}

/// # Safety
///
/// Called by the VFS for a regular file of this filesystem that is open for reading.
pub(super) unsafe extern "C" fn read_iter<T: Complete>(
    iocb: *mut bindings::kiocb,
    iter: *mut bindings::iov_iter,
) -> isize {
    // SAFETY: By the contract; the tables are of type `T`.
    unsafe {
        if !is_direct(iocb) {
            return bindings::generic_file_read_iter(iocb, iter);
        }
        if bindings::vfs_helper_iov_iter_count(iter) == 0 {
            return 0;
        }
        let file = (*iocb).ki_filp;
        let inode = bindings::vfs_helper_file_inode(file);
        bindings::vfs_helper_file_accessed(file);
        bindings::vfs_helper_inode_lock_shared(inode);
        let ret = bindings::iomap_dio_rw(
            iocb,
            iter,
            iomap::ops::<T>(),
            iomap::dio_ops::<T>(iomap::Dio::Overwrite),
            0,
            ptr::null_mut(),
            0,
        );
        bindings::vfs_helper_inode_unlock_shared(inode);
        ret
    }
}

/// # Safety
///
/// Called by the VFS for a regular file of this filesystem that is open for writing.
pub(super) unsafe extern "C" fn write_iter<T: Complete>(
    iocb: *mut bindings::kiocb,
    iter: *mut bindings::iov_iter,
) -> isize {
    // SAFETY: By the contract.
    unsafe {
        if is_direct(iocb) {
            // The page cache could not be invalidated: only a buffered write keeps it coherent.
            let ret = direct_write::<T>(iocb, iter);
            if ret != ENOTBLK_ {
                return ret;
            }
        }
        buffered_write::<T>(iocb, iter)
    }
}

/// Zeroes the rest of the page that the size is in before a write that starts past the size: it may
/// hold what was written through a mapping after the end. What is further on was never there, and
/// iomap would warn about it.
///
/// # Safety
///
/// `i_rwsem` of `inode`, which is of type `T`, is held exclusively.
unsafe fn zero_eof<T: Complete>(inode: *mut bindings::inode, pos: i64) -> Result {
    // SAFETY: By the contract.
    let inode = unsafe { Locked::<T, Write>::new(Inode::from_raw(inode)) };
    let (size, pos) = (inode.size(), pos.max(0) as u64);
    if pos <= size {
        return Ok(());
    }
    let unit = u64::from(inode.super_block().block_size()).max(kernel::page::PAGE_SIZE as u64);
    let end = size
        .checked_next_multiple_of(unit)
        .map_or(pos, |end| end.min(pos));
    let guard = inode.lock_invalidate();
    inode.zero_range(size, end - size, &guard)?;
    if T::HAS_EOF_ZEROED && end > size {
        T::eof_zeroed(&inode, size)?;
    }
    Ok(())
}

/// # Safety
///
/// As for `write_iter`.
unsafe fn buffered_write<T: Complete>(
    iocb: *mut bindings::kiocb,
    iter: *mut bindings::iov_iter,
) -> isize {
    // SAFETY: By the contract.
    let inode = unsafe { bindings::vfs_helper_file_inode((*iocb).ki_filp) };
    // SAFETY: By the contract; the lock is released below.
    let ret = unsafe {
        bindings::vfs_helper_inode_lock(inode);
        let ret = buffered_write_locked::<T>(iocb, iter, inode);
        bindings::vfs_helper_inode_unlock(inode);
        ret
    };
    if ret <= 0 {
        return ret;
    }
    // `O_SYNC` and `O_DSYNC`: ends in `fsync`.
    // SAFETY: By the contract.
    unsafe { bindings::vfs_helper_generic_write_sync(iocb, ret) }
}

/// # Safety
///
/// As for `write_iter`, with `i_rwsem` of `inode` held exclusively.
unsafe fn buffered_write_locked<T: Complete>(
    iocb: *mut bindings::kiocb,
    iter: *mut bindings::iov_iter,
    inode: *mut bindings::inode,
) -> isize {
    // SAFETY: By the contract, here and below; the tables are of type `T`.
    let ret = unsafe { bindings::generic_write_checks(iocb, iter) };
    if ret <= 0 {
        return ret;
    }
    // SAFETY: See above.
    if let Err(e) = unsafe { zero_eof::<T>(inode, (*iocb).ki_pos) } {
        return e.to_errno() as isize;
    }
    // SAFETY: See above.
    let ret = unsafe { bindings::kiocb_modified(iocb) };
    if ret != 0 {
        return ret as isize;
    }
    // SAFETY: See above.
    unsafe {
        bindings::iomap_file_buffered_write(
            iocb,
            iter,
            iomap::ops::<T>(),
            iomap::write_ops::<T>(),
            ptr::null_mut(),
        )
    }
}

/// # Safety
///
/// As for `write_iter`.
unsafe fn direct_write<T: Complete>(
    iocb: *mut bindings::kiocb,
    iter: *mut bindings::iov_iter,
) -> isize {
    // SAFETY: By the contract.
    let (inode, count) = unsafe {
        (
            bindings::vfs_helper_file_inode((*iocb).ki_filp),
            bindings::vfs_helper_iov_iter_count(iter),
        )
    };
    // SAFETY: By the contract; each lock is released right after.
    unsafe {
        bindings::vfs_helper_inode_lock_shared(inode);
        let ret = overwrite_shared::<T>(iocb, iter, inode);
        bindings::vfs_helper_inode_unlock_shared(inode);
        if ret != EAGAIN_ {
            return ret;
        }
        // The checks may have cut the iterator to a limit; they are made again.
        bindings::vfs_helper_iov_iter_reexpand(iter, count);
        bindings::vfs_helper_inode_lock(inode);
        let ret = direct_write_exclusive::<T>(iocb, iter, inode);
        bindings::vfs_helper_inode_unlock(inode);
        ret
    }
}

/// A device that checks or mirrors what it writes needs data that user space cannot change meanwhile.
///
/// # Safety
///
/// `inode` is valid.
unsafe fn stable_flag(inode: *mut bindings::inode) -> u32 {
    // SAFETY: By the contract.
    if unsafe { bindings::vfs_helper_mapping_stable_writes(inode) } {
        bindings::VFS_CONST_IOMAP_DIO_BOUNCE
    } else {
        0
    }
}

/// Writes directly if it is a pure overwrite; else `-EAGAIN` and nothing was done.
///
/// # Safety
///
/// As for `write_iter`, with `i_rwsem` of `inode` held shared.
unsafe fn overwrite_shared<T: Complete>(
    iocb: *mut bindings::kiocb,
    iter: *mut bindings::iov_iter,
    inode: *mut bindings::inode,
) -> isize {
    // SAFETY: By the contract, here and below; the tables are of type `T`.
    let ret = unsafe { bindings::generic_write_checks(iocb, iter) };
    if ret <= 0 {
        return ret;
    }
    // Dropping privileges of the file needs the exclusive lock, as does growing it.
    // SAFETY: See above.
    let plain = unsafe {
        bindings::vfs_helper_inode_is_nosec(inode)
            && (*iocb).ki_pos.saturating_add(ret as i64) <= bindings::vfs_helper_i_size_read(inode)
    };
    if !plain {
        return EAGAIN_;
    }
    // SAFETY: See above.
    let ret = unsafe { bindings::kiocb_modified(iocb) };
    if ret != 0 {
        return ret as isize;
    }
    // `begin` is asked with `OVERWRITE_ONLY` for the whole range, and the first answer decides.
    // SAFETY: See above.
    unsafe {
        bindings::iomap_dio_rw(
            iocb,
            iter,
            iomap::ops::<T>(),
            iomap::dio_ops::<T>(iomap::Dio::Overwrite),
            bindings::VFS_CONST_IOMAP_DIO_OVERWRITE_ONLY | stable_flag(inode),
            ptr::null_mut(),
            0,
        )
    }
}

/// # Safety
///
/// As for `write_iter`, with `i_rwsem` of `inode` held exclusively.
unsafe fn direct_write_exclusive<T: Complete>(
    iocb: *mut bindings::kiocb,
    iter: *mut bindings::iov_iter,
    inode: *mut bindings::inode,
) -> isize {
    // SAFETY: By the contract, here and below; the tables are of type `T`.
    let ret = unsafe { bindings::generic_write_checks(iocb, iter) };
    if ret <= 0 {
        return ret;
    }
    // SAFETY: See above.
    unsafe { bindings::inode_dio_wait(inode) };
    // SAFETY: See above.
    if let Err(e) = unsafe { zero_eof::<T>(inode, (*iocb).ki_pos) } {
        return e.to_errno() as isize;
    }
    // SAFETY: See above.
    let ret = unsafe { bindings::kiocb_modified(iocb) };
    if ret != 0 {
        return ret as isize;
    }
    // SAFETY: See above.
    unsafe {
        bindings::iomap_dio_rw(
            iocb,
            iter,
            iomap::ops::<T>(),
            iomap::dio_ops::<T>(iomap::Dio::Allocate),
            bindings::VFS_CONST_IOMAP_DIO_FORCE_WAIT | stable_flag(inode),
            ptr::null_mut(),
            0,
        )
    }
}
