// SPDX-License-Identifier: GPL-2.0

//! Super blocks.
//!
//! C headers: [`include/linux/fs/super_types.h`](srctree/include/linux/fs/super_types.h),
//! [`include/linux/fs/super.h`](srctree/include/linux/fs/super.h)

use crate::{bindings, block::BlockDevice, fs::FileSystem, scope::NotThreadSafe};
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{
    prelude::*,
    sync::atomic::Atomic,
    types::{ForeignOwnable, Opaque},
};

mod background;
mod control;

pub(crate) use self::background::Tasks;
pub use self::{background::Background, control::Frozen};

/// What `s_fs_info` points at: the filesystem's data, and what this crate needs for each mount.
///
/// # Invariants
///
/// `data` came from `T::Data::into_foreign`; `ioend_wq` is a workqueue. Both are released by `Drop`
/// only, when `tasks` were stopped.
pub(crate) struct SbInfo<T: FileSystem> {
    pub(crate) data: *mut c_void,
    pub(crate) ioend_wq: NonNull<bindings::workqueue_struct>,
    pub(crate) tasks: Tasks<T>,
    /// Changes are refused, see [`SuperBlock::force_read_only`].
    pub(crate) changes_refused: Atomic<bool>,
    /// All I/O of files is, see [`SuperBlock::refuse_io`].
    pub(crate) io_refused: Atomic<bool>,
    pub(crate) _fs: PhantomData<T>,
}

impl<T: FileSystem> Drop for SbInfo<T> {
    fn drop(&mut self) {
        // Completion work first: it calls the filesystem, which uses the data.
        // SAFETY: The workqueue is ours. Nothing is queued on it any more: all inodes are gone, and each has waited for its I/O.
        unsafe { bindings::destroy_workqueue(self.ioend_wq.as_ptr()) };
        // SAFETY: It came from `into_foreign`. What is dropped here is `kill_sb`'s, after the last callback: no borrow is left.
        drop(unsafe { T::Data::from_foreign(self.data) });
    }
}

/// Free and used space, as `statfs(2)` wants it. Blocks are of the super block's block size.
#[derive(Clone, Copy, Default)]
pub struct StatFs {
    /// Blocks in all.
    pub blocks: u64,
    /// Free blocks.
    pub blocks_free: u64,
    /// Free blocks that anyone may use.
    pub blocks_available: u64,
    /// Inodes in all, 0 if there is no such number.
    pub files: u64,
    /// Free inodes.
    pub files_free: u64,
    /// Longest name in bytes.
    pub name_max: u32,
    /// Identifier of the volume.
    pub fsid: u64,
}

/// A super block whose data is set.
///
/// # Invariants
///
/// References point at a valid `super_block` of a type registered by `Registration<T>`, whose
/// `s_fs_info` is an `SbInfo<T>` for as long as the reference lives.
#[repr(transparent)]
pub struct SuperBlock<T: FileSystem>(Opaque<bindings::super_block>, PhantomData<T>);

// SAFETY: All methods take what locks they need, and the data may be used from any thread.
unsafe impl<T: FileSystem> Sync for SuperBlock<T> {}

impl<T: FileSystem> SuperBlock<T> {
    /// # Safety
    ///
    /// The type invariants hold for `'a`.
    pub(crate) unsafe fn from_raw<'a>(sb: *mut bindings::super_block) -> &'a Self {
        // SAFETY: The caller vouches for it. `SuperBlock` is transparent over `super_block`, in an `Opaque`, so that C may go on writing
        // to it.
        unsafe { &*sb.cast() }
    }

    pub(crate) fn as_ptr(&self) -> *mut bindings::super_block {
        self.0.get()
    }

    fn info(&self) -> &SbInfo<T> {
        // SAFETY: `NewSuperBlock::init` has set it before there could be a reference like ours, and `kill_sb` takes it when there is
        // none any more. Everything in it that changes does so behind its own locks.
        unsafe { &*(*self.as_ptr()).s_fs_info.cast::<SbInfo<T>>() }
    }

