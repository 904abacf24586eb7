// SPDX-License-Identifier: GPL-2.0

//! Memory mappings of regular files.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)

use crate::{bindings, inode::Inode, ops::Complete, tables::iomap};
use core::{marker::PhantomData, ptr};
use kernel::prelude::*;

struct VTable<T>(PhantomData<T>);

impl<T: Complete> VTable<T> {
    const OPS: bindings::vm_operations_struct = bindings::vm_operations_struct {
        fault: Some(bindings::filemap_fault),
        map_pages: Some(bindings::filemap_map_pages),
        page_mkwrite: Some(Self::page_mkwrite),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Called by the memory manager for the first write to a clean page of a shared mapping of a
    /// regular file of this filesystem, without locks of the filesystem.
    unsafe extern "C" fn page_mkwrite(vmf: *mut bindings::vm_fault) -> bindings::vm_fault_t {
        // SAFETY: `do_page_mkwrite()` holds the mapping's file, and that its inode and super block, until this returns; `mmap_prepare`
        // gives the table to files of type `T` only. What is taken is released in the opposite order, in this task.
        unsafe {
            let file = bindings::vfs_helper_vmf_file(vmf);
            let inode = bindings::vfs_helper_file_inode(file);
            if Inode::<T>::from_raw(inode)
                .super_block()
                .check_write()
                .is_err()
            {
                return bindings::vm_fault_reason_VM_FAULT_SIGBUS as bindings::vm_fault_t;
            }
            bindings::vfs_helper_sb_start_pagefault((*inode).i_sb);
            bindings::file_update_time(file);
            let mut ret = Self::make_dirty(vmf, inode);
            // Why the process is to get the signal is not told: it may be for want of space.
            if T::HAS_NO_SPACE
                && ret & bindings::vm_fault_reason_VM_FAULT_SIGBUS != 0
                && T::no_space(Inode::from_raw(inode))
            {
                ret = Self::make_dirty(vmf, inode);
            }
            bindings::vfs_helper_sb_end_pagefault((*inode).i_sb);
            ret
        }
    }

    /// Makes the page of a fault dirty, with space for it.
    ///
    /// # Safety
    ///
    /// `vmf` is what `page_mkwrite` was called with and has not returned from, and `inode` that of the mapped file.
    unsafe fn make_dirty(
        vmf: *mut bindings::vm_fault,
        inode: *mut bindings::inode,
    ) -> bindings::vm_fault_t {
        // SAFETY: The fault holds the file, and that the inode; the tables are for inodes of this file's type. The page is locked by
        // `iomap_page_mkwrite()` itself and not locked if that fails, so it may be called again.
        unsafe {
            // Keeps truncation away between the check of the size and the page turning dirty.
            bindings::vfs_helper_filemap_invalidate_lock_shared(inode);
            let ret = bindings::iomap_page_mkwrite(vmf, iomap::map::ops::<T>(), ptr::null_mut());
            bindings::vfs_helper_filemap_invalidate_unlock_shared(inode);
            ret
        }
    }
}

/// # Safety
///
/// Called by the memory manager for a mapping in preparation of a regular file of this filesystem.
pub(super) unsafe extern "C" fn mmap_prepare<T: Complete>(
    desc: *mut bindings::vm_area_desc,
) -> c_int {
    // SAFETY: `mmap_region()` has the file, and nobody else has the description, until the mapping is there.
    unsafe {
        bindings::vfs_helper_file_accessed((*desc).file);
        (*desc).vm_ops = &VTable::<T>::OPS;
    }
    0
}
