// SPDX-License-Identifier: GPL-2.0

//! Bios over kernel memory.
//!
//! C header: [`include/linux/bio.h`](srctree/include/linux/bio.h)

use super::device::{BlockDevice, SECTOR_SIZE};
use crate::{bindings, stopped};
use core::{
    mem::MaybeUninit,
    ops::{Deref, DerefMut},
    ptr,
};
use kernel::{
    error::to_result,
    prelude::*,
    sync::atomic::{Atomic, Full, Relaxed},
    time::msecs_to_jiffies,
    types::Opaque,
};

/// What fits one bio whatever the memory looks like: a page each vector, one page lost to
/// alignment.
pub(super) const MAX_ONE_BIO: usize =
    (bindings::VFS_CONST_BIO_MAX_VECS as usize - 1) * kernel::page::PAGE_SIZE;

/// How long to sleep at a time, in milliseconds.
const PATIENCE: u32 = 20_000;

/// Whether a bio may point at `buf`: linear or vmalloc memory, aligned. Else it is copied (data of
/// the module image, for example, or an odd address).
pub(super) fn is_dmaable(device: &BlockDevice, buf: &[u8]) -> bool {
    // SAFETY: The handle keeps the device open, whose limits are read. Of the buffer only the address is
    // looked at.
    unsafe { bindings::vfs_helper_buffer_is_dmaable(device.as_ptr(), buf.as_ptr().cast()) }
}

/// After a read into `buf`: the CPU must not have stale lines for its vmalloc alias.
pub(super) fn read_done(buf: &mut [u8]) {
    // SAFETY: `buf` is borrowed, and nothing but stale lines of the CPU's cache is touched. Lengths past
    // `u32` do not get here: a device answers at most `i32::MAX` at a time.
    unsafe { bindings::vfs_helper_bio_read_done(buf.as_mut_ptr().cast(), buf.len() as c_uint) };
}

/// Memory that a bio can point at.
pub(super) struct Bounce {
    pages: KVVec<u8>,
    len: usize,
}

impl Bounce {
    /// Zeroed memory of `len` bytes. The caller is in a [`NoIo`](crate::scope::NoIo) scope.
    pub(super) fn new(len: usize) -> Result<Self> {
        // Whole pages, because those are aligned for any device.
        let size = len
            .checked_next_multiple_of(kernel::page::PAGE_SIZE)
            .ok_or(EINVAL)?;
        Ok(Self {
            pages: KVVec::from_elem(0, size, GFP_KERNEL)?,
            len,
        })
    }
}

impl Deref for Bounce {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.pages[..self.len]
    }
}

impl DerefMut for Bounce {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.pages[..self.len]
    }
}

/// Runs `submit` with the bios that it submits held back until its end, so that the device gets
/// them together.
pub(super) fn with_plug<R>(submit: impl FnOnce() -> R) -> R {
    let mut plug = MaybeUninit::<bindings::blk_plug>::uninit();
    // SAFETY: `plug` is ours to write, and stays where it is until `blk_finish_plug`, which this task
    // calls before it returns: a kernel's Rust does not unwind.
    unsafe { bindings::blk_start_plug(plug.as_mut_ptr()) };
    let ret = submit();
    // SAFETY: It was started above, by this task. If that has slept since, the bios have gone out already.
    unsafe { bindings::blk_finish_plug(plug.as_mut_ptr()) };
    ret
}

/// Bios that are in flight, and who waits for all of them.
///
/// When the kernel [has stopped](crate::stopped) nobody is woken: the observer is told instead,
/// once, on whatever CPU, when the last bio has ended and all were submitted.
///
/// # Invariants
///
/// - *counted*: `pending` is the number of bios that were submitted and have not ended, plus one until
///   [`Self::wait`].
/// - *waited for*: it is dropped by who waits until that is 0, so that `end` finds it in place.
#[pin_data(PinnedDrop)]
pub(crate) struct Batch<'a> {
    observer: Option<&'a dyn Fn()>,
    pending: Atomic<i32>,
    /// The first error, as a negative errno.
    error: Atomic<i32>,
    #[pin]
    done: Opaque<bindings::completion>,
}

