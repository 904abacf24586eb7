// SPDX-License-Identifier: GPL-2.0

//! Registering a filesystem type.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::{
    bindings,
    fs::{FileSystem, Type},
    inode::container,
    ops::Complete,
    tables,
};
use core::ptr;
use kernel::{module::this_module, prelude::*, str::CString, types::Opaque};

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
                // SAFETY: `init_once` of type `T` does that, and nothing else.
                let cache =
                    unsafe { container::create_cache::<T>(&name, tables::iomap::ioend::init_once::<T>)? };
                let fst = bindings::file_system_type {
                    name: kernel::str::as_char_ptr_in_const_context(T::NAME),
                    fs_flags: T::FLAGS.0,
                    init_fs_context: Some(tables::context::VTable::<T>::init_fs_context),
                    parameters: T::PARAMS.as_ptr().cast(),
                    kill_sb: Some(tables::super_block::kill_sb::<T>),
                    owner: this_module::<<T as FileSystem>::OwnerModule>().as_ptr(),
                    ..pin_init::zeroed()
                };
                // SAFETY: `slot` is the pinned memory of the registration, which nobody else knows yet.
                unsafe { slot.write(Type { fst, cache, _fs: core::marker::PhantomData }) };
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
