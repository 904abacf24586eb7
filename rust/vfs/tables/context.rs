// SPDX-License-Identifier: GPL-2.0

//! The callbacks of `struct fs_context_operations`.

use super::super_block as sb_tables;
use crate::{bindings, fs::param, fs_context::FsContext, ops::Complete, super_block::SuperBlock};
use core::{marker::PhantomData, ptr};
use kernel::{error::from_result, prelude::*};

/// The callbacks of `struct fs_context_operations`.
pub(crate) struct VTable<T>(PhantomData<T>);

impl<T: Complete> VTable<T> {
    const OPS: bindings::fs_context_operations = bindings::fs_context_operations {
        free: Some(Self::free),
        dup: None,
        parse_param: Some(Self::parse_param),
        parse_monolithic: None,
        get_tree: Some(Self::get_tree),
        reconfigure: if T::HAS_RECONFIGURE {
            Some(Self::reconfigure)
        } else {
            None
        },
    };

    /// # Safety
    ///
    /// Called by the VFS with a fresh context; `root` is set if and only if it is for
    /// reconfiguration.
    pub(crate) unsafe extern "C" fn init_fs_context(
        fc: *mut kernel::bindings::fs_context,
    ) -> c_int {
        let fc = fc.cast::<bindings::fs_context>();
        from_result(|| {
            // SAFETY: `alloc_fs_context()` has made the context, and nobody else knows it yet.
            let root = unsafe { (*fc).root };
            let options = if root.is_null() {
                T::new_options(None)?
            } else {
                // SAFETY: A context for reconfiguration holds an active reference on the super
                // block of `root`, which was mounted, so that its data is set.
                T::new_options(Some(unsafe { SuperBlock::from_raw((*root).d_sb) }))?
            };
            let options = KBox::new(options, GFP_KERNEL)?;
            // SAFETY: `fc` is valid and ours until this function returns. `free` takes the box
            // back.
            unsafe {
                (*fc).fs_private = KBox::into_raw(options).cast();
                (*fc).ops = &Self::OPS;
            }
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS once for a context that `init_fs_context` has set up.
    unsafe extern "C" fn free(fc: *mut bindings::fs_context) {
        // SAFETY: `fc` is valid, nobody else uses it any more.
        let options = unsafe { (*fc).fs_private }.cast::<T::Options>();
        if !options.is_null() {
            // SAFETY: `fs_private` is null or the box of `init_fs_context`, which `fill_super` did
            // not take.
            drop(unsafe { KBox::from_raw(options) });
        }
    }

    /// # Safety
    ///
    /// Called by the VFS with a context that `init_fs_context` has set up, under its `uapi_mutex`.
    unsafe extern "C" fn parse_param(
        fc: *mut bindings::fs_context,
        param: *mut bindings::fs_parameter,
    ) -> c_int {
        from_result(|| {
            // SAFETY: `vfs_parse_fs_param()` passes on a context whose mutex is held, or which nobody else knows yet, and a
            // parameter that stays until it returns.
            let (id, value) = unsafe { param::parse(fc, T::PARAMS, param)? };
            // SAFETY: `fc` is valid and its mutex makes us the only user of the options.
            let options = unsafe { (*fc).fs_private.cast::<T::Options>().as_mut() };
            let options = options.ok_or(EINVAL)?;
            // SAFETY: `fc` is valid for the call.
            T::parse_param(unsafe { FsContext::from_raw(fc) }, options, id, value)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS with a context that `init_fs_context` has set up.
    unsafe extern "C" fn get_tree(fc: *mut bindings::fs_context) -> c_int {
        // SAFETY: `vfs_get_tree()` has the context to itself. `fill_super` has the signature that is asked for.
        unsafe { bindings::get_tree_bdev(fc, Some(Self::fill_super)) }
    }

    /// # Safety
    ///
    /// Called by `get_tree_bdev()` with a fresh super block whose block device is open.
    unsafe extern "C" fn fill_super(
        sb: *mut bindings::super_block,
        fc: *mut bindings::fs_context,
    ) -> c_int {
        from_result(|| {
            // SAFETY: `fc` is valid, and we are its only user.
            let options = unsafe { core::mem::replace(&mut (*fc).fs_private, ptr::null_mut()) };
            if options.is_null() {
                return Err(EINVAL);
            }
            // SAFETY: The box of `init_fs_context`; `fs_private` no longer points at it.
            let options = unsafe { KBox::from_raw(options.cast::<T::Options>()) };
            // SAFETY: `sb` is fresh, of type `T` and ours; `fc` is valid for the call.
            unsafe {
                sb_tables::fill::<T>(sb, FsContext::from_raw(fc), KBox::into_inner(options))?
            };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS for a mounted super block of this type, with `s_umount` held exclusively.
    unsafe extern "C" fn reconfigure(fc: *mut bindings::fs_context) -> c_int {
        from_result(|| {
            // SAFETY: `fc` is valid and has a root.
            let sb = unsafe { (*(*fc).root).d_sb };
            // SAFETY: `s_umount` is held.
            kernel::error::to_result(unsafe { bindings::sync_filesystem(sb) })?;
            // SAFETY: `fc` is valid and we are the only user of the options.
            let options = unsafe { (*fc).fs_private.cast::<T::Options>().as_mut() };
            let options = options.ok_or(EINVAL)?;
            // SAFETY: The super block is mounted, so its data is set; the context is valid for the
            // call.
            unsafe { T::reconfigure(SuperBlock::from_raw(sb), FsContext::from_raw(fc), options)? };
            Ok(0)
        })
    }
}