impl<'a> Batch<'a> {
    /// An empty one.
    pub(crate) fn new(observer: Option<&'a dyn Fn()>) -> impl PinInit<Self> + use<'a> {
        // INVARIANT: Nothing was submitted.
        pin_init!(Self {
            observer,
            pending: Atomic::new(1),
            error: Atomic::new(0),
            done <- Opaque::ffi_init(|slot: *mut bindings::completion| {
                // SAFETY: `slot` is memory for a completion, which `ffi_init` lends us for writing and
                // which stays where it is.
                unsafe { bindings::init_completion(slot) };
            }),
        })
    }

    /// Submits a bio, which goes over.
    ///
    /// # Safety
    ///
    /// `bio` is ours and complete but for its end. Its device stays open, and what it points at stays as
    /// its kind demands, until this is gone.
    pub(crate) unsafe fn submit(self: Pin<&Self>, bio: *mut bindings::bio) {
        // INVARIANT: It is submitted next.
        self.pending.fetch_add(1, Relaxed);
        // SAFETY: The bio is ours to complete and to submit. This is pinned and, by *waited for*, there when
        // `end` comes; so is, by our contract, what the bio uses.
        unsafe {
            (*bio).bi_private = ptr::from_ref(self.get_ref()).cast_mut().cast();
            (*bio).bi_end_io = Some(Self::end);
            bindings::submit_bio(bio);
        }
    }

    /// Submits `len` bytes at `data`, in as many bios as it takes.
    ///
    /// # Safety
    ///
    /// The memory passes [`is_dmaable`] and `len` is a multiple of the logical block size. Until this is
    /// gone, `device` stays open and the memory valid, nobody else uses it if it is a read, and nobody
    /// changes it if it is a write.
    pub(super) unsafe fn add(
        self: Pin<&Self>,
        device: &BlockDevice,
        opf: u32,
        sector: u64,
        data: *mut u8,
        len: usize,
    ) {
        let mut done = 0;
        while done < len {
            let pages = (len - done) / kernel::page::PAGE_SIZE + 2;
            let vecs = pages.min(bindings::VFS_CONST_BIO_MAX_VECS as usize) as u16;
            let at = sector + (done / SECTOR_SIZE) as u64;
            // Comes out of a mempool: waits for memory, does not fail.
            // SAFETY: `device` is open, and the bio for no more vectors than one can have.
            let bio = unsafe { bindings::vfs_helper_bio_alloc(device.as_ptr(), vecs, opf, at) };
            while done < len {
                let part = (len - done).min(MAX_ONE_BIO) as c_uint;
                // SAFETY: `done` is below `len`, so that the pointer and `part` bytes from there are inside
                // of the memory, which a bio can point at. A fresh bio has room for at least one page.
                let added = unsafe {
                    bindings::vfs_helper_bio_add_buffer(bio, data.add(done).cast(), part)
                };
                if added == 0 {
                    break;
                }
                done += added as usize;
            }
            // SAFETY: The bio is ours since it was allocated, and has data and place. For how long device and
            // memory stay, our contract says the same.
            unsafe { self.submit(bio) };
        }
    }

    /// Submits a flush of the device's cache.
    ///
    /// # Safety
    ///
    /// `device` stays open until this is gone.
    pub(super) unsafe fn add_flush(self: Pin<&Self>, device: &BlockDevice) {
        let opf = bindings::VFS_CONST_REQ_OP_WRITE
            | bindings::VFS_CONST_REQ_SYNC
            | bindings::VFS_CONST_REQ_PREFLUSH;
        // SAFETY: The device is open, now and until this is gone. The bio is ours, and has no data.
        unsafe { self.submit(bindings::vfs_helper_bio_alloc(device.as_ptr(), 0, opf, 0)) };
    }

    /// Waits for all, and says how they went. A second call does not wait.
    ///
    /// # Errors
    ///
    /// The error of the first that failed.
    pub(crate) fn wait(self: Pin<&mut Self>) -> Result {
        // Full: who sees the last one ended sees what it has written.
        // INVARIANT: This is that wait. Before, the count is at least one; it is 0 only after one.
        if self.pending.load(Relaxed) != 0 && self.pending.fetch_sub(1, Full) != 1 {
            // In pieces, so that nobody takes a slow device for a task that hangs.
            let patience = msecs_to_jiffies(PATIENCE);
            // SAFETY: `new` has initialised it, and who drops this waits here. Waiting is for process context.
            while unsafe { bindings::wait_for_completion_io_timeout(self.done.get(), patience) }
                == 0
            {}
        }
        to_result(self.error.load(Relaxed))
    }

    /// # Safety
    ///
    /// Called by the block layer, in any context, when a bio of [`Self::submit`] has ended. The bio
    /// goes over.
    unsafe extern "C" fn end(bio: *mut bindings::bio) {
        // SAFETY: Only `submit` gives this function away, with its batch beside it. It waits for us, and so is
        // there at least until the bio is counted out below; the bio is whole when it ends.
        let (this, errno) = unsafe {
            let this = (*bio).bi_private.cast_const().cast::<Self>();
            (&*this, bindings::vfs_helper_bio_error(bio))
        };
        if stopped::is_set() {
            // The waiter is stopped, so that the batch stays. Neither memory nor waiter is touched.
            if let (1, Some(observer)) = (this.pending.fetch_sub(1, Full), this.observer) {
                observer();
            }
            return;
        }
        if errno != 0 {
            let _ = this.error.cmpxchg(0, errno, Relaxed);
        }
        // SAFETY: A bio that has ended is its submitter's again, which we act for, and put once.
        unsafe { bindings::bio_put(bio) };
        // INVARIANT: It has ended.
        if this.pending.fetch_sub(1, Full) == 1 {
            // SAFETY: `new` has initialised it. The waiter has taken its own count off, so it waits for
            // this, and does not go before `complete` has let go of the completion's lock.
            unsafe { bindings::complete(this.done.get()) };
        }
    }
}

#[pinned_drop]
impl PinnedDrop for Batch<'_> {
    fn drop(self: Pin<&mut Self>) {
        // Borrows may end after this. Nobody is left to take the error.
        let _ = self.wait();
    }
}
