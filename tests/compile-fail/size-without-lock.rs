// error: E0599 no method named `truncate_setsize` found

// SPDX-License-Identifier: GPL-2.0

//! Pages are cut off under both locks of their own inode: the operation belongs to the guard.

use vfs::{
    fs::FileSystem,
    inode::{Locked, Write},
};

pub fn cut<T: FileSystem>(a: &Locked<'_, T, Write>, b: &Locked<'_, T, Write>) {
    let b = b.lock_invalidate();
    #[cfg(wrong)]
    a.truncate_setsize(0);
    a.lock_invalidate().truncate_setsize(0);
    b.truncate_setsize(0);
}
