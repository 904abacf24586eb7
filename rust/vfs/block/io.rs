// SPDX-License-Identifier: GPL-2.0

//! Reading, writing, flushing and discarding.
//!
//! C header: [`include/linux/bio.h`](srctree/include/linux/bio.h)

use super::{
    device::{BlockDevice, SECTOR_SIZE},
    request::{self, Batch, Bounce},
};
use crate::{bindings, scope::NoIo};
use kernel::{error::to_result, page::PAGE_SIZE, prelude::*};

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

impl BlockDevice {
    /// Checks that a range is whole logical blocks of the device.
    fn check(&self, sector: u64, len: usize) -> Result {
        let start = sector.checked_mul(SECTOR_SIZE as u64).ok_or(EINVAL)?;
        let end = start.checked_add(len as u64).ok_or(EINVAL)?;
        let block = self.logical_block_size();
        // Of a larger block not even a page of ours is fit for a bio.
        if block as usize > PAGE_SIZE || (start | end) & (u64::from(block) - 1) != 0 {
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
    /// `EINVAL` for what is not aligned, and on a device whose logical block is larger than a page;
    /// `EIO` past the end and for what the device cannot read; `ENOMEM`. The content of `buf` is then
    /// undefined.
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
        // Decided here for all: the device's limits may change before the last is submitted.
        let mut bounces = KVec::new();
        for (n, (_, buf)) in writes.iter().enumerate() {
            if !buf.is_empty() && !request::is_dmaable(self, buf) {
                let mut bounce = Bounce::new(buf.len())?;
                bounce.copy_from_slice(buf);
                bounces.push((n, bounce), GFP_KERNEL)?;
            }
        }
        let mut bounces = bounces.iter().peekable();
        pin_init::stack_pin_init!(let batch = Batch::new(self.observer()));
        request::with_plug(|| {
            for (n, (sector, buf)) in writes.iter().enumerate() {
                let data = match bounces.next_if(|(of, _)| *of == n) {
                    Some((_, bounce)) => bounce,
                    None => *buf,
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
        });
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
