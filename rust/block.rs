// SPDX-License-Identifier: GPL-2.0

//! The block device of a mount, for metadata.
//!
//! C headers: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h), [`include/linux/bio.h`](srctree/include/linux/bio.h)
//!
//! All calls block until the device has answered. Sectors are 512 bytes.

use crate::{bindings, scope::NoIo};
use core::ptr::NonNull;
use kernel::{error::to_result, prelude::*, sync::Arc};

mod freeze;
mod request;

pub use self::freeze::Quiesced;
pub(crate) use self::request::Batch;
use self::request::Bounce;

/// Bytes in a sector.
pub const SECTOR_SIZE: usize = 512;

/// How to write.
#[derive(Clone, Copy, Debug, Default)]
pub struct WriteFlags {
    /// Have the device flush its cache before: what was written earlier is durable before this is.
    pub preflush: bool,
    /// The data is durable when the call returns, not only in the device's cache.
    pub fua: bool,
    /// It is metadata, for those who trace.
    pub meta: bool,
    /// Somebody waits for it.
    pub sync: bool,
}

impl WriteFlags {
    fn opf(self) -> u32 {
        let flag = |set: bool, flag: u32| if set { flag } else { 0 };
        bindings::VFS_CONST_REQ_OP_WRITE
            | flag(self.preflush, bindings::VFS_CONST_REQ_PREFLUSH)
            | flag(self.fua, bindings::VFS_CONST_REQ_FUA)
            | flag(self.meta, bindings::VFS_CONST_REQ_META)
            | flag(self.sync, bindings::VFS_CONST_REQ_SYNC)
    }
}

/// Hears, once for each call that waits for the device, that its I/O has ended when the kernel
/// [has stopped](crate::stopped) and the call will not return. Called by the last CPU that runs, in any
/// context, NMI included: it must take no lock.
pub type Observer = dyn Fn() + Send + Sync;

/// A handle on an open block device. It keeps the device open, also past unmount.
///
/// # Invariants
///
/// `file` is an open file of a block device, and one reference on it is ours.
pub struct BlockDevice {
    file: NonNull<bindings::file>,
    observer: Option<Arc<Observer>>,
}

// SAFETY: A reference on a file may be dropped by any thread, and so may the observer.
unsafe impl Send for BlockDevice {}
// SAFETY: Any number of threads may submit bios to an open device and ask for its limits; the observer
// may be called by any of them.
unsafe impl Sync for BlockDevice {}

impl BlockDevice {
    /// # Safety
    ///
    /// `file` is an open file of a block device.
    pub(crate) unsafe fn from_file(file: *mut bindings::file) -> Self {
        // SAFETY: An open file is not null and has a reference, its owner's, next to which we take ours.
        let file = unsafe { NonNull::new_unchecked(bindings::vfs_helper_get_file(file)) };
        // INVARIANT: The reference was taken just now.
        Self {
            file,
            observer: None,
        }
    }

    /// The same device, with `observer` hearing of reads, writes and flushes that are made with this
    /// handle.
    pub fn observed(mut self, observer: Arc<Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    fn observer(&self) -> Option<&dyn Fn()> {
        self.observer
            .as_deref()
            .map(|observer| observer as &dyn Fn())
    }

    /// The device as C knows it, open as long as this handle is there: for crates that wrap other
    /// parts of the block layer.
    pub fn as_ptr(&self) -> *mut kernel::bindings::block_device {
        // SAFETY: `file` is a block device's, and our reference keeps it and the device open.
        unsafe { bindings::vfs_helper_file_bdev(self.file.as_ptr()) }
    }

    /// What `ask` says of the device.
    ///
    /// # Safety
    ///
    /// `ask` reads what an open device has, without waiting for anything.
    #[inline(always)]
    unsafe fn ask<T>(&self, ask: unsafe extern "C" fn(*mut bindings::block_device) -> T) -> T {
        // SAFETY: The device is open as long as this handle is there.
        unsafe { ask(self.as_ptr()) }
    }

    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        // SAFETY: A number that is read as a whole.
        unsafe { self.ask(bindings::vfs_helper_bdev_nr_bytes) }
    }

