// SPDX-License-Identifier: GPL-2.0

//! Direct I/O: `struct iomap_dio_ops`.

use super::{ioend, observer::announce};
use crate::{bindings, inode::Inode, iomap::Io, ops::Complete, scope::NoFs, stopped};
use core::{marker::PhantomData, ptr};
use kernel::{error::from_result, prelude::*};

/// Which direct I/O it is.
#[derive(Clone, Copy)]
pub(crate) enum Dio {
    /// A read, or a write that changes no metadata but times.
    Overwrite,
    /// A write that may fill holes or extend the file, waited for with `i_rwsem` held exclusively.
    Allocate,
}

/// The operations for `dio`; null where iomap's own are enough.
pub(crate) const fn dio_ops<T: Complete>(dio: Dio) -> *const bindings::iomap_dio_ops {
    match dio {
        Dio::Overwrite if T::HAS_SUBMIT_IO => &VTable::<T>::OVERWRITE,
        Dio::Overwrite => ptr::null(),
        Dio::Allocate => &VTable::<T>::ALLOCATE,
    }
}

struct VTable<T>(PhantomData<T>);

impl<T: Complete> VTable<T> {
    const OVERWRITE: bindings::iomap_dio_ops = bindings::iomap_dio_ops {
        end_io: None,
        submit_io: if T::HAS_SUBMIT_IO {
            Some(Self::submit_io)
        } else {
            None
        },
        bio_set: if T::HAS_SUBMIT_IO {
            &raw mut bindings::iomap_ioend_bioset
        } else {
            ptr::null_mut()
        },
    };

    const ALLOCATE: bindings::iomap_dio_ops = bindings::iomap_dio_ops {
        end_io: Some(Self::end_io),
        ..Self::OVERWRITE
    };

    /// # Safety
    ///
    /// Called by iomap with a bio for a regular file of this filesystem.
    unsafe extern "C" fn submit_io(
        iter: *const bindings::iomap_iter,
        bio: *mut bindings::bio,
        file_offset: i64,
    ) {
        // SAFETY: `iomap_dio_submit_bio()` hands over a bio out of the set for ioends (`bio_set` in the table), so that there is room
        // for an ioend around it; it is ours until it is submitted or ended. The direct I/O has the inode, through its file.
        unsafe {
            let flags = bindings::VFS_CONST_IOMAP_IOEND_DIRECT;
            let ioend = bindings::iomap_init_ioend((*iter).inode, bio, file_offset, flags);
            (*bio).bi_end_io = Some(Self::end_bio);
            let write = !bindings::vfs_helper_bio_is_read(bio);
            match announce::<T>(
                (*iter).inode,
                Io {
                    write,
                    bytes: (*ioend).io_size as u64,
                },
            ) {
                Ok(()) => {
                    ioend::mark::<T>(ioend);
                    bindings::submit_bio(bio);
                }
                Err(e) => {
                    bindings::vfs_helper_bio_set_error(bio, e.to_errno());
                    bindings::bio_endio(bio);
                }
            }
        }
    }

    /// # Safety
    ///
    /// Called by the block layer, in any context, when a bio of `submit_io` has ended.
    unsafe extern "C" fn end_bio(bio: *mut bindings::bio) {
        // SAFETY: `submit_io` has made the ioend, and the block layer gives the bio back here, once. The direct I/O that the bio is part
        // of keeps the inode until `iomap_dio_bio_end_io()` has counted its last bio.
        unsafe {
            ioend::report::<T>(bindings::vfs_helper_ioend_from_bio(bio));
            if !stopped::is_set() {
                bindings::iomap_dio_bio_end_io(bio);
            }
        }
    }

    /// # Safety
    ///
    /// Called by iomap when all of a direct write has ended, in the task that waits for it and
    /// holds `i_rwsem`.
    unsafe extern "C" fn end_io(
        iocb: *mut bindings::kiocb,
        size: isize,
        error: c_int,
        _flags: c_uint,
    ) -> c_int {
        from_result(|| {
            // SAFETY: `iomap_dio_complete()` calls this in the task that waits, whose request keeps the file and the inode.
            let (inode, pos) = unsafe {
                (
                    Inode::<T>::from_raw(bindings::vfs_helper_file_inode((*iocb).ki_filp)),
                    u64::try_from((*iocb).ki_pos)?,
                )
            };
            let len = u64::try_from(size).unwrap_or(0);
            let error = (error < 0).then(|| Error::from_errno(error));
            if len == 0 && error.is_none() {
                return Ok(0);
            }
            let _nofs = NoFs::enter();
            T::direct_done(inode, pos, len, error)?;
            if let Some(error) = error {
                return Err(error);
            }
            // Only now: a reader that sees the new size must find the blocks.
            if pos + len > inode.size() {
                inode.size_write(pos + len);
            }
            Ok(0)
        })
    }
}
