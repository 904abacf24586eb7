// SPDX-License-Identifier: GPL-2.0

//! What a lane has, and where a panic finds it.

use super::{
    flight::Flight,
    queue::Queue,
    span::Area,
    vectors::Vector,
    way::{Mode, Way},
};
use crate::bindings;
use core::{cell::UnsafeCell, ptr};
use kernel::{prelude::*, sync::atomic::Atomic, types::Opaque};
use vfs::block::BlockDevice;

/// Lanes that there may be at a time.
pub const LANES: usize = 32;

/// The lanes that a panic finds.
///
/// # Invariants
///
/// An entry is null or points to a [`Shared`] that is not freed while the entry holds it, nor ever
/// once [`vfs::stopped`] is set.
pub(super) static TABLE: [Atomic<*mut Shared>; LANES] =
    [const { Atomic::new(ptr::null_mut()) }; LANES];

/// Memory that a device can reach, in one piece.
///
/// # Invariants
///
/// `data` is `1 << order` pages, naturally aligned, in the linear map, zeroed once and ours; `len`
/// bytes of them are used.
pub(super) struct Buffer {
    data: *mut u8,
    order: u32,
    len: usize,
}

impl Buffer {
    /// `len` bytes; may sleep.
    pub(super) fn new(len: usize) -> Result<Self> {
        let pages = len.div_ceil(kernel::page::PAGE_SIZE).max(1);
        let order = pages.checked_next_power_of_two().ok_or(ENOMEM)?.ilog2();
        // SAFETY: An order that there are no pages of gives null.
        let data = unsafe { bindings::crash_helper_alloc_dma_pages(order) }.cast::<u8>();
        if data.is_null() {
            return Err(ENOMEM);
        }
        // INVARIANT: The page allocator gives them aligned, zeroed as asked, and to us alone.
        Ok(Self { data, order, len })
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Where `len` bytes from `at` on are; none if that is not all inside.
    pub(super) fn at(&self, at: usize, len: usize) -> Option<*mut u8> {
        (at.checked_add(len)? <= self.len).then(|| self.data.wrapping_add(at))
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: `new` has got them with this order. The device does not have them: only a panic gives
        // it the buffer, and after that no lane is dropped.
        unsafe { bindings::crash_helper_free_pages(self.data.cast(), self.order) };
    }
}

/// All of a lane.
pub(super) struct Shared {
    pub(super) device: BlockDevice,
    pub(super) queue: Queue,
    /// Sector of the disk at which the device (a partition) begins.
    pub(super) start: u64,
    pub(super) area: Area,
    pub(super) mode: Mode,
    pub(super) collects: Way,
    pub(super) writes: Way,
    pub(super) vectors: KVec<Vector>,
    pub(super) buffer: Buffer,
    /// Logical block size, bytes.
    pub(super) block: u64,
    /// Bytes of the largest request.
    pub(super) chunk: usize,
    /// Hardware queues, when it was made.
    pub(super) hw_queues: u32,
    /// Submitting allocates (virtio's indirect descriptors), or maps through an IOMMU; asked for on
    /// poll queues of their own only.
    pub(super) takes_locks: bool,
    /// Held by who is in [`super::at_panic`]; 0: nobody.
    pub(super) busy: Atomic<u32>,
    /// Belongs to who holds `busy`.
    pub(super) flight: UnsafeCell<Flight>,
    /// What has become of the request that was sent.
    pub(super) status: Atomic<i32>,
    /// Belong to who holds `busy`; or, while the request is sent, to the driver.
    pub(super) bio: Opaque<bindings::bio>,
    pub(super) vec: Opaque<bindings::bio_vec>,
}

// SAFETY: The device may be dropped by any thread, and its handle keeps the queue. The rest is memory
// of ours, and pointers that are compared only.
unsafe impl Send for Shared {}
// SAFETY: All is constant but `busy` and `status`, which are atomics, and what belongs to who has taken
// `busy` by a compare-and-exchange.
unsafe impl Sync for Shared {}
