// SPDX-License-Identifier: GPL-2.0

//! The slab object that holds an inode, and its life from `alloc_inode` to `free_inode`.

use super::Inode;
use crate::{
    bindings,
    fs::{FileSystem, Type},
};
use core::{
    cell::UnsafeCell,
    mem::MaybeUninit,
    ptr::{self, addr_of_mut},
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
    ioends: Opaque<Queue>,
    live: AtomicBool,
    given: AtomicU32,
    link: UnsafeCell<KVec<u8>>,
    data: UnsafeCell<MaybeUninit<T::InodeData>>,
}

impl<T: FileSystem> Container<T> {
    /// Sets up what stays so while the object is free.
    ///
    /// # Safety
    ///
    /// `this` is memory for a container, which nobody uses yet; `run` may be called for the work of its queue.
    pub(crate) unsafe fn init_once(
        this: *mut Self,
        run: unsafe extern "C" fn(*mut bindings::work_struct),
    ) {
        // INVARIANT: *Once*.
        // SAFETY: The memory is only the caller's, and does not move afterwards.
        unsafe {
            bindings::inode_init_once(addr_of_mut!((*this).inode).cast());
            Queue::init(addr_of_mut!((*this).ioends).cast(), run);
        }
    }

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

    pub(crate) fn ioends(&self) -> *mut Queue {
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
    pub(super) fn note_given(&self) {
        self.given.fetch_add(1, Ordering::Relaxed);
    }

    /// How many references safe code has, or has forgotten.
    pub(super) fn given(&self) -> u32 {
        self.given.load(Ordering::Relaxed)
    }

    /// A reference that safe code had has gone to C, or goes.
    pub(super) fn note_returned(&self) {
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
///
/// # Safety
///
/// `init_once` calls [`Container::init_once`] for a container of type `T`, and nothing else.
pub(crate) unsafe fn create_cache<T: FileSystem>(
    name: &CStr,
    init_once: unsafe extern "C" fn(*mut c_void),
) -> Result<*mut bindings::kmem_cache> {
    let size = size_of::<Container<T>>().try_into()?;
    let align = align_of::<Container<T>>().try_into()?;
    // SAFETY: `name` is a NUL-terminated string that the call copies. The constructor writes to no more than the first
    // `size` bytes of an object.
    let cache = unsafe {
        bindings::vfs_helper_kmem_cache_create(name.as_char_ptr(), size, align, Some(init_once))
    };
    if cache.is_null() {
        return Err(ENOMEM);
    }
    Ok(cache)
}

/// A queue of ended I/O of one inode. Its protocol is that of [`ioend`](crate::tables::iomap::ioend).
///
/// # Invariants
///
/// *Pending*: `work` is pending or `list` is being taken if and only if `list` is not
/// empty.
#[repr(C)]
pub(crate) struct Queue {
    pub(crate) lock: bindings::spinlock_t,
    pub(crate) list: bindings::list_head,
    pub(crate) work: bindings::work_struct,
}

impl Queue {
    /// # Safety
    ///
    /// `this` is memory for a queue, which nobody uses yet; `run` may be called for its work.
    unsafe fn init(this: *mut Self, run: unsafe extern "C" fn(*mut bindings::work_struct)) {
        // INVARIANT: The list is empty and the work is not pending.
        // SAFETY: The memory is the slab constructor's, which nobody else uses, and it does not move afterwards.
        unsafe {
            bindings::vfs_helper_spin_lock_init(&raw mut (*this).lock);
            bindings::vfs_helper_init_list_head(&raw mut (*this).list);
            bindings::vfs_helper_init_work(&raw mut (*this).work, Some(run));
        }
    }
}

/// # Safety
///
/// Called by the VFS for a super block of this filesystem.
pub(crate) unsafe extern "C" fn alloc_inode<T: FileSystem>(
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

// `Inode<T>` is what the rest sees of a container.
impl<T: FileSystem> Inode<T> {
    pub(crate) fn container(&self) -> &Container<T> {
        // SAFETY: References to an `Inode<T>` point at a valid inode of type `T`, for as long as this one lives.
        unsafe { Container::of(self.as_ptr()) }
    }
}
