// SPDX-License-Identifier: GPL-2.0

//! What a device can do for a lane, found out at mount.

use super::{
    queue::Queue,
    span::Limits,
    vectors::{self, Vector},
    Area, BlockDevice, Mode, Reason, Way,
};
use crate::bindings;
use core::ptr::{self, NonNull};
use kernel::prelude::*;

/// NVMe: two physical regions in the command itself; for more the driver allocates a list.
const NVME_BYTES: u64 = 8192;

/// What was found.
pub(super) struct Found {
    pub(super) queue: Queue,
    pub(super) start: u64,
    pub(super) collects: Way,
    pub(super) writes: Way,
    pub(super) vectors: KVec<Vector>,
    pub(super) chunk: usize,
    pub(super) takes_locks: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Driver {
    VirtioBlk,
    Nvme,
}

/// The driver, if it is one that was proven.
///
/// # Safety
///
/// `bdev` is open.
unsafe fn driver(bdev: *mut bindings::block_device) -> Option<Driver> {
    let mut bus = ptr::null();
    // SAFETY: By the contract; the open disk keeps the devices above it and their driver.
    let name = unsafe { bindings::vfs_helper_bdev_driver(bdev, &mut bus) };
    if name.is_null() || bus.is_null() {
        return None;
    }
    // SAFETY: Names of drivers and buses are NUL-terminated and stay while these do.
    let (name, bus) = unsafe { (CStr::from_char_ptr(name), CStr::from_char_ptr(bus)) };
    match (bus.to_bytes(), name.to_bytes()) {
        (b"virtio", b"virtio_blk") => Some(Driver::VirtioBlk),
        (b"pci", b"nvme") => Some(Driver::Nvme),
        _ => None,
    }
}

/// How the requests that others have in flight can be collected.
fn collects(driver: Driver, queue: &Queue, vectors: &[Vector]) -> Way {
    match driver {
        // virtblk_poll() works on every queue.
        Driver::VirtioBlk if queue.has_poll() => Way::VirtioShared,
        Driver::VirtioBlk => Way::None(Reason::Driver),
        // nvme_poll() does nothing on a queue with an interrupt. Poll queues have users of their own,
        // who may be stopped with the lock: they are left alone.
        Driver::Nvme => {
            let mut interrupted = queue.hw_queues().filter(|hw| !hw.is_polled());
            if interrupted.all(|hw| hw.vector(vectors).is_some()) {
                Way::NvmeReap
            } else {
                Way::None(Reason::Vectors)
            }
        }
    }
}

/// How the lane itself can write.
fn writes(driver: Driver, queue: &Queue, collects: Way, mode: Mode) -> Way {
    if queue.has_scheduler() && mode != Mode::Force {
        return Way::None(Reason::Scheduler);
    }
    let polled = queue.has_poll() && queue.hw_queues().any(|hw| hw.is_polled());
    match driver {
        Driver::VirtioBlk if polled => Way::VirtioPoll,
        Driver::VirtioBlk => collects,
        Driver::Nvme if polled => Way::NvmePoll,
        Driver::Nvme if !collects.works() => collects,
        Driver::Nvme if mode != Mode::Force && queue.hw_queues().all(|hw| hw.cpus() != 1) => {
            Way::None(Reason::QueueShared)
        }
        Driver::Nvme => Way::NvmeReap,
    }
}

/// Looks at the queue of `device`. Process context.
///
/// # Errors
///
/// `ENOMEM`.
pub(super) fn probe(device: &BlockDevice, area: Area, buffer: usize, mode: Mode) -> Result<Found> {
    let bdev = device.bdev();
    // SAFETY: The device is open by the invariant of `BlockDevice`; the lane keeps a clone of it
    // next to the queue.
    let (queue, start) = unsafe {
        let raw = NonNull::new(bindings::vfs_helper_bdev_queue(bdev)).ok_or(ENXIO)?;
        (
            Queue::new(raw),
            bindings::vfs_helper_bdev_start_sector(bdev),
        )
    };
    let mut found = Found {
        queue,
        start,
        collects: Way::None(Reason::Off),
        writes: Way::None(Reason::Off),
        vectors: KVec::new(),
        chunk: 0,
        takes_locks: true,
    };
    let none = |found: Found, reason| {
        Ok(Found {
            collects: Way::None(reason),
            writes: Way::None(reason),
            ..found
        })
    };
    if mode == Mode::Off {
        return Ok(found);
    }
    if !found.queue.is_mq() {
        return none(found, Reason::NotMq);
    }
    // SAFETY: As above.
    let Some(driver) = (unsafe { driver(bdev) }) else {
        return none(found, Reason::Driver);
    };
    // SAFETY: As above.
    found.vectors = unsafe { vectors::of(bdev) }?;
    found.collects = collects(driver, &found.queue, &found.vectors);
    // SAFETY: As above; a virtio disk's parent is a virtio device.
    found.takes_locks = unsafe {
        match driver {
            // A device that has to translate says so to the driver; then it is the ring that maps.
            Driver::VirtioBlk => {
                bindings::vfs_helper_bdev_virtio_allocates(bdev)
                    || bindings::vfs_helper_bdev_translates_dma(bdev)
            }
            Driver::Nvme => bindings::vfs_helper_bdev_translates_dma(bdev),
        }
    };
    // SAFETY: As above; the limits are numbers, each read by itself.
    let limits = unsafe {
        let limits = &raw const (*found.queue.as_ptr()).limits;
        Limits {
            sectors: (*limits).max_hw_sectors.into(),
            segment: (*limits).max_segment_size.into(),
            boundary_mask: (*limits).seg_boundary_mask as u64,
            driver: match driver {
                Driver::VirtioBlk => u64::MAX,
                Driver::Nvme => NVME_BYTES,
            },
        }
    };
    let block = u64::from(device.logical_block_size());
    // SAFETY: As above.
    let plain = unsafe { bindings::vfs_helper_bdev_is_plain(bdev) };
    found.writes = match limits.chunk() {
        _ if device.is_read_only() => Way::None(Reason::ReadOnly),
        Some(chunk) if plain && chunk as u64 >= block => {
            found.chunk = chunk;
            if area.holds(buffer, block, device.sectors()) {
                writes(driver, &found.queue, found.collects, mode)
            } else {
                Way::None(Reason::AreaSmall)
            }
        }
        _ => Way::None(Reason::Format),
    };
    Ok(found)
}
