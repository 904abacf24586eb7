// error: E0599 no method named `name` found

// SPDX-License-Identifier: GPL-2.0

//! While attributes are changed the file may be renamed: `setattr` is told no name. Callbacks that hold the directory's lock are.

use vfs::{dentry::Dentry, fs::FileSystem, inode::Attr};

pub fn setattr<T: FileSystem>(attr: &Attr<'_, T>) -> Option<u64> {
    #[cfg(wrong)]
    let _ = attr.name();
    attr.size()
}

pub fn unlink<T: FileSystem>(dentry: &Dentry<T>) -> usize {
    dentry.name().len()
}
