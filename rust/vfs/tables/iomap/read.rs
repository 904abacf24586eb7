// SPDX-License-Identifier: GPL-2.0

//! Buffered reads: `struct iomap_read_ops`.

use super::{
    ioend, map,
    observer::{announce, ended},
};
use crate::{bindings, block::Batch, iomap::Io, ops::Complete, stopped};
use core::{marker::PhantomData, ptr};
use kernel::{error::from_result, prelude::*};

struct VTable<T>(PhantomData<T>);

impl<T: Complete> VTable<T> {
    /// Bios out of iomap's set for ioends, so that their end finds the inode.
    const OPS: bindings::iomap_read_ops = bindings::iomap_read_ops {
        read_folio_range: Some(bindings::iomap_bio_read_folio_range),
        submit_read: Some(Self::submit_read),
        bio_set: &raw mut bindings::iomap_ioend_bioset,
    };

    fn build() -> *const bindings::iomap_read_ops {
        if T::HAS_SUBMIT_IO {
            &Self::OPS
        } else {
            &raw const bindings::iomap_bio_read_ops
        }
    }

    /// # Safety
    ///
    /// Called by iomap with the bio of `iomap_bio_read_folio_range()` as `read_ctx`.
    unsafe extern "C" fn submit_read(
        iter: *const bindings::iomap_iter,
        ctx: *mut bindings::iomap_read_folio_ctx,
    ) {
        // SAFETY: `read_ctx` is the bio that iomap has built up, out of the set for ioends. It is ours until it is submitted, and then
        // its end's. The folios in it are locked, which keeps the inode.
        unsafe {
            let bio = (*ctx).read_ctx.cast::<bindings::bio>();
            let ioend =
                bindings::iomap_init_ioend((*iter).inode, bio, (*ctx).read_ctx_file_offset, 0);
            let io = Io {
                write: false,
                bytes: (*ioend).io_size as u64,
            };
            if let Err(e) = announce::<T>((*iter).inode, io) {
                (*ctx).read_ctx = ptr::null_mut();
                (*bio).bi_end_io = Some(end_read::<T>);
                bindings::vfs_helper_bio_set_error(bio, e.to_errno());
                bindings::bio_endio(bio);
                return;
            }
            ioend::mark::<T>(ioend);
            bindings::iomap_bio_submit_read_endio(iter, ctx, Some(end_read::<T>));
        }
    }
}

/// # Safety
///
/// Called by the block layer, in any context, when a bio of `submit_read` has ended.
unsafe extern "C" fn end_read<T: Complete>(bio: *mut bindings::bio) {
    // SAFETY: `submit_read` has made an ioend of the bio, which the block layer gives back here, once. Its folios are locked until it
    // goes on below, which keeps the inode.
    unsafe {
        let ioend = bindings::vfs_helper_ioend_from_bio(bio);
        ioend::report::<T>(ioend);
        if stopped::is_set() {
            return;
        }
        if bindings::vfs_helper_bio_error(bio) == 0 {
            bindings::vfs_helper_end_buffered_read(bio);
        } else {
            // Reporting an error takes locks that this context may have interrupted.
            ioend::defer::<T>(ioend);
        }
    }
}

/// Reads the rest of a block that is written in part, and waits for it.
///
/// # Safety
///
/// Called by iomap in process context, with a locked folio of a regular file of this filesystem.
pub(super) unsafe extern "C" fn read_folio_range<T: Complete>(
    iter: *const bindings::iomap_iter,
    folio: *mut bindings::folio,
    pos: i64,
    len: usize,
) -> c_int {
    let io = Io {
        write: false,
        bytes: len as u64,
    };
    from_result(|| {
        // SAFETY: `__iomap_write_begin()` holds the folio locked, which keeps the inode, and the iterator on its stack. The bio is new
        // and ours; it is waited for, so that nothing of it outlives this.
        unsafe {
            announce::<T>((*iter).inode, io)?;
            let bio = bindings::vfs_helper_folio_range_bio(iter, folio, pos, len);
            let inode = (*iter).inode;
            let observer = || ended::<T>(inode, io);
            pin_init::stack_pin_init!(let batch = Batch::new(Some(&observer)));
            batch.as_ref().submit(bio);
            let ret = batch.as_mut().wait();
            ended::<T>(inode, io);
            ret?;
        }
        Ok(0)
    })
}

/// # Safety
///
/// Called by the memory manager with a locked folio of a regular file of this filesystem.
pub(super) unsafe extern "C" fn read_folio<T: Complete>(
    _file: *mut bindings::file,
    folio: *mut bindings::folio,
) -> c_int {
    let mut ctx = bindings::iomap_read_folio_ctx {
        ops: VTable::<T>::build(),
        cur_folio: folio,
        ..pin_init::zeroed()
    };
    // SAFETY: `filemap_read_folio()` has the folio locked, which keeps its mapping's inode; its end unlocks it. The inode has these
    // operations only if it is of type `T`, as the tables are.
    unsafe { bindings::iomap_read_folio(map::ops::<T>(), &mut ctx, ptr::null_mut()) };
    0
}

/// # Safety
///
/// Called by the memory manager for a regular file of this filesystem.
pub(super) unsafe extern "C" fn readahead<T: Complete>(rac: *mut bindings::readahead_control) {
    let mut ctx = bindings::iomap_read_folio_ctx {
        ops: VTable::<T>::build(),
        rac,
        ..pin_init::zeroed()
    };
    // SAFETY: `read_pages()` has the folios locked, which keeps their mapping's inode; the rest is as for `read_folio`.
    unsafe { bindings::iomap_readahead(map::ops::<T>(), &mut ctx, ptr::null_mut()) };
}
