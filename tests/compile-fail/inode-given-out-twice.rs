// error: E0382 use of moved value: `new`

// SPDX-License-Identifier: GPL-2.0

//! A new inode is given out once, and not changed as a new one after that.

use kernel::prelude::*;
use vfs::{
    inode::{IRef, New},
    ops::Complete,
};

pub fn give_out<'a, T: Complete>(mut new: New<'a, T>) -> Result<IRef<'a, T>> {
    new.set_mode(0o100644)?;
    let inode = new.unlock_new()?;
    #[cfg(wrong)]
    drop(new);
    Ok(inode)
}
