// error: E0277 `*mut ()` cannot be sent between threads safely

// SPDX-License-Identifier: GPL-2.0

//! A lock belongs to the task that has taken it.

use vfs::{
    fs::FileSystem,
    inode::{Inode, Locked, Write},
};

fn send<S: Send>(_: S) {}

pub fn hand_over<T: FileSystem>(inode: &Inode<T>, locked: Locked<'_, T, Write>) {
    send(inode);
    #[cfg(wrong)]
    send(locked);
    #[cfg(not(wrong))]
    drop(locked);
}
