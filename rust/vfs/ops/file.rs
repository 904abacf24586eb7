// SPDX-License-Identifier: GPL-2.0

//! What a filesystem does with open files: `struct file_operations`.

use crate::{
    file::{DirContext, File},
    fs::FileSystem,
    inode::{Inode, Invalidating, Locked, Read},
};
use kernel::{error::VTABLE_DEFAULT_ERROR, prelude::*};

/// `struct file_operations` that are the filesystem's own. Reading, writing, mapping, splicing and
/// seeking are done by this crate over [`IomapOperations`](crate::ops::IomapOperations).
#[vtable]
pub trait FileOperations: FileSystem {
    /// Emits entries from [`DirContext::pos`] on, until there are no more or [`DirContext::emit`]
    /// says that the reader has enough. Positions are the filesystem's own, below `2^63`, and grow from entry to entry; 0 is the
    /// start, and the first two are for `.` and `..`. Callers of 32 bits see the upper half: it should tell entries apart.
    fn iterate_shared(
        file: &File<Self>,
        dir: &Locked<'_, Self, Read>,
        ctx: &mut DirContext<'_>,
    ) -> Result;

    /// Makes bytes `start..=end` and what is needed to read them durable, and with `datasync`
    /// nothing more. Also for directories. Writes the pages itself, with
    /// [`File::write_and_wait_range`]. Optional (`EINVAL`).
    fn fsync(
        _file: &File<Self>,
        _inode: &Inode<Self>,
        _start: u64,
        _end: u64,
        _datasync: bool,
    ) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Allocates, punches or zeroes; `mode` has `FALLOC_FL_*` bits. Direct I/O was waited for,
    /// and privileges and times were updated. Optional (`EOPNOTSUPP`).
    fn fallocate(
        _file: &File<Self>,
        _inode: &Invalidating<'_, Self>,
        _mode: u32,
        _offset: u64,
        _len: u64,
    ) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// `ioctl(2)`. Optional (`ENOTTY`).
    fn ioctl(_file: &File<Self>, _inode: &Inode<Self>, _cmd: u32, _arg: usize) -> Result<isize> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// A regular file or a directory is opened. Optional.
    fn open(_inode: &Inode<Self>, _file: &File<Self>) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// The last reference to an open file is gone. Nobody hears of an error. Optional.
    fn release(_inode: &Inode<Self>, _file: &File<Self>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}
