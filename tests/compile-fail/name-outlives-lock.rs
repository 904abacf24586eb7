// error: E0521 borrowed data escapes outside of function

// SPDX-License-Identifier: GPL-2.0

//! A name is stable as long as its directory is locked, and is not kept for longer.

use vfs::{dentry::Dentry, fs::FileSystem};

pub fn lookup<T: FileSystem>(dentry: &Dentry<T>, kept: &mut &'static [u8]) {
    let name = dentry.name();
    #[cfg(wrong)]
    {
        *kept = name;
    }
    #[cfg(not(wrong))]
    {
        *kept = if name.is_empty() { b"empty" } else { b"some" };
    }
}
