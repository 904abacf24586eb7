// SPDX-License-Identifier: GPL-2.0

//! What a filesystem does to the page cache of a file.
//!
//! C headers: [`include/linux/pagemap.h`](srctree/include/linux/pagemap.h),
//! [`include/linux/iomap.h`](srctree/include/linux/iomap.h)

use super::{Inode, Invalidating};
use crate::{bindings, fs::FileSystem};
use kernel::{error::to_result, prelude::*};

/// A position as C takes it.
pub(crate) fn offset(pos: u64) -> i64 {
    i64::try_from(pos).unwrap_or(i64::MAX)
}

impl<T: FileSystem> Inode<T> {
    fn mapping(&self) -> *mut bindings::address_space {
        // SAFETY: The inode is valid. `i_mapping` is set by `inode_init_always()` and stays: of this crate's inodes only those
        // of block devices' files would get another, when they are opened, and that is not looked at here.
        unsafe { (*self.as_ptr()).i_mapping }
    }

    /// Writes the dirty pages of bytes `start..=end` and waits for them; `u64::MAX` is the end of
    /// the file.
    ///
    /// # Errors
    ///
    /// The errors of this writeback. Those that writers of other files may have seen before are not
    /// lost: `fsync` on a file reports them through
    /// [`File::write_and_wait_range`](crate::file::File::write_and_wait_range).
    pub fn write_and_wait_range(&self, start: u64, end: u64) -> Result {
        // SAFETY: The mapping lives as long as the inode that it is part of. The call locks the folios that it finds.
        to_result(unsafe {
            bindings::filemap_write_and_wait_range(self.mapping(), offset(start), offset(end))
        })
    }

    /// Starts writing the dirty pages of the whole file.
    pub fn start_writeback(&self) -> Result {
        // SAFETY: As for `write_and_wait_range`. What it leaves under writeback keeps the inode: eviction waits for it.
        to_result(unsafe { bindings::filemap_flush(self.mapping()) })
    }
}

impl<T: FileSystem> Invalidating<'_, T> {
    /// Sets the size and drops the pages past it (`truncate_setsize`). The blocks are the caller's
    /// to free, afterwards.
    pub fn truncate_setsize(&self, size: u64) {
        // SAFETY: The inode is valid, and both of its locks, which serialise the size and the pages past it, are held.
        unsafe { bindings::truncate_setsize(self.as_ptr(), offset(size)) };
    }
}
