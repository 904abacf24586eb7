// SPDX-License-Identifier: GPL-2.0

//! Open files.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::{
    bindings,
    fs::FileSystem,
    inode::{FileType, Inode},
};
use core::marker::PhantomData;
use kernel::{error::to_result, prelude::*, types::Opaque};

/// An open file of a filesystem of type `T`.
///
/// # Invariants
///
/// References point at a valid `struct file` whose inode is of type `T` and stays while they live.
#[repr(transparent)]
pub struct File<T: FileSystem>(Opaque<bindings::file>, PhantomData<T>);

impl<T: FileSystem> File<T> {
    /// # Safety
    ///
    /// The type invariants hold for `'a`.
    pub(crate) unsafe fn from_raw<'a>(file: *mut bindings::file) -> &'a Self {
        // SAFETY: The caller vouches for the file. `File` is transparent over `file`, in an `Opaque`, so that C may go on writing to
        // it.
        unsafe { &*file.cast() }
    }

    fn as_ptr(&self) -> *mut bindings::file {
        self.0.get()
    }

    /// The inode.
    pub fn inode(&self) -> &Inode<T> {
        // SAFETY: A valid file has a reference on its path until `__fput()` has called `release`, and with it on the inode, which
        // does not change.
        unsafe { Inode::from_raw(bindings::vfs_helper_file_inode(self.as_ptr())) }
    }

    /// The `O_*` flags.
    pub fn flags(&self) -> u32 {
        // SAFETY: A valid file. `fcntl(2)` may change some of the flags at any time: the word is read whole.
        unsafe { (&raw const (*self.as_ptr()).f_flags).read_volatile() }
    }

    /// Writes the dirty pages of bytes `start..=end`, waits, and reports what went wrong since this
    /// file last asked.
    ///
    /// # Errors
    ///
    /// The error of any writeback since then, once for each open file.
    pub fn write_and_wait_range(&self, start: u64, end: u64) -> Result {
        let offset = |pos: u64| i64::try_from(pos).unwrap_or(i64::MAX);
        // SAFETY: A valid file, whose mapping is its inode's. What it notes in the file (`f_wb_err`) it does under `f_lock`.
        to_result(unsafe {
            bindings::file_write_and_wait_range(self.as_ptr(), offset(start), offset(end))
        })
    }
}

/// Where entries of a directory go (`struct dir_context`).
///
/// [`DirContext::emit`] may fault on the reader's memory, and the fault may write back to this very
/// filesystem: no lock
/// that its iomap callbacks take may be held then.
///
/// # Invariants
///
/// References point at a valid `dir_context` that only this thread uses.
#[repr(transparent)]
pub struct DirContext(Opaque<bindings::dir_context>);

impl DirContext {
    /// # Safety
    ///
    /// The type invariant holds for `'a`.
    pub(crate) unsafe fn from_raw<'a>(ctx: *mut bindings::dir_context) -> &'a mut Self {
        // SAFETY: The caller vouches for it, and that nobody else uses it. `DirContext` is transparent over `dir_context`.
        unsafe { &mut *ctx.cast() }
    }

    /// The position to go on from.
    pub fn pos(&self) -> u64 {
        // SAFETY: The context is on the stack of the task that reads the directory, which is this one. Positions are not negative.
        unsafe { (*self.0.get()).pos as u64 }
    }

    /// Sets the position of the next entry: before [`Self::emit`] its own, after the last that of
    /// the end.
    pub fn set_pos(&mut self, pos: u64) {
        // SAFETY: As for `pos`; `&mut self` is the only one that is in use.
        unsafe { (*self.0.get()).pos = i64::try_from(pos).unwrap_or(i64::MAX) };
    }

    /// Gives one entry to the reader; `false` if it has no more room, and then the entry was not
    /// taken.
    pub fn emit(&mut self, name: &[u8], ino: u64, kind: FileType) -> bool {
        let Ok(len) = c_int::try_from(name.len()) else {
            return false;
        };
        let ctx = self.0.get();
        // SAFETY: The context and its actor are valid until `iterate_dir()` returns, which called this. The actor copies `len` bytes
        // of `name`, and checks them.
        unsafe {
            bindings::vfs_helper_dir_emit(ctx, name.as_ptr().cast(), len, ino, kind.dt().into())
        }
    }

    /// Gives `.` and `..` to the reader if the position is below 2, which it is not afterwards;
    /// `false` as in [`Self::emit`].
    pub fn emit_dots<T: FileSystem>(&mut self, file: &File<T>) -> bool {
        // SAFETY: As for `emit`. The numbers come from the file's dentry, which it has a reference on, and from that one's parent, which
        // the call reads under RCU.
        unsafe { bindings::vfs_helper_dir_emit_dots(file.as_ptr(), self.0.get()) }
    }
}
