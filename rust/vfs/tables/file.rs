// SPDX-License-Identifier: GPL-2.0

//! The callbacks of `struct file_operations`.

use super::iomap;
use crate::{
    bindings,
    file::{DirContext, File},
    inode::{Inode, Locked},
    ops::Complete,
};
use core::{
    marker::PhantomData,
    ptr::{self, NonNull},
};
use kernel::{
    error::{from_result, to_result},
    module::this_module,
    prelude::*,
};

mod mmap;
mod read_write;

/// The table for directories.
pub(crate) const fn dir_operations<T: Complete>() -> *const bindings::file_operations {
    &VTable::<T>::DIR
}

/// The table for regular files.
pub(crate) const fn file_operations<T: Complete>() -> *const bindings::file_operations {
    &VTable::<T>::FILE
}

struct VTable<T>(PhantomData<T>);

impl<T: Complete> VTable<T> {
    const COMMON: bindings::file_operations = bindings::file_operations {
        owner: this_module::<<T as crate::fs::FileSystem>::OwnerModule>().as_ptr(),
        open: Some(Self::open),
        release: if T::HAS_RELEASE {
            Some(Self::release)
        } else {
            None
        },
        fsync: if T::HAS_FSYNC {
            Some(Self::fsync)
        } else {
            None
        },
        unlocked_ioctl: if T::HAS_IOCTL {
            Some(Self::ioctl)
        } else {
            None
        },
        compat_ioctl: if T::HAS_IOCTL {
            bindings::compat_ptr_ioctl
        } else {
            None
        },
        // Without it there are no leases.
        setlease: Some(bindings::generic_setlease),
        ..pin_init::zeroed()
    };

    const DIR: bindings::file_operations = bindings::file_operations {
        llseek: Some(Self::dir_llseek),
        read: Some(bindings::generic_read_dir),
        iterate_shared: Some(Self::iterate_shared),
        ..Self::COMMON
    };

    const FILE: bindings::file_operations = bindings::file_operations {
        llseek: Some(Self::llseek),
        read_iter: Some(read_write::read_iter::<T>),
        write_iter: Some(read_write::write_iter::<T>),
        mmap_prepare: Some(mmap::mmap_prepare::<T>),
        splice_read: Some(read_write::splice_read::<T>),
        splice_write: Some(bindings::iter_file_splice_write),
        fallocate: if T::HAS_FALLOCATE {
            Some(Self::fallocate)
        } else {
            None
        },
        ..Self::COMMON
    };

