// SPDX-License-Identifier: GPL-2.0

//! A device in memory, sparse, that counts what it is asked to do.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard},
};

use kernel::prelude::*;
use permfs_core::{
    device::{BlockDevice, Flushes, WriteFlags},
    format::{BLOCK_SIZE, SECTORS_PER_BLOCK, SECTOR_SIZE},
};

use crate::checked_offset;

/// What a device was asked to do since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls of `read`.
    pub reads: u64,
    /// Calls of `write`, and blocks of `write_blocks`.
    pub writes: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Flushes, asked for by themselves or with a write.
    pub flushes: u64,
}

#[derive(Default)]
struct Inner {
    blocks: HashMap<u64, Box<[u8; BLOCK_SIZE]>>,
    counts: Counts,
    /// Calls that still succeed; `None`: all.
    calls_left: Option<u64>,
    /// Blocks that cannot be read.
    unreadable: HashSet<u64>,
}

impl Inner {
    /// Counts a call down; `EIO` when a test has asked for it.
    fn call(&mut self) -> Result {
        match &mut self.calls_left {
            None => Ok(()),
            Some(0) => Err(EIO),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }

    fn put(&mut self, offset: u64, buf: &[u8]) {
        let mut at = offset;
        for piece in buf.chunks(SECTOR_SIZE) {
            let block = self
                .blocks
                .entry(at / BLOCK_SIZE as u64)
                .or_insert_with(|| Box::new([0; BLOCK_SIZE]));
            let inside = (at % BLOCK_SIZE as u64) as usize;
            block[inside..inside + piece.len()].copy_from_slice(piece);
            at += piece.len() as u64;
        }
        self.counts.writes += 1;
        self.counts.bytes += buf.len() as u64;
    }
}

/// Standard box: blocks here are not the core's memory.
type Box<T> = std::boxed::Box<T>;

/// A device in memory. Clones share the contents, so that a test can look at what a mount left.
///
/// Writes are durable at once; a volatile cache is the crash simulator's business.
#[derive(Clone)]
pub struct MemoryBlockDevice {
    sectors: u64,
    sector_size: usize,
    read_only: bool,
    inner: Arc<Mutex<Inner>>,
    flushes: Arc<Flushes>,
}

impl MemoryBlockDevice {
    /// A device of `blocks` blocks of zeros, with sectors of 512 bytes.
    pub fn new(blocks: u64) -> Self {
        Self::with_sectors(blocks * SECTORS_PER_BLOCK, SECTOR_SIZE)
    }

    /// A device of `sectors` units of 512 bytes that writes `sector_size` bytes at once.
    pub fn with_sectors(sectors: u64, sector_size: usize) -> Self {
        Self {
            sectors,
            sector_size,
            read_only: false,
            inner: Arc::default(),
            flushes: Arc::default(),
        }
    }

    /// The same contents on a device that refuses writes.
    pub fn read_only_view(&self) -> Self {
        Self {
            read_only: true,
            ..self.clone()
        }
    }

    /// A device with a copy of the contents.
    pub fn snapshot(&self) -> Self {
        let blocks = self.lock().blocks.clone();
        let inner = Inner {
            blocks,
            ..Inner::default()
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            flushes: Arc::default(),
            ..self.clone()
        }
    }

    /// What the device was asked to do.
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// Makes every call after the next `n` fail with `EIO`; `None` mends the device.
    pub fn fail_after(&self, n: Option<u64>) {
        self.lock().calls_left = n;
    }

    /// From now on every read that touches `block` fails with `EIO`.
    pub fn make_unreadable(&self, block: u64) {
        self.lock().unreadable.insert(block);
    }

    /// The contents of a block.
    pub fn block(&self, block: u64) -> [u8; BLOCK_SIZE] {
        self.lock()
            .blocks
            .get(&block)
            .map_or([0; BLOCK_SIZE], |b| **b)
    }

    /// Replaces the contents of a block, read-only or not.
    pub fn set_block(&self, block: u64, bytes: [u8; BLOCK_SIZE]) {
        self.lock().blocks.insert(block, Box::new(bytes));
    }

    /// The blocks that are not all zeros, in order.
    pub fn used_blocks(&self) -> std::vec::Vec<u64> {
        let inner = self.lock();
        let nonzero = inner
            .blocks
            .iter()
            .filter(|(_, bytes)| bytes.iter().any(|&b| b != 0));
        let mut list: std::vec::Vec<u64> = nonzero.map(|(&block, _)| block).collect();
        list.sort_unstable();
        list
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A test that panicked in another thread leaves whole blocks: the contents are usable.
        self.inner
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn writable(&self, len: usize) -> Result {
        if self.read_only {
            return Err(EROFS);
        }
        (len % self.sector_size == 0).then_some(()).ok_or(EINVAL)
    }
}

impl BlockDevice for MemoryBlockDevice {
    fn sectors(&self) -> u64 {
        self.sectors
    }

    fn sector_size(&self) -> usize {
        self.sector_size
    }

    fn has_write_cache(&self) -> bool {
        true
    }

    fn has_fua(&self) -> bool {
        false
    }

    fn read_only(&self) -> bool {
        self.read_only
    }

    fn read(&self, sector: u64, buf: &mut [u8]) -> Result {
        let mut at = checked_offset(sector, buf.len(), self.sectors)?;
        let mut inner = self.lock();
        inner.call()?;
        inner.counts.reads += 1;
        let blocks = at / BLOCK_SIZE as u64..(at + buf.len() as u64).div_ceil(BLOCK_SIZE as u64);
        if !inner.unreadable.is_empty() && blocks.into_iter().any(|b| inner.unreadable.contains(&b))
        {
            return Err(EIO);
        }
        for piece in buf.chunks_mut(SECTOR_SIZE) {
            let inside = (at % BLOCK_SIZE as u64) as usize;
            match inner.blocks.get(&(at / BLOCK_SIZE as u64)) {
                Some(block) => piece.copy_from_slice(&block[inside..inside + piece.len()]),
                None => piece.fill(0),
            }
            at += piece.len() as u64;
        }
        Ok(())
    }

    fn write(&self, sector: u64, buf: &[u8], flags: WriteFlags) -> Result {
        self.writable(buf.len())?;
        let offset = checked_offset(sector, buf.len(), self.sectors)?;
        let write = || {
            let mut inner = self.lock();
            inner.call()?;
            inner.counts.flushes += u64::from(flags.preflush) + u64::from(flags.fua);
            inner.put(offset, buf);
            Ok(())
        };
        if flags.preflush {
            self.flushes.flush(write)?;
        } else {
            write()?;
        }
        if !flags.fua {
            self.flushes.wrote();
        }
        Ok(())
    }

    fn write_blocks(&self, batch: &[(u64, &[u8])]) -> Result {
        for &(block, bytes) in batch {
            let sector = block.checked_mul(SECTORS_PER_BLOCK).ok_or(EIO)?;
            self.write(sector, bytes, WriteFlags::default())?;
        }
        Ok(())
    }

    fn needs_flush(&self) -> bool {
        self.flushes.pending()
    }

    fn flush(&self) -> Result {
        self.flushes.flush(|| {
            let mut inner = self.lock();
            inner.call()?;
            inner.counts.flushes += 1;
            Ok(())
        })
    }

    fn discard(&self, block: u64, count: u64) -> Result {
        let mut inner = self.lock();
        let end = block.saturating_add(count);
        inner.blocks.retain(|b, _| !(block..end).contains(b));
        Ok(())
    }
}