    /// The workqueue on which ends of I/O run.
    pub(crate) fn ioend_wq(&self) -> *mut bindings::workqueue_struct {
        self.info().ioend_wq.as_ptr()
    }

    /// The filesystem's data.
    pub fn data(&self) -> <T::Data as ForeignOwnable>::Borrowed<'_> {
        // SAFETY: By the invariant of `SbInfo` it came from `into_foreign`, and it is only borrowed
        // until it is dropped.
        unsafe { T::Data::borrow(self.info().data) }
    }

    /// A handle on the block device of the mount.
    pub fn block_device(&self) -> BlockDevice {
        // SAFETY: `s_bdev_file` is set before `fill_super` and open until `kill_sb`.
        unsafe { BlockDevice::from_file((*self.as_ptr()).s_bdev_file) }
    }

    /// `s_id`: the name of the device, for messages.
    pub fn id(&self) -> &CStr {
        // SAFETY: NUL-terminated, and for a filesystem on one device it does not change.
        unsafe { CStr::from_char_ptr((*self.as_ptr()).s_id.as_ptr()) }
    }

    /// Whether the super block is read-only now, by its mount or [by force](Self::force_read_only).
    pub fn is_read_only(&self) -> bool {
        self.is_forced_read_only() || self.is_mounted_read_only()
    }

    fn is_mounted_read_only(&self) -> bool {
        // SAFETY: A valid super block. The flag may change at any time, which is the caller's to reckon with.
        unsafe { bindings::vfs_helper_sb_rdonly(self.as_ptr()) }
    }

    /// A handle on the [background task](crate::ops::SuperOperations::BACKGROUND) with that number; [`None`] if
    /// there is no such task.
    pub fn background(&self, task: usize) -> Option<Background<T>> {
        self.info().tasks.get(task).cloned()
    }

    /// Runs a background task in `ms` milliseconds, unless it is to run sooner already. Does nothing
    /// once unmount has stopped the tasks.
    pub fn schedule(&self, task: usize, ms: u32) {
        if let Some(task) = self.info().tasks.get(task) {
            task.schedule(ms);
        }
    }

    /// Runs a background task now, or once more if it is running. Does nothing once unmount has
    /// stopped the tasks. Context: any but NMI.
    pub fn kick(&self, task: usize) {
        if let Some(task) = self.info().tasks.get(task) {
            task.kick();
        }
    }

    pub(crate) fn stop_tasks(&self) {
        self.info().tasks.stop();
    }

    /// Block size in bytes.
    pub fn block_size(&self) -> u32 {
        // SAFETY: A valid super block with data, and that comes after the block size (`NewSuperBlock`).
        unsafe { (*self.as_ptr()).s_blocksize as u32 }
    }

    /// Keeps the filesystem from being frozen for a change that does not come through a system call
    /// on it (an eviction, a worker). Waits while it is frozen.
    pub fn start_intwrite(&self) -> IntWrite<'_, T> {
        // SAFETY: A valid super block, whose write counts are set up with it and go with it. Sleeps.
        unsafe { bindings::vfs_helper_sb_start_intwrite(self.as_ptr()) };
        // INVARIANT: The write access was just taken.
        IntWrite {
            sb: self,
            _task: NotThreadSafe::new(),
        }
    }
}

/// Write access for the filesystem itself.
///
/// # Invariants
///
/// `sb_start_intwrite()` was called for `sb` by this task and is undone by `Drop`.
#[must_use = "write access ends when the guard is dropped"]
pub struct IntWrite<'a, T: FileSystem> {
    sb: &'a SuperBlock<T>,
    _task: NotThreadSafe,
}

impl<T: FileSystem> Drop for IntWrite<'_, T> {
    fn drop(&mut self) {
        // SAFETY: This task has taken it, in `start_intwrite`, and gives it back once; the super block is still borrowed.
        unsafe { bindings::vfs_helper_sb_end_intwrite(self.sb.as_ptr()) };
    }
}
