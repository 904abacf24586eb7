// SPDX-License-Identifier: GPL-2.0

//! Inodes.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)
//!
//! Attributes are plain fields in C, changed under `i_rwsem` or a lock of the filesystem and read
//! without. Here all of them go through C functions on `&Inode`: a race gives an old or a new
//! value, as it does in C, and no more than that.

use self::container::Container;
use crate::{bindings, fs::FileSystem, super_block::SuperBlock};
use core::{marker::PhantomData, ops::Deref, pin::Pin, ptr::NonNull};
use kernel::types::Opaque;

mod attr;
pub(crate) mod container;
pub(crate) mod forgotten;
mod lock;
mod new;
pub(crate) mod pages;

pub use self::{
    attr::{Attr, Idmap, Kstat},
    lock::{Invalidating, Locked, Read, Write},
    new::{Lookup, New},
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
/// There may be no reference on it: while it is written back, or evicted, it lives for another reason. A
/// reference is proved by [`IRef`] and [`Locked`].
///
/// # Invariants
///
/// References point at a valid inode in a `Container<T>` whose data is initialised: between `alloc_inode` and
/// `destroy_inode`.
#[repr(transparent)]
pub struct Inode<T: FileSystem>(Opaque<bindings::inode>, PhantomData<T>);

// SAFETY: What is reached through `&Inode` are atomics, the data, which is `Sync`, and fields behind C functions
// that any task may call at any time: they take the locks that they need, or read and write one word each.
unsafe impl<T: FileSystem> Sync for Inode<T> {}

/// Methods that are one call of a C function each.
macro_rules! c_methods {
    ($($(#[$attr:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty)?) $(-> $ret:ty)? = $function:ident;)*) => {
        $(
            $(#[$attr])*
            $vis fn $name(&self $(, $arg: $type)?) $(-> $ret)? {
                // SAFETY: The function asks for a valid inode and no lock: it reads or writes single words of it and
                // of its super block, or takes `i_lock`. By the type invariant the inode is valid, and its super
                // block, which goes after the last of its inodes, with it.
                unsafe { bindings::$function(self.as_ptr() $(, $arg.into())?) }.into()
            }
        )*
    };
}

impl<T: FileSystem> Inode<T> {
    /// # Safety
    ///
    /// The type invariants hold for `'a`.
    pub(crate) unsafe fn from_raw<'a>(inode: *mut bindings::inode) -> &'a Self {
        // SAFETY: The caller vouches for a valid inode of type `T`. `Inode` is transparent over `inode`, all of it in
        // an `Opaque`, so that C may go on writing to it.
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
        // SAFETY: `i_sb` is set by `inode_init_always()` before the inode can be found, for good. Inodes are made
        // through an `&SuperBlock<T>` or by callbacks of one, so it has data; it goes after the last of its inodes
        // (`forgotten` sees to that).
        unsafe { SuperBlock::from_raw((*self.as_ptr()).i_sb) }
    }

    /// The filesystem's part of the inode.
    pub fn data(&self) -> Pin<&T::InodeData> {
        // SAFETY: The data lies in a slab object, which does not move, and is dropped where it is.
        unsafe { Pin::new_unchecked(self.container().data()) }
    }

    /// The number. It does not change once the inode is hashed.
    pub fn ino(&self) -> u64 {
        // SAFETY: A valid inode. `i_ino` is written before the inode is hashed, by `iget_locked()` or `New::insert`,
        // when nobody else has it.
        unsafe { (*self.as_ptr()).i_ino }
    }

    /// The generation, for file handles. Set in [`New`] only.
    pub fn generation(&self) -> u32 {
        // SAFETY: A valid inode. Who has it in `New` reads what it wrote itself; all others came to it after
        // `unlock_new_inode()`, which is a barrier, and from then on nobody writes the field.
        unsafe { (*self.as_ptr()).i_generation }
    }

    /// The device of a special file, in the encoding of `new_encode_dev()`.
    pub fn rdev(&self) -> u32 {
        // SAFETY: As for the generation: `New` alone writes `i_rdev`. The encoding is arithmetic.
        unsafe { bindings::vfs_helper_new_encode_dev((*self.as_ptr()).i_rdev) }
    }

    c_methods! {
        /// Type and permissions.
        pub fn mode() -> u16 = vfs_helper_i_mode;

        /// Whether changes are to be durable when the call that makes them returns: mounted with `sync`, or
        /// `S_SYNC` (`IS_SYNC`).
        pub fn is_sync() -> bool = vfs_helper_inode_is_sync;

        /// The same for changes of names in a directory: mounted with `sync` or `dirsync`, or `S_SYNC` or
        /// `S_DIRSYNC` (`IS_DIRSYNC`).
        pub fn is_dirsync() -> bool = vfs_helper_inode_is_dirsync;

        /// The owner, as it is to be stored on disk.
        pub fn uid() -> u32 = vfs_helper_i_uid_read;

        /// The group, as it is to be stored on disk.
        pub fn gid() -> u32 = vfs_helper_i_gid_read;

        /// The link count.
        pub fn nlink() -> u32 = vfs_helper_i_nlink;

        /// Sets the link count. The caller holds `i_rwsem` of the inode or of its directory.
        pub fn set_nlink(nlink: u32) = vfs_helper_set_nlink;

        /// The space in use, in units of 512 bytes.
        pub fn blocks() -> u64 = vfs_helper_i_blocks;

        /// Sets the space in use, in units of 512 bytes.
        pub fn set_blocks(sectors: u64) = vfs_helper_set_i_blocks;

        /// The time of the last access.
        pub fn atime() -> Timespec = vfs_helper_inode_get_atime;

        /// The time of the last change of the content.
        pub fn mtime() -> Timespec = vfs_helper_inode_get_mtime;

        /// The time of the last change of the inode.
        pub fn ctime() -> Timespec = vfs_helper_inode_get_ctime;

        /// Sets the time of the last access.
        pub fn set_atime(ts: Timespec) = vfs_helper_inode_set_atime;

        /// Sets the time of the last change of the content.
        pub fn set_mtime(ts: Timespec) = vfs_helper_inode_set_mtime;

        /// Sets the time of the last change of the inode to now, and gives it back.
        pub fn set_ctime_current() -> Timespec = inode_set_ctime_current;

        fn raw_size() -> i64 = vfs_helper_i_size_read;

        fn raw_flags() -> u32 = vfs_helper_i_flags;

        fn raw_size_write(size: i64) = vfs_helper_i_size_write;
    }

    /// Sets the time of the last change of the inode.
    pub fn set_ctime(&self, ts: Timespec) {
        // SAFETY: A valid inode; two words are written, each of them whole.
        unsafe { bindings::inode_set_ctime_to_ts(self.as_ptr(), ts.into()) };
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

    /// The size in bytes.
    pub fn size(&self) -> u64 {
        // Sizes are not negative.
        self.raw_size() as u64
    }

    /// Sets the size and nothing else (`i_size_write`). The caller serialises it against other
    /// changes of the size.
    pub fn size_write(&self, size: u64) {
        self.raw_size_write(i64::try_from(size).unwrap_or(i64::MAX));
    }

    /// The `S_*` flags.
    pub fn flags(&self) -> InodeFlags {
        InodeFlags(self.raw_flags() & InodeFlags::MASK)
    }
}

/// A reference on an inode (`i_count`).
///
/// It lives no longer than the borrow of the super block that it came from, so that no filesystem
/// can keep one past unmount in its data. Dropping it may evict the inode, which sleeps. One that is
/// forgotten instead ([`core::mem::forget`]) is given back at unmount: see `forgotten`.
///
/// # Invariants
///
/// `inode` is a valid inode of type `T`; the reference is ours, and is counted in its container.
pub struct IRef<'a, T: FileSystem> {
    inode: NonNull<bindings::inode>,
    _sb: PhantomData<(&'a SuperBlock<T>, T)>,
}

impl<'a, T: FileSystem> IRef<'a, T> {
    /// # Safety
    ///
    /// `inode` is a valid inode of type `T`, and a reference on it goes over. The super block is alive for `'a`.
    pub(crate) unsafe fn from_raw(inode: NonNull<bindings::inode>) -> Self {
        // SAFETY: The caller's reference keeps it valid.
        unsafe { Container::<T>::of(inode.as_ptr()) }.note_given();
        // INVARIANT: It was just counted.
        Self {
            inode,
            _sb: PhantomData,
        }
    }

    /// Gives the reference away, to C.
    pub(crate) fn into_raw(self) -> NonNull<bindings::inode> {
        self.container().note_returned();
        core::mem::ManuallyDrop::new(self).inode
    }
}

impl<T: FileSystem> Deref for IRef<'_, T> {
    type Target = Inode<T>;

    fn deref(&self) -> &Inode<T> {
        // SAFETY: Our reference keeps the inode between `alloc_inode` and `destroy_inode` for as long as we are borrowed.
        unsafe { Inode::from_raw(self.inode.as_ptr()) }
    }
}

impl<T: FileSystem> Drop for IRef<'_, T> {
    fn drop(&mut self) {
        self.container().note_returned();
        // SAFETY: The reference is ours by the type invariant, and goes here; nobody borrows us any more.
        unsafe { bindings::iput(self.inode.as_ptr()) };
    }
}
