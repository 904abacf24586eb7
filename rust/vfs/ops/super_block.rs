// SPDX-License-Identifier: GPL-2.0

//! What a filesystem does as a whole: `struct super_operations` and `struct export_operations`.

use crate::{
    fs::FileSystem,
    inode::{IRef, Inode},
    super_block::{StatFs, SuperBlock},
};
use kernel::{error::VTABLE_DEFAULT_ERROR, prelude::*, seq_file::SeqFile};

/// `struct super_operations` and `struct export_operations`.
///
/// No callback but [`Self::put_super`] can run after the last inode was evicted, and none at all
/// before [`NewSuperBlock::init`](crate::new_super_block::NewSuperBlock::init) has set the data.
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
    /// of [`New`](crate::inode::New). Optional.
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

    /// The device was removed: nothing can be read or written any more, and files are refused
    /// ([`SuperBlock::refuse_io`]). Optional.
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
