// SPDX-License-Identifier: GPL-2.0

//! A block device as the core sees it.

use kernel::prelude::*;

/// Ordering of one write against the device's volatile cache.
///
/// The terms are those of `include/linux/blk_types.h` (`REQ_PREFLUSH`, `REQ_FUA`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteFlags {
    /// Everything completed before this write is durable before this write starts.
    pub preflush: bool,
    /// This write itself is durable when it returns.
    pub fua: bool,
}

/// Whether `e` says that sectors cannot be read, rather than that there is no memory or no device: what the
/// block layer makes of a medium error, of a failed check of integrity, and of errors without a name
/// (`blk_errors` in `block/blk-core.c`).
pub fn is_unreadable(e: Error) -> bool {
    [EIO, ENODATA, EILSEQ, EREMOTEIO].contains(&e)
}

/// A device of 512-byte sectors with an optional volatile cache.
///
/// Calls are synchronous and may sleep. A write is durable on return only with [`WriteFlags::fua`],
/// or after a later [`BlockDevice::flush`]. A write that fails or is cut off by a crash may leave any
/// mix of old and new contents, at the granularity of [`BlockDevice::sector_size`].
pub trait BlockDevice {
    /// Size in units of 512 bytes.
    fn sectors(&self) -> u64;

    /// Bytes, 512 to 4096 and a power of two, that the device writes as one, and tears as one: its physical block,
    /// or its logical one where nothing else is known. Writes are multiples of it.
    fn sector_size(&self) -> usize;

    /// Whether completed writes may still be lost until a flush.
    fn has_write_cache(&self) -> bool;

    /// Whether the device takes FUA itself; without it the layer below emulates it with a flush.
    fn has_fua(&self) -> bool;

    /// Whether the device refuses writes.
    fn read_only(&self) -> bool;

    /// Reads `buf.len()` bytes, a multiple of 512, from 512-byte sector `sector`.
    fn read(&self, sector: u64, buf: &mut [u8]) -> Result;

    /// Writes `buf`, a multiple of [`BlockDevice::sector_size`] bytes, at 512-byte sector `sector`.
    fn write(&self, sector: u64, buf: &[u8], flags: WriteFlags) -> Result;

    /// Writes whole blocks, each (block number, 4096 bytes): submits all, then waits for all.
    fn write_blocks(&self, batch: &[(u64, &[u8])]) -> Result;

    /// Makes every completed write durable.
    fn flush(&self) -> Result;

    /// Tells the device that `count` blocks from `block` are not needed. Advice: errors do no harm.
    fn discard(&self, block: u64, count: u64) -> Result;
}
