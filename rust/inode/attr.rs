// SPDX-License-Identifier: GPL-2.0

//! What `setattr` and `getattr` get.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h), [`include/linux/stat.h`](srctree/include/linux/stat.h)

use super::{Locked, Write};
use crate::{bindings, dentry::Dentry, fs::FileSystem, time::Timespec};
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
        // SAFETY: By the contract; `Idmap` is transparent over `mnt_idmap`.
        unsafe { &*idmap.cast() }
    }

    pub(crate) fn as_ptr(&self) -> *mut bindings::mnt_idmap {
        self.0.get()
    }
}

/// The attributes that `setattr` is to change (`struct iattr`).
///
/// # Invariants
///
/// References point at a valid `iattr` that only this thread uses.
#[repr(transparent)]
pub struct Attr(Opaque<bindings::iattr>);

impl Attr {
    /// # Safety
    ///
    /// The type invariant holds for `'a`.
    pub(crate) unsafe fn from_raw<'a>(attr: *mut bindings::iattr) -> &'a Self {
        // SAFETY: By the contract; `Attr` is transparent over `iattr`.
        unsafe { &*attr.cast() }
    }

    /// Checks permissions and limits (`setattr_prepare`). To be called first.
    ///
    /// # Errors
    ///
    /// `EPERM`, `EFBIG`, `ETXTBSY` and what else the check says.
    pub fn prepare<T: FileSystem>(&self, idmap: &Idmap, dentry: &Dentry<T>) -> Result {
        // SAFETY: By the type invariants.
        to_result(unsafe {
            bindings::setattr_prepare(idmap.as_ptr(), dentry.as_ptr(), self.0.get())
        })
    }

    /// The new size in bytes, if it is to be set.
    pub fn size(&self) -> Option<u64> {
        // SAFETY: By the type invariant.
        let attr = unsafe { &*self.0.get() };
        if attr.ia_valid & bindings::VFS_CONST_ATTR_SIZE == 0 {
            return None;
        }
        u64::try_from(attr.ia_size).ok()
    }

    /// Copies everything but the size to the inode (`setattr_copy`). To be called when nothing can
    /// fail any more.
    pub fn copy<T: FileSystem>(&self, idmap: &Idmap, inode: &Locked<'_, T, Write>) {
        // SAFETY: By the type invariants; `i_rwsem` is held.
        unsafe { bindings::setattr_copy(idmap.as_ptr(), inode.as_ptr(), self.0.get()) };
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
        // SAFETY: By the contract; `Kstat` is transparent over `kstat`.
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
