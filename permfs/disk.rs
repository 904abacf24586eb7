// SPDX-License-Identifier: GPL-2.0

//! The mount's block device, as the core sees it: behind the panic gate, and counted.

use kernel::{
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Relaxed, Release},
        Arc,
    },
};
use permfs_core::{
    device::{BlockDevice, WriteFlags},
    format::{BLOCK_SIZE, SECTORS_PER_BLOCK},
    panic::Gate,
};
use vfs::block;

/// Handle on the device; clones are the same device.
#[derive(Clone)]
pub(crate) struct Disk(Arc<Shared>);

struct Shared {
    device: block::BlockDevice,
    gate: &'static Gate,
    /// Data writes completed.
    written: Atomic<u64>,
    /// Value of `written` before the start of the last flush that succeeded.
    flushed: Atomic<u64>,
    shutdown: Atomic<bool>,
}

impl Disk {
    pub(crate) fn new(device: block::BlockDevice, gate: &'static Gate) -> Result<Self> {
        // At a panic who waits for a request does not come back to count it out.
        let observer: Arc<block::Observer> = Arc::new(move || gate.end(), GFP_KERNEL)?;
        let shared = Shared {
            device: device.observed(observer),
            gate,
            written: Atomic::new(0),
            flushed: Atomic::new(0),
            shutdown: Atomic::new(false),
        };
        Ok(Self(Arc::new(shared, GFP_KERNEL)?))
    }

    /// From now on every request fails with `EIO`.
    pub(crate) fn shut_down(&self) {
        self.0.shutdown.store(true, Relaxed);
    }

    pub(crate) fn is_shut_down(&self) -> bool {
        self.0.shutdown.load(Relaxed)
    }

    /// Counts a request in. Errors: `EIO` when the panic gate is closed or the volume is shut down.
    ///
    /// Any context. A request that was counted in is counted out by [`Disk::end_io`], once.
    pub(crate) fn begin_io(&self) -> Result {
        if self.is_shut_down() {
            return Err(EIO);
        }
        self.0.gate.enter()
    }

    /// Counts a request out. Any context, hard interrupt included.
    pub(crate) fn end_io(&self) {
        self.0.gate.end();
    }

    /// A data write has completed: it is durable after the next flush that starts from now on.
    pub(crate) fn data_written(&self) {
        // Release: pairs with the load in `flush_point`, so that a flush counts what it covers.
        self.0.written.fetch_add(1u64, Release);
    }

    /// Whether completed data writes wait for a flush.
    pub(crate) fn needs_flush(&self) -> bool {
        self.has_write_cache() && self.0.flushed.load(Acquire) < self.0.written.load(Acquire)
    }

    fn counted<T>(&self, request: impl FnOnce(&block::BlockDevice) -> Result<T>) -> Result<T> {
        self.begin_io()?;
        let result = request(&self.0.device);
        self.end_io();
        result
    }

    /// A request that flushes what completed before it.
    fn flushing(&self, request: impl FnOnce(&block::BlockDevice) -> Result) -> Result {
        let point = self.0.written.load(Acquire);
        self.counted(request)?;
        // Flushes may finish in another order than they began: the mark only grows.
        let mut seen = self.0.flushed.load(Relaxed);
        while seen < point {
            match self.0.flushed.cmpxchg(seen, point, Release) {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        Ok(())
    }
}

impl BlockDevice for Disk {
    fn sectors(&self) -> u64 {
        self.0.device.sectors()
    }

    fn sector_size(&self) -> usize {
        self.0.device.logical_block_size() as usize
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
        // Without FUA in the device the block layer flushes after the write.
        if flags.preflush || (flags.fua && !self.0.device.has_fua()) {
            self.flushing(request)
        } else {
            self.counted(request)
        }
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
        self.counted(|device| device.write_batch(&writes, flags))
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
