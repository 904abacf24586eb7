// SPDX-License-Identifier: GPL-2.0

//! The callbacks of `struct inode_operations` that have to do with one inode, and with no name.

use crate::{
    bindings,
    inode::{Attr, Inode, Kstat, Locked},
    ops::InodeOperations,
};
use kernel::{error::from_result, prelude::*};

/// # Safety
///
/// Called by the VFS with the inode of `dentry` locked exclusively.
pub(super) unsafe extern "C" fn setattr<T: InodeOperations>(
    idmap: *mut bindings::mnt_idmap,
    dentry: *mut bindings::dentry,
    attr: *mut bindings::iattr,
) -> c_int {
    from_result(|| {
        // SAFETY: `notify_change()` asks its callers for a positive dentry whose inode they have locked, and passes on what
        // they have on their stacks. Nothing keeps the name.
        let (inode, attr) = unsafe {
            let inode = Inode::<T>::from_raw(bindings::vfs_helper_d_inode(dentry));
            (Locked::new(inode), Attr::new(idmap, dentry, attr))
        };
        inode.super_block().check_write()?;
        T::setattr(&inode, &attr)?;
        Ok(0)
    })
}

/// # Safety
///
/// Called by the VFS with a valid path of this filesystem.
pub(super) unsafe extern "C" fn getattr<T: InodeOperations>(
    idmap: *mut bindings::mnt_idmap,
    path: *const bindings::path,
    stat: *mut bindings::kstat,
    request_mask: u32,
    _flags: c_uint,
) -> c_int {
    from_result(|| {
        // SAFETY: The caller of `vfs_getattr_nosec()` has a reference on the path, whose dentry is positive: that keeps the inode.
        // `stat` is on that caller's stack.
        let (inode, stat) = unsafe {
            let inode = bindings::vfs_helper_d_inode((*path).dentry);
            bindings::generic_fillattr(idmap, request_mask, inode, stat);
            (Inode::from_raw(inode), Kstat::from_raw(stat))
        };
        T::getattr(inode, stat, request_mask)?;
        Ok(0)
    })
}

/// # Safety
///
/// Called by the VFS for a symbolic link of this filesystem: with a dentry and a reference on
/// the inode, or without a dentry under RCU.
pub(super) unsafe extern "C" fn get_link<T: InodeOperations>(
    dentry: *mut bindings::dentry,
    inode: *mut bindings::inode,
    done: *mut bindings::delayed_call,
) -> *const c_char {
    if dentry.is_null() {
        return ECHILD.to_ptr::<c_char>();
    }
    // SAFETY: With a dentry `pick_link()` and `vfs_get_link()` are out of RCU and have a reference on it, which keeps the inode.
    match T::get_link(unsafe { Inode::from_raw(inode) }) {
        Ok(target) => {
            // SAFETY: A `CString` ends with a NUL.
            let copy =
                unsafe { bindings::kstrdup(target.as_char_ptr(), bindings::VFS_CONST_GFP_KERNEL) };
            if copy.is_null() {
                return ENOMEM.to_ptr::<c_char>();
            }
            // SAFETY: `done` is the caller's, who runs it when it is through with the copy.
            unsafe { bindings::vfs_helper_set_delayed_kfree(done, copy.cast()) };
            copy
        }
        Err(e) => e.to_ptr::<c_char>(),
    }
}
