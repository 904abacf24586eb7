// SPDX-License-Identifier: GPL-2.0

//! Directory entries.
//!
//! C header: [`include/linux/dcache.h`](srctree/include/linux/dcache.h)

use crate::{bindings, fs::FileSystem, inode::Inode};
use core::{marker::PhantomData, slice};
use kernel::{prelude::*, types::Opaque};

/// A directory entry whose name is stable, as the callbacks get it that look a name up or change one.
///
/// Renames change the name of a dentry under its directory's lock: a callback that does not have that lock
/// (`setattr`, `getattr`) is not given one of these.
///
/// # Invariants
///
/// References point at a valid dentry of a super block of type `T`, whose name and inode do not
/// change while the reference lives: the callback's directory is locked exclusively, or it is locked shared and the dentry is
/// still being looked up.
#[repr(transparent)]
pub struct Dentry<T: FileSystem>(Opaque<bindings::dentry>, PhantomData<T>);

impl<T: FileSystem> Dentry<T> {
    /// # Safety
    ///
    /// The type invariants hold for `'a`.
    pub(crate) unsafe fn from_raw<'a>(dentry: *mut bindings::dentry) -> &'a Self {
        // SAFETY: The caller vouches for the dentry. `Dentry` is transparent over `dentry`, in an `Opaque`, so that C may go on
        // writing to its other fields.
        unsafe { &*dentry.cast() }
    }

    fn as_ptr(&self) -> *mut bindings::dentry {
        self.0.get()
    }

    /// The name: 1 to 255 bytes, no `/`, no NUL, neither `.` nor `..`.
    pub fn name(&self) -> &[u8] {
        let mut len: c_uint = 0;
        // SAFETY: A valid dentry; its name has `len` bytes, and by the type invariant nobody moves the dentry, which is what
        // would change or free them, while `self` is borrowed.
        unsafe {
            let name = bindings::vfs_helper_d_name(self.as_ptr(), &mut len);
            slice::from_raw_parts(name, len as usize)
        }
    }

    /// The inode, if the entry exists.
    pub fn inode(&self) -> Option<&Inode<T>> {
        // SAFETY: A valid dentry. Its inode is null, or of type `T` as all of the super block, and by the type invariant the dentry
        // keeps it, with the reference that it has on it, while `self` is borrowed.
        unsafe {
            let inode = bindings::vfs_helper_d_inode(self.as_ptr());
            (!inode.is_null()).then(|| Inode::from_raw(inode))
        }
    }

    /// Unhashes the entry (`d_drop()`): the next lookup of its name asks the filesystem. Context: process.
    pub fn drop_name(&self) {
        // SAFETY: A valid dentry. The call takes `d_lock`, and leaves name and inode as they are.
        unsafe { bindings::d_drop(self.as_ptr()) };
    }
}
