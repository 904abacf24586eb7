// SPDX-License-Identifier: GPL-2.0

//! The states that a super block goes through in `fill_super`, and its end in `kill_sb`.
//!
//! [`NewSuperBlock`] has no data, [`InitSuperBlock`] has data and no root, [`Ready`] has both. From
//! [`NewSuperBlock::init`] on `kill_sb` owns the data, whether `fill_super` succeeds or not: the
//! VFS calls `kill_sb`
//! after a `fill_super` that failed as well as at unmount, and exactly once.

use crate::{
    bindings,
    block::BlockDevice,
    fs::FileSystem,
    inode::IRef,
    super_block::{SbInfo, SuperBlock, Tasks},
};
use core::{marker::PhantomData, ops::Deref, ptr::NonNull};
use kernel::{prelude::*, str::CString, sync::atomic::Atomic, types::ForeignOwnable};

/// A super block that the filesystem is just filling in.
///
/// # Invariants
///
/// `sb` is valid for `'a`, its device is open, its `s_fs_info` is null, and only this thread uses
/// it.
pub struct NewSuperBlock<'a, T: FileSystem> {
    sb: NonNull<bindings::super_block>,
    _sb: PhantomData<(&'a mut bindings::super_block, T)>,
}

impl<'a, T: FileSystem> NewSuperBlock<'a, T> {
    /// # Safety
    ///
    /// The type invariants hold for `'a`.
    pub(crate) unsafe fn from_raw(sb: NonNull<bindings::super_block>) -> Self {
        Self {
            sb,
            _sb: PhantomData,
        }
    }

    fn as_ptr(&self) -> *mut bindings::super_block {
        self.sb.as_ptr()
    }

    /// The name of the device.
    pub fn id(&self) -> &CStr {
        // SAFETY: `setup_bdev_super()` has set the name before `fill_super`; it ends with a NUL, and is not changed again.
        unsafe { CStr::from_char_ptr((*self.as_ptr()).s_id.as_ptr()) }
    }

    /// Whether the mount is read-only.
    pub fn is_read_only(&self) -> bool {
        // SAFETY: The super block is valid and only ours.
        unsafe { bindings::vfs_helper_sb_rdonly(self.as_ptr()) }
    }

    /// A handle on the block device.
    pub fn block_device(&self) -> BlockDevice {
        // SAFETY: `s_bdev_file` is set before `fill_super` and open until `kill_sb`; the handle holds it for itself.
        unsafe { BlockDevice::from_file((*self.as_ptr()).s_bdev_file) }
    }

    /// Sets the block size, in bytes.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is no power of two from 512 bytes to a page, or smaller than the device's
    /// logical block.
    pub fn set_block_size(&mut self, bytes: u32) -> Result {
        // SAFETY: The super block is only ours, its device is open, and there is no inode yet that would have the old size.
        if unsafe { bindings::sb_set_blocksize(self.as_ptr(), bytes.try_into()?) } == 0 {
            return Err(EINVAL);
        }
        Ok(())
    }

    /// Sets the magic number that `statfs(2)` shows.
    pub fn set_magic(&mut self, magic: u32) {
        // SAFETY: The super block is valid and only ours, here and in the setters below.
        unsafe { (*self.as_ptr()).s_magic = magic as usize };
    }

    /// Sets the largest file size, in bytes; at most `i64::MAX`.
    pub fn set_maxbytes(&mut self, bytes: u64) {
        // SAFETY: As in `set_magic`.
        unsafe { (*self.as_ptr()).s_maxbytes = i64::try_from(bytes).unwrap_or(i64::MAX) };
    }

    /// Sets the granularity of timestamps, in nanoseconds (1 if not called).
    pub fn set_time_gran(&mut self, ns: u32) {
        // SAFETY: As in `set_magic`.
        unsafe { (*self.as_ptr()).s_time_gran = ns.clamp(1, 1_000_000_000) };
    }

    /// Sets the range of timestamps, in seconds since 1970.
    pub fn set_time_range(&mut self, min: i64, max: i64) {
        // SAFETY: As in `set_magic`.
        unsafe {
            (*self.as_ptr()).s_time_min = min;
            (*self.as_ptr()).s_time_max = max;
        }
    }

    /// Sets the UUID of the volume.
    pub fn set_uuid(&mut self, uuid: &[u8; 16]) {
        // SAFETY: The super block is only ours. `uuid` has the length that is passed.
        unsafe { bindings::vfs_helper_super_set_uuid(self.as_ptr(), uuid.as_ptr(), 16) };
    }

