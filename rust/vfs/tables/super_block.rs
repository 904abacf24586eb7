// SPDX-License-Identifier: GPL-2.0

//! The callbacks of `struct super_operations`, and the two ends of a super block's life.

use super::export;
use crate::{
    bindings,
    fs_context::FsContext,
    inode::{container, forgotten, Inode},
    new_super_block::{InitSuperBlock, NewSuperBlock, Ready},
    ops::{Complete, SuperOperations},
    super_block::{SbInfo, SuperBlock},
};
use core::{
    marker::PhantomData,
    ptr::{self, NonNull},
};
use kernel::{
    error::{from_result, to_result},
    prelude::*,
    seq_file::SeqFile,
};

impl<'a, T: SuperOperations> NewSuperBlock<'a, T> {
    /// Gives the super block its data. From here on inodes can be made.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `data` is dropped then.
    pub fn init(self, data: T::Data) -> Result<InitSuperBlock<'a, T>> {
        let names = if T::HAS_BACKGROUND {
            T::BACKGROUND
        } else {
            &[]
        };
        self.init_with(data, names, T::background)
    }
}

/// Lets the filesystem fill in `sb`.
///
/// # Safety
///
/// `sb` is a fresh super block of type `T` with an open device, and only this thread uses it.
pub(crate) unsafe fn fill<T: Complete>(
    sb: *mut bindings::super_block,
    fc: &FsContext,
    options: T::Options,
) -> Result {
    // SAFETY: The super block is only the caller's, who passes it on. The tables are of type `T`, as it is.
    unsafe {
        (*sb).s_op = VTable::<T>::build();
        (*sb).s_export_op = export::VTable::<T>::build();
        (*sb).s_time_gran = 1;
        (*sb).s_fs_info = ptr::null_mut();
    }
    // SAFETY: Its data was just made null, and nobody else uses it before this returns.
    let new = unsafe { NewSuperBlock::from_raw(NonNull::new(sb).ok_or(EINVAL)?) };
    let _: Ready<'_, T> = T::fill_super(new, fc, options)?;
    // SAFETY: The super block is still only ours.
    to_result(if unsafe { (*sb).s_root.is_null() } {
        EINVAL.to_errno()
    } else {
        0
    })
}

/// The `kill_sb` callback of `struct file_system_type`.
///
/// # Safety
///
/// Called by the VFS once for each super block of type `T`, when its last active reference is gone.
pub(crate) unsafe extern "C" fn kill_sb<T: Complete>(sb: *mut bindings::super_block) {
    // SAFETY: `deactivate_locked_super()` calls this with the last active reference gone; `s_fs_info` is null or set for good.
    let (has_data, has_root) = unsafe { (!(*sb).s_fs_info.is_null(), !(*sb).s_root.is_null()) };
    if has_data && !has_root {
        // `put_super`, which else does both, will not be called.
        // SAFETY: There is data. Without a root nobody but `fill_super`, which has returned, and its tasks have ever used it.
        unsafe {
            SuperBlock::<T>::from_raw(sb).stop_tasks();
            forgotten::give_back::<T>(sb);
        }
    }
    // Evicts all inodes, calls `put_super`, closes the device. A `BlockDevice` in the data keeps
    // the device open a little longer, until the data is dropped below.
    // SAFETY: The super block was made by `get_tree_bdev()`, and this is called once, with `s_umount` held, which goes here.
    unsafe { bindings::kill_block_super(sb) };
    // SAFETY: The super block is dead: no inode is left, no callback can come, and RCU callbacks do
    // not look at it.
    let info = unsafe { core::mem::replace(&mut (*sb).s_fs_info, ptr::null_mut()) };
    let info = info.cast::<SbInfo<T>>();
    if !info.is_null() {
        // SAFETY: `s_fs_info` is null or the box of `NewSuperBlock::init`, and was just cleared.
        drop(unsafe { KBox::from_raw(info) });
    }
}

struct VTable<T>(PhantomData<T>);

impl<T: Complete> VTable<T> {
    const OPS: bindings::super_operations = bindings::super_operations {
        alloc_inode: Some(container::alloc_inode::<T>),
        destroy_inode: Some(container::destroy_inode::<T>),
        free_inode: Some(container::free_inode::<T>),
        evict_inode: Some(Self::evict_inode),
        write_inode: if T::HAS_WRITE_INODE {
            Some(Self::write_inode)
        } else {
            None
        },
        put_super: Some(Self::put_super),
        sync_fs: if T::HAS_SYNC_FS {
            Some(Self::sync_fs)
        } else {
            None
        },
        freeze_fs: if T::HAS_FREEZE_FS {
            Some(Self::freeze_fs)
        } else {
            None
        },
        unfreeze_fs: if T::HAS_UNFREEZE_FS {
            Some(Self::unfreeze_fs)
        } else {
            None
        },
        statfs: Some(Self::statfs),
        show_options: if T::HAS_SHOW_OPTIONS {
            Some(Self::show_options)
        } else {
            None
        },
        shutdown: Some(Self::shutdown),
        ..pin_init::zeroed()
    };

