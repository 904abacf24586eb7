// SPDX-License-Identifier: GPL-2.0

//! Scopes in which memory reclaim keeps out of filesystems or of block I/O.
//!
//! C header: [`include/linux/sched/mm.h`](srctree/include/linux/sched/mm.h)

use crate::bindings;
use core::ops::{Deref, DerefMut};

pub(crate) use kernel::types::NotThreadSafe as NotThreadSafeMarker;

/// Makes a type belong to the task that made it.
pub(crate) struct NotThreadSafe(NotThreadSafeMarker);

impl NotThreadSafe {
    pub(crate) fn new() -> Self {
        Self(kernel::types::NotThreadSafe)
    }
}

/// While it lives, allocations of this task do not enter filesystems (`GFP_NOFS`): for code that
/// holds locks or transactions that writeback needs. Scopes nest, and must end in the opposite
/// order.
///
/// # Invariants
///
/// `flags` came from `memalloc_nofs_save()` in this task.
#[must_use = "the scope ends when the guard is dropped"]
pub struct NoFs {
    flags: u32,
    _task: NotThreadSafe,
}

impl NoFs {
    /// Enters the scope.
    pub fn enter() -> Self {
        // SAFETY: Changes a flag of the current task.
        let flags = unsafe { bindings::vfs_helper_memalloc_nofs_save() };
        // INVARIANT: By the call.
        Self {
            flags,
            _task: NotThreadSafe::new(),
        }
    }

    /// The scope ends when the lock is given back that `guard` holds. Enter it before taking the lock.
    pub fn with<G>(self, guard: G) -> NoFsGuard<G> {
        NoFsGuard {
            guard,
            _scope: self,
        }
    }
}

impl Drop for NoFs {
    fn drop(&mut self) {
        // SAFETY: The flags are what this task had when it entered, and it is this task that leaves. Two scopes that end in the wrong
        // order leave a wrong flag behind, and no more.
        unsafe { bindings::vfs_helper_memalloc_nofs_restore(self.flags) };
    }
}

/// Guard of a lock that reclaim may take too, by evicting an inode or writing one back: while it lives,
/// allocations of this task are in a [`NoFs`] scope.
#[must_use = "the lock is given back when the guard is dropped"]
pub struct NoFsGuard<G> {
    // Unlocked first: fields drop in this order.
    guard: G,
    _scope: NoFs,
}

impl<G: Deref> Deref for NoFsGuard<G> {
    type Target = G::Target;

    fn deref(&self) -> &Self::Target {
        &self.guard
    }
}

impl<G: DerefMut> DerefMut for NoFsGuard<G> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.guard
    }
}

/// While it lives, allocations of this task start no I/O at all (`GFP_NOIO`).
///
/// # Invariants
///
/// `flags` came from `memalloc_noio_save()` in this task.
#[must_use = "the scope ends when the guard is dropped"]
pub struct NoIo {
    flags: u32,
    _task: NotThreadSafe,
}

impl NoIo {
    /// Enters the scope.
    pub fn enter() -> Self {
        // SAFETY: Changes a flag of the current task.
        let flags = unsafe { bindings::vfs_helper_memalloc_noio_save() };
        // INVARIANT: By the call.
        Self {
            flags,
            _task: NotThreadSafe::new(),
        }
    }
}

impl Drop for NoIo {
    fn drop(&mut self) {
        // SAFETY: The flags are this task's, as for `NoFs`.
        unsafe { bindings::vfs_helper_memalloc_noio_restore(self.flags) };
    }
}