    /// Size in sectors.
    pub fn sectors(&self) -> u64 {
        self.bytes() / SECTOR_SIZE as u64
    }

    /// Logical block size in bytes: what positions and lengths must be multiples of.
    pub fn logical_block_size(&self) -> u32 {
        // SAFETY: A number of the queue, which the disk keeps.
        unsafe { self.ask(bindings::vfs_helper_bdev_logical_block_size) }
    }

    /// Physical block size in bytes: what the device writes at once.
    pub fn physical_block_size(&self) -> u32 {
        // SAFETY: A number of the queue, which the disk keeps.
        unsafe { self.ask(bindings::vfs_helper_bdev_physical_block_size) }
    }

    /// Whether the device has a volatile write cache.
    pub fn has_write_cache(&self) -> bool {
        // SAFETY: Flags of the queue, which the disk keeps.
        unsafe { self.ask(bindings::vfs_helper_bdev_write_cache) }
    }

    /// Whether the device itself can write through its cache; if not, the block layer flushes after
    /// each such write.
    pub fn has_fua(&self) -> bool {
        // SAFETY: Flags of the queue, which the disk keeps.
        unsafe { self.ask(bindings::vfs_helper_bdev_fua) }
    }

    /// Whether the device takes no writes.
    pub fn is_read_only(&self) -> bool {
        // SAFETY: Flags of the device and its disk.
        unsafe { self.ask(bindings::vfs_helper_bdev_read_only) }
    }

    /// Whether the device can be told that sectors are not needed.
    pub fn supports_discard(&self) -> bool {
        // SAFETY: A number of the queue, which the disk keeps.
        unsafe { self.ask(bindings::vfs_helper_bdev_max_discard_sectors) != 0 }
    }

    /// Checks that a range is whole logical blocks of the device.
    fn check(&self, sector: u64, len: usize) -> Result {
        let start = sector.checked_mul(SECTOR_SIZE as u64).ok_or(EINVAL)?;
        let end = start.checked_add(len as u64).ok_or(EINVAL)?;
        if (start | end) & (u64::from(self.logical_block_size()) - 1) != 0 {
            return Err(EINVAL);
        }
        if end > self.bytes() {
            return Err(EIO);
        }
        Ok(())
    }

    /// Reads from `sector` on; `buf` is a multiple of the logical block size.
    ///
    /// # Errors
    ///
    /// `EINVAL` for what is not aligned, `EIO` past the end and for what the device cannot read,
    /// `ENOMEM`. The content of `buf` is then undefined.
    pub fn read(&self, sector: u64, buf: &mut [u8]) -> Result {
        let _noio = NoIo::enter();
        self.check(sector, buf.len())?;
        if buf.is_empty() {
            return Ok(());
        }
        let opf = bindings::VFS_CONST_REQ_OP_READ
            | bindings::VFS_CONST_REQ_META
            | bindings::VFS_CONST_REQ_SYNC;
        if request::is_dmaable(self, buf) {
            pin_init::stack_pin_init!(let batch = Batch::new(self.observer()));
            // SAFETY: `buf` is borrowed for writing until the batch, which is dropped here, has waited for
            // the reads into it. It was seen to fit, and its length is whole blocks: `check`.
            unsafe {
                batch
                    .as_ref()
                    .add(self, opf, sector, buf.as_mut_ptr(), buf.len())
            };
            batch.as_mut().wait()?;
            request::read_done(buf);
            return Ok(());
        }
        let mut bounce = Bounce::new(buf.len())?;
        self.read(sector, &mut bounce)?;
        buf.copy_from_slice(&bounce);
        Ok(())
    }