    /// Sets the largest link count; the VFS refuses more with `EMLINK`.
    pub fn set_max_links(&mut self, links: u32) {
        // SAFETY: As in `set_magic`.
        unsafe { (*self.as_ptr()).s_max_links = links };
    }

    /// Gives the super block its data, and `tasks`, of which each is to `run`.
    pub(crate) fn init_with(
        self,
        data: T::Data,
        tasks: &[&CStr],
        run: fn(&SuperBlock<T>, usize) -> Option<u32>,
    ) -> Result<InitSuperBlock<'a, T>> {
        // SAFETY: The super block is of type `T`. Handles on the tasks come from a `SuperBlock`, which has its
        // data; `put_super` or `kill_sb` stop them.
        let tasks = unsafe { Tasks::new(self.as_ptr(), tasks, run) }?;
        let name = CString::try_from_fmt(fmt!("{}-io/{}", T::NAME, self.id()))?;
        // SAFETY: The name is NUL-terminated and copied.
        let wq = unsafe { bindings::vfs_helper_alloc_workqueue(name.as_char_ptr(), 0) };
        let wq = NonNull::new(wq).ok_or(ENOMEM)?;
        let info = KBox::<SbInfo<T>>::new_uninit(GFP_KERNEL).inspect_err(|_| {
            // SAFETY: The workqueue was just made and nothing was queued.
            unsafe { bindings::destroy_workqueue(wq.as_ptr()) };
        })?;
        // INVARIANT: Of `SbInfo`: both fields are as it asks, and owned by it.
        let info = KBox::write(
            info,
            SbInfo {
                data: data.into_foreign(),
                ioend_wq: wq,
                tasks,
                changes_refused: Atomic::<bool>::new(false),
                io_refused: Atomic::<bool>::new(false),
                _fs: PhantomData,
            },
        );
        // INVARIANT: Of `SuperBlock`: `s_fs_info` is an `SbInfo<T>` until `kill_sb`.
        // SAFETY: The super block is only ours, and the field was null.
        unsafe { (*self.as_ptr()).s_fs_info = KBox::into_raw(info).cast() };
        Ok(InitSuperBlock {
            sb: self.sb,
            _sb: PhantomData,
        })
    }
}

/// A super block with data and without a root.
///
/// # Invariants
///
/// Those of [`SuperBlock`] for `'a`, and only this thread and the inodes it has made use it.
pub struct InitSuperBlock<'a, T: FileSystem> {
    sb: NonNull<bindings::super_block>,
    _sb: PhantomData<(&'a mut bindings::super_block, T)>,
}

impl<T: FileSystem> Deref for InitSuperBlock<'_, T> {
    type Target = SuperBlock<T>;

    fn deref(&self) -> &SuperBlock<T> {
        // SAFETY: `init` has set the data, and `kill_sb`, which takes it, comes after `fill_super` and so after `'_`.
        unsafe { SuperBlock::from_raw(self.sb.as_ptr()) }
    }
}

impl<'a, T: FileSystem> InitSuperBlock<'a, T> {
    /// Sets the root and ends the filling in. To be the last step that can fail.
    ///
    /// `root` says which inode it is; it is a function because the inode belongs to the super block
    /// that is consumed.
    ///
    /// # Errors
    ///
    /// What `root` says, `ENOTDIR` if it is no directory, `ENOMEM`.
    pub fn set_root(
        self,
        root: impl for<'b> FnOnce(&'b SuperBlock<T>) -> Result<IRef<'b, T>>,
    ) -> Result<Ready<'a, T>> {
        let inode = root(&self)?;
        if !inode.is_dir() {
            return Err(ENOTDIR);
        }
        // SAFETY: The reference goes over to `d_make_root`, also when it fails.
        let dentry = unsafe { bindings::d_make_root(inode.into_raw().as_ptr()) };
        if dentry.is_null() {
            return Err(ENOMEM);
        }
        // SAFETY: The super block is valid, and only ours until `fill_super` returns; inodes do not look at its root.
        unsafe { (*self.sb.as_ptr()).s_root = dentry };
        Ok(Ready(PhantomData))
    }
}

/// Proof that a super block has data and a root.
pub struct Ready<'a, T: FileSystem>(PhantomData<(&'a mut bindings::super_block, T)>);
