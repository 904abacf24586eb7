// SPDX-License-Identifier: GPL-2.0

//! What a filesystem does to the page cache of a file.
//!
//! C headers: [`include/linux/pagemap.h`](srctree/include/linux/pagemap.h),
//! [`include/linux/iomap.h`](srctree/include/linux/iomap.h)

use super::{Inode, Invalidating};
use crate::{
    bindings,
    fs::{Complete, FileSystem},
    iomap,
};
use core::ptr;
use kernel::{error::to_result, prelude::*};

fn offset(pos: u64) -> i64 {
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

impl<T: Complete> Invalidating<'_, T> {
    /// Zeroes bytes `pos..pos + len` through the page cache; holes stay holes.
    ///
    /// # Errors
    ///
    /// What [`begin`](crate::iomap::IomapOperations::begin) or reading the block says.
    pub fn zero_range(&self, pos: u64, len: u64) -> Result {
        if len == 0 {
            return Ok(());
        }
        // SAFETY: The inode is valid, and both of its locks are held, as iomap wants for zeroing. The tables are made for inodes
        // of type `T`, which this is.
        to_result(unsafe {
            bindings::iomap_zero_range(
                self.as_ptr(),
                offset(pos),
                offset(len),
                ptr::null_mut(),
                iomap::ops::<T>(),
                iomap::write_ops::<T>(),
                ptr::null_mut(),
            )
        })
    }

    /// Zeroes from `pos` to the end of its block, if it is not at the start of one.
    ///
    /// # Errors
    ///
    /// As [`Self::zero_range`].
    pub fn truncate_page(&self, pos: u64) -> Result {
        let block = u64::from(self.super_block().block_size());
        let tail = pos & (block - 1);
        self.zero_range(pos, if tail == 0 { 0 } else { block - tail })
    }
}
