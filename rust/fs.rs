// SPDX-License-Identifier: GPL-2.0

//! Filesystem types and their registration.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h),
//! [`include/linux/fs_context.h`](srctree/include/linux/fs_context.h)

use crate::{
    bindings,
    file::FileOperations,
    inode::{container, InodeOperations},
    iomap::IomapOperations,
    super_block::{NewSuperBlock, Ready, SuperBlock, SuperOperations},
};
use core::{marker::PhantomData, ptr};
use kernel::{
    error::VTABLE_DEFAULT_ERROR,
    module::this_module,
    prelude::*,
    str::CString,
    types::{ForeignOwnable, Opaque},
};

mod context;
pub mod param;

pub use self::context::FsContext;

/// `FS_*` flags of a filesystem type.
#[derive(Clone, Copy)]
pub struct Flags(c_int);

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

/// A filesystem: what `struct file_system_type` and `struct fs_context_operations` hold, and the
/// types of its objects.
#[vtable]
pub trait FileSystem: Sized + Send + Sync + 'static {
    /// Name, as in `mount -t`.
    const NAME: &'static CStr;

    /// Type flags.
    const FLAGS: Flags = Flags::REQUIRES_DEV;

    /// Per-mount state. Lives in `s_fs_info` from [`NewSuperBlock::init`] until after the last
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

    /// Makes the options that [`Self::parse_param`] then changes. `sb` is the mounted super block
    /// for a remount.
    fn new_options(sb: Option<&SuperBlock<Self>>) -> Result<Self::Options>;

    /// Takes one parameter. `id` is the one given in [`Self::PARAMS`].
    fn parse_param(
        fc: &FsContext,
        options: &mut Self::Options,
        id: u8,
        value: param::Value<'_>,
    ) -> Result;

    /// Reads the volume and makes the root. Called with `s_umount` held exclusively; nobody else
    /// sees the super block.
    ///
    /// On error everything that was given to `sb` is released by `kill_sb`; the caller drops what
    /// it kept.
    fn fill_super<'a>(
        sb: NewSuperBlock<'a, Self>,
        fc: &FsContext,
        options: Self::Options,
    ) -> Result<Ready<'a, Self>>;

    /// Applies `options` to a mounted filesystem; [`FsContext::is_read_only`] says what was asked
    /// for. Dirty data was synced before, and the generic flags are changed by the VFS after an
    /// `Ok`. Optional.
    fn reconfigure(
        _sb: &SuperBlock<Self>,
        _fc: &FsContext,
        _options: &mut Self::Options,
    ) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// Everything that a registered filesystem implements.
pub trait Complete:
    FileSystem + SuperOperations + InodeOperations + FileOperations + IomapOperations
{
}

impl<T> Complete for T where
    T: FileSystem + SuperOperations + InodeOperations + FileOperations + IomapOperations
{
}

