// error: E0521 borrowed data escapes outside of function

// SPDX-License-Identifier: GPL-2.0

//! A reference on an inode lives no longer than the borrow of the super block that it came from: no
//! filesystem can keep one past unmount.

use vfs::{fs::FileSystem, inode::IRef, super_block::SuperBlock};

pub fn look<T: FileSystem>(sb: &SuperBlock<T>, kept: &mut Option<IRef<'static, T>>) {
    let found = sb.ilookup(1);
    #[cfg(wrong)]
    {
        *kept = found;
    }
    #[cfg(not(wrong))]
    {
        *kept = None;
        drop(found);
    }
}
