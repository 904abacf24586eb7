// SPDX-License-Identifier: GPL-2.0

//! Contexts in which a super block is made or reconfigured.
//!
//! C header: [`include/linux/fs_context.h`](srctree/include/linux/fs_context.h)

use crate::{bindings, fs::FileSystem, super_block::SuperBlock};
use core::ptr;
use kernel::{fmt, prelude::*, types::Opaque};

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
    pub(crate) unsafe fn from_raw<'a>(fc: *mut bindings::fs_context) -> &'a Self {
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
