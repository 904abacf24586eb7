// SPDX-License-Identifier: GPL-2.0

//! Open files.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::{
    bindings,
    fs::FileSystem,
    inode::{FileType, Inode},
};
use core::{marker::PhantomData, ptr::NonNull};
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

    pub(crate) fn as_ptr(&self) -> *mut bindings::file {
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

/// Positions that a caller of 32 bits can hold, which are not negative in 31 bits: the upper half of the filesystem's own.
///
/// Positions up to this one stay what they are: `.`, `..` and what is behind them.
const FIRST: u64 = 2;

fn shorten(pos: u64) -> u64 {
    if pos <= FIRST {
        pos
    } else {
        (pos >> 32).max(FIRST + 1)
    }
}

/// The smallest position of which `short` is the short form.
fn lengthen(short: u64) -> u64 {
    if short <= FIRST + 1 {
        short
    } else {
        short.saturating_mul(1 << 32)
    }
}

/// Where entries of a directory go (`struct dir_context`).
///
/// [`DirContext::emit`] may fault on the reader's memory, and the fault may write back to this very
/// filesystem: no lock
/// that its iomap callbacks take may be held then.
///
/// The filesystem sees its own positions, whatever the reader can hold. Entries that have one short position are told apart as
/// long as the reader goes on from where it stopped; who seeks to it gets all of them.
///
/// # Invariants
///
/// `ctx` is valid and only this thread uses it; its position is `pos`, in the reader's form.
pub struct DirContext<'a> {
    ctx: NonNull<bindings::dir_context>,
    pos: u64,
    is_short: bool,
    _ctx: PhantomData<&'a mut bindings::dir_context>,
}

impl DirContext<'_> {
    /// `last` is the position at which the last reading of the same file ended.
    ///
    /// # Safety
    ///
    /// For `'a`, `ctx` is valid and only this thread uses it.
    pub(crate) unsafe fn new(
        ctx: NonNull<bindings::dir_context>,
        is_short: bool,
        last: u64,
    ) -> Self {
        // SAFETY: The caller vouches for the context. Positions are not negative.
        let pos = unsafe { (*ctx.as_ptr()).pos } as u64;
        let pos = match is_short {
            true if shorten(last) == pos => last,
            true => lengthen(pos),
            false => pos,
        };
        // INVARIANT: A short position is that of the position made of it.
        Self {
            ctx,
            pos,
            is_short,
            _ctx: PhantomData,
        }
    }

    /// The position to go on from.
    pub fn pos(&self) -> u64 {
        self.pos
    }

    /// Sets the position of the next entry: before [`Self::emit`] its own, after the last that of
    /// the end, which is [`i64::MAX`].
    pub fn set_pos(&mut self, pos: u64) {
        let pos = pos.min(i64::MAX as u64);
        let seen = if self.is_short { shorten(pos) } else { pos };
        self.pos = pos;
        // SAFETY: The context is on the stack of the task that reads the directory, which is this one; `&mut self` is the only way to
        // it.
        unsafe { (*self.ctx.as_ptr()).pos = seen as i64 };
    }

    /// Gives one entry to the reader; `false` if it has no more room, and then the entry was not
    /// taken.
    pub fn emit(&mut self, name: &[u8], ino: u64, kind: FileType) -> bool {
        let Ok(len) = c_int::try_from(name.len()) else {
            return false;
        };
        // SAFETY: The context and its actor are valid until `iterate_dir()` returns, which called this. The actor copies `len` bytes
        // of `name`, and checks them.
        unsafe {
            bindings::vfs_helper_dir_emit(
                self.ctx.as_ptr(),
                name.as_ptr().cast(),
                len,
                ino,
                kind.dt().into(),
            )
        }
    }

    /// Gives `.` and `..` to the reader if the position is below 2, which it is not afterwards;
    /// `false` as in [`Self::emit`].
    pub fn emit_dots<T: FileSystem>(&mut self, file: &File<T>) -> bool {
        // SAFETY: As for `emit`. The numbers come from the file's dentry, which it has a reference on, and from that one's parent, which
        // the call reads under RCU.
        let (done, pos) = unsafe {
            let ctx = self.ctx.as_ptr();
            let done = bindings::vfs_helper_dir_emit_dots(file.as_ptr(), ctx);
            (done, (*ctx).pos as u64)
        };
        // So small a position is the same in both forms; a larger one was not touched.
        if pos <= FIRST {
            self.pos = pos;
        }
        done
    }
}
