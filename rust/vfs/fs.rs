// SPDX-License-Identifier: GPL-2.0

//! Filesystem types: what all others of this crate are generic over, and so below all of them.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::bindings;
use core::marker::PhantomData;
use kernel::{prelude::*, types::ForeignOwnable};

pub mod param;

/// `FS_*` flags of a filesystem type.
#[derive(Clone, Copy)]
pub struct Flags(pub(crate) c_int);

impl Flags {
    /// The filesystem lives on a block device.
    pub const REQUIRES_DEV: Self = Self(bindings::VFS_CONST_FS_REQUIRES_DEV);
    /// The filesystem passes the idmap on wherever ids are read or written, so mounts may be
    /// idmapped.
    pub const ALLOW_IDMAP: Self = Self(bindings::VFS_CONST_FS_ALLOW_IDMAP);

    /// Both of them; `|` does not work in constants.
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A filesystem: what `struct file_system_type` holds, and the types of its objects. What it does is in the traits of
/// [`ops`](crate::ops).
#[vtable]
pub trait FileSystem: Sized + Send + Sync + 'static {
    /// Name, as in `mount -t`.
    const NAME: &'static CStr;

    /// Type flags.
    const FLAGS: Flags = Flags::REQUIRES_DEV;

    /// Per-mount state. Lives in `s_fs_info` from [`NewSuperBlock::init`](crate::new_super_block::NewSuperBlock::init) until after the last
    /// inode has gone.
    type Data: ForeignOwnable + Send + Sync + 'static;

    /// Per-inode state, in one slab object with `struct inode`. Dropped in process context when the
    /// inode is destroyed.
    type InodeData: Send + Sync;

    /// State of a mount or remount in preparation (`fs_private` of `struct fs_context`).
    type Options: Send;

    /// The parameters that the filesystem knows. The kernel refuses all others.
    const PARAMS: param::Table;

    /// Makes the per-inode state of a fresh inode. Called by `alloc_inode`: it may sleep, but must
    /// not wait for the filesystem's own locks.
    fn init_inode() -> impl PinInit<Self::InodeData, Error>;
}

/// What `sb->s_type` points at.
///
/// # Invariants
///
/// `fst` is the first field, and from registration on `cache` is a slab cache of
/// `container::Container<T>` objects.
#[repr(C)]
pub(crate) struct Type<T> {
    pub(crate) fst: bindings::file_system_type,
    pub(crate) cache: *mut bindings::kmem_cache,
    pub(crate) _fs: PhantomData<T>,
}

impl<T: FileSystem> Type<T> {
    /// The slab cache of the inodes of `sb`.
    ///
    /// # Safety
    ///
    /// `sb` is a valid super block of a filesystem that was registered by `Registration<T>`.
    pub(crate) unsafe fn inode_cache(sb: *mut bindings::super_block) -> *mut bindings::kmem_cache {
        // SAFETY: `sget_fc()` has copied `s_type` from a context of the registration: it is the `fst` of a `Type<T>`, whose first
        // field it is. The registration outlives its super blocks (see `Registration::drop`), and `cache` does not change before.
        unsafe { (*(*sb).s_type.cast::<Type<T>>()).cache }
    }
}
