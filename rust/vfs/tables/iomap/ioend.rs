// SPDX-License-Identifier: GPL-2.0

//! Ends of I/O that need process context.
//!
//! Each inode has a queue and one work item, as in XFS: bios that end at about the same time are
//! sorted and merged, so that the filesystem has one transaction where there were many bios.
//!
//! Who owns the inode's memory: an ioend on a queue has folios under writeback (or locked for
//! reading), and eviction waits for these. So the queue's work may be pending only while there is
//! an ioend on the queue, and must not look at the inode after it has finished the last ioend that
//! it took:
//!
//! - *Pending*: the work is queued when the list turns non-empty, and under the lock that the list
//!   is taken under. So each run takes a list that nobody else takes, and when it starts that list
//!   is not empty.
//! - *Last touch*: a run works on a local list; the inode may be gone after `iomap_finish_ioends()`
//!   for the last entry.

use super::observer::ended;
use crate::{
    bindings,
    inode::{
        container::{Container, Queue},
        Inode,
    },
    iomap::{Io, Ioend},
    ops::Complete,
    scope::NoFs,
};
use core::{mem::MaybeUninit, ptr};
use kernel::prelude::*;

/// The constructor of the slab that inodes of type `T` are in.
///
/// # Safety
///
/// Called by the slab allocator once for each object, with a pointer to its uninitialised memory.
pub(crate) unsafe extern "C" fn init_once<T: Complete>(object: *mut c_void) {
    // SAFETY: The cache was made for containers of this type. The slab allocator calls this before it hands any of them out, so
    // that nobody else uses it. `run` is for queues in containers of type `T`.
    unsafe { Container::<T>::init_once(object.cast(), run::<T>) };
}

/// Gives an ended bio to its inode's work.
///
/// # Safety
///
/// `ioend` is that of a bio that has ended, of an inode of type `T`, and is on no list. It goes
/// over.
pub(super) unsafe fn defer<T: Complete>(ioend: *mut bindings::iomap_ioend) {
    // SAFETY: The bio has ended and its folios have not: they are under writeback, or locked, and eviction waits for that. So the
    // inode, for whose type the caller vouches, is in memory, and its super block.
    let (container, wq) = unsafe {
        let inode = (*ioend).io_inode;
        (
            Container::<T>::of(inode),
            Inode::<T>::from_raw(inode).super_block().ioend_wq(),
        )
    };
    let queue = container.ioends();
    // INVARIANT: *Pending*, under the lock.
    // SAFETY: By *Once* of `Container` the queue was initialised when the slab object was made. The ioend is on no list, so that its links
    // are free.
    unsafe {
        let flags = bindings::vfs_helper_spin_lock_irqsave(&raw mut (*queue).lock);
        if bindings::vfs_helper_list_empty(&raw const (*queue).list) {
            bindings::vfs_helper_queue_work(wq, &raw mut (*queue).work);
        }
        bindings::vfs_helper_list_add_tail(&raw mut (*ioend).io_list, &raw mut (*queue).list);
        bindings::vfs_helper_spin_unlock_irqrestore(&raw mut (*queue).lock, flags);
    }
}

/// # Safety
///
/// Called by the workqueue with the work of a queue of a container of type `T`.
unsafe extern "C" fn run<T: Complete>(work: *mut bindings::work_struct) {
    // SAFETY: `Queue::init` has given this function to works only that lie in a queue.
    let queue = unsafe { work.byte_sub(core::mem::offset_of!(Queue, work)) }.cast::<Queue>();
    let mut taken = MaybeUninit::<bindings::list_head>::uninit();
    let taken = taken.as_mut_ptr();
    // SAFETY: By *Pending* there is an ioend, so that the inode is in memory. `taken` stays where
    // it is.
    unsafe {
        let flags = bindings::vfs_helper_spin_lock_irqsave(&raw mut (*queue).lock);
        bindings::vfs_helper_list_replace_init(&raw mut (*queue).list, taken);
        bindings::vfs_helper_spin_unlock_irqrestore(&raw mut (*queue).lock, flags);
        bindings::iomap_sort_ioends(taken);
    }
    // From here on by *Last touch*: no `queue`.
    loop {
        // SAFETY: `taken` is a valid list of ioends that are ours.
        let ioend = unsafe { bindings::vfs_helper_ioend_pop(taken) };
        if ioend.is_null() {
            break;
        }
        // SAFETY: The ioend is off the list, and `finish` consumes it, with what is merged into it. They are of one inode of type `T`,
        // whose queue they were on.
        unsafe {
            bindings::iomap_ioend_try_merge(ioend, taken);
            finish::<T>(ioend);
            bindings::vfs_helper_cond_resched();
        }
    }
}

/// Tells the filesystem, then ends the writeback of the folios.
///
/// # Safety
///
/// `ioend` is an ended one of an inode of type `T`, with those that were merged into it, and goes
/// over.
unsafe fn finish<T: Complete>(ioend: *mut bindings::iomap_ioend) {
    // SAFETY: The caller's ioend is valid, and its bio has ended, so that nobody changes the status any more.
    let (bio, errno) = unsafe {
        let bio = &raw mut (*ioend).io_bio;
        (bio, bindings::vfs_helper_bio_error(bio))
    };
    let _nofs = NoFs::enter();
    // SAFETY: As above: the operation of a bio stays as it was.
    let errno = if unsafe { bindings::vfs_helper_bio_is_read(bio) } {
        errno
    } else {
        // SAFETY: The ioend's folios, which are under writeback until `iomap_finish_ioends()`, keep the inode. Nobody else changes the
        // ioend.
        let (inode, io) = unsafe {
            let io = Ioend {
                pos: (*ioend).io_offset as u64,
                len: (*ioend).io_size as u64,
                addr: (*ioend).io_sector << bindings::SECTOR_SHIFT,
                error: (errno < 0).then(|| Error::from_errno(errno)),
            };
            (Inode::<T>::from_raw((*ioend).io_inode), io)
        };
        let done = T::writeback_done(inode, &io);
        if errno < 0 {
            errno
        } else {
            done.map_or_else(Error::to_errno, |()| 0)
        }
    };
    // SAFETY: The caller has given the ioend away. It is not used afterwards, and neither is the inode, which may be gone then.
    unsafe { bindings::iomap_finish_ioends(ioend, errno) };
}

/// Marks an ioend as let through by the observer.
///
/// `io_private` is this crate's: null, or any other value for those that have to be reported.
///
/// # Safety
///
/// `ioend` is valid and not submitted yet.
pub(super) unsafe fn mark<T: Complete>(ioend: *mut bindings::iomap_ioend) {
    if T::HAS_SUBMIT_IO {
        // SAFETY: The ioend is the caller's until it is submitted; iomap leaves `io_private` to its users.
        unsafe { (*ioend).io_private = ptr::without_provenance_mut(1) };
    }
}

/// Reports the end of a bio to the observer if it was marked.
///
/// # Safety
///
/// `ioend` is that of a bio that has ended, of an inode of type `T`, and its folios have not been
/// completed.
pub(super) unsafe fn report<T: Complete>(ioend: *mut bindings::iomap_ioend) {
    // SAFETY: The bio has ended, once, and the ioend is its end's, who calls this; folios that are not completed keep the inode.
    unsafe {
        if !(*ioend).io_private.is_null() {
            (*ioend).io_private = ptr::null_mut();
            let write = !bindings::vfs_helper_bio_is_read(&raw const (*ioend).io_bio);
            ended::<T>(
                (*ioend).io_inode,
                Io {
                    write,
                    bytes: (*ioend).io_size as u64,
                },
            );
        }
    }
}
