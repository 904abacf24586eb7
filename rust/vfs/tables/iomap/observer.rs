// SPDX-License-Identifier: GPL-2.0

//! Telling the filesystem of bios with file data.

use crate::{bindings, inode::Inode, iomap::Io, ops::Complete};
use kernel::prelude::*;

/// Asks the observer about a bio of `inode`.
///
/// # Safety
///
/// `inode` is a valid inode of type `T`.
pub(super) unsafe fn announce<T: Complete>(inode: *mut bindings::inode, io: Io) -> Result {
    if T::HAS_SUBMIT_IO {
        // SAFETY: The caller vouches for the inode, and its super block stays as long.
        T::submit_io(unsafe { Inode::<T>::from_raw(inode) }.super_block(), io)?;
    }
    Ok(())
}

/// Tells the observer that a bio that was let through has ended.
///
/// # Safety
///
/// `inode` is a valid inode of type `T`, and stays until the end of the call because its I/O has
/// not been completed yet.
pub(super) unsafe fn ended<T: Complete>(inode: *mut bindings::inode, io: Io) {
    if T::HAS_END_IO {
        // SAFETY: The caller vouches for the inode; while it stays, so does its super block.
        T::end_io(unsafe { Inode::<T>::from_raw(inode) }.super_block(), io);
    }
}
