// SPDX-License-Identifier: GPL-2.0

//! What `setattr` and `getattr` get.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h), [`include/linux/stat.h`](srctree/include/linux/stat.h)

use super::Inode;
use crate::{bindings, fs::FileSystem, time::Timespec};
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{error::to_result, prelude::*, types::Opaque};

/// How a mount maps ids (`struct mnt_idmap`). Passed through to the functions that need it.
///
/// # Invariants
///
/// References point at a valid `mnt_idmap`.
#[repr(transparent)]
pub struct Idmap(Opaque<bindings::mnt_idmap>);

impl Idmap {
    /// # Safety
    ///
    /// `idmap` is valid for `'a`.
    pub(crate) unsafe fn from_raw<'a>(idmap: *mut bindings::mnt_idmap) -> &'a Self {
        // SAFETY: The caller vouches for the map. `Idmap` is transparent over `mnt_idmap`, in an `Opaque`.
        unsafe { &*idmap.cast() }
    }

    pub(crate) fn as_ptr(&self) -> *mut bindings::mnt_idmap {
        self.0.get()
    }
}

/// The attributes that `setattr` is to change, and of what (`struct iattr`).
///
/// The name under which the file is changed is not told: nothing keeps it from being renamed meanwhile.
///
/// # Invariants
///
/// For `'a` all three are valid; `dentry` is positive, of type `T`, and the `i_rwsem` of its inode is held exclusively;
/// only this thread uses `attr`.
pub struct Attr<'a, T: FileSystem> {
    idmap: NonNull<bindings::mnt_idmap>,
    dentry: NonNull<bindings::dentry>,
    attr: NonNull<bindings::iattr>,
    _change: PhantomData<(&'a Idmap, &'a Inode<T>)>,
}

impl<T: FileSystem> Attr<'_, T> {
    /// # Safety
    ///
    /// The type invariants hold for `'a`.
    pub(crate) unsafe fn new(
        idmap: *mut bindings::mnt_idmap,
        dentry: *mut bindings::dentry,
        attr: *mut bindings::iattr,
    ) -> Self {
        // SAFETY: What is valid is not null.
        unsafe {
            Self {
                idmap: NonNull::new_unchecked(idmap),
                dentry: NonNull::new_unchecked(dentry),
                attr: NonNull::new_unchecked(attr),
                _change: PhantomData,
            }
        }
    }

    /// Checks permissions and limits (`setattr_prepare`). To be called first.
    ///
    /// # Errors
    ///
    /// `EPERM`, `EFBIG`, `ETXTBSY` and what else the check says.
    pub fn prepare(&self) -> Result {
        let (idmap, dentry) = (self.idmap.as_ptr(), self.dentry.as_ptr());
        // SAFETY: All three are valid and the inode is locked, which is what the function asks for. It may change the
        // attributes, which only this thread uses, and of which no reference is kept here.
        to_result(unsafe { bindings::setattr_prepare(idmap, dentry, self.attr.as_ptr()) })
    }

    /// The new size in bytes, if it is to be set.
    pub fn size(&self) -> Option<u64> {
        // SAFETY: The attributes are valid and only this thread uses them.
        let (valid, size) = unsafe {
            let attr = self.attr.as_ptr();
            ((*attr).ia_valid, (*attr).ia_size)
        };
        if valid & bindings::VFS_CONST_ATTR_SIZE == 0 {
            return None;
        }
        u64::try_from(size).ok()
    }

    /// Copies everything but the size to the inode (`setattr_copy`). To be called when nothing can
    /// fail any more.
    pub fn copy(&self) {
        // SAFETY: All three are valid. The inode is that of the dentry, which is positive, and its lock is held: that
        // serialises the attributes against other changes.
        unsafe {
            let inode = bindings::vfs_helper_d_inode(self.dentry.as_ptr());
            bindings::setattr_copy(self.idmap.as_ptr(), inode, self.attr.as_ptr());
        }
    }
}

/// What `getattr` fills in (`struct kstat`).
#[repr(transparent)]
pub struct Kstat(bindings::kstat);

impl Kstat {
    /// # Safety
    ///
    /// `stat` is valid for `'a`, and only this thread uses it.
    pub(crate) unsafe fn from_raw<'a>(stat: *mut bindings::kstat) -> &'a mut Self {
        // SAFETY: The caller vouches for it, and that nobody else uses it. `Kstat` is transparent over `kstat`.
        unsafe { &mut *stat.cast() }
    }

    /// Sets the time of creation.
    pub fn set_btime(&mut self, ts: Timespec) {
        self.0.btime = ts.into();
        self.0.result_mask |= bindings::STATX_BTIME;
    }

    /// Sets the preferred size of I/O, in bytes.
    pub fn set_blksize(&mut self, bytes: u32) {
        self.0.blksize = bytes;
    }

    /// Sets the space in use, in units of 512 bytes.
    pub fn set_blocks(&mut self, sectors: u64) {
        self.0.blocks = sectors;
    }
}
