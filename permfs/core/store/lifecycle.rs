// SPDX-License-Identifier: GPL-2.0

//! Mounting, unmounting, and changing between read-only and read-write.

use super::{block, buffer::Buffer, cache::Cache, space, undo::Undo, Damage, Epoch, Store};
use crate::{
    alloc::{Allocator, Env},
    device::BlockDevice,
    format::*,
    geometry::Geometry,
    journal::{header::JournalHeader, replay, Pos, Ring},
    panic::SlotGuard,
    plant::{self, Fault},
};
use kernel::{
    prelude::*,
    rbtree::RBTree,
    sync::{atomic::Atomic, Arc},
};

impl<D: BlockDevice> Store<D> {
    /// Opens the metadata of the volume whose super block is `sb`, and replays its journal.
    ///
    /// Read-write, what was replayed is home when this returns. Read-only, nothing is written: it
    /// stays in memory over what the device holds. Where the log has lost epochs that had been durable
    /// ([`Store::lost`]), that is all there is: it ends in front of them. A block of the summary that is damaged
    /// costs its shards ([`Allocator::lost_shards`]). Errors: `EFSCORRUPTED` if the journal is not what it
    /// should be, or epochs are lost and the mount is to be read-write, `EROFS` for a read-write mount of a
    /// read-only device, `EIO`, `ENOMEM`.
    // Not inlined: a store is large for a kernel stack, and inlining piles up copies of it.
    #[inline(never)]
    pub fn mount(
        dev: D,
        sb: SuperBlock,
        read_only: bool,
        slot: SlotGuard,
        env: Env,
    ) -> Result<Self> {
        let geometry = Geometry::of(&sb).map_err(|_| EFSCORRUPTED)?;
        if geometry.blocks > dev.sectors() / SECTORS_PER_BLOCK {
            return Err(EFSCORRUPTED);
        }
        if dev.read_only() && !read_only {
            return Err(EROFS);
        }
        let header = JournalHeader::read(&dev, &sb)?;
        let mut ring = Ring::new(&dev, &sb, &header.head)?;
        let ended = header.is_whole && header.head.clean;
        let replayed = replay::replay(&dev, &ring, &sb, ended)?;
        if replayed.lost.is_some() && !read_only {
            return Err(EFSCORRUPTED);
        }
        let (records, lost) = (replayed.records, replayed.lost);
        let next = replayed.head;
        ring.head = ring.head.max(next.lsn);
        let last = Pos {
            lsn: ring.head,
            epoch: next.epoch.saturating_sub(1),
        };
        let mut cache = Cache::new();
        put_replayed(replayed.meta, &mut cache, ring.tail, last)?;
        let (allocator, damage) = make_allocator(&dev, &sb, &mut cache, &slot, env)?;
        let allocator = KBox::new(allocator, GFP_KERNEL)?;
        let alarm = Arc::new(Atomic::new(damage.is_some()), GFP_KERNEL)?;
        let sb = KBox::new(sb, GFP_KERNEL)?;
        let mut store = Self {
            dev,
            sb,
            geometry,
            slot,
            cache,
            allocator,
            header,
            ring,
            epoch: Epoch::new(next.epoch),
            durable: last.epoch,
            in_flight: None,
            batch: None,
            parked: KVec::new(),
            discards: KVec::new(),
            discard: false,
            home_cursor: 0,
            undo: Undo::new(),
            taken: 0,
            freed: 0,
            damage,
            alarm,
            failed: false,
            read_only,
            overlay: replayed.data,
            records,
            lost,
        };
        if !read_only {
            store.take_over()?;
        }
        store.publish_epochs();
        Ok(store)
    }

    /// Brings home what was replayed, and begins a new generation of the log: no record that is in the
    /// ring now, torn or whole, can be taken for one of this mount (GENERATION).
    ///
    /// A crash in the middle is harmless: until the header is written the same is replayed again.
    fn take_over(&mut self) -> Result {
        self.write_overlay()?;
        let mut cursor = 0;
        while let Some(last) = self.bring_home(cursor)? {
            cursor = last.saturating_add(1);
        }
        if !plant::is(Fault::Generation) {
            self.ring.generation = self.ring.generation.checked_add(1).ok_or(EFSCORRUPTED)?;
        }
        let tail = Pos {
            lsn: self.ring.head,
            epoch: self.epoch.number,
        };
        self.write_head(tail, false)
    }

