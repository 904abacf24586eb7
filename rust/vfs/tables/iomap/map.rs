// SPDX-License-Identifier: GPL-2.0

//! The callbacks of `struct iomap_ops`.

use crate::{
    bindings,
    inode::Inode,
    iomap::{BeginFlags, MapFlags, MapKind, Mapping},
    ops::Complete,
};
use core::marker::PhantomData;
use kernel::{error::from_result, prelude::*};

/// `IOMAP_NULL_ADDR`: no address.
const NULL_ADDR: u64 = u64::MAX;

/// The operations for everything but writeback.
pub(crate) const fn ops<T: Complete>() -> *const bindings::iomap_ops {
    &VTable::<T>::OPS
}

/// Checks what the filesystem says about `pos`, and writes it to `iomap`. iomap only warns about
/// broken mappings.
///
/// # Errors
///
/// `EFSCORRUPTED`.
///
/// # Safety
///
/// `iomap` is valid for writes and `inode` is valid.
pub(super) unsafe fn fill(
    inode: *mut bindings::inode,
    iomap: *mut bindings::iomap,
    mapping: &Mapping,
    pos: u64,
) -> Result {
    let end = mapping
        .offset
        .checked_add(mapping.len)
        .ok_or(EFSCORRUPTED)?;
    // SAFETY: A valid inode has a valid super block, whose block size was set before there were inodes.
    let block = unsafe { (*(*inode).i_sb).s_blocksize } as u64;
    let aligned = (mapping.offset | mapping.len) & (block - 1) == 0;
    if !aligned || mapping.offset > pos || end <= pos || end > i64::MAX as u64 {
        return Err(EFSCORRUPTED);
    }
    let (kind, addr) = match mapping.kind {
        MapKind::Hole => (bindings::VFS_CONST_IOMAP_HOLE, NULL_ADDR),
        MapKind::Delalloc => (bindings::VFS_CONST_IOMAP_DELALLOC, NULL_ADDR),
        MapKind::Mapped(addr) => (bindings::VFS_CONST_IOMAP_MAPPED, addr),
        MapKind::Unwritten(addr) => (bindings::VFS_CONST_IOMAP_UNWRITTEN, addr),
    };
    if let MapKind::Mapped(addr) | MapKind::Unwritten(addr) = mapping.kind {
        if addr & (block - 1) != 0 || addr.checked_add(mapping.len).is_none() {
            return Err(EFSCORRUPTED);
        }
    }
    // SAFETY: The caller vouches for both; the device stays open as long as the super block is in use.
    unsafe {
        (*iomap).addr = addr;
        (*iomap).offset = mapping.offset as i64;
        (*iomap).length = mapping.len;
        (*iomap).type_ = kind;
        (*iomap).flags = mapping.flags.0;
        (*iomap).bdev = (*(*inode).i_sb).s_bdev;
        (*iomap).validity_cookie = mapping.cookie;
    }
    Ok(())
}

/// What `fill` has written.
///
/// # Safety
///
/// `iomap` is valid and was filled in by `fill`, and nobody writes to it meanwhile.
unsafe fn mapping_of(iomap: *const bindings::iomap) -> Mapping {
    // SAFETY: The caller vouches for it.
    let iomap = unsafe { &*iomap };
    Mapping {
        offset: iomap.offset as u64,
        len: iomap.length,
        kind: match iomap.type_ {
            bindings::VFS_CONST_IOMAP_DELALLOC => MapKind::Delalloc,
            bindings::VFS_CONST_IOMAP_MAPPED => MapKind::Mapped(iomap.addr),
            bindings::VFS_CONST_IOMAP_UNWRITTEN => MapKind::Unwritten(iomap.addr),
            _ => MapKind::Hole,
        },
        flags: MapFlags(iomap.flags),
        cookie: iomap.validity_cookie,
    }
}

struct VTable<T>(PhantomData<T>);

