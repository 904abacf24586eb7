// SPDX-License-Identifier: GPL-2.0

//! Writeback with delayed allocation: `struct iomap_writeback_ops`.

use super::{ioend, map, observer::announce};
use crate::{
    bindings,
    inode::Inode,
    iomap::{Io, MapKind},
    ops::Complete,
    scope::NoFs,
    stopped,
};
use core::{marker::PhantomData, ptr};
use kernel::prelude::*;

struct VTable<T>(PhantomData<T>);

impl<T: Complete> VTable<T> {
    const OPS: bindings::iomap_writeback_ops = bindings::iomap_writeback_ops {
        writeback_range: Some(Self::writeback_range),
        writeback_submit: Some(Self::writeback_submit),
    };

    /// Whether the mapping of the last range serves for `pos` too.
    ///
    /// # Safety
    ///
    /// `wpc` is valid, and its inode is of type `T`.
    unsafe fn is_mapped(wpc: *mut bindings::iomap_writepage_ctx, pos: u64) -> bool {
        if !T::HAS_MAPPING_VALID {
            return false;
        }
        // SAFETY: The context is on the stack of `writepages`, and only this task uses it. The folio that is being written is locked, which
        // keeps the inode.
        let (inode, iomap) = unsafe { (Inode::<T>::from_raw((*wpc).inode), &(*wpc).iomap) };
        let start = iomap.offset as u64;
        // The folio is locked, so that what the map says about it does not change after this.
        pos >= start && pos < start + iomap.length && T::mapping_valid(inode, iomap.validity_cookie)
    }

    /// # Safety
    ///
    /// As for `is_mapped`.
    unsafe fn map(wpc: *mut bindings::iomap_writepage_ctx, pos: u64, len: u64) -> Result {
        // SAFETY: Our caller vouches for the same.
        if unsafe { Self::is_mapped(wpc, pos) } {
            return Ok(());
        }
        let _nofs = NoFs::enter();
        // SAFETY: The locked folio keeps the inode, as in `is_mapped`.
        let mapping = T::writeback_map(unsafe { Inode::from_raw((*wpc).inode) }, pos, len)?;
        if !matches!(mapping.kind, MapKind::Mapped(_) | MapKind::Hole) {
            return Err(EFSCORRUPTED);
        }
        // SAFETY: The inode as above; the mapping is in the context, which is only ours.
        unsafe { map::fill((*wpc).inode, &raw mut (*wpc).iomap, &mapping, pos) }
    }

    /// # Safety
    ///
    /// Called by iomap with a locked folio of a regular file of this filesystem that was just set
    /// under writeback.
    unsafe extern "C" fn writeback_range(
        wpc: *mut bindings::iomap_writepage_ctx,
        folio: *mut bindings::folio,
        pos: u64,
        len: c_uint,
        end_pos: u64,
    ) -> isize {
        // SAFETY: `iomap_writepages()` was given the context by `writepages`, for an inode of type `T`.
        let ret = match unsafe { Self::map(wpc, pos, len.into()) } {
            // SAFETY: The folio is locked and under writeback, and the mapping in the context covers `pos`: `map` has seen to that.
            Ok(()) => unsafe {
                bindings::iomap_add_to_ioend(wpc, folio, pos as i64, end_pos as i64, len)
            },
            Err(e) => e.to_errno() as isize,
        };
        if ret < 0 && T::HAS_PUNCH_DELALLOC {
            // The rest of the folio turns clean: its reservations would never be used or found
            // again.
            // SAFETY: The folio is still locked.
            let (inode, end) = unsafe {
                (
                    Inode::from_raw((*wpc).inode),
                    bindings::vfs_helper_folio_end(folio),
                )
            };
            T::punch_delalloc(inode, pos, end as u64);
        }
        ret
    }

    /// # Safety
    ///
    /// Called by iomap with a context whose `wb_ctx` is the ioend that was built up.
    unsafe extern "C" fn writeback_submit(
        wpc: *mut bindings::iomap_writepage_ctx,
        error: c_int,
    ) -> c_int {
        // SAFETY: The context is that of `writepages`, which is waiting for this.
        let ioend = unsafe { (*wpc).wb_ctx }.cast::<bindings::iomap_ioend>();
        let mut error = error;
        // SAFETY: `wb_ctx` is the ioend that `iomap_add_to_ioend()` has built up, ours until it is submitted. Its folios are under
        // writeback, which keeps the inode. There is no need to complete in a task when the queue's work does.
        unsafe {
            (*ioend).io_bio.bi_end_io = Some(end_bio::<T>);
            bindings::vfs_helper_bio_clear_complete_in_task(&raw mut (*ioend).io_bio);
            if error == 0 {
                let io = Io {
                    write: true,
                    bytes: (*ioend).io_size as u64,
                };
                match announce::<T>((*ioend).io_inode, io) {
                    Ok(()) => ioend::mark::<T>(ioend),
                    Err(e) => error = e.to_errno(),
                }
            }
        }
        // With an error it ends the bio instead of submitting it.
        // SAFETY: As above: the context has an ioend, which goes over.
        unsafe { bindings::iomap_ioend_writeback_submit(wpc, error) }
    }
}

/// # Safety
///
/// Called by the block layer, in any context, when a bio of `writeback_submit` has ended.
unsafe extern "C" fn end_bio<T: Complete>(bio: *mut bindings::bio) {
    // SAFETY: `writeback_submit` has set this as the end of an ioend's bio, and the block layer calls it once. The folios are under
    // writeback until the queue's work has run, which keeps the inode.
    unsafe {
        let ioend = bindings::vfs_helper_ioend_from_bio(bio);
        ioend::report::<T>(ioend);
        if !stopped::is_set() {
            ioend::defer::<T>(ioend);
        }
    }
}

/// # Safety
///
/// Called by the memory manager for the mapping of a regular file of this filesystem.
pub(super) unsafe extern "C" fn writepages<T: Complete>(
    mapping: *mut bindings::address_space,
    wbc: *mut bindings::writeback_control,
) -> c_int {
    let mut wpc = bindings::iomap_writepage_ctx {
        // SAFETY: `do_writepages()` is called for a mapping whose inode the flusher (`I_SYNC`), a reference or a file keeps.
        inode: unsafe { (*mapping).host },
        wbc,
        ops: &VTable::<T>::OPS,
        nr_folios: 0,
        wb_ctx: ptr::null_mut(),
        iomap: pin_init::zeroed(),
    };
    // SAFETY: The context is set up; it is not used after the call.
    unsafe { bindings::iomap_writepages(&mut wpc) }
}
