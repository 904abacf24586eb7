// SPDX-License-Identifier: GPL-2.0

//! The slab object that holds an inode, and its life from `alloc_inode` to `free_inode`.

use super::{new, Inode};
use crate::{
    bindings,
    fs::{Complete, FileSystem, Type},
    iomap::ioend,
};
use core::{
    cell::UnsafeCell,
    mem::MaybeUninit,
    ptr::{self, addr_of_mut, NonNull},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
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
/// - *Given*: `given` is how many of the references on the inode safe code has: each an `IRef` or a `New`.
///   Their lifetimes end before unmount does. So what is left of the count by then was forgotten, and
///   nobody else will give it back.
#[repr(C)]
pub(crate) struct Container<T: FileSystem> {
    inode: Opaque<bindings::inode>,
    ioends: Opaque<ioend::Queue>,
    live: AtomicBool,
    given: AtomicU32,
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
        // SAFETY: By *Slab* a valid inode of type `T`, for which the caller vouches, is at the start of a container, which
        // is as valid. Everything in it that changes is in a cell or an atomic.
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
        // SAFETY: By *Data* it is initialised: who has an `&self` has it from a valid inode, which is one between
        // `alloc_inode` and `destroy_inode`. Nobody makes an exclusive reference.
        unsafe { (*self.data.get()).assume_init_ref() }
    }

    /// Safe code has got a reference on the inode.
    pub(crate) fn note_given(&self) {
        self.given.fetch_add(1, Ordering::Relaxed);
    }

    /// A reference that safe code had has gone to C, or goes.
    pub(crate) fn note_returned(&self) {
        self.given.fetch_sub(1, Ordering::Relaxed);
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
    // SAFETY: `name` is a NUL-terminated string that the call copies. The constructor writes to no more than the first
    // `size` bytes of an object.
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
    // SAFETY: The cache was made for objects of the size and alignment of a container. The slab allocator calls this
    // before it hands any of them out, so that nobody else uses it.
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
    // SAFETY: `alloc_inode()` in fs/inode.c calls this through `sb->s_op`, which `fill` has set, so that the super block is of
    // this type and in use.
    let cache = unsafe { Type::<T>::inode_cache(sb) };
    // SAFETY: `sb` is in use for the call, and its inode LRU list is set up. `cache` holds containers of this type.
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
    // INVARIANT: *Data* by the initialisation above; *Live*, *Given* and *Link* by the writes.
    // SAFETY: The object is ours; a write does not read the stale bytes of the object's last life.
    unsafe {
        addr_of_mut!((*this).live).write(AtomicBool::new(false));
        addr_of_mut!((*this).given).write(AtomicU32::new(0));
        addr_of_mut!((*this).link).write(UnsafeCell::new(KVec::new()));
    }
    // By *Slab*, the inode.
    this.cast()
}

/// Drops the filesystem's part while the task may still sleep; the memory goes in `free_inode`.
///
/// # Safety
///
/// Called by the VFS for an inode of this filesystem that nobody can find any more. RCU readers may
/// still look at the `struct inode` and its link, never at the data: no callback that runs under
/// RCU reaches it.
pub(crate) unsafe extern "C" fn destroy_inode<T: FileSystem>(inode: *mut bindings::inode) {
    // SAFETY: `destroy_inode()` in fs/inode.c calls this at the end of `evict()`, or of an `alloc_inode()` that came to
    // nothing: the inode is one of ours, and its memory stays until `free_inode`.
    let this = unsafe { Container::<T>::of(inode) };
    // SAFETY: By *Data* it is initialised, and it is not used again: the inode is unhashed, has no reference, and its
    // writeback was waited for. It was pinned and is dropped in place.
    unsafe { ptr::drop_in_place(this.data_ptr()) };
}

/// # Safety
///
/// Called by RCU, after `destroy_inode` and a grace period: nobody looks at the inode any more. May
/// be in softirq.
pub(crate) unsafe extern "C" fn free_inode<T: FileSystem>(inode: *mut bindings::inode) {
    // SAFETY: `i_callback()` in fs/inode.c calls this with an inode that `alloc_inode` has made, which is freed only below.
    let this = unsafe { Container::<T>::of(inode) };
    // SAFETY: By *Link*, this is its end: who followed `i_link` under RCU is through. Freeing a `KVec` does not sleep.
    unsafe { ptr::drop_in_place(this.link_ptr()) };
    // The super block may be gone by now, so that the cache cannot be asked for; `kfree` finds it.
    // SAFETY: The object came from a slab cache, which stays until `rcu_barrier()` at
    // unregistration.
    unsafe { bindings::kfree(inode.cast()) };
}

/// Whether safe code has forgotten a reference on `inode`, at a time when none of its references can live.
///
/// # Safety
///
/// `inode` is a valid inode of type `T`.
unsafe extern "C" fn was_forgotten<T: FileSystem>(inode: *mut bindings::inode) -> bool {
    // SAFETY: The caller vouches for a valid inode of type `T`.
    unsafe { Container::<T>::of(inode) }
        .given
        .load(Ordering::Relaxed)
        != 0
}

/// Gives back the references on inodes that safe code has forgotten, so that they go before their super block does.
/// Without that their pages, which memory reclaim finds, would point at freed memory and at a module that is no more.
///
/// # Safety
///
/// `sb` is a super block of type `T` with data that is being taken down: nobody else uses it, no callback for it
/// runs that could have references on inodes, and its background tasks were stopped.
pub(crate) unsafe fn give_back<T: FileSystem>(sb: *mut bindings::super_block) {
    loop {
        // SAFETY: The super block is valid, and all its inodes come from `alloc_inode`, so that they are of type `T`.
        let inode = unsafe { bindings::vfs_helper_find_inode(sb, Some(was_forgotten::<T>)) };
        let Some(inode) = NonNull::new(inode) else {
            break;
        };
        kernel::pr_warn_once!(
            "a reference on an inode was forgotten; it is given back at unmount\n"
        );
        // SAFETY: The inode is valid: the reference that was forgotten keeps it. By *Given* that reference is nobody's, so
        // that it is ours to give back. Nobody else does: the super block is ours.
        unsafe { new::give_back_one::<T>(inode) };
    }
}

// `Inode<T>` is what the rest sees of a container.
impl<T: FileSystem> Inode<T> {
    pub(crate) fn container(&self) -> &Container<T> {
        // SAFETY: References to an `Inode<T>` point at a valid inode of type `T`, for as long as this one lives.
        unsafe { Container::of(self.as_ptr()) }
    }
}
