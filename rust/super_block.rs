// SPDX-License-Identifier: GPL-2.0

//! Super blocks.
//!
//! C headers: [`include/linux/fs/super_types.h`](srctree/include/linux/fs/super_types.h),
//! [`include/linux/fs/super.h`](srctree/include/linux/fs/super.h)

use crate::{
    bindings,
    block::BlockDevice,
    fs::FileSystem,
    inode::{IRef, Inode, Lookup, New},
    scope::NotThreadSafe,
};
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{
    error::VTABLE_DEFAULT_ERROR,
    prelude::*,
    seq_file::SeqFile,
    types::{ForeignOwnable, Opaque},
};

mod background;
mod control;
mod export;
mod new;
mod vtable;

use self::background::Tasks;
pub(crate) use self::new::{fill, kill_sb};
pub use self::new::{InitSuperBlock, NewSuperBlock, Ready};
pub use self::{background::Background, control::Frozen};

/// What `s_fs_info` points at: the filesystem's data, and what this crate needs for each mount.
///
/// # Invariants
///
/// `data` came from `T::Data::into_foreign`; `ioend_wq` is a workqueue. Both are released by `Drop`
/// only, when `tasks` were stopped.
pub(crate) struct SbInfo<T: FileSystem> {
    data: *mut c_void,
    ioend_wq: NonNull<bindings::workqueue_struct>,
    tasks: Tasks<T>,
    _fs: PhantomData<T>,
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

/// `struct super_operations` and `struct export_operations`.
///
/// No callback but [`Self::put_super`] can run after the last inode was evicted, and none at all
/// before [`NewSuperBlock::init`] has set the data.
#[vtable]
pub trait SuperOperations: FileSystem {
    /// Names of the super block's background tasks, which their workers bear. The position is the
    /// task's number.
    const BACKGROUND: &'static [&'static CStr] = &[];

    /// Runs the task with that number, in a worker that makes progress under memory pressure and rests
    /// during suspend; never twice at a time. Gives back after how many milliseconds to run again, or
    /// [`None`] to wait for [`SuperBlock::schedule`] or [`SuperBlock::kick`].
    ///
    /// Unmount waits for it with `s_umount` held, just before [`Self::put_super`]: to wait for that
    /// lock would be a deadlock. Optional.
    fn background(_sb: &SuperBlock<Self>, _task: usize) -> Option<u32> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// The last reference is gone and the inode leaves the cache; its pages are truncated. If
    /// [`Inode::nlink`] is 0 it is to be freed on disk. Not called for an inode that never got out
    /// of [`New`]. Optional.
    fn evict_inode(_inode: &Inode<Self>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Writes the inode's attributes; with `wait` the caller wants them durable when this returns, and
    /// nobody else will see to that: it is not set within a sync of the whole filesystem, which calls
    /// [`Self::sync_fs`] in the end. Optional.
    fn write_inode(_inode: &Inode<Self>, _wait: bool) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Makes what was done to the inode by now (attributes; names, if it is a directory) durable, for NFS.
    /// Optional: without it NFS calls [`Self::write_inode`] for inodes that are dirty.
    fn commit_metadata(_inode: &Inode<Self>) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Unmount: all inodes are gone, I/O is still possible. The data is dropped a little later.
    /// Optional.
    fn put_super(_sb: &SuperBlock<Self>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Starts to write everything, and with `wait` waits until it is durable. Optional.
    fn sync_fs(_sb: &SuperBlock<Self>, _wait: bool) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Makes the volume consistent on disk and lets it rest. No writer is in the filesystem.
    /// Optional.
    fn freeze_fs(_sb: &SuperBlock<Self>) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Ends what [`Self::freeze_fs`] began. Optional.
    fn unfreeze_fs(_sb: &SuperBlock<Self>) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Space in use. The filesystem's magic and block size are filled in.
    fn statfs(sb: &SuperBlock<Self>) -> Result<StatFs>;

    /// Prints the options in force, each as `,name=value`, with [`kernel::seq_print!`]. Optional.
    fn show_options(_sb: &SuperBlock<Self>, _m: &SeqFile) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// The device was removed: nothing can be read or written any more. Optional.
    fn shutdown(_sb: &SuperBlock<Self>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// The inode that a file handle names. With it the filesystem can be exported. Optional.
    ///
    /// # Errors
    ///
    /// `ESTALE` if there is no such inode or it has another generation.
    fn fh_to_inode<'a>(
        _sb: &'a SuperBlock<Self>,
        _ino: u64,
        _generation: u32,
    ) -> Result<IRef<'a, Self>> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// The parent of a directory. Optional, goes with [`Self::fh_to_inode`].
    fn get_parent<'a>(_sb: &'a SuperBlock<Self>, _child: &Inode<Self>) -> Result<IRef<'a, Self>> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
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

    /// Whether the super block is read-only now.
    pub fn is_read_only(&self) -> bool {
        // SAFETY: A valid super block. The flag may change at any time, which is the caller's to reckon with.
        unsafe { bindings::vfs_helper_sb_rdonly(self.as_ptr()) }
    }

    /// A handle on the [background task](SuperOperations::BACKGROUND) with that number; [`None`] if
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

    pub(super) fn stop_tasks(&self) {
        self.info().tasks.stop();
    }

    /// Block size in bytes.
    pub fn block_size(&self) -> u32 {
        // SAFETY: A valid super block with data, and that comes after the block size (`NewSuperBlock`).
        unsafe { (*self.as_ptr()).s_blocksize as u32 }
    }

    /// Looks `ino` up in the inode cache and puts a new inode there if it is missing. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, also while the inode is being created; `ESTALE` if making it has failed.
    pub fn iget_locked(&self, ino: u64) -> Result<Lookup<'_, T>> {
        // SAFETY: A valid super block, whose `alloc_inode` is set and which has data for the inodes to point at. Sleeps.
        let inode = unsafe { bindings::iget_locked(self.as_ptr(), ino) };
        let inode = NonNull::new(inode).ok_or(ENOMEM)?;
        // SAFETY: `iget_locked` gave us a reference on a valid inode of this super block.
        unsafe { Lookup::from_raw(inode) }
    }

    /// Looks `ino` up in the inode cache only. May sleep.
    pub fn ilookup(&self, ino: u64) -> Option<IRef<'_, T>> {
        // SAFETY: A valid super block; the inode hash is there from boot on. Sleeps.
        let inode = NonNull::new(unsafe { bindings::ilookup(self.as_ptr(), ino) })?;
        // SAFETY: `ilookup` gave us a reference on a valid inode that is no longer new.
        let inode = unsafe { IRef::from_raw(inode) };
        inode.is_live().then_some(inode)
    }

    /// Makes the in-memory inode for a file that is being created. The caller fills it in and gives
    /// it away.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, or `EBUSY` if an inode of that number is in use.
    pub fn new_inode(&self, ino: u64) -> Result<New<'_, T>> {
        // SAFETY: A valid super block with data, as for `iget_locked`. Sleeps.
        let inode = NonNull::new(unsafe { bindings::new_inode(self.as_ptr()) }).ok_or(ENOMEM)?;
        // SAFETY: `new_inode` gave us the only reference on a valid inode of this super block.
        unsafe { New::insert(inode, ino) }
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
