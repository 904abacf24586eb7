// SPDX-License-Identifier: GPL-2.0

//! Contexts in which a super block is made or reconfigured.
//!
//! C header: [`include/linux/fs_context.h`](srctree/include/linux/fs_context.h)

use super::{param, Complete, FileSystem};
use crate::{
    bindings,
    super_block::{self, SuperBlock},
};
use core::{marker::PhantomData, ptr};
use kernel::{error::from_result, fmt, prelude::*, types::Opaque};

/// A `struct fs_context`, as the filesystem sees it.
///
/// # Invariants
///
/// References to it point at a valid `fs_context` whose `log` is set up.
#[repr(transparent)]
pub struct FsContext(Opaque<bindings::fs_context>);

impl FsContext {
    /// # Safety
    ///
    /// `fc` is valid for `'a`.
    unsafe fn from_raw<'a>(fc: *mut bindings::fs_context) -> &'a Self {
        // SAFETY: The caller vouches for it. `FsContext` is transparent over `fs_context`, in an `Opaque`.
        unsafe { &*fc.cast() }
    }

    /// Whether a read-only super block is asked for. For a new one: see [`Self::leaves_read_only`].
    pub fn is_read_only(&self) -> bool {
        // SAFETY: A valid context; the field is written by who has its mutex, which is who called the callback that has us.
        let flags = unsafe { (*self.0.get()).sb_flags };
        flags as usize & bindings::VFS_CONST_SB_RDONLY != 0
    }

    /// Whether the super block `sb` is read-only after this reconfiguration: what was asked for, or, where
    /// nothing was (`fspick()` without `ro` or `rw`), what it is now. Only flags in `sb_flags_mask` change
    /// (`reconfigure_super()`).
    pub fn leaves_read_only<T: FileSystem>(&self, sb: &SuperBlock<T>) -> bool {
        // SAFETY: As for the flags in `is_read_only`.
        let mask = unsafe { (*self.0.get()).sb_flags_mask };
        if mask as usize & bindings::VFS_CONST_SB_RDONLY != 0 {
            self.is_read_only()
        } else {
            sb.is_read_only()
        }
    }

    fn log(&self, format: &'static CStr, args: fmt::Arguments<'_>, level: u8) {
        let fc = self.0.get();
        // SAFETY: A valid context, whose log counts its own messages. `%pA` takes a pointer to `fmt::Arguments`, which live until
        // the call has formatted them.
        unsafe {
            bindings::logfc(
                (*fc).log.log,
                (*fc).log.prefix,
                level as c_char,
                kernel::str::as_char_ptr_in_const_context(format),
                ptr::from_ref(&args).cast::<c_void>(),
            )
        };
    }

    /// Says why something fails: to the process that mounts, when it reads the context's log, else
    /// to the kernel log.
    pub fn error(&self, args: fmt::Arguments<'_>) {
        self.log(c"%pA", args, b'e');
    }

    /// Like [`Self::error`], for what does not make the operation fail.
    pub fn warn(&self, args: fmt::Arguments<'_>) {
        self.log(c"%pA", args, b'w');
    }

    /// Like [`Self::error`], for what is worth knowing.
    pub fn info(&self, args: fmt::Arguments<'_>) {
        self.log(c"%pA", args, b'i');
    }

    /// [`Self::error`] for a value that makes no sense; gives back `EINVAL` (`invalf()`).
    pub fn invalid(&self, args: fmt::Arguments<'_>) -> Error {
        self.error(args);
        EINVAL
    }
}

/// The callbacks of `struct fs_context_operations`.
pub(super) struct VTable<T>(PhantomData<T>);

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
    pub(super) unsafe extern "C" fn init_fs_context(
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
                super_block::fill::<T>(sb, FsContext::from_raw(fc), KBox::into_inner(options))?
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
