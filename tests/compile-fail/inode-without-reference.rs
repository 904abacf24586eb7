// error: E0599 no method named `to_ref` found

// SPDX-License-Identifier: GPL-2.0

//! An inode that is evicted or written back has no reference on it, and none can be made: it would come back to life.
//! Whoever has locked one has a reference.

use vfs::{
    fs::FileSystem,
    inode::{IRef, Inode, Locked, Write},
};

#[cfg(wrong)]
pub fn evict<T: FileSystem>(inode: &Inode<T>) -> IRef<'_, T> {
    inode.to_ref()
}

#[cfg(not(wrong))]
pub fn evict<T: FileSystem>(_inode: &Inode<T>) {}

pub fn unlink<'a, T: FileSystem>(inode: &Locked<'a, T, Write>) -> IRef<'a, T> {
    inode.to_ref()
}
