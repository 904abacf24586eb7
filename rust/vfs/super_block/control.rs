// SPDX-License-Identifier: GPL-2.0

//! Freezing, syncing and shutting down from inside of the filesystem, and telling of errors.

use super::SuperBlock;
use crate::{bindings, fs::FileSystem};
use kernel::{error::to_result, prelude::*, sync::atomic::Relaxed};

impl<T: FileSystem> SuperBlock<T> {
    /// Makes everything that would change the filesystem fail with `EROFS`, because of an error; only unmount ends it. Writers that
    /// are under way are not waited for. Context: any.
    ///
    /// This is no remount: `SB_RDONLY` belongs to who holds `s_umount`, and to have it flipped in between would make a thaw, a sync or a
    /// remount leave out what is due. Data in memory is still written back, as far as that goes.
    pub fn force_read_only(&self) {
        self.info().changes_refused.store(true, Relaxed);
    }

    /// Whether [`Self::force_read_only`] was called.
    pub fn is_forced_read_only(&self) -> bool {
        self.info().changes_refused.load(Relaxed)
    }

    /// Makes reading and writing files fail with `EIO`, also what is in memory: for a filesystem that was shut down. It is so by itself
    /// when the device is gone. Only unmount ends it. Context: any.
    pub fn refuse_io(&self) {
        self.info().io_refused.store(true, Relaxed);
    }

    /// Whether files may be read.
    pub(crate) fn check_read(&self) -> Result {
        if self.info().io_refused.load(Relaxed) {
            return Err(EIO);
        }
        Ok(())
    }

    /// Whether anything may be changed.
    pub(crate) fn check_write(&self) -> Result {
        self.check_read()?;
        if self.is_forced_read_only() {
            return Err(EROFS);
        }
        Ok(())
    }

    /// Writes everything back and waits until it is durable, as `syncfs(2)` does. Nothing to do for a
    /// read-only filesystem. No lock of the filesystem may be held.
    ///
    /// # Errors
    ///
    /// `EBUSY` if somebody holds `s_umount` exclusively (a mount, an unmount); what writeback or
    /// [`sync_fs`](crate::ops::SuperOperations::sync_fs) say.
    pub fn try_sync(&self) -> Result {
        // SAFETY: A valid super block; `s_umount`, which syncing wants held, is taken by the call if nobody has it.
        to_result(unsafe { bindings::vfs_helper_sb_try_sync(self.as_ptr()) })
    }

    /// Writes the dirty data of all files back and waits for it, but not for its durability. False if somebody
    /// holds `s_umount` exclusively: then nothing was done. No lock of the filesystem may be held but that of an
    /// address space.
    pub fn try_writeback(&self) -> bool {
        // SAFETY: By the type invariant. `sync_inodes_sb()` wants `s_umount` held, which the helper does.
        unsafe { bindings::vfs_helper_sb_try_writeback(self.as_ptr()) }
    }

    /// Freezes the filesystem through its device, as `FIFREEZE` and device mapper do, for as long as
    /// the guard lives: writers wait, dirty data is written back, and
    /// [`freeze_fs`](crate::ops::SuperOperations::freeze_fs) is called. The caller is not a writer and
    /// holds no lock of the filesystem.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the device is being removed or the filesystem frozen by somebody else; what
    /// writeback or `freeze_fs` say.
    pub fn freeze(&self) -> Result<Frozen<'_, T>> {
        // SAFETY: `s_bdev` is set before `fill_super` and open until `kill_sb`, which is when our borrow has ended.
        to_result(unsafe { bindings::bdev_freeze((*self.as_ptr()).s_bdev) })?;
        // INVARIANT: By the call.
        Ok(Frozen(self))
    }

    /// Tells those who watch the filesystem (fanotify's `FAN_FS_ERROR`) that metadata is damaged or
    /// cannot be read or written. Context: any but NMI, also with locks held.
    pub fn report_metadata_error(&self, error: Error) {
        // SAFETY: A valid super block. It allocates without waiting, and the event holds the super block until it is told. `Error` is
        // negative as an errno.
        unsafe { bindings::vfs_helper_report_metadata(self.as_ptr(), error.to_errno()) };
    }

    /// Makes `syncfs(2)` report `error` once to every file that is open now, also when it has nothing to do
    /// because the filesystem has become read-only. Context: any.
    pub fn set_writeback_error(&self, error: Error) {
        // SAFETY: A valid super block. `errseq_set()` is atomic and takes a negative errno, which `Error` is.
        unsafe { bindings::vfs_helper_sb_set_wb_err(self.as_ptr(), error.to_errno()) };
    }

    /// Tells those who watch the filesystem that it was shut down.
    pub fn report_shutdown(&self) {
        // SAFETY: A valid super block, which the event holds, as for `report_metadata_error`.
        unsafe { bindings::vfs_helper_report_shutdown(self.as_ptr()) };
    }
}

/// A frozen filesystem, which is thawed when this is dropped.
///
/// # Invariants
///
/// `bdev_freeze()` was called for the super block's device and is undone by `Drop`.
#[must_use = "the filesystem is thawed when the guard is dropped"]
pub struct Frozen<'a, T: FileSystem>(&'a SuperBlock<T>);

impl<T: FileSystem> Drop for Frozen<'_, T> {
    fn drop(&mut self) {
        // A failure means that somebody else has thawed it: nothing is left to do.
        // SAFETY: The device is that of `freeze`, and open as there: the super block is still borrowed.
        unsafe { bindings::bdev_thaw((*self.0.as_ptr()).s_bdev) };
    }
}