    /// # Safety
    ///
    /// Called by the VFS for a file that is being opened on an inode of this filesystem.
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        from_result(|| {
            // SAFETY: `do_dentry_open()` has a reference on the path, and nobody else has the file yet.
            to_result(unsafe { bindings::generic_file_open(inode, file) })?;
            // SAFETY: As above, and until this returns.
            let (inode, this) = unsafe { (Inode::<T>::from_raw(inode), File::<T>::from_raw(file)) };
            if inode.is_reg() {
                // SAFETY: Nobody else uses the file before it is open. `read_iter` and `write_iter`
                // know `IOCB_DIRECT`.
                unsafe { bindings::vfs_helper_file_set_can_odirect(file) };
            }
            if T::HAS_OPEN {
                T::open(inode, this)?;
            }
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS for a file of this filesystem whose `open` has succeeded, when nobody has it
    /// any more.
    unsafe extern "C" fn release(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: `__fput()` calls this when nobody else has the file, and drops the path, and with it the inode, after this returns.
        let (inode, file) = unsafe { (Inode::<T>::from_raw(inode), File::<T>::from_raw(file)) };
        T::release(inode, file);
        0
    }

    /// # Safety
    ///
    /// Called by the VFS for an open file of this filesystem.
    unsafe extern "C" fn fsync(
        file: *mut bindings::file,
        start: i64,
        end: i64,
        datasync: c_int,
    ) -> c_int {
        from_result(|| {
            // SAFETY: Who calls `vfs_fsync_range()` has a reference on the file; that one does not open or close it.
            let file = unsafe { File::<T>::from_raw(file) };
            T::fsync(
                file,
                file.inode(),
                start.max(0) as u64,
                end.max(0) as u64,
                datasync != 0,
            )?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// As for `fsync`.
    unsafe extern "C" fn ioctl(file: *mut bindings::file, cmd: c_uint, arg: c_ulong) -> c_long {
        // SAFETY: The system call has a reference on the file until it returns.
        let file = unsafe { File::<T>::from_raw(file) };
        match T::ioctl(file, file.inode(), cmd, arg) {
            Ok(ret) => ret,
            Err(e) => e.to_errno() as c_long,
        }
    }

    /// # Safety
    ///
    /// Called by the VFS with the directory locked at least shared, and a context that only this
    /// thread uses.
    unsafe extern "C" fn iterate_shared(
        file: *mut bindings::file,
        ctx: *mut bindings::dir_context,
    ) -> c_int {
        from_result(|| {
            // SAFETY: Who calls `iterate_dir()` has a reference on the file, and its position to itself (`fdget_pos()`, or nobody else has
            // the file): this crate keeps the long form in `private_data` of directories. The context is on its stack.
            let (file, mut ctx, last) = unsafe {
                let is_short = bindings::vfs_helper_has_short_positions(file);
                let last = &raw mut (*file).private_data;
                let ctx = NonNull::new(ctx).ok_or(EINVAL)?;
                let ctx = DirContext::new(ctx, is_short, last.read().addr() as u64);
                (File::<T>::from_raw(file), ctx, last)
            };
            // SAFETY: `iterate_dir()` holds `i_rwsem` of the file's inode, shared at least, over this call; the file has a reference on it.
            let dir = unsafe { Locked::new(file.inode()) };
            let outcome = T::iterate_shared(file, &dir, &mut ctx);
            // Where a pointer cannot hold it, what has one short position is not told apart.
            let pos = usize::try_from(ctx.pos()).unwrap_or(0);
            // SAFETY: The file's position is still only ours, and what belongs to it.
            unsafe { last.write(ptr::without_provenance_mut(pos)) };
            outcome?;
            Ok(0)
        })
    }

    /// Positions in a directory are the filesystem's own, up to `i64::MAX`, which is the end (or, for callers of 32 bits, their
    /// upper half, up to `i32::MAX`): they have nothing
    /// to do with how large a file may be, which bounds `generic_file_llseek()`.
    ///
    /// # Safety
    ///
    /// Called by the VFS for an open directory of this filesystem.
    unsafe extern "C" fn dir_llseek(file: *mut bindings::file, offset: i64, whence: c_int) -> i64 {
        // SAFETY: `vfs_llseek()` and `ksys_lseek()` hold a reference on the file while they call this; the
        // function takes no lock but the file's own for its position.
        unsafe {
            let end = if bindings::vfs_helper_has_short_positions(file) {
                i32::MAX.into()
            } else {
                i64::MAX
            };
            bindings::generic_file_llseek_size(file, offset, whence, end, end)
        }
    }

    /// # Safety
    ///
    /// Called by the VFS for an open regular file of this filesystem.
    unsafe extern "C" fn llseek(file: *mut bindings::file, offset: i64, whence: c_int) -> i64 {
        let hole = match whence as u32 {
            bindings::SEEK_HOLE => true,
            bindings::SEEK_DATA => false,
            // SAFETY: As in `dir_llseek`.
            _ => return unsafe { bindings::generic_file_llseek(file, offset, whence) },
        };
        let ops = iomap::map::ops::<T>();
        // The lock keeps truncation away while the mappings are walked.
        // SAFETY: As in `dir_llseek` there is a reference on the file, and so on its inode. The tables are for inodes of its type, and
        // the lock is released before this returns.
        unsafe {
            let inode = bindings::vfs_helper_file_inode(file);
            bindings::vfs_helper_inode_lock_shared(inode);
            let pos = if hole {
                bindings::iomap_seek_hole(inode, offset, ops)
            } else {
                bindings::iomap_seek_data(inode, offset, ops)
            };
            bindings::vfs_helper_inode_unlock_shared(inode);
            if pos < 0 {
                return pos;
            }
            bindings::vfs_setpos(file, pos, (*(*inode).i_sb).s_maxbytes)
        }
    }

    /// # Safety
    ///
    /// Called by the VFS for a regular file of this filesystem that is open for writing.
    unsafe extern "C" fn fallocate(
        file: *mut bindings::file,
        mode: c_int,
        offset: i64,
        len: i64,
    ) -> c_long {
        let change = || -> Result {
            // SAFETY: `vfs_fallocate()` was called with a reference on the file, which is open for writing.
            let this = unsafe { File::<T>::from_raw(file) };
            // SAFETY: The lock was just taken and is held until the end of this closure's only
            // call, below.
            let inode = unsafe { Locked::new(this.inode()) };
            inode.super_block().check_write()?;
            inode.dio_wait();
            // SAFETY: The file is valid, and `i_rwsem`, which the function asks for, is held.
            to_result(unsafe { bindings::file_modified(file) })?;
            let inode = inode.lock_invalidate();
            T::fallocate(
                this,
                &inode,
                mode as u32,
                u64::try_from(offset)?,
                u64::try_from(len)?,
            )
        };
        // SAFETY: The file is open, as above, and keeps its inode. The lock is released after the closure, in this task.
        let ret = unsafe {
            let inode = bindings::vfs_helper_file_inode(file);
            bindings::vfs_helper_inode_lock(inode);
            let ret = change();
            bindings::vfs_helper_inode_unlock(inode);
            ret
        };
        ret.map_or_else(|e| e.to_errno() as c_long, |()| 0)
    }
}
