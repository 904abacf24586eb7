// SPDX-License-Identifier: GPL-2.0

//! What a filesystem does with names and attributes: `struct inode_operations`.

use crate::{
    dentry::Dentry,
    fs::FileSystem,
    inode::{Attr, IRef, Idmap, Inode, Kstat, Locked, New, Write},
};
use kernel::{error::VTABLE_DEFAULT_ERROR, prelude::*, str::CString};

/// A rename, after the checks of the VFS: the two entries are not of the same file, types fit, and
/// a directory does not move into itself.
pub struct Rename<'a, T: FileSystem> {
    /// Directory of the old name.
    pub old_dir: &'a Locked<'a, T, Write>,
    /// The old name.
    pub old: &'a Dentry<T>,
    /// What is renamed.
    pub inode: &'a Inode<T>,
    /// Directory of the new name; may be the same.
    pub new_dir: &'a Locked<'a, T, Write>,
    /// The new name.
    pub new: &'a Dentry<T>,
    /// What has the new name now: replaced, or exchanged. A directory is locked when it is
    /// replaced.
    pub target: Option<&'a Inode<T>>,
    /// `RENAME_NOREPLACE`: the VFS has checked that there is no target.
    pub noreplace: bool,
    /// `RENAME_EXCHANGE`: there is a target, and it gets the old name.
    pub exchange: bool,
}

/// `struct inode_operations`, for all types of files.
///
/// The callbacks that create return the [`New`] inode with its mode set; it is attached to the name
/// when they return. An error is reported before anything can be seen of the file. Those without an
/// implementation fail with `EPERM`.
#[vtable]
pub trait InodeOperations: FileSystem {
    /// The inode of a name, or [`None`]. `dir` is locked at least shared.
    fn lookup<'a>(dir: &'a Inode<Self>, dentry: &Dentry<Self>) -> Result<Option<IRef<'a, Self>>>;

    /// Creates a regular file. `mode` has `S_IFREG` set. Optional.
    fn create<'a>(
        _idmap: &Idmap,
        _dir: &'a Locked<'_, Self, Write>,
        _dentry: &Dentry<Self>,
        _mode: u16,
    ) -> Result<New<'a, Self>> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Creates a directory. `mode` has `S_IFDIR` set. Optional.
    fn mkdir<'a>(
        _idmap: &Idmap,
        _dir: &'a Locked<'_, Self, Write>,
        _dentry: &Dentry<Self>,
        _mode: u16,
    ) -> Result<New<'a, Self>> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Creates a special file; `rdev` is in the encoding of `new_encode_dev()`. Optional.
    fn mknod<'a>(
        _idmap: &Idmap,
        _dir: &'a Locked<'_, Self, Write>,
        _dentry: &Dentry<Self>,
        _mode: u16,
        _rdev: u32,
    ) -> Result<New<'a, Self>> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Creates a symbolic link. Optional.
    fn symlink<'a>(
        _idmap: &Idmap,
        _dir: &'a Locked<'_, Self, Write>,
        _dentry: &Dentry<Self>,
        _target: &CStr,
    ) -> Result<New<'a, Self>> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Gives `inode` another name. Optional.
    fn link(
        _inode: &Locked<'_, Self, Write>,
        _dir: &Locked<'_, Self, Write>,
        _dentry: &Dentry<Self>,
    ) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Removes a name of a file that is no directory. Optional.
    fn unlink(
        _dir: &Locked<'_, Self, Write>,
        _dentry: &Dentry<Self>,
        _inode: &Locked<'_, Self, Write>,
    ) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Removes an empty directory. Optional.
    ///
    /// # Errors
    ///
    /// `ENOTEMPTY`, which the filesystem checks.
    fn rmdir(
        _dir: &Locked<'_, Self, Write>,
        _dentry: &Dentry<Self>,
        _inode: &Locked<'_, Self, Write>,
    ) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Renames. Flags other than those in [`Rename`] are refused before. Optional.
    fn rename(_idmap: &Idmap, _rename: &Rename<'_, Self>) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Changes attributes. Optional: without it they change in memory and the inode is marked
    /// dirty.
    fn setattr(_inode: &Locked<'_, Self, Write>, _attr: &Attr<'_, Self>) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Adds to what the inode itself says about the file. `request_mask` has `STATX_*` bits.
    /// Optional.
    fn getattr(_inode: &Inode<Self>, _stat: &mut Kstat, _request_mask: u32) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// The target of a symbolic link whose [`New::set_link`] was not called. Optional.
    fn get_link(_inode: &Inode<Self>) -> Result<CString> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}
