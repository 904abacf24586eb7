// SPDX-License-Identifier: GPL-2.0

//! References on inodes that safe code has forgotten ([`core::mem::forget`]), and their end.

use super::{
    container::Container,
    new::{is_new, New},
};
use crate::{bindings, fs::FileSystem};
use core::ptr::NonNull;

/// Gives one reference back that was an [`IRef`] or a [`New`].
///
/// # Safety
///
/// `inode` is valid and of type `T`; the reference is the caller's, and is counted in its container.
unsafe fn give_back_one<T: FileSystem>(inode: NonNull<bindings::inode>) {
    // SAFETY: The caller's reference keeps the inode. Whoever has one on an inode that is `I_NEW` has made it.
    unsafe {
        if is_new(inode) {
            drop(New::<'_, T>::counted(inode));
        } else {
            Container::<T>::of(inode.as_ptr()).note_returned();
            bindings::iput(inode.as_ptr());
        }
    }
}

/// Whether safe code has forgotten a reference on `inode`, at a time when none of its references can live.
///
/// # Safety
///
/// `inode` is a valid inode of type `T`.
unsafe extern "C" fn was_forgotten<T: FileSystem>(inode: *mut bindings::inode) -> bool {
    // SAFETY: The caller vouches for a valid inode of type `T`.
    unsafe { Container::<T>::of(inode) }.given() != 0
}

/// Gives back the references on inodes that safe code has forgotten, so that they go before their super block does.
/// Without that their pages, which memory reclaim finds, would point at freed memory and at a module that is no more.
///
/// # Safety
///
/// `sb` is a super block of type `T` with data that is being taken down: nobody else uses it, no callback for it
/// runs that could have references on inodes, and its background tasks were stopped.
pub(crate) unsafe fn give_back<T: FileSystem>(sb: *mut bindings::super_block) {
    loop {
        // SAFETY: The super block is valid, and all its inodes come from `alloc_inode`, so that they are of type `T`.
        let inode = unsafe { bindings::vfs_helper_find_inode(sb, Some(was_forgotten::<T>)) };
        let Some(inode) = NonNull::new(inode) else {
            break;
        };
        kernel::pr_warn_once!(
            "a reference on an inode was forgotten; it is given back at unmount\n"
        );
        // SAFETY: The inode is valid: the reference that was forgotten keeps it. By *Given* that reference is nobody's, so
        // that it is ours to give back. Nobody else does: the super block is ours.
        unsafe { give_back_one::<T>(inode) };
    }
}
