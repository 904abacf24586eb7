// SPDX-License-Identifier: GPL-2.0

//! The mount's block device, as the core sees it: behind the panic gate, and counted.

use crate::fault::{self, stall, Point};
use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Full, Relaxed},
        Arc,
    },
};
use permfs_core::{
    device::{BlockDevice, Flushes, WriteFlags},
    format::{BLOCK_SIZE, SECTORS_PER_BLOCK},
    panic::{Flush, Gate},
    plant::{self, Fault},
};
use vfs::block;

/// Handle on the device; clones are the same device.
#[derive(Clone)]
pub(crate) struct Disk(Arc<Shared>);

struct Shared {
    device: block::BlockDevice,
    gate: &'static Gate,
    /// The volume's slot, or [`crate::engine::NO_SLOT`].
    slot: u32,
    flushes: Flushes,
    shutdown: Atomic<bool>,
}

impl Disk {
    /// The device of the volume in slot `slot`, whose gate is `gate`.
    pub(crate) fn new(device: block::BlockDevice, slot: u32, gate: &'static Gate) -> Result<Self> {
        // At a panic who waits for a request does not come back to count it out.
        let observer: Arc<block::Observer> = Arc::new(move || gate.end(), GFP_KERNEL)?;
        let shared = Shared {
            device: device.observed(observer),
            gate,
            slot,
            flushes: Flushes::new(),
            shutdown: Atomic::new(false),
        };
        Ok(Self(Arc::new(shared, GFP_KERNEL)?))
    }

    /// From now on every request fails with `EIO`. Who is counted afterwards ([`Disk::in_flight`]) has
    /// passed before, and nobody else will pass.
    pub(crate) fn shut_down(&self) {
        // Full: a request counts itself and then looks at the flag, this sets the flag and then the
        // count is looked at. One of the two sees the other.
        self.0.shutdown.xchg(true, Full);
    }

    pub(crate) fn is_shut_down(&self) -> bool {
        self.0.shutdown.load(Relaxed)
    }

    /// Counts a request in. Errors: `EIO` when the panic gate is closed or the volume is shut down.
    ///
    /// Any context. A request that was counted in is counted out by [`Disk::end_io`], once.
    pub(crate) fn begin_io(&self) -> Result {
        self.0.gate.enter()?;
        if self.is_shut_down() {
            self.end_io();
            return Err(EIO);
        }
        fault::at(Point::Submit);
        Ok(())
    }

    /// Counts a request out. Any context, hard interrupt included.
    pub(crate) fn end_io(&self) {
        self.0.gate.end();
    }

    /// Requests that have not completed; those of other volumes too if the volume found no slot.
    pub(crate) fn in_flight(&self) -> u32 {
        self.0.gate.in_flight()
    }

    /// The device itself, past gate and count.
    pub(crate) fn device(&self) -> &block::BlockDevice {
        &self.0.device
    }

    /// Flushes the device's cache, also of a volume that was shut down.
    pub(crate) fn flush_at_rest(&self) -> Flush {
        let Ok(_counted) = self.0.gate.begin() else {
            return Flush::Refused;
        };
        let flushed = self.0.flushes.flush(|| {
            let flushed = match plant::is(Fault::Quiesce) {
                true => Ok(()),
                false => self.0.device.flush(),
            };
            stall::hold(self.0.slot);
            flushed
        });
        match flushed {
            Ok(()) => Flush::Ok,
            Err(_) => Flush::Failed,
        }
    }

    /// A data write has completed: it is durable after the next flush that begins from now on. Any context.
    pub(crate) fn data_written(&self) {
        self.0.flushes.wrote();
    }

    fn counted<T>(&self, request: impl FnOnce(&block::BlockDevice) -> Result<T>) -> Result<T> {
        self.begin_io()?;
        let result = request(&self.0.device);
        stall::hold(self.0.slot);
        self.end_io();
        result.map_err(of_device)
    }

    /// A request that flushes what completed before it. One that was refused has not failed at the device.
    fn flushing(&self, request: impl FnOnce(&block::BlockDevice) -> Result) -> Result {
        self.begin_io()?;
        let result = self.0.flushes.flush(|| request(&self.0.device));
        stall::hold(self.0.slot);
        self.end_io();
        result.map_err(of_device)
    }

    /// Whether the block layer makes a FUA write of a write and a flush, of which the flush covers all else too.
    fn fua_flushes(&self) -> bool {
        self.has_write_cache() && !self.0.device.has_fua() && self.0.device.is_request_based()
    }
}

/// A device has many words for its failures (`ENODATA`, `EREMOTEIO`, `ETIMEDOUT`, ...: `block/blk-core.c`); for the
/// volume they are all one.
fn of_device(e: Error) -> Error {
    if e == ENOMEM {
        e
    } else {
        EIO
    }
}

impl BlockDevice for Disk {
    fn sectors(&self) -> u64 {
        self.0.device.sectors()
    }

    fn sector_size(&self) -> usize {
        // What the device writes as one it tears as one, and the sectors beside what was written with it. Where
        // that is more than a block, or an odd number, nothing smaller than a block is written all the same.
        let physical = self.0.device.physical_block_size() as usize;
        let logical = self.0.device.logical_block_size() as usize;
        if physical.is_power_of_two() && physical < BLOCK_SIZE {
            physical.max(logical)
        } else {
            BLOCK_SIZE
        }
    }

    fn has_write_cache(&self) -> bool {
        self.0.device.has_write_cache()
    }

    fn has_fua(&self) -> bool {
        // The block layer takes FUA for any device: where the device does not, it flushes behind the
        // write, as part of the same request. A flush of our own would be one request more.
        true
    }

    fn read_only(&self) -> bool {
        self.0.device.is_read_only()
    }

    fn read(&self, sector: u64, buf: &mut [u8]) -> Result {
        self.counted(|device| device.read(sector, buf))
    }

    fn write(&self, sector: u64, buf: &[u8], flags: WriteFlags) -> Result {
        let request = |device: &block::BlockDevice| {
            let flags = block::WriteFlags {
                preflush: flags.preflush,
                fua: flags.fua,
                meta: true,
                sync: true,
            };
            device.write(sector, buf, flags)
        };
        if flags.preflush || (flags.fua && self.fua_flushes()) {
            self.flushing(request)?;
        } else {
            self.counted(request)?;
        }
        if !flags.fua {
            self.0.flushes.wrote();
        }
        Ok(())
    }

    fn write_blocks(&self, batch: &[(u64, &[u8])]) -> Result {
        let mut writes = KVec::with_capacity(batch.len(), GFP_KERNEL)?;
        for &(block, bytes) in batch {
            if bytes.len() != BLOCK_SIZE {
                return Err(EINVAL);
            }
            let sector = block.checked_mul(SECTORS_PER_BLOCK).ok_or(EINVAL)?;
            writes.push((sector, bytes), GFP_KERNEL)?;
        }
        let flags = block::WriteFlags {
            meta: true,
            ..Default::default()
        };
        self.counted(|device| device.write_batch(&writes, flags))?;
        self.0.flushes.wrote();
        Ok(())
    }

    fn needs_flush(&self) -> bool {
        self.has_write_cache() && self.0.flushes.pending()
    }

    fn flush(&self) -> Result {
        self.flushing(|device| device.flush())
    }

    fn discard(&self, block: u64, count: u64) -> Result {
        if !self.0.device.supports_discard() {
            return Ok(());
        }
        self.counted(|device| device.discard(block * SECTORS_PER_BLOCK, count * SECTORS_PER_BLOCK))
    }
}
