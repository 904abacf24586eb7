// SPDX-License-Identifier: GPL-2.0

//! Inodes.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)
//!
//! Attributes are plain fields in C, changed under `i_rwsem` or a lock of the filesystem and read
//! without. Here all of them go through C functions on `&Inode`: a race gives an old or a new
//! value, as it does in C, and no more than that.

use crate::{bindings, fs::FileSystem, super_block::SuperBlock};
use core::{marker::PhantomData, ops::Deref, pin::Pin, ptr::NonNull};
use kernel::{prelude::*, types::Opaque};

mod attr;
pub(crate) mod container;
mod lock;
mod new;
mod ops;
mod pages;
mod vtable;

pub use self::{
    attr::{Attr, Idmap, Kstat},
    lock::{InvalidateGuard, Locked, Read, Write},
    new::{Lookup, New},
    ops::{InodeOperations, Rename},
};
pub use crate::time::Timespec;

/// The kind of a file, as the `S_IFMT` bits of its mode say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FileType {
    /// A named pipe.
    Fifo = 1,
    /// A character device.
    CharDevice = 2,
    /// A directory.
    Directory = 4,
    /// A block device.
    BlockDevice = 6,
    /// A regular file.
    Regular = 8,
    /// A symbolic link.
    Symlink = 10,
    /// A socket.
    Socket = 12,
}

impl FileType {
    /// From a mode; [`None`] if its `S_IFMT` bits mean nothing.
    pub const fn from_mode(mode: u16) -> Option<Self> {
        Self::from_dt((mode >> 12) as u8)
    }

    /// From a `DT_*` value.
    pub const fn from_dt(dt: u8) -> Option<Self> {
        Some(match dt {
            1 => Self::Fifo,
            2 => Self::CharDevice,
            4 => Self::Directory,
            6 => Self::BlockDevice,
            8 => Self::Regular,
            10 => Self::Symlink,
            12 => Self::Socket,
            _ => return None,
        })
    }

    /// The `DT_*` value.
    pub const fn dt(self) -> u8 {
        self as u8
    }

    /// The `S_IFMT` bits.
    pub const fn mode(self) -> u16 {
        (self as u16) << 12
    }
}

/// `S_*` flags of an inode.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct InodeFlags(u32);

impl InodeFlags {
    /// Writes are synchronous.
    pub const SYNC: Self = Self(bindings::VFS_CONST_S_SYNC);
    /// The access time is not kept.
    pub const NOATIME: Self = Self(bindings::VFS_CONST_S_NOATIME);
    /// Data may only be appended.
    pub const APPEND: Self = Self(bindings::VFS_CONST_S_APPEND);
    /// The file may not be changed.
    pub const IMMUTABLE: Self = Self(bindings::VFS_CONST_S_IMMUTABLE);
    /// Changes of the directory are synchronous.
    pub const DIRSYNC: Self = Self(bindings::VFS_CONST_S_DIRSYNC);

    const MASK: u32 =
        Self::SYNC.0 | Self::NOATIME.0 | Self::APPEND.0 | Self::IMMUTABLE.0 | Self::DIRSYNC.0;

    /// Whether all of `other` is set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl core::ops::BitOr for InodeFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// An inode of a filesystem of type `T`.
///
/// # Invariants
///
/// References point at a valid inode in a `Container<T>`, and somebody holds a reference on it
/// while they live.
#[repr(transparent)]
pub struct Inode<T: FileSystem>(Opaque<bindings::inode>, PhantomData<T>);

// SAFETY: Methods go through C functions that may be called from any thread; the data is `Send` and
// `Sync`.
unsafe impl<T: FileSystem> Send for Inode<T> {}
// SAFETY: As above.
unsafe impl<T: FileSystem> Sync for Inode<T> {}

impl<T: FileSystem> Inode<T> {
    /// # Safety
    ///
    /// The type invariants hold for `'a`.
    pub(crate) unsafe fn from_raw<'a>(inode: *mut bindings::inode) -> &'a Self {
        // SAFETY: By the contract; `Inode` is transparent over `inode`.
        unsafe { &*inode.cast() }
    }

    pub(crate) fn as_ptr(&self) -> *mut bindings::inode {
        self.0.get()
    }

    /// Whether the filesystem has given the inode out.
    pub(crate) fn is_live(&self) -> bool {
        self.container().is_live()
    }

