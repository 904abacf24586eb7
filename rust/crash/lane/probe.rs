// SPDX-License-Identifier: GPL-2.0

//! What a device can do for a lane, found out at mount.

use super::{
    ata,
    queue::Queue,
    scsi,
    span::Limits,
    vectors::{self, Vector},
    Area, Mode, Reason, Way,
};
use crate::bindings;
use core::ptr::{self, NonNull};
use kernel::prelude::*;
use vfs::block::BlockDevice;

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

/// The drivers that were proven.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Driver {
    VirtioBlk,
    /// SCSI's `sd`, on a host of virtio_scsi.
    VirtioScsi,
    /// SCSI's `sd`, on a port of ahci.
    Ahci,
    Nvme,
}

/// Whether the device above the disk that is the `n`th to have a driver is on `bus` and has that
/// driver.
///
/// # Safety
///
/// `bdev` is open.
unsafe fn has_driver(bdev: *mut bindings::block_device, n: u32, bus: &[u8], driver: &[u8]) -> bool {
    let mut its_bus = ptr::null();
    // SAFETY: By the contract; the open disk keeps the devices above it and their drivers.
    let name = unsafe { bindings::crash_helper_bdev_driver(bdev, n, &mut its_bus) };
    if name.is_null() || its_bus.is_null() {
        return false;
    }
    // SAFETY: Names of drivers and buses are NUL-terminated and stay while these do.
    let (name, its_bus) = unsafe { (CStr::from_char_ptr(name), CStr::from_char_ptr(its_bus)) };
    (its_bus.to_bytes(), name.to_bytes()) == (bus, driver)
}

/// The driver, if it is one that was proven.
///
/// # Safety
///
/// `bdev` is open.
unsafe fn driver(bdev: *mut bindings::block_device) -> Option<Driver> {
    // SAFETY: By the contract.
    unsafe {
        if has_driver(bdev, 0, b"virtio", b"virtio_blk") {
            Some(Driver::VirtioBlk)
        } else if has_driver(bdev, 0, b"scsi", b"sd")
            && has_driver(bdev, 1, b"virtio", b"virtio_scsi")
        {
            Some(Driver::VirtioScsi)
        } else if has_driver(bdev, 0, b"scsi", b"sd") && has_driver(bdev, 1, b"pci", b"ahci") {
            Some(Driver::Ahci)
        } else if has_driver(bdev, 0, b"pci", b"nvme") {
            Some(Driver::Nvme)
        } else {
            None
        }
    }
}

/// # Safety
///
/// The disk's driver is sd, and its port ahci's, which is there.
unsafe fn is_plain_ata(queue: &Queue) -> bool {
    // SAFETY: By the contract.
    unsafe { scsi::is_plain(queue) && ata::is_plain(queue) }
}

/// How the requests that others have in flight can be collected.
fn collects(driver: Driver, queue: &Queue, vectors: &[Vector]) -> Way {
    match driver {
        // virtblk_poll() works on every queue.
        Driver::VirtioBlk if queue.has_poll() => Way::VirtioShared,
        // virtscsi_mq_poll(), too.
        // SAFETY: The disk's driver is sd.
        Driver::VirtioScsi if queue.has_poll() && unsafe { scsi::is_plain(queue) } => {
            Way::VirtioScsi
        }
        // SAFETY: The disk's driver is sd, and its port ahci's.
        Driver::Ahci if queue.while_alive(|| unsafe { is_plain_ata(queue) }) == Some(true) => {
            if vectors.is_empty() {
                Way::None(Reason::Vectors)
            } else {
                Way::Ahci
            }
        }
        Driver::VirtioBlk | Driver::VirtioScsi | Driver::Ahci => Way::None(Reason::Driver),
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
    let polled = queue.has_poll() && queue.hw_queues().any(|hw| hw.is_polled());
    match driver {
        Driver::VirtioBlk if polled => Way::VirtioPoll,
        // A poll queue makes no difference: what SCSI itself shares is everybody's.
        Driver::VirtioBlk | Driver::VirtioScsi | Driver::Ahci => collects,
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
    let bdev = device.as_ptr();
    // SAFETY: The device is open by the invariant of `BlockDevice`; the lane keeps a clone of it
    // next to the queue.
    let (queue, start) = unsafe {
        let raw = NonNull::new(bindings::crash_helper_bdev_queue(bdev)).ok_or(ENXIO)?;
        (
            Queue::new(raw),
            bindings::crash_helper_bdev_start_sector(bdev),
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
    if driver == Driver::Ahci {
        let (queue, vectors) = (&found.queue, &mut found.vectors);
        // SAFETY: The disk's driver is sd, and its port ahci's.
        let is_its = |vector: &mut Vector| unsafe { ata::is_handled_by(queue, vector) };
        if queue.while_alive(|| vectors.retain(is_its)).is_none() {
            return none(found, Reason::Driver);
        }
    }
    found.collects = collects(driver, &found.queue, &found.vectors);
    // SAFETY: As above; a virtio disk's parent is a virtio device.
    found.takes_locks = unsafe {
        match driver {
            // A device that has to translate says so to the driver; then it is the ring that maps.
            Driver::VirtioBlk => {
                bindings::crash_helper_bdev_virtio_allocates(bdev)
                    || bindings::crash_helper_bdev_translates_dma(bdev)
            }
            Driver::VirtioScsi | Driver::Ahci => true,
            Driver::Nvme => bindings::crash_helper_bdev_translates_dma(bdev),
        }
    };
    // SAFETY: As above; the limits are numbers, each read by itself.
    let limits = unsafe {
        let limits = &raw const (*found.queue.as_ptr()).limits;
        Limits {
            sectors: match ((*limits).max_hw_sectors, (*limits).max_dev_sectors) {
                // SCSI: the controller's limit, and the device's, if it tells one.
                (host, 0) => host.into(),
                (host, device) => host.min(device).into(),
            },
            segment: (*limits).max_segment_size.into(),
            boundary_mask: (*limits).seg_boundary_mask as u64,
            driver: match driver {
                Driver::VirtioBlk | Driver::VirtioScsi | Driver::Ahci => u64::MAX,
                Driver::Nvme => NVME_BYTES,
            },
        }
    };
    let block = u64::from(device.logical_block_size());
    // SAFETY: As above.
    let plain = unsafe { bindings::crash_helper_bdev_is_plain(bdev) };
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