/// What `sb->s_type` points at.
///
/// # Invariants
///
/// `fst` is the first field, and from registration on `cache` is a slab cache of
/// `container::Container<T>` objects.
#[repr(C)]
pub(crate) struct Type<T> {
    fst: bindings::file_system_type,
    cache: *mut bindings::kmem_cache,
    _fs: PhantomData<T>,
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

/// A registered filesystem type.
///
/// Keep it as the last fallible field of the module's struct: from registration on, mounts may
/// come.
///
/// # Invariants
///
/// `inner` holds a `file_system_type` that is registered, with its inode cache, until [`Drop`].
#[pin_data(PinnedDrop)]
pub struct Registration<T: FileSystem> {
    #[pin]
    inner: Opaque<Type<T>>,
}

// SAFETY: A filesystem type may be unregistered by another thread than the one that registered it.
unsafe impl<T: FileSystem> Send for Registration<T> {}
// SAFETY: There are no methods on `&self`.
unsafe impl<T: FileSystem> Sync for Registration<T> {}

impl<T: Complete> Registration<T> {
    /// Makes the inode cache and registers the filesystem.
    pub fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            inner <- Opaque::try_ffi_init(|slot: *mut Type<T>| {
                let name = CString::try_from_fmt(fmt!("{}_inode_cache", T::NAME))?;
                let cache = container::create_cache::<T>(&name)?;
                let fst = bindings::file_system_type {
                    name: kernel::str::as_char_ptr_in_const_context(T::NAME),
                    fs_flags: T::FLAGS.0,
                    init_fs_context: Some(context::VTable::<T>::init_fs_context),
                    parameters: T::PARAMS.as_ptr().cast(),
                    kill_sb: Some(crate::super_block::kill_sb::<T>),
                    owner: this_module::<<T as FileSystem>::OwnerModule>().as_ptr(),
                    ..pin_init::zeroed()
                };
                // SAFETY: `slot` is the pinned memory of the registration, which nobody else knows yet.
                unsafe { slot.write(Type { fst, cache, _fs: PhantomData }) };
                // INVARIANT: After success `slot` holds a registered type and its cache.
                // SAFETY: `slot` was just initialised, is pinned, and is unregistered before its
                // memory goes.
                let ret = unsafe { bindings::register_filesystem(&raw mut (*slot).fst) };
                let ret = kernel::error::to_result(ret);
                if ret.is_err() {
                    // SAFETY: The type was not registered, so no object was ever allocated from the
                    // cache.
                    unsafe { bindings::kmem_cache_destroy(cache) };
                }
                ret
            }),
        })
    }
}

/// Whether somebody has a reference on a module: but for the loader, which has one while the module's init runs.
///
/// # Safety
///
/// `module` is a module that is not removed yet.
unsafe fn is_in_use(module: *mut bindings::module) -> bool {
    // SAFETY: The caller vouches for it. Both may change at any time, and are read whole.
    unsafe {
        let state = (&raw const (*module).state).read_volatile();
        let own = c_int::from(state == bindings::module_state_MODULE_STATE_COMING);
        // A module that goes unforced has a count of -1.
        bindings::module_refcount(module) > own
    }
}

#[pinned_drop]
impl<T: FileSystem> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        let inner = self.inner.get();
        // SAFETY: `inner` is pinned and was initialised by `new`; it is freed after this.
        let fst = unsafe { &raw mut (*inner).fst };
        // SAFETY: `new` has registered the type, and only this ends it. Nobody finds it by its name from here on.
        unsafe { bindings::unregister_filesystem(fst) };

        // Who has found it before goes on to use it: a lookup of the name, an `fs_context` until it is freed, a super block. Each has
        // a reference on the module (`get_fs_type()`, `alloc_fs_context()`, `sget_fc()`), and reads the type a last time in
        // order to give it back. So at module exit there are none. But a later step of module init may have failed, the removal may be
        // forced (`rmmod -f`), or somebody drops a registration while the module stays: rather hang than free what they use.
        // SAFETY: `fst` is still valid, and this is code of the module, which is not removed before it has returned.
        while unsafe { is_in_use((*fst).owner) } {
            kernel::pr_warn_once!(
                "{}: waiting for users that outlive the registration\n",
                T::NAME
            );
            kernel::time::delay::fsleep(kernel::time::Delta::from_millis(100));
        }

        // Inodes are freed by RCU callbacks which run code of this module and free into the cache.
        // SAFETY: Sleeps, as the wait above may: who drops a registration does it in process context.
        unsafe { bindings::rcu_barrier() };
        // SAFETY: All inodes were freed: no super block is left, and the barrier waited for the
        // callbacks.
        unsafe { bindings::kmem_cache_destroy((*inner).cache) };
        // SAFETY: `inner` is still ours; nobody is left to read the field.
        unsafe { ptr::addr_of_mut!((*inner).cache).write(ptr::null_mut()) };
    }
}