    /// The super block.
    pub fn super_block(&self) -> &SuperBlock<T> {
        // SAFETY: By the type invariant; a super block with inodes has data and outlives them.
        unsafe { SuperBlock::from_raw((*self.as_ptr()).i_sb) }
    }

    /// The filesystem's part of the inode.
    pub fn data(&self) -> Pin<&T::InodeData> {
        // SAFETY: The container is never moved.
        unsafe { Pin::new_unchecked(self.container().data()) }
    }

    /// Another reference, which keeps the inode in memory.
    pub fn to_ref(&self) -> IRef<'_, T> {
        // SAFETY: By the type invariant there is a reference already.
        unsafe { bindings::ihold(self.as_ptr()) };
        // INVARIANT: The reference just taken.
        IRef {
            inode: NonNull::from(self).cast(),
            _sb: PhantomData,
        }
    }

    /// The number. It does not change once the inode is hashed.
    pub fn ino(&self) -> u64 {
        // SAFETY: By the type invariant.
        unsafe { (*self.as_ptr()).i_ino }
    }

    /// The generation, for file handles. Set in [`New`] only.
    pub fn generation(&self) -> u32 {
        // SAFETY: By the type invariant.
        unsafe { (*self.as_ptr()).i_generation }
    }

    /// Type and permissions.
    pub fn mode(&self) -> u16 {
        // SAFETY: By the type invariant.
        unsafe { bindings::vfs_helper_i_mode(self.as_ptr()) }
    }

    /// The type; it does not change. A regular file for a mode that means nothing, which only
    /// [`New`] can see.
    pub fn file_type(&self) -> FileType {
        FileType::from_mode(self.mode()).unwrap_or(FileType::Regular)
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.file_type() == FileType::Directory
    }

    /// Whether it is a regular file.
    pub fn is_reg(&self) -> bool {
        self.file_type() == FileType::Regular
    }

    /// Whether changes are to be durable when the call that makes them returns: mounted with `sync`, or
    /// `S_SYNC` (`IS_SYNC`).
    pub fn is_sync(&self) -> bool {
        // SAFETY: `self` points at a live inode, whose super block lives as long; the macro reads a word of flags in
        // each, which may change at any time.
        unsafe { bindings::vfs_helper_inode_is_sync(self.as_ptr()) }
    }

    /// The same for changes of names in a directory: mounted with `sync` or `dirsync`, or `S_SYNC` or
    /// `S_DIRSYNC` (`IS_DIRSYNC`).
    pub fn is_dirsync(&self) -> bool {
        // SAFETY: `self` points at a live inode, whose super block lives as long; the macro reads a word of flags in
        // each, which may change at any time.
        unsafe { bindings::vfs_helper_inode_is_dirsync(self.as_ptr()) }
    }

    /// The owner, as it is to be stored on disk.
    pub fn uid(&self) -> u32 {
        // SAFETY: By the type invariant.
        unsafe { bindings::vfs_helper_i_uid_read(self.as_ptr()) }
    }

    /// The group, as it is to be stored on disk.
    pub fn gid(&self) -> u32 {
        // SAFETY: By the type invariant.
        unsafe { bindings::vfs_helper_i_gid_read(self.as_ptr()) }
    }

    /// The device of a special file, in the encoding of `new_encode_dev()`.
    pub fn rdev(&self) -> u32 {
        // SAFETY: By the type invariant; set in `New` only.
        unsafe { bindings::vfs_helper_new_encode_dev((*self.as_ptr()).i_rdev) }
    }

    /// The link count.
    pub fn nlink(&self) -> u32 {
        // SAFETY: By the type invariant.
        unsafe { bindings::vfs_helper_i_nlink(self.as_ptr()) }
    }

    /// Sets the link count. The caller holds `i_rwsem` of the inode or of its directory.
    pub fn set_nlink(&self, nlink: u32) {
        // SAFETY: By the type invariant.
        unsafe { bindings::vfs_helper_set_nlink(self.as_ptr(), nlink) };
    }

    /// The size in bytes.
    pub fn size(&self) -> u64 {
        // SAFETY: By the type invariant. Sizes are not negative.
        unsafe { bindings::vfs_helper_i_size_read(self.as_ptr()) as u64 }
    }

