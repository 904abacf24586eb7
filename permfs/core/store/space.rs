// SPDX-License-Identifier: GPL-2.0

//! The on-disk bitmaps and the summary table.
//!
//! They change only within the operation that maps or unmaps the blocks, so after a crash they
//! agree with the trees.
//!
//! A bitmap, or a block of the summary, that cannot be read or believed costs its shards: nothing is
//! allocated there, and what is freed there leaks, that is, stays used on the device for fsck to find.
//! It never fails an operation, and it is never silent ([`Store::take_damage`]).

use super::{block::Block, cache::Cache, Op, Store};
use crate::{
    device::BlockDevice,
    format::*,
    meta::{MetaRead, MetaWrite},
};
use kernel::prelude::*;

/// Bytes of a bitmap that are changed at a time, on the stack.
const CHUNK: usize = 64;

/// Where the summary entry of `shard` is: block of the table, offset in its payload.
pub(super) fn summary_place(shard: u64) -> (u64, usize) {
    let offset = shard % SUMMARY_PER_BLOCK * size_of::<SummaryEntry>() as u64;
    // Lossless: below PAYLOAD_SIZE.
    (SUMMARY_START + shard / SUMMARY_PER_BLOCK, offset as usize)
}

/// The error, if it says that a block is damaged or cannot be read; any other is handed on.
pub(super) fn damage<T>(outcome: Result<T>) -> Result<Result<T, Error>> {
    match outcome {
        Err(e) if e != EIO && e != EFSCORRUPTED => Err(e),
        outcome => Ok(outcome),
    }
}

/// Block of `shard`'s bitmap.
fn bitmap_block(shard: u64) -> u64 {
    shard * SHARD_BLOCKS + SHARD_BITMAP
}

/// The bits of byte `byte` of a bitmap that lie within `[from, to)`.
fn mask(byte: u64, from: u64, to: u64) -> u8 {
    let low = from.saturating_sub(byte * 8).min(8);
    let high = to.saturating_sub(byte * 8).min(8);
    if low >= high {
        0
    } else {
        (0xffu8 << low) & (0xffu8 >> (8 - high))
    }
}

/// What the summary table says of `shard`.
pub(super) fn read_summary<D: BlockDevice>(
    dev: &D,
    sb: &SuperBlock,
    cache: &mut Cache,
    shard: u64,
) -> Result<SummaryEntry> {
    if shard >= sb.shards.get() {
        return Err(EFSCORRUPTED);
    }
    let (block, at) = summary_place(shard);
    let buffer = cache.load(dev, sb, block)?;
    buffer.check(Kind::Summary, OWNER_VOLUME)?;
    let bytes = buffer.payload().get(at..).ok_or(EFSCORRUPTED)?;
    let (entry, _) = SummaryEntry::read_from_prefix(bytes).map_err(|_| EFSCORRUPTED)?;
    let left = sb.blocks.get().saturating_sub(shard * SHARD_BLOCKS);
    if u64::from(entry.free.get()) > left.min(SHARD_BLOCKS) {
        return Err(EFSCORRUPTED);
    }
    Ok(entry)
}

impl<D: BlockDevice> Store<D> {
    /// What the summary table says of `shard`.
    pub(super) fn summary(&mut self, shard: u64) -> Result<SummaryEntry> {
        read_summary(&self.dev, &self.sb, &mut self.cache, shard)
    }

    /// Gives the allocator the bitmap of `shard`, if it has not got it.
    ///
    /// It is loaded before the first change to it, so that what is freed and not yet durable is
    /// never loaded as free (PENDING).
    fn load_shard(&mut self, shard: u64) -> Result {
        if self.allocator.is_loaded(shard) {
            return Ok(());
        }
        if self.summary(shard)?.flags.get() & SUMMARY_UNINIT != 0 {
            let mut bytes = KBox::<Block>::zeroed(GFP_KERNEL)?;
            let payload = bytes.get_mut(HEADER_SIZE..).ok_or(EINVAL)?;
            self.geometry.fill_bitmap(shard, payload);
            return self.allocator.load(shard, payload);
        }
        self.checked(bitmap_block(shard), Kind::Bitmap, OWNER_VOLUME)?;
        let buffer = self.cache.get(bitmap_block(shard)).ok_or(EIO)?;
        self.allocator.load(shard, buffer.payload())
    }

    /// Whether blocks of `shard` can be taken and given back: its bitmap and its place in the summary
    /// are whole and in memory. If they are damaged the shard is given up.
    ///
    /// Errors: `ENOMEM`, and no other.
    pub(super) fn has_bitmap(&mut self, shard: u64) -> Result<bool> {
        if self.allocator.is_lost(shard) {
            return Ok(false);
        }
        let (table, _) = summary_place(shard);
        let entry = match damage(self.summary(shard))? {
            Ok(entry) => entry,
            Err(e) => return Ok(self.lose(shard, table, "summary table", e)),
        };
        let bitmap = bitmap_block(shard);
        if entry.flags.get() & SUMMARY_UNINIT == 0 {
            let read = self.checked(bitmap, Kind::Bitmap, OWNER_VOLUME).map(|_| ());
            if let Err(e) = damage(read)? {
                return Ok(self.lose(shard, bitmap, "bitmap", e));
            }
        }
        match damage(self.load_shard(shard))? {
            Ok(()) => Ok(true),
            Err(e) => Ok(self.lose(shard, bitmap, "bitmap", e)),
        }
    }

    /// Gives `shard` up. Returns `false`: it has no bitmap.
    fn lose(&mut self, shard: u64, block: u64, what: &'static str, error: Error) -> bool {
        self.allocator.lose(shard);
        self.note_damage(block, what, error);
        false
    }
}

