// SPDX-License-Identifier: GPL-2.0

//! A block device as the core sees it.

use crate::plant::{self, Fault};
use kernel::{
    prelude::*,
    sync::atomic::{Acquire, Atomic, Relaxed, Release},
};

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

/// What of a device's completed writes a flush covers. One for each device, and the only place that counts it:
/// who wants something durable asks here, through [`BlockDevice::needs_flush`].
///
/// A flush covers what had completed before it began, and a FUA write covers itself and nothing else. A flush
/// that fails covers nothing, and the device may have dropped what it held: the next one would succeed and
/// mean nothing. So after that nothing is durable any more, for anybody who asks, until the next mount.
pub struct Flushes {
    /// Writes completed so far that are not durable by themselves.
    written: Atomic<u64>,
    /// How many of them a flush covers.
    flushed: Atomic<u64>,
    /// A flush has failed that covered something.
    lost: Atomic<bool>,
}

impl Default for Flushes {
    fn default() -> Self {
        Self::new()
    }
}

impl Flushes {
    /// Of a device to which nothing was written.
    pub const fn new() -> Self {
        Self {
            written: Atomic::new(0),
            flushed: Atomic::new(0),
            lost: Atomic::new(false),
        }
    }

    /// A write without FUA has completed. To be called before anybody is told of that. Any context.
    pub fn wrote(&self) {
        if plant::is(Fault::FlushCount) {
            return;
        }
        // Release: who has seen the write complete sees it counted.
        self.written.fetch_add(1u64, Release);
    }

    /// Whether a completed write waits for a flush, or for ever.
    pub fn pending(&self) -> bool {
        self.flushed.load(Acquire) < self.written.load(Acquire) || self.has_lost()
    }

    /// Whether a flush has failed that something depended on.
    pub fn has_lost(&self) -> bool {
        self.lost.load(Acquire)
    }

    /// Runs `request`, which flushes the device's cache before or behind whatever else it does. It is not run
    /// any more (`EIO`) once something was [lost](Self::has_lost).
    pub fn flush(&self, request: impl FnOnce() -> Result) -> Result {
        if self.has_lost() {
            return Err(EIO);
        }
        let (covered, point) = (self.flushed.load(Acquire), self.written.load(Acquire));
        if let Err(e) = request() {
            // What completed meanwhile may have been dropped as well.
            if covered < self.written.load(Acquire) && !plant::is(Fault::FlushFailed) {
                self.lost.store(true, Release);
            }
            return Err(e);
        }
        // One beside it has failed: which of the two came first at the device is not known.
        if self.has_lost() {
            return Err(EIO);
        }
        let point = match plant::is(Fault::FlushPoint) {
            true => self.written.load(Acquire),
            false => point,
        };
        // Flushes may finish in another order than they began: the mark only grows.
        let mut seen = self.flushed.load(Relaxed);
        while seen < point {
            match self.flushed.cmpxchg(seen, point, Release) {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        Ok(())
    }
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

    /// Whether a completed write may be in the volatile cache that no flush covers ([`Flushes`]). Never for a
    /// device without such a cache.
    fn needs_flush(&self) -> bool;

    /// Makes every write durable that had completed when it began. Errors: `EIO` for good once a flush has
    /// failed that something depended on.
    fn flush(&self) -> Result;

    /// Tells the device that `count` blocks from `block` are not needed. Advice: errors do no harm.
    fn discard(&self, block: u64, count: u64) -> Result;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_covers_what_had_completed_before_it_began() {
        let flushes = Flushes::new();
        assert!(!flushes.pending());
        flushes.wrote();
        assert!(flushes.pending());
        // A write that completes during the flush is not in it.
        let beside = || {
            flushes.wrote();
            Ok(())
        };
        flushes.flush(beside).unwrap();
        assert!(flushes.pending());
        flushes.flush(|| Ok(())).unwrap();
        assert!(!flushes.pending());
    }

    #[test]
    fn two_flushes_at_a_time_cover_what_each_began_with() {
        let flushes = Flushes::new();
        flushes.wrote();
        let later = || {
            flushes.wrote();
            // Begins later, and ends before the other one.
            flushes.flush(|| Ok(()))
        };
        flushes.flush(later).unwrap();
        assert!(!flushes.pending());
        flushes.wrote();
        let earlier = || {
            flushes.wrote();
            Ok(())
        };
        flushes.flush(|| flushes.flush(earlier)).unwrap();
        assert!(flushes.pending());
    }

    #[test]
    fn what_a_failed_flush_was_to_cover_is_not_durable_for_anybody() {
        let flushes = Flushes::new();
        flushes.wrote();
        assert_eq!(flushes.flush(|| Err(ENOSPC)), Err(ENOSPC));
        assert!(flushes.pending() && flushes.has_lost());
        let again = flushes.flush(|| panic!("the device would say that all is well"));
        assert_eq!(again, Err(EIO));
        assert!(flushes.pending());
    }

    #[test]
    fn a_flush_beside_one_that_fails_covers_nothing() {
        let flushes = Flushes::new();
        flushes.wrote();
        let beside = || {
            assert_eq!(flushes.flush(|| Err(EIO)), Err(EIO));
            Ok(())
        };
        assert_eq!(flushes.flush(beside), Err(EIO));
        assert!(flushes.pending());
    }

    #[test]
    fn a_failed_flush_that_nothing_depended_on_costs_nothing() {
        let flushes = Flushes::new();
        flushes.wrote();
        flushes.flush(|| Ok(())).unwrap();
        assert_eq!(flushes.flush(|| Err(EIO)), Err(EIO));
        assert!(!flushes.pending() && !flushes.has_lost());
        let written = || {
            flushes.wrote();
            Err(EIO)
        };
        assert_eq!(flushes.flush(written), Err(EIO));
        assert!(flushes.has_lost());
    }
}
