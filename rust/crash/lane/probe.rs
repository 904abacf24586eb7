// SPDX-License-Identifier: GPL-2.0

//! What a device can do for a lane, found out at mount.

use super::{
    ata,
    queue::{InUse, Queue},
    scsi,
    span::{Area, Limits},
    vectors::{self, Vector},
    way::{Mode, Reason, Way},
};
use crate::bindings;
use core::ptr;
use kernel::prelude::*;
use vfs::block::BlockDevice;

/// NVMe: two physical regions in the command itself; for more the driver allocates a list.
const NVME_BYTES: u64 = 8192;

/// What was found.
pub(super) struct Found {
    pub(super) start: u64,
    pub(super) collects: Way,
    pub(super) writes: Way,
    pub(super) vectors: KVec<Vector>,
    pub(super) chunk: usize,
    pub(super) hw_queues: u32,
    pub(super) takes_locks: bool,
}

impl Found {
    /// A device that there is no way to.
    fn none(reason: Reason) -> Self {
        Self {
            start: 0,
            collects: Way::None(reason),
            writes: Way::None(reason),
            vectors: KVec::new(),
            chunk: 0,
            hw_queues: 0,
            takes_locks: true,
        }
    }
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
fn has_driver(used: &InUse<'_>, n: u32, bus: &[u8], driver: &[u8]) -> bool {
    let mut its_bus = ptr::null();
    // SAFETY: The disk's queue is in use, so that its driver is not past removing it: it and those above
    // keep their devices, and none of these loses its driver.
    let name =
        unsafe { bindings::crash_helper_bdev_driver(used.device().as_ptr(), n, &mut its_bus) };
    if name.is_null() || its_bus.is_null() {
        return false;
    }
    // SAFETY: Names of drivers and buses are NUL-terminated and stay as these do, which is while the
    // queue is in use.
    let (name, its_bus) = unsafe { (CStr::from_char_ptr(name), CStr::from_char_ptr(its_bus)) };
    (its_bus.to_bytes(), name.to_bytes()) == (bus, driver)
}

/// The driver, if it is one that was proven.
fn driver(used: &InUse<'_>) -> Option<Driver> {
    let has = |n, bus, driver| has_driver(used, n, bus, driver);
    if has(0, b"virtio", b"virtio_blk") {
        Some(Driver::VirtioBlk)
    } else if has(0, b"scsi", b"sd") && has(1, b"virtio", b"virtio_scsi") {
        Some(Driver::VirtioScsi)
    } else if has(0, b"scsi", b"sd") && has(1, b"pci", b"ahci") {
        Some(Driver::Ahci)
    } else if has(0, b"pci", b"nvme") {
        Some(Driver::Nvme)
    } else {
        None
    }
}

/// The interrupts whose handlers complete the disk's requests.
///
/// # Safety
///
/// `driver` is the disk's.
unsafe fn vectors(driver: Driver, used: &InUse<'_>) -> Result<KVec<Vector>> {
    let mut vectors = vectors::of(used)?;
    if driver == Driver::Ahci {
        // SAFETY: The disk's driver is sd, on a port of ahci.
        vectors.retain(|vector| unsafe { ata::is_handled_by(used, vector) });
    }
    Ok(vectors)
}

/// How the requests that others have in flight can be collected.
///
/// # Safety
///
/// `driver` is the disk's.
unsafe fn collects(driver: Driver, used: &InUse<'_>, vectors: &[Vector]) -> Way {
    let has_poll = used.queue().has_poll();
    match driver {
        // virtblk_poll() works on every queue.
        Driver::VirtioBlk if has_poll => Way::VirtioShared,
        // virtscsi_mq_poll(), too.
        // SAFETY: The disk's driver is sd.
        Driver::VirtioScsi if has_poll && unsafe { scsi::is_plain(used) } => Way::VirtioScsi,
        // SAFETY: The disk's driver is sd, on a port of ahci.
        Driver::Ahci if unsafe { scsi::is_plain(used) && ata::is_plain(used) } => {
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
            let mut interrupted = used.hw_queues().filter(|hw| !hw.is_polled());
            if interrupted.all(|hw| vectors::of_queue(vectors, hw).is_some()) {
                Way::NvmeReap
            } else {
                Way::None(Reason::Vectors)
            }
        }
    }
}

/// How the lane itself can write.
fn writes(driver: Driver, used: &InUse<'_>, collects: Way, mode: Mode) -> Way {
    let polled = used.queue().has_poll() && used.hw_queues().any(|hw| hw.is_polled());
    match driver {
        Driver::VirtioBlk if polled => Way::VirtioPoll,
        // A poll queue makes no difference: what SCSI itself shares is everybody's.
        Driver::VirtioBlk | Driver::VirtioScsi | Driver::Ahci => collects,
        Driver::Nvme if polled => Way::NvmePoll,
        Driver::Nvme if !collects.works() => collects,
        Driver::Nvme if mode != Mode::Force && used.hw_queues().all(|hw| hw.cpus() != 1) => {
            Way::None(Reason::QueueShared)
        }
        Driver::Nvme => Way::NvmeReap,
    }
}

/// Whether submitting allocates, or maps through an IOMMU.
///
/// # Safety
///
/// `driver` is the disk's.
unsafe fn takes_locks(driver: Driver, used: &InUse<'_>) -> bool {
    let bdev = used.device().as_ptr();
    // SAFETY: The devices above the disk stay while its queue is in use. virtio-blk's disk has a virtio
    // device as its parent.
    unsafe {
        match driver {
            // A device that has to translate says so to the driver; then it is the ring that maps.
            Driver::VirtioBlk => {
                bindings::crash_helper_bdev_virtio_allocates(bdev)
                    || bindings::crash_helper_bdev_translates_dma(bdev)
            }
            Driver::VirtioScsi | Driver::Ahci => true,
            Driver::Nvme => bindings::crash_helper_bdev_translates_dma(bdev),
        }
    }
}

/// What the queue takes in one request.
fn limits(driver: Driver, used: &InUse<'_>) -> Limits {
    // SAFETY: The queue is in memory, and its limits are numbers that are changed with it frozen, which
    // waits until it is not in use.
    unsafe {
        let limits = &raw const (*used.queue().as_ptr()).limits;
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
    }
}

/// Looks at the device whose queue is in use.
fn probe_used(used: &InUse<'_>, area: Area, buffer: usize, mode: Mode) -> Result<Found> {
    let device = used.device();
    if !used.queue().is_mq() {
        return Ok(Found::none(Reason::NotMq));
    }
    let Some(driver) = driver(used) else {
        return Ok(Found::none(Reason::Driver));
    };
    // SAFETY: The driver is the disk's, as was just seen, here and below.
    let vectors = unsafe { vectors(driver, used) }?;
    // SAFETY: The driver is the disk's.
    let (collects, takes_locks) =
        unsafe { (collects(driver, used, &vectors), takes_locks(driver, used)) };
    // SAFETY: The disk is open, and so in memory with what is asked for here.
    let (start, plain) = unsafe {
        (
            bindings::crash_helper_bdev_start_sector(device.as_ptr()),
            bindings::crash_helper_bdev_is_plain(device.as_ptr()),
        )
    };
    let block = u64::from(device.logical_block_size());
    let chunk = limits(driver, used).chunk();
    let chunk = chunk.filter(|&chunk| plain && chunk as u64 >= block);
    let writes = if device.is_read_only() {
        Way::None(Reason::ReadOnly)
    } else if chunk.is_none() {
        Way::None(Reason::Format)
    } else if !area.holds(buffer, block, device.sectors()) {
        Way::None(Reason::AreaSmall)
    } else {
        writes(driver, used, collects, mode)
    };
    Ok(Found {
        start,
        collects,
        writes,
        vectors,
        chunk: chunk.unwrap_or(0),
        hw_queues: used.hw_queues().fold(0u32, |n, _| n.saturating_add(1)),
        takes_locks,
    })
}

/// Looks at `device`, whose queue is `queue`. Process context.
///
/// # Errors
///
/// `ENOMEM`.
pub(super) fn probe(
    device: &BlockDevice,
    queue: &Queue,
    (area, buffer, mode): (Area, usize, Mode),
) -> Result<Found> {
    if mode == Mode::Off {
        return Ok(Found::none(Reason::Off));
    }
    match queue.enter(device) {
        Some(used) => probe_used(&used, area, buffer, mode),
        None => Ok(Found::none(Reason::Driver)),
    }
}
