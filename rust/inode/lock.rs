// SPDX-License-Identifier: GPL-2.0

//! Locks of inodes: `i_rwsem` and the page cache's `invalidate_lock`.
//!
//! Order: `i_rwsem`, then `invalidate_lock`, then folio locks, then the filesystem's own locks that
//! its iomap callbacks take.

use super::Inode;
use crate::{bindings, fs::FileSystem, scope::NotThreadSafe};
use core::{marker::PhantomData, ops::Deref};

/// `i_rwsem` is held at least shared.
pub struct Read(());

/// `i_rwsem` is held exclusively.
pub struct Write(());

/// An inode whose `i_rwsem` the VFS or this crate holds while the reference lives.
///
/// # Invariants
///
/// The lock is held, in the mode that `M` says, for `'a`.
pub struct Locked<'a, T: FileSystem, M> {
    inode: &'a Inode<T>,
    _mode: PhantomData<M>,
    _task: NotThreadSafe,
}

impl<'a, T: FileSystem, M> Locked<'a, T, M> {
    /// # Safety
    ///
    /// The type invariant holds.
    pub(crate) unsafe fn new(inode: &'a Inode<T>) -> Self {
        Self {
            inode,
            _mode: PhantomData,
            _task: NotThreadSafe::new(),
        }
    }
}

impl<T: FileSystem, M> Deref for Locked<'_, T, M> {
    type Target = Inode<T>;

    fn deref(&self) -> &Inode<T> {
        self.inode
    }
}

impl<T: FileSystem> Locked<'_, T, Write> {
    /// Waits for direct I/O that is under way; no more can start while the lock is held.
    pub fn dio_wait(&self) {
        // SAFETY: By the invariant of `Inode`.
        unsafe { bindings::inode_dio_wait(self.as_ptr()) };
    }
}

/// Keeps page faults and reads from bringing pages into the cache.
///
/// # Invariants
///
/// This task holds the `invalidate_lock` of the inode's mapping exclusively; `Drop` releases it.
#[must_use = "the lock is released when the guard is dropped"]
pub struct InvalidateGuard<'a, T: FileSystem> {
    inode: &'a Inode<T>,
    _task: NotThreadSafe,
}

impl<T: FileSystem> Drop for InvalidateGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::vfs_helper_filemap_invalidate_unlock(self.inode.as_ptr()) };
    }
}

impl<T: FileSystem> Inode<T> {
    /// Takes `invalidate_lock` exclusively: for truncation and other removal of blocks below the
    /// page cache.
    pub fn lock_invalidate(&self) -> InvalidateGuard<'_, T> {
        // SAFETY: By the invariant of `Inode`.
        unsafe { bindings::vfs_helper_filemap_invalidate_lock(self.as_ptr()) };
        // INVARIANT: Just taken.
        InvalidateGuard {
            inode: self,
            _task: NotThreadSafe::new(),
        }
    }
}
