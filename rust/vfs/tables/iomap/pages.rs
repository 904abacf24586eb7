// SPDX-License-Identifier: GPL-2.0

//! `struct address_space_operations` of regular files.

use super::{read, writeback};
use crate::{bindings, ops::Complete};
use core::marker::PhantomData;

struct VTable<T>(PhantomData<T>);

impl<T: Complete> VTable<T> {
    const OPS: bindings::address_space_operations = bindings::address_space_operations {
        read_folio: Some(read::read_folio::<T>),
        readahead: Some(read::readahead::<T>),
        writepages: Some(writeback::writepages::<T>),
        dirty_folio: Some(bindings::iomap_dirty_folio),
        invalidate_folio: Some(bindings::iomap_invalidate_folio),
        release_folio: Some(bindings::iomap_release_folio),
        migrate_folio: Some(bindings::filemap_migrate_folio),
        is_partially_uptodate: Some(bindings::iomap_is_partially_uptodate),
        error_remove_folio: Some(bindings::generic_error_remove_folio),
        ..pin_init::zeroed()
    };
}

/// The table for regular files.
pub(crate) const fn address_space_operations<T: Complete>(
) -> *const bindings::address_space_operations {
    &VTable::<T>::OPS
}
