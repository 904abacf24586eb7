// SPDX-License-Identifier: GPL-2.0

//! The slab object that holds an inode, and its life from `alloc_inode` to `free_inode`.

use super::Inode;
use crate::{
    bindings,
    fs::{Complete, FileSystem, Type},
    iomap::ioend,
};
use core::{
    cell::UnsafeCell,
    mem::MaybeUninit,
    ptr::{self, addr_of_mut},
    sync::atomic::{AtomicBool, Ordering},
};
use kernel::{prelude::*, types::Opaque};

/// An inode and what belongs to it.
///
/// # Invariants
///
/// - *Slab*: `inode` is the first field and every inode of a super block of type `T` is part of a
///   `Container<T>`.
/// - *Once*: what the slab's constructor has set up (`inode`'s own once-only part, `ioends`) stays
///   so while the object is free.
/// - *Data*: `data` is initialised from a successful `alloc_inode` until `destroy_inode`.
/// - *Live*: `live` turns true once, when the inode leaves `New`; the filesystem is not called for
///   it before.
/// - *Link*: `link` is written in `New` only, and dropped by `free_inode`, after a grace period:
///   `i_link` points into it.
#[repr(C)]
pub(crate) struct Container<T: FileSystem> {
    inode: Opaque<bindings::inode>,
    ioends: Opaque<ioend::Queue>,
    live: AtomicBool,
    link: UnsafeCell<KVec<u8>>,
    data: UnsafeCell<MaybeUninit<T::InodeData>>,
}

impl<T: FileSystem> Container<T> {
    /// The container of `inode`.
    ///
    /// # Safety
    ///
    /// `inode` is a valid inode of type `T` for `'a`.
    pub(crate) unsafe fn of<'a>(inode: *mut bindings::inode) -> &'a Self {
        // SAFETY: By *Slab* the inode is at the start of its container. What is shared is in cells.
        unsafe { &*inode.cast() }
    }

    pub(crate) fn ioends(&self) -> *mut ioend::Queue {
        self.ioends.get()
    }

    pub(crate) fn is_live(&self) -> bool {
        self.live.load(Ordering::Acquire)
    }

    pub(crate) fn set_live(&self) {
        self.live.store(true, Ordering::Release);
    }

    pub(crate) fn data(&self) -> &T::InodeData {
        // SAFETY: By *Data*; exclusive references are made in `New` only, where nobody else has a
        // reference.
        unsafe { (*self.data.get()).assume_init_ref() }
    }

    pub(crate) fn data_ptr(&self) -> *mut T::InodeData {
        self.data.get().cast()
    }

    pub(crate) fn link_ptr(&self) -> *mut KVec<u8> {
        self.link.get()
    }
}

/// Makes the inode cache.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn create_cache<T: Complete>(name: &CStr) -> Result<*mut bindings::kmem_cache> {
    let size = size_of::<Container<T>>().try_into()?;
    let align = align_of::<Container<T>>().try_into()?;
    // SAFETY: `name` is copied. The constructor fits objects of this size.
    let cache = unsafe {
        bindings::vfs_helper_kmem_cache_create(
            name.as_char_ptr(),
            size,
            align,
            Some(init_once::<T>),
        )
    };
    if cache.is_null() {
        return Err(ENOMEM);
    }
    Ok(cache)
}

/// The slab's constructor.
///
/// # Safety
///
/// Called by the slab allocator once for each object, with a pointer to its uninitialised memory.
unsafe extern "C" fn init_once<T: Complete>(object: *mut c_void) {
    let this = object.cast::<Container<T>>();
    // INVARIANT: *Once*.
    // SAFETY: `object` is memory for a container, which nobody else uses yet.
    unsafe {
        bindings::inode_init_once(addr_of_mut!((*this).inode).cast());
        ioend::Queue::init::<T>(addr_of_mut!((*this).ioends).cast());
    }
}

/// # Safety
///
/// Called by the VFS for a super block of this filesystem.
pub(crate) unsafe extern "C" fn alloc_inode<T: Complete>(
    sb: *mut bindings::super_block,
) -> *mut bindings::inode {
    // SAFETY: By the contract of this function.
    let cache = unsafe { Type::<T>::inode_cache(sb) };
    // SAFETY: `sb` is valid, `cache` was made for containers of this type.
    let this = unsafe { bindings::vfs_helper_alloc_inode_sb(sb, cache) }.cast::<Container<T>>();
    if this.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: The object is ours. The slab never moves it, and on error the data is not touched
    // again.
    let ret = unsafe {
        pin_init::raw_try_init(
            addr_of_mut!((*this).data).cast::<T::InodeData>(),
            T::init_inode(),
        )
    };
    if ret.is_err() {
        // SAFETY: From this cache, and nobody has seen it.
        unsafe { bindings::kmem_cache_free(cache, this.cast()) };
        return ptr::null_mut();
    }
    // INVARIANT: *Data* by the initialisation above, *Live* and *Link* by the writes.
    // SAFETY: The object is ours; a write does not read the stale bytes of the object's last life.
    unsafe {
        addr_of_mut!((*this).live).write(AtomicBool::new(false));
        addr_of_mut!((*this).link).write(UnsafeCell::new(KVec::new()));
    }
    // SAFETY: As above.
    unsafe { addr_of_mut!((*this).inode).cast() }
}

/// Drops the filesystem's part while the task may still sleep; the memory goes in `free_inode`.
///
/// # Safety
///
/// Called by the VFS for an inode of this filesystem that nobody can find any more. RCU readers may
/// still look at the `struct inode` and its link, never at the data: no callback that runs under
/// RCU reaches it.
pub(crate) unsafe extern "C" fn destroy_inode<T: FileSystem>(inode: *mut bindings::inode) {
    // SAFETY: By *Slab*.
    let this = unsafe { Container::<T>::of(inode) };
    // SAFETY: By *Data* it is initialised, and it is not used again. It was pinned and is dropped
    // in place.
    unsafe { ptr::drop_in_place(this.data_ptr()) };
}

/// # Safety
///
/// Called by RCU, after `destroy_inode` and a grace period: nobody looks at the inode any more. May
/// be in softirq.
pub(crate) unsafe extern "C" fn free_inode<T: FileSystem>(inode: *mut bindings::inode) {
    // SAFETY: By *Slab*.
    let this = unsafe { Container::<T>::of(inode) };
    // SAFETY: By *Link*, this is its end. Freeing a `KVec` does not sleep.
    unsafe { ptr::drop_in_place(this.link_ptr()) };
    // The super block may be gone by now, so that the cache cannot be asked for; `kfree` finds it.
    // SAFETY: The object came from a slab cache, which stays until `rcu_barrier()` at
    // unregistration.
    unsafe { bindings::kfree(inode.cast()) };
}

// `Inode<T>` is what the rest sees of a container.
impl<T: FileSystem> Inode<T> {
    pub(crate) fn container(&self) -> &Container<T> {
        // SAFETY: By the invariant of `Inode` it is a valid inode of type `T`.
        unsafe { Container::of(self.as_ptr()) }
    }
}