    /// Sets the size and nothing else (`i_size_write`). The caller serialises it against other
    /// changes of the size.
    pub fn size_write(&self, size: u64) {
        // SAFETY: By the type invariant.
        unsafe {
            bindings::vfs_helper_i_size_write(
                self.as_ptr(),
                i64::try_from(size).unwrap_or(i64::MAX),
            )
        };
    }

    /// The space in use, in units of 512 bytes.
    pub fn blocks(&self) -> u64 {
        // SAFETY: By the type invariant.
        unsafe { bindings::vfs_helper_i_blocks(self.as_ptr()) }
    }

    /// Sets the space in use, in units of 512 bytes.
    pub fn set_blocks(&self, sectors: u64) {
        // SAFETY: By the type invariant; takes `i_lock`.
        unsafe { bindings::vfs_helper_set_i_blocks(self.as_ptr(), sectors) };
    }

    /// The time of the last access.
    pub fn atime(&self) -> Timespec {
        // SAFETY: By the type invariant.
        unsafe { bindings::vfs_helper_inode_get_atime(self.as_ptr()) }.into()
    }

    /// The time of the last change of the content.
    pub fn mtime(&self) -> Timespec {
        // SAFETY: By the type invariant.
        unsafe { bindings::vfs_helper_inode_get_mtime(self.as_ptr()) }.into()
    }

    /// The time of the last change of the inode.
    pub fn ctime(&self) -> Timespec {
        // SAFETY: By the type invariant.
        unsafe { bindings::vfs_helper_inode_get_ctime(self.as_ptr()) }.into()
    }

    /// Sets the time of the last access.
    pub fn set_atime(&self, ts: Timespec) {
        // SAFETY: By the type invariant.
        unsafe { bindings::vfs_helper_inode_set_atime(self.as_ptr(), ts.into()) };
    }

    /// Sets the time of the last change of the content.
    pub fn set_mtime(&self, ts: Timespec) {
        // SAFETY: By the type invariant.
        unsafe { bindings::vfs_helper_inode_set_mtime(self.as_ptr(), ts.into()) };
    }

    /// Sets the time of the last change of the inode.
    pub fn set_ctime(&self, ts: Timespec) {
        // SAFETY: By the type invariant.
        unsafe { bindings::inode_set_ctime_to_ts(self.as_ptr(), ts.into()) };
    }

    /// Sets the time of the last change of the inode to now, and gives it back.
    pub fn set_ctime_current(&self) -> Timespec {
        // SAFETY: By the type invariant.
        unsafe { bindings::inode_set_ctime_current(self.as_ptr()) }.into()
    }

    /// The `S_*` flags.
    pub fn flags(&self) -> InodeFlags {
        // SAFETY: By the type invariant.
        InodeFlags(unsafe { bindings::vfs_helper_i_flags(self.as_ptr()) } & InodeFlags::MASK)
    }
}

/// A reference on an inode (`i_count`).
///
/// It lives no longer than the borrow of the super block that it came from, so that no filesystem
/// can keep one past unmount in its data. Dropping it may evict the inode, which sleeps.
///
/// # Invariants
///
/// `inode` is a valid inode of type `T`, and the reference is ours.
pub struct IRef<'a, T: FileSystem> {
    inode: NonNull<bindings::inode>,
    _sb: PhantomData<(&'a SuperBlock<T>, T)>,
}

impl<'a, T: FileSystem> IRef<'a, T> {
    /// # Safety
    ///
    /// The type invariants hold, and the super block is alive for `'a`.
    pub(crate) unsafe fn from_raw(inode: NonNull<bindings::inode>) -> Self {
        Self {
            inode,
            _sb: PhantomData,
        }
    }

    /// Gives the reference away.
    pub(crate) fn into_raw(self) -> NonNull<bindings::inode> {
        core::mem::ManuallyDrop::new(self).inode
    }
}

impl<T: FileSystem> Deref for IRef<'_, T> {
    type Target = Inode<T>;

    fn deref(&self) -> &Inode<T> {
        // SAFETY: By the type invariant.
        unsafe { Inode::from_raw(self.inode.as_ptr()) }
    }
}

impl<T: FileSystem> Drop for IRef<'_, T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the reference is ours.
        unsafe { bindings::iput(self.inode.as_ptr()) };
    }
}
