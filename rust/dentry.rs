// SPDX-License-Identifier: GPL-2.0

//! Directory entries.
//!
//! C header: [`include/linux/dcache.h`](srctree/include/linux/dcache.h)

use crate::{bindings, fs::FileSystem, inode::Inode};
use core::{marker::PhantomData, slice};
use kernel::{prelude::*, types::Opaque};

/// A `struct dentry`, as callbacks get it.
///
/// # Invariants
///
/// References point at a valid dentry of a super block of type `T`, whose name and inode do not
/// change while the reference lives: the callback's directory is locked, or the dentry is still
/// being looked up.
#[repr(transparent)]
pub struct Dentry<T: FileSystem>(Opaque<bindings::dentry>, PhantomData<T>);

impl<T: FileSystem> Dentry<T> {
    /// # Safety
    ///
    /// The type invariants hold for `'a`.
    pub(crate) unsafe fn from_raw<'a>(dentry: *mut bindings::dentry) -> &'a Self {
        // SAFETY: By the contract; `Dentry` is transparent over `dentry`.
        unsafe { &*dentry.cast() }
    }

    pub(crate) fn as_ptr(&self) -> *mut bindings::dentry {
        self.0.get()
    }

    /// The name: 1 to 255 bytes, no `/`, no NUL, neither `.` nor `..`.
    pub fn name(&self) -> &[u8] {
        let mut len: c_uint = 0;
        // SAFETY: By the type invariant.
        let name = unsafe { bindings::vfs_helper_d_name(self.as_ptr(), &mut len) };
        // SAFETY: The name has `len` bytes and, by the type invariant, does not change.
        unsafe { slice::from_raw_parts(name, len as usize) }
    }

    /// The inode, if the entry exists.
    pub fn inode(&self) -> Option<&Inode<T>> {
        // SAFETY: By the type invariant.
        let inode = unsafe { bindings::vfs_helper_d_inode(self.as_ptr()) };
        // SAFETY: By the type invariant it is null, or an inode of type `T` on which the dentry
        // holds a reference.
        (!inode.is_null()).then(|| unsafe { Inode::from_raw(inode) })
    }

    /// Unhashes the entry (`d_drop()`): the next lookup of its name asks the filesystem. Context: process.
    pub fn drop_name(&self) {
        // SAFETY: By the type invariant it is valid; the call takes the locks that it needs.
        unsafe { bindings::d_drop(self.as_ptr()) };
    }
}
