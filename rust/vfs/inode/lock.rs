// SPDX-License-Identifier: GPL-2.0

//! Locks of inodes: `i_rwsem` and the page cache's `invalidate_lock`.
//!
//! Order: `i_rwsem`, then `invalidate_lock`, then folio locks, then the filesystem's own locks that
//! its iomap callbacks take.

use super::{IRef, Inode};
use crate::{bindings, fs::FileSystem, scope::NotThreadSafe};
use core::{marker::PhantomData, ops::Deref, ptr::NonNull};

/// `i_rwsem` is held at least shared.
pub struct Read(());

/// `i_rwsem` is held exclusively.
pub struct Write(());

/// An inode whose `i_rwsem` the VFS or this crate holds while the reference lives, and on which somebody holds a
/// reference meanwhile: nobody locks an inode that may go.
///
/// # Invariants
///
/// For `'a` the lock is held, in the mode that `M` says, and there is a reference on the inode.
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

    /// Another reference, which keeps the inode in memory.
    pub fn to_ref(&self) -> IRef<'a, T> {
        // SAFETY: By the type invariant there is a reference already, so that the inode is not on its way out.
        unsafe { bindings::ihold(self.as_ptr()) };
        // SAFETY: The reference was just taken. While the inode is borrowed, so is its super block.
        unsafe { IRef::from_raw(NonNull::from(self.inode).cast()) }
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
        // SAFETY: The inode is valid. That no more can start, which the function relies on, is what `Write` says.
        unsafe { bindings::inode_dio_wait(self.as_ptr()) };
    }

    /// Takes `invalidate_lock` exclusively: for truncation and other removal of blocks below the
    /// page cache.
    pub fn lock_invalidate(&self) -> Invalidating<'_, T> {
        // SAFETY: The inode is valid, and its own mapping with it; `i_rwsem`, which comes first, is held.
        unsafe { bindings::vfs_helper_filemap_invalidate_lock(self.as_ptr()) };
        // INVARIANT: Just taken.
        Invalidating(self)
    }
}

/// A locked inode whose page cache neither page faults nor reads can bring pages into.
///
/// # Invariants
///
/// This task holds the `invalidate_lock` of the inode's mapping exclusively; `Drop` releases it.
#[must_use = "the lock is released when the guard is dropped"]
pub struct Invalidating<'a, T: FileSystem>(&'a Locked<'a, T, Write>);

impl<'a, T: FileSystem> Deref for Invalidating<'a, T> {
    type Target = Locked<'a, T, Write>;

    fn deref(&self) -> &Locked<'a, T, Write> {
        self.0
    }
}

impl<T: FileSystem> Drop for Invalidating<'_, T> {
    fn drop(&mut self) {
        // SAFETY: The lock is this task's: taken in `lock_invalidate`, and neither it nor the `Locked` that it borrows goes to
        // another task.
        unsafe { bindings::vfs_helper_filemap_invalidate_unlock(self.as_ptr()) };
    }
}
