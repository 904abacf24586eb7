// SPDX-License-Identifier: GPL-2.0

//! The callbacks of `struct export_operations`: file handles.
//!
//! C header: [`include/linux/exportfs.h`](srctree/include/linux/exportfs.h)
//!
//! Handles hold a 64-bit inode number and a generation, for the inode and, when asked for, its
//! parent, so that they do not depend on how numbers are given out.

use crate::{bindings, inode::Inode, ops::Complete, super_block::SuperBlock};
use core::{marker::PhantomData, ptr};
use kernel::{error::from_result, prelude::*};

/// Words of one (number, generation) pair.
const WORDS: usize = 3;

pub(super) struct VTable<T>(PhantomData<T>);

impl<T: Complete> VTable<T> {
    const OPS: bindings::export_operations = bindings::export_operations {
        encode_fh: Some(Self::encode_fh),
        fh_to_dentry: Some(Self::fh_to_dentry),
        fh_to_parent: Some(Self::fh_to_parent),
        get_parent: if T::HAS_GET_PARENT {
            Some(Self::get_parent)
        } else {
            None
        },
        commit_metadata: if T::HAS_COMMIT_METADATA {
            Some(Self::commit_metadata)
        } else {
            None
        },
        ..pin_init::zeroed()
    };

    pub(super) const fn build() -> *const kernel::bindings::export_operations {
        if T::HAS_FH_TO_INODE {
            ptr::from_ref(&Self::OPS).cast()
        } else {
            ptr::null()
        }
    }

    /// # Safety
    ///
    /// Called with a valid inode of this filesystem, a buffer of `*max_len` words, and a parent or
    /// null.
    unsafe extern "C" fn encode_fh(
        inode: *mut bindings::inode,
        fh: *mut u32,
        max_len: *mut c_int,
        parent: *mut bindings::inode,
    ) -> c_int {
        let words = if parent.is_null() { WORDS } else { 2 * WORDS };
        // SAFETY: `max_len` is valid for the call.
        let room = unsafe { core::mem::replace(&mut *max_len, words as c_int) };
        if usize::try_from(room).map_or(true, |room| room < words) {
            return bindings::fid_type_FILEID_INVALID as c_int;
        }
        for (i, inode) in [inode, parent].into_iter().take(words / WORDS).enumerate() {
            // SAFETY: A valid inode of type `T`.
            let inode = unsafe { Inode::<T>::from_raw(inode) };
            let pair = [
                inode.ino() as u32,
                (inode.ino() >> 32) as u32,
                inode.generation(),
            ];
            // SAFETY: `fh` has at least `words` words.
            unsafe { ptr::copy_nonoverlapping(pair.as_ptr(), fh.add(i * WORDS), WORDS) };
        }
        if parent.is_null() {
            bindings::fid_type_FILEID_INO64_GEN as c_int
        } else {
            bindings::fid_type_FILEID_INO64_GEN_PARENT as c_int
        }
    }

    /// The dentry of the pair that starts at word `at`.
    ///
    /// # Safety
    ///
    /// `sb` is mounted and of type `T`; `fid` has `len` words.
    unsafe fn decode(
        sb: *mut bindings::super_block,
        fid: *mut bindings::fid,
        len: c_int,
        at: usize,
    ) -> *mut bindings::dentry {
        if usize::try_from(len).map_or(true, |len| len < at + WORDS) {
            return ptr::null_mut();
        }
        // SAFETY: The words are there; they may be unaligned for nothing but `u32`.
        let pair = unsafe { ptr::read_unaligned(fid.cast::<u32>().add(at).cast::<[u32; WORDS]>()) };
        let ino = u64::from(pair[0]) | u64::from(pair[1]) << 32;
        // SAFETY: `exportfs_decode_fh_raw()` has a reference on a mount of the super block, which keeps its data.
        let sb = unsafe { SuperBlock::<T>::from_raw(sb) };
        match T::fh_to_inode(sb, ino, pair[2]) {
            // SAFETY: The reference goes over to `d_obtain_alias`, also when it fails.
            Ok(inode) => unsafe { bindings::d_obtain_alias(inode.into_raw().as_ptr()) },
            Err(e) => e.to_ptr(),
        }
    }

    /// # Safety
    ///
    /// Called for a mounted super block of this filesystem with a handle of `len` words.
    unsafe extern "C" fn fh_to_dentry(
        sb: *mut bindings::super_block,
        fid: *mut bindings::fid,
        len: c_int,
        type_: c_int,
    ) -> *mut bindings::dentry {
        match type_ as u32 {
            bindings::fid_type_FILEID_INO64_GEN | bindings::fid_type_FILEID_INO64_GEN_PARENT => {
                // SAFETY: These are our own arguments.
                unsafe { Self::decode(sb, fid, len, 0) }
            }
            _ => ptr::null_mut(),
        }
    }

    /// # Safety
    ///
    /// As for `fh_to_dentry`.
    unsafe extern "C" fn fh_to_parent(
        sb: *mut bindings::super_block,
        fid: *mut bindings::fid,
        len: c_int,
        type_: c_int,
    ) -> *mut bindings::dentry {
        match type_ as u32 {
            // SAFETY: As in `fh_to_dentry`.
            bindings::fid_type_FILEID_INO64_GEN_PARENT => unsafe {
                Self::decode(sb, fid, len, WORDS)
            },
            _ => ptr::null_mut(),
        }
    }

    /// # Safety
    ///
    /// Called for a positive dentry of a directory of this filesystem, whose `i_rwsem` is held.
    unsafe extern "C" fn get_parent(child: *mut bindings::dentry) -> *mut bindings::dentry {
        // SAFETY: `reconnect_one()` has a reference on the dentry, which is positive, and holds a mount: both keep what is borrowed here.
        let (sb, inode) = unsafe {
            (
                SuperBlock::<T>::from_raw((*child).d_sb),
                Inode::<T>::from_raw(bindings::vfs_helper_d_inode(child)),
            )
        };
        match T::get_parent(sb, inode) {
            // SAFETY: The reference goes over to `d_obtain_alias`, also when it fails.
            Ok(parent) => unsafe { bindings::d_obtain_alias(parent.into_raw().as_ptr()) },
            Err(e) => e.to_ptr(),
        }
    }

    /// # Safety
    ///
    /// Called by NFS's server for an inode of this filesystem that it holds a reference on.
    unsafe extern "C" fn commit_metadata(inode: *mut bindings::inode) -> c_int {
        from_result(|| {
            // SAFETY: nfsd has a reference on a dentry of the inode, or is in the middle of an operation on it.
            T::commit_metadata(unsafe { Inode::from_raw(inode) })?;
            Ok(0)
        })
    }
}