    /// Writes file data that was logged to its place. What follows flushes.
    fn write_overlay(&mut self) -> Result {
        let mut batch: KVec<(u64, &[u8])> = KVec::new();
        for (&block, bytes) in self.overlay.iter() {
            batch.push((block, &bytes[..]), GFP_KERNEL)?;
        }
        if !batch.is_empty() {
            self.dev.write_blocks(&batch)?;
            if self.dev.needs_flush() {
                self.dev.flush()?;
            }
        }
        // The kernel's vector holds its borrows until it is dropped.
        drop(batch);
        self.overlay = replay::DataBlocks::new();
        Ok(())
    }

    /// Makes everything durable and home, and the log empty. The store stays usable.
    ///
    /// `clean`: nothing follows until the next mount. Errors leave the log as it is: the next mount
    /// replays it.
    fn settle_down(&mut self, clean: bool) -> Result {
        self.checkpoint()?;
        // Whatever keeps the tail back now is in a batch that nobody has finished.
        if self.ring.tail.lsn != self.ring.head {
            return Err(EBUSY);
        }
        let tail = Pos {
            lsn: self.ring.head,
            epoch: self.epoch.number,
        };
        self.write_head(tail, clean)
    }

    /// Ends the mount: commits, brings everything home, and marks the journal clean.
    ///
    /// On an error what was committed is in the log, and the next mount replays it.
    pub fn unmount(&mut self) -> Result {
        if self.read_only {
            return Ok(());
        }
        self.slot.unmounting();
        self.settle_down(true)?;
        self.read_only = true;
        Ok(())
    }

    /// Goes on read-only; the volume is left as [`Store::unmount`] leaves it.
    pub fn make_read_only(&mut self) -> Result {
        if !self.read_only {
            self.settle_down(true)?;
            self.read_only = true;
        }
        Ok(())
    }

    /// Goes on read-write. `EROFS` if the device is read-only, `EIO` if the store had failed, `EFSCORRUPTED` if
    /// the log has lost epochs.
    pub fn make_writable(&mut self) -> Result {
        if self.failed {
            return Err(EIO);
        }
        if self.lost.is_some() {
            return Err(EFSCORRUPTED);
        }
        if self.dev.read_only() {
            return Err(EROFS);
        }
        if self.read_only {
            self.take_over()?;
            self.read_only = false;
            self.publish_epochs();
        }
        Ok(())
    }
}

/// Puts what the log holds into the cache, as dirty buffers that records from `first` to `last` made.
fn put_replayed(
    mut blocks: RBTree<u64, KBox<block::Block>>,
    cache: &mut Cache,
    first: Pos,
    last: Pos,
) -> Result {
    while let Some(number) = blocks.cursor_front().map(|cursor| *cursor.current().0) {
        let mut buffer = Buffer::new(blocks.remove(&number).ok_or(EIO)?);
        buffer.first = Some(first);
        buffer.last = last;
        cache.insert(number, buffer)?;
    }
    Ok(())
}

/// The allocator, from the summary table, and the first damage in that: it costs the shards that it is about.
fn make_allocator<D: BlockDevice>(
    dev: &D,
    sb: &SuperBlock,
    cache: &mut Cache,
    slot: &SlotGuard,
    env: Env,
) -> Result<(Allocator, Option<Damage>)> {
    let shards = sb.shards.get();
    let mut free = KVVec::with_capacity(shards.try_into()?, GFP_KERNEL)?;
    let mut damage = None;
    for shard in 0..shards {
        let entry = space::damage(space::read_summary(dev, sb, cache, shard))?;
        if let Err(error) = entry {
            damage.get_or_insert(Damage {
                block: space::summary_place(shard).0,
                what: "summary table",
                error,
            });
        }
        free.push(entry.ok().map(|entry| entry.free.get()), GFP_KERNEL)?;
    }
    let of = |shard: u64| usize::try_from(shard).ok().and_then(|s| *free.get(s)?);
    let allocator = Allocator::new(
        sb.blocks.get(),
        |s| of(s).unwrap_or(0),
        slot.telemetry(),
        env,
    )?;
    for shard in (0..shards).filter(|&shard| of(shard).is_none()) {
        allocator.lose(shard);
    }
    Ok((allocator, damage))
}
