// error: E0599 no method named `lock_invalidate` found

// SPDX-License-Identifier: GPL-2.0

//! `invalidate_lock` comes after `i_rwsem`, held exclusively.

use vfs::{
    fs::FileSystem,
    inode::{Locked, Read, Write},
};

pub fn exclusive<T: FileSystem>(inode: &Locked<'_, T, Write>) {
    drop(inode.lock_invalidate());
}

pub fn shared<T: FileSystem>(inode: &Locked<'_, T, Read>) -> u64 {
    #[cfg(wrong)]
    drop(inode.lock_invalidate());
    inode.size()
}