impl<T: Complete> VTable<T> {
    const OPS: bindings::iomap_ops = bindings::iomap_ops {
        iomap_begin: Some(Self::begin),
        iomap_end: if T::HAS_END || T::HAS_PUNCH_DELALLOC {
            Some(Self::end)
        } else {
            None
        },
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Called by iomap for a regular file of this filesystem, with a zeroed `iomap`.
    unsafe extern "C" fn begin(
        inode: *mut bindings::inode,
        pos: i64,
        len: i64,
        flags: c_uint,
        iomap: *mut bindings::iomap,
        _srcmap: *mut bindings::iomap,
    ) -> c_int {
        let flags = BeginFlags::from_raw(flags);
        from_result(|| {
            let (pos, len) = (u64::try_from(pos)?, u64::try_from(len)?);
            // SAFETY: `iomap_iter()` is run for an inode that an open file, a mapping or a lock keeps, with our tables: of type `T`.
            let mapping = T::begin(unsafe { Inode::from_raw(inode) }, pos, len, flags)?;
            let mapped = matches!(mapping.kind, MapKind::Mapped(_));
            if flags.overwrite_only() {
                let spans = mapping.offset.saturating_add(mapping.len) >= pos.saturating_add(len);
                if !mapped || !spans || mapping.flags.contains(MapFlags::NEW) {
                    return Err(EAGAIN);
                }
            }
            if flags.write() && mapping.kind == MapKind::Hole {
                return Err(EFSCORRUPTED);
            }
            // SAFETY: The inode as above; the mapping is a field of the iterator, on the caller's stack.
            unsafe { fill(inode, iomap, &mapping, pos)? };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by iomap after each successful `begin`, with what it was called with.
    unsafe extern "C" fn end(
        inode: *mut bindings::inode,
        pos: i64,
        len: i64,
        written: isize,
        flags: c_uint,
        iomap: *mut bindings::iomap,
    ) -> c_int {
        // SAFETY: `iomap_iter()` calls this after a `begin` that succeeded, which has filled it in, and only this task has the iterator.
        let mapping = unsafe { mapping_of(iomap) };
        if T::HAS_PUNCH_DELALLOC
            && mapping.kind == MapKind::Delalloc
            && mapping.flags.contains(MapFlags::NEW)
        {
            // SAFETY: These are our own arguments.
            unsafe { Self::release_short_write(inode, pos, len, written, flags, iomap) };
        }
        from_result(|| {
            if T::HAS_END {
                let written = u64::try_from(written).unwrap_or(0);
                // SAFETY: What has kept the inode in `begin` still does.
                let inode = unsafe { Inode::from_raw(inode) };
                T::end(
                    inode,
                    pos as u64,
                    len as u64,
                    written,
                    BeginFlags::from_raw(flags),
                    &mapping,
                )?;
            }
            Ok(0)
        })
    }

    /// Drops the part of a reservation that was made for a write which then came short, except
    /// where page faults have made dirty pages meanwhile.
    ///
    /// # Safety
    ///
    /// As for `end`.
    unsafe fn release_short_write(
        inode: *mut bindings::inode,
        pos: i64,
        len: i64,
        written: isize,
        flags: c_uint,
        iomap: *mut bindings::iomap,
    ) {
        // A write fault does not come short after `begin`, and holds a folio's lock.
        if flags & bindings::VFS_CONST_IOMAP_FAULT != 0 {
            return;
        }
        // SAFETY: What has kept the inode in `begin` still does; the rest is arithmetic with its block size.
        let (start, end) = unsafe {
            (
                bindings::vfs_helper_last_written_block(inode, pos, written),
                bindings::vfs_helper_block_round_up(inode, pos.saturating_add(len)),
            )
        };
        if start >= end {
            return;
        }
        // Those who zero hold the lock already (`Locked::zero_range` asks for the guard).
        let locked =
            flags & (bindings::VFS_CONST_IOMAP_ZERO | bindings::VFS_CONST_IOMAP_UNSHARE) != 0;
        // SAFETY: `i_rwsem` is held, as by all who write, and with `locked` `invalidate_lock` too: the function wants both. What is
        // taken is released, in this task.
        unsafe {
            if !locked {
                bindings::vfs_helper_filemap_invalidate_lock(inode);
            }
            bindings::iomap_write_delalloc_release(
                inode,
                start,
                end,
                flags,
                iomap,
                Some(Self::punch),
            );
            if !locked {
                bindings::vfs_helper_filemap_invalidate_unlock(inode);
            }
        }
    }

    /// # Safety
    ///
    /// Called by iomap for a regular file of this filesystem.
    unsafe extern "C" fn punch(
        inode: *mut bindings::inode,
        pos: i64,
        len: i64,
        _iomap: *mut bindings::iomap,
    ) {
        let (Ok(pos), Ok(len)) = (u64::try_from(pos), u64::try_from(len)) else {
            return;
        };
        if T::HAS_PUNCH_DELALLOC {
            // SAFETY: `iomap_write_delalloc_release()` passes on the inode that `release_short_write` has given it.
            let inode = unsafe { Inode::from_raw(inode) };
            T::punch_delalloc(inode, pos, pos.saturating_add(len));
        }
    }
}