    /// Writes from `sector` on; `buf` is a multiple of the logical block size.
    ///
    /// # Errors
    ///
    /// As [`Self::read`]. What was written of it is then unknown.
    pub fn write(&self, sector: u64, buf: &[u8], flags: WriteFlags) -> Result {
        self.write_batch(&[(sector, buf)], flags)
    }

    /// Writes all of `writes`, each a sector and its data, and waits for all. With `preflush` the
    /// flush comes before every one of them.
    ///
    /// # Errors
    ///
    /// As [`Self::read`]; any that fails fails the call, and what was written is then unknown.
    /// Arguments are checked before anything is submitted.
    pub fn write_batch(&self, writes: &[(u64, &[u8])], flags: WriteFlags) -> Result {
        // The caller may be what memory reclaim waits for.
        let _noio = NoIo::enter();
        let mut flags = flags;
        for (sector, buf) in writes {
            self.check(*sector, buf.len())?;
        }
        // A flag on one bio orders that bio only.
        if flags.preflush && (writes.len() != 1 || writes[0].1.len() > request::MAX_ONE_BIO) {
            self.flush()?;
            flags.preflush = false;
        }
        let mut bounces = KVec::new();
        for (_, buf) in writes {
            if !buf.is_empty() && !request::is_dmaable(self, buf) {
                let mut bounce = Bounce::new(buf.len())?;
                bounce.copy_from_slice(buf);
                bounces.push(bounce, GFP_KERNEL)?;
            }
        }
        let mut bounces = bounces.iter();
        pin_init::stack_pin_init!(let batch = Batch::new(self.observer()));
        request::with_plug(|| -> Result {
            for (sector, buf) in writes.iter().filter(|(_, buf)| !buf.is_empty()) {
                let data: &[u8] = if request::is_dmaable(self, buf) {
                    buf
                } else {
                    bounces.next().ok_or(EIO)?
                };
                // SAFETY: The data is borrowed until the batch, which is dropped first, has waited for the
                // writes, which only read it. It was seen to fit, or is a copy that does, and its length is
                // whole blocks: `check`.
                unsafe {
                    batch.as_ref().add(
                        self,
                        flags.opf(),
                        *sector,
                        data.as_ptr().cast_mut(),
                        data.len(),
                    )
                };
            }
            Ok(())
        })?;
        batch.as_mut().wait()
    }

    /// Makes what the device has acknowledged durable.
    ///
    /// # Errors
    ///
    /// `EIO`.
    pub fn flush(&self) -> Result {
        pin_init::stack_pin_init!(let batch = Batch::new(self.observer()));
        // SAFETY: This handle is borrowed until the batch, which is dropped here, has waited.
        unsafe { batch.as_ref().add_flush(self) };
        batch.as_mut().wait()
    }

    /// Tells the device that `sectors` sectors from `sector` on are not needed.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if it does not care, `EINVAL`, `EIO`.
    pub fn discard(&self, sector: u64, sectors: u64) -> Result {
        let len = usize::try_from(sectors)
            .ok()
            .and_then(|n| n.checked_mul(SECTOR_SIZE))
            .ok_or(EINVAL)?;
        self.check(sector, len)?;
        // SAFETY: The device is open as long as this handle is there. This waits for the bios that it
        // submits, which have no data.
        to_result(unsafe {
            bindings::blkdev_issue_discard(
                self.as_ptr(),
                sector,
                sectors,
                bindings::VFS_CONST_GFP_NOIO,
            )
        })
    }
}

impl Clone for BlockDevice {
    fn clone(&self) -> Self {
        // SAFETY: Our own reference keeps the file, which is open and a block device's.
        let mut device = unsafe { Self::from_file(self.file.as_ptr()) };
        device.observer = self.observer.clone();
        device
    }
}

impl Drop for BlockDevice {
    fn drop(&mut self) {
        // SAFETY: One reference is ours, and put once: this handle is gone.
        unsafe { bindings::fput(self.file.as_ptr()) };
    }
}