    const fn build() -> &'static bindings::super_operations {
        &Self::OPS
    }

    /// # Safety
    ///
    /// Called by the VFS for an inode of this filesystem that is `I_FREEING`: nobody else uses it.
    unsafe extern "C" fn evict_inode(inode: *mut bindings::inode) {
        // SAFETY: `evict()` calls this for an inode that nobody finds any more, after its writeback: the page cache is only its own.
        unsafe { bindings::truncate_inode_pages_final(&raw mut (*inode).i_data) };
        // SAFETY: The inode is one of this super block's, so of type `T`; its data stays until `destroy_inode`, which comes later.
        let this = unsafe { Inode::<T>::from_raw(inode) };
        if T::HAS_EVICT_INODE && this.is_live() {
            T::evict_inode(this);
        }
        // SAFETY: The pages are gone, which is what `clear_inode` asks for.
        unsafe { bindings::clear_inode(inode) };
    }

    /// # Safety
    ///
    /// Called by the VFS for an inode of this filesystem that is `I_SYNC`, with a valid `wbc`.
    unsafe extern "C" fn write_inode(
        inode: *mut bindings::inode,
        wbc: *mut bindings::writeback_control,
    ) -> c_int {
        // SAFETY: `I_SYNC` is set, and eviction waits until it is clear: so the inode stays, whether there is a reference on it or not.
        let inode = unsafe { Inode::<T>::from_raw(inode) };
        // SAFETY: `wbc` is the caller's, who does not change it before this returns.
        let wait = unsafe { bindings::vfs_helper_wbc_wait(wbc) };
        from_result(|| {
            if inode.is_live() {
                inode.super_block().check_write()?;
                T::write_inode(inode, wait)?;
            }
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS for a super block of this filesystem that got a root, so that its data is
    /// set.
    unsafe extern "C" fn put_super(sb: *mut bindings::super_block) {
        // SAFETY: `generic_shutdown_super()` calls this for a super block with a root, which got its data before. Both stay until
        // `kill_sb` has come back from there.
        let this = unsafe { SuperBlock::<T>::from_raw(sb) };
        this.stop_tasks();
        // SAFETY: There is no mount, no open file and no dentry any more, `s_umount` is held exclusively, all files were written
        // back, which waits for the ends of their I/O, and tasks were stopped: so no callback runs that has references.
        unsafe { forgotten::give_back::<T>(sb) };
        if T::HAS_PUT_SUPER {
            T::put_super(this);
            // SAFETY: As before it, and `put_super` has returned.
            unsafe { forgotten::give_back::<T>(sb) };
        }
    }

    /// # Safety
    ///
    /// As for `put_super`.
    unsafe extern "C" fn sync_fs(sb: *mut bindings::super_block, wait: c_int) -> c_int {
        from_result(|| {
            // SAFETY: `sync_filesystem()` and its like hold `s_umount` of a super block that got a root, and so its data.
            T::sync_fs(unsafe { SuperBlock::from_raw(sb) }, wait != 0)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// As for `put_super`.
    unsafe extern "C" fn freeze_fs(sb: *mut bindings::super_block) -> c_int {
        from_result(|| {
            // SAFETY: `freeze_super()` holds an active reference and `s_umount` of a super block that got a root, and so its data.
            T::freeze_fs(unsafe { SuperBlock::from_raw(sb) })?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// As for `put_super`.
    unsafe extern "C" fn unfreeze_fs(sb: *mut bindings::super_block) -> c_int {
        from_result(|| {
            // SAFETY: `thaw_super_locked()` holds what freezing took, and `s_umount`.
            T::unfreeze_fs(unsafe { SuperBlock::from_raw(sb) })?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS for a dentry of a mounted super block, with a zeroed `buf`.
    unsafe extern "C" fn statfs(
        dentry: *mut bindings::dentry,
        buf: *mut kernel::bindings::kstatfs,
    ) -> c_int {
        let buf = buf.cast::<bindings::kstatfs>();
        from_result(|| {
            // SAFETY: `statfs_by_dentry()` has a reference on a dentry of a mount, and a mounted super block has data.
            let sb = unsafe { SuperBlock::<T>::from_raw((*dentry).d_sb) };
            let s = T::statfs(sb)?;
            // SAFETY: `buf` is valid and ours for the call.
            unsafe {
                bindings::vfs_helper_fill_statfs(sb.as_ptr(), buf.cast(), s.fsid);
                (*buf).f_blocks = s.blocks;
                (*buf).f_bfree = s.blocks_free;
                (*buf).f_bavail = s.blocks_available;
                (*buf).f_files = s.files;
                (*buf).f_ffree = s.files_free;
                (*buf).f_namelen = s.name_max as isize;
            }
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS for a dentry of a mounted super block.
    unsafe extern "C" fn show_options(
        m: *mut bindings::seq_file,
        dentry: *mut bindings::dentry,
    ) -> c_int {
        from_result(|| {
            // SAFETY: `show_mountinfo()` and its like hold the mount, and with it the super block; `m` is the reading task's, under its
            // lock.
            let (sb, m) = unsafe {
                (
                    SuperBlock::<T>::from_raw((*dentry).d_sb),
                    SeqFile::from_raw(m),
                )
            };
            T::show_options(sb, m)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS, with `s_umount` held, for a super block that is born.
    unsafe extern "C" fn shutdown(sb: *mut bindings::super_block) {
        // SAFETY: `fs_bdev_mark_dead()` has waited for the super block to be born, and holds `s_umount`: it has data and keeps it.
        let sb = unsafe { SuperBlock::<T>::from_raw(sb) };
        sb.refuse_io();
        if T::HAS_SHUTDOWN {
            T::shutdown(sb);
        }
    }
}
