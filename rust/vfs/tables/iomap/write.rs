// SPDX-License-Identifier: GPL-2.0

//! Writing to the page cache, and zeroing in it: `struct iomap_write_ops`.

use super::{map, read};
use crate::{
    bindings,
    inode::{pages::offset, Inode, Invalidating},
    ops::Complete,
};
use core::{marker::PhantomData, ptr};
use kernel::{error::to_result, prelude::*};

/// The operations for buffered writes.
pub(crate) const fn write_ops<T: Complete>() -> *const bindings::iomap_write_ops {
    &VTable::<T>::OPS
}

struct VTable<T>(PhantomData<T>);

impl<T: Complete> VTable<T> {
    const OPS: bindings::iomap_write_ops = bindings::iomap_write_ops {
        iomap_valid: if T::HAS_MAPPING_VALID {
            Some(Self::valid)
        } else {
            None
        },
        read_folio_range: if T::HAS_SUBMIT_IO {
            Some(read::read_folio_range::<T>)
        } else {
            None
        },
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Called by iomap with a mapping that `begin` has filled in, and a locked folio.
    unsafe extern "C" fn valid(inode: *mut bindings::inode, iomap: *const bindings::iomap) -> bool {
        // SAFETY: The iteration that `begin` was called in goes on, which keeps the inode and the mapping.
        unsafe { T::mapping_valid(Inode::from_raw(inode), (*iomap).validity_cookie) }
    }
}

impl<T: Complete> Invalidating<'_, T> {
    /// Zeroes bytes `pos..pos + len` through the page cache; holes stay holes.
    ///
    /// # Errors
    ///
    /// What [`begin`](crate::ops::IomapOperations::begin) or reading the block says.
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
                map::ops::<T>(),
                write_ops::<T>(),
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
