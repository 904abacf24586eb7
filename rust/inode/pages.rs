// SPDX-License-Identifier: GPL-2.0

//! What a filesystem does to the page cache of a file.
//!
//! C headers: [`include/linux/pagemap.h`](srctree/include/linux/pagemap.h),
//! [`include/linux/iomap.h`](srctree/include/linux/iomap.h)

use super::{Inode, InvalidateGuard, Locked, Write};
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
        // SAFETY: By the invariant of `Inode`; a filesystem's own inode has its own mapping.
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
        // SAFETY: By the invariant of `Inode`.
        to_result(unsafe {
            bindings::filemap_write_and_wait_range(self.mapping(), offset(start), offset(end))
        })
    }

    /// Starts writing the dirty pages of the whole file.
    pub fn start_writeback(&self) -> Result {
        // SAFETY: By the invariant of `Inode`.
        to_result(unsafe { bindings::filemap_flush(self.mapping()) })
    }

    /// Drops the pages of bytes `start..=end`, dirty or not.
    pub fn truncate_pagecache_range(&self, start: u64, end: u64, _guard: &InvalidateGuard<'_, T>) {
        // SAFETY: By the invariant of `Inode`.
        unsafe { bindings::truncate_pagecache_range(self.as_ptr(), offset(start), offset(end)) };
    }
}

impl<T: FileSystem> Locked<'_, T, Write> {
    /// Sets the size and drops the pages past it (`truncate_setsize`). The blocks are the caller's
    /// to free, afterwards.
    pub fn truncate_setsize(&self, size: u64, _guard: &InvalidateGuard<'_, T>) {
        // SAFETY: By the invariant of `Inode`; the size is serialised by `i_rwsem`.
        unsafe { bindings::truncate_setsize(self.as_ptr(), offset(size)) };
    }
}

impl<T: Complete> Locked<'_, T, Write> {
    /// Zeroes bytes `pos..pos + len` through the page cache; holes stay holes.
    ///
    /// # Errors
    ///
    /// What [`begin`](crate::iomap::IomapOperations::begin) or reading the block says.
    pub fn zero_range(&self, pos: u64, len: u64, _guard: &InvalidateGuard<'_, T>) -> Result {
        if len == 0 {
            return Ok(());
        }
        // SAFETY: By the invariant of `Inode`; the tables are of type `T`.
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
    pub fn truncate_page(&self, pos: u64, guard: &InvalidateGuard<'_, T>) -> Result {
        let block = u64::from(self.super_block().block_size());
        let tail = pos & (block - 1);
        self.zero_range(pos, if tail == 0 { 0 } else { block - tail }, guard)
    }
}
