// SPDX-License-Identifier: GPL-2.0

//! Bios over kernel memory.
//!
//! C header: [`include/linux/bio.h`](srctree/include/linux/bio.h)

use crate::bindings;
use core::{
    mem::MaybeUninit,
    ops::{Deref, DerefMut},
    ptr,
};
use kernel::{error::to_result, prelude::*};

/// What fits one bio whatever the memory looks like: a page each vector, one page lost to
/// alignment.
pub(super) const MAX_ONE_BIO: usize =
    (bindings::VFS_CONST_BIO_MAX_VECS as usize - 1) * kernel::page::PAGE_SIZE;

/// Whether a bio may point at `buf`: linear or vmalloc memory, aligned. Else it is copied (data of
/// the module image, for example, or an odd address).
pub(super) fn is_dmaable(bdev: *mut bindings::block_device, buf: &[u8]) -> bool {
    // SAFETY: `bdev` is open; only the address is looked at.
    unsafe { bindings::vfs_helper_buffer_is_dmaable(bdev, buf.as_ptr().cast()) }
}

/// After a read into `buf`: the CPU must not have stale lines for its vmalloc alias.
pub(super) fn read_done(buf: &mut [u8]) {
    // SAFETY: `buf` is that memory. Lengths past `u32` do not get here: a device answers at most
    // `i32::MAX` at a time.
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
    // SAFETY: `plug` is valid for writes and stays where it is until `blk_finish_plug`, which this
    // task calls.
    unsafe { bindings::blk_start_plug(plug.as_mut_ptr()) };
    let ret = submit();
    // SAFETY: Started above. If the task has slept in between, the bios have gone out already.
    unsafe { bindings::blk_finish_plug(plug.as_mut_ptr()) };
    ret
}

/// Bios that are chained, so that the last one ends when all have ended, and fails if one has
/// failed.
///
/// # Invariants
///
/// `last` is null or a bio that is ours and not submitted; all others were chained to the next and
/// submitted.
pub(super) struct Chain {
    bdev: *mut bindings::block_device,
    opf: u32,
    last: *mut bindings::bio,
}

impl Chain {
    /// An empty chain for `bdev`, which stays open while the chain lives.
    pub(super) fn new(bdev: *mut bindings::block_device, opf: u32) -> Self {
        Self {
            bdev,
            opf,
            last: ptr::null_mut(),
        }
    }

    /// Adds `len` bytes at `data`, in as many bios as it takes.
    ///
    /// # Safety
    ///
    /// The memory passes [`is_dmaable`], `len` is a multiple of the logical block size, and until
    /// the chain is finished or dropped the memory is valid, nobody else uses it if this is a read,
    /// and nobody changes it if it is a write.
    pub(super) unsafe fn add(&mut self, sector: u64, data: *mut u8, len: usize) {
        let mut done = 0;
        while done < len {
            let pages = (len - done) / kernel::page::PAGE_SIZE + 2;
            let vecs = pages.min(bindings::VFS_CONST_BIO_MAX_VECS as usize) as u16;
            let at = sector + (done / super::SECTOR_SIZE) as u64;
            // Comes out of a mempool: waits for memory, does not fail.
            // SAFETY: By the contract of `new` the device is open.
            let bio = unsafe { bindings::vfs_helper_bio_alloc(self.bdev, vecs, self.opf, at) };
            while done < len {
                let part = (len - done).min(MAX_ONE_BIO) as c_uint;
                // SAFETY: By the contract; a fresh bio has room for at least one page.
                let added = unsafe {
                    bindings::vfs_helper_bio_add_buffer(bio, data.add(done).cast(), part)
                };
                if added == 0 {
                    break;
                }
                done += added as usize;
            }
            if !self.last.is_null() {
                // SAFETY: By the invariant it is ours and not submitted, and goes over.
                unsafe {
                    bindings::bio_chain(self.last, bio);
                    bindings::submit_bio(self.last);
                }
            }
            // INVARIANT: The one before was chained to it and submitted.
            self.last = bio;
        }
    }

    /// Submits the last bio and waits for all.
    ///
    /// # Errors
    ///
    /// The error of one of them.
    pub(super) fn finish(mut self) -> Result {
        self.wait()
    }

    fn wait(&mut self) -> Result {
        let bio = core::mem::replace(&mut self.last, ptr::null_mut());
        if bio.is_null() {
            return Ok(());
        }
        // SAFETY: By the invariant it is ours, and still is after the wait.
        unsafe {
            let ret = to_result(bindings::submit_bio_wait(bio));
            bindings::bio_put(bio);
            ret
        }
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        // The buffers' borrows may end after this. Nobody is left to take the error.
        let _ = self.wait();
    }
}