impl<D: BlockDevice> Op<'_, D> {
    /// Sets the bits of a run of blocks, all of which must be clear so far. `EIO` if it reaches into a
    /// shard that is lost: the blocks were chosen before that showed.
    pub(super) fn mark_used(&mut self, start: u64, len: u32) -> Result {
        self.each_shard(start, len, |op, shard, from, to| {
            if !op.store.has_bitmap(shard)? {
                return Err(EIO);
            }
            op.set_bitmap(shard, from, to, true)
        })
    }

    /// Clears the bits of a run of blocks, all of which must be set so far, and enters the blocks in the
    /// epoch's list of what may be reused. Those of a shard that is lost leak.
    pub(super) fn mark_free(&mut self, start: u64, len: u32) -> Result {
        self.each_shard(start, len, |op, shard, from, to| {
            if !op.store.has_bitmap(shard)? {
                op.store
                    .note_damage(bitmap_block(shard), "bitmap: blocks leaked", EIO);
                return Ok(());
            }
            op.set_bitmap(shard, from, to, false)?;
            // Lossless: within one shard.
            let run = (shard * SHARD_BLOCKS + from, (to - from) as u32);
            Ok(op.store.epoch.frees.push(run, GFP_KERNEL)?)
        })
    }

    /// Calls `f` for the part of a run in each shard, with its first block there and the one behind.
    fn each_shard(
        &mut self,
        start: u64,
        len: u32,
        mut f: impl FnMut(&mut Self, u64, u64, u64) -> Result,
    ) -> Result {
        let end = start.checked_add(len.into()).ok_or(EFSCORRUPTED)?;
        if len == 0 || end > self.store.sb.blocks.get() {
            return Err(EFSCORRUPTED);
        }
        let mut at = start;
        while at < end {
            let shard = at / SHARD_BLOCKS;
            let base = shard * SHARD_BLOCKS;
            let stop = end.min(base + SHARD_BLOCKS);
            if at - base < self.store.geometry.fixed_len(shard) {
                return Err(EFSCORRUPTED);
            }
            f(self, shard, at - base, stop - base)?;
            at = stop;
        }
        Ok(())
    }

    /// Sets or clears bits `[from, to)` of the bitmap of `shard`, which [is there](Store::has_bitmap).
    fn set_bitmap(&mut self, shard: u64, from: u64, to: u64, used: bool) -> Result {
        self.prepare_bitmap(shard)?;
        self.set_bits(bitmap_block(shard), from, to, used)?;
        self.count_free(shard, to - from, !used)
    }

    /// Makes the bitmap block of a shard come into being where it was never written.
    fn prepare_bitmap(&mut self, shard: u64) -> Result {
        let mut entry = self.store.summary(shard)?;
        if entry.flags.get() & SUMMARY_UNINIT == 0 {
            return Ok(());
        }
        let geometry = self.store.geometry;
        let block = bitmap_block(shard);
        self.create(block, Kind::Bitmap, OWNER_VOLUME, false)?;
        let buffer = self.store.cache.get_mut(block).ok_or(EIO)?;
        geometry.fill_bitmap(shard, buffer.bytes.get_mut(HEADER_SIZE..).ok_or(EINVAL)?);
        entry.flags = (entry.flags.get() & !SUMMARY_UNINIT).into();
        let (table, at) = summary_place(shard);
        self.write(table, at, entry.as_bytes())
    }

    /// Changes bits `[from, to)` of bitmap block `block`, a few bytes at a time.
    fn set_bits(&mut self, block: u64, from: u64, to: u64, used: bool) -> Result {
        let (mut byte, last) = (from / 8, (to - 1) / 8);
        while byte <= last {
            let count = (last - byte + 1).min(CHUNK as u64) as usize;
            // Lossless: a bitmap has PAYLOAD_SIZE bytes.
            let at = byte as usize;
            let mut chunk = [0u8; CHUNK];
            let chunk = chunk.get_mut(..count).ok_or(EINVAL)?;
            let payload = self.store.read(block, Kind::Bitmap, OWNER_VOLUME)?;
            chunk.copy_from_slice(payload.get(at..at + count).ok_or(EFSCORRUPTED)?);
            for (bits, i) in chunk.iter_mut().zip(byte..) {
                let mask = mask(i, from, to);
                let expected = if used { 0 } else { mask };
                if *bits & mask != expected {
                    return Err(EFSCORRUPTED);
                }
                *bits ^= mask;
            }
            self.write(block, at, chunk)?;
            byte += count as u64;
        }
        Ok(())
    }

    /// Adds `blocks` to the free blocks of `shard`, or takes them away.
    fn count_free(&mut self, shard: u64, blocks: u64, more: bool) -> Result {
        let mut entry = self.store.summary(shard)?;
        let blocks = u32::try_from(blocks).map_err(|_| EFSCORRUPTED)?;
        let free = entry.free.get();
        let free = if more {
            free.checked_add(blocks)
        } else {
            free.checked_sub(blocks)
        };
        let free = free
            .filter(|&free| u64::from(free) <= SHARD_BLOCKS)
            .ok_or(EFSCORRUPTED)?;
        entry.free = free.into();
        let (table, at) = summary_place(shard);
        self.write(table, at, entry.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_cover_exactly_the_range() {
        for from in 0..24u64 {
            for to in from..=24 {
                for bit in 0..24u64 {
                    let set = mask(bit / 8, from, to) >> (bit % 8) & 1 == 1;
                    assert_eq!(set, from <= bit && bit < to, "{from} {to} {bit}");
                }
            }
        }
    }
}
