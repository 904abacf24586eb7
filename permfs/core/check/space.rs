// SPDX-License-Identifier: GPL-2.0

//! Last pass: bitmaps and summary against what was claimed.

use super::{Checker, Finding, Problem};
use crate::{
    format::*,
    geometry::{set_bits, Geometry},
    meta::MetaRead,
};
use kernel::prelude::*;

impl<F: FnMut(Finding)> Checker<'_, F> {
    /// Compares every shard's bitmap and summary entry with the claims.
    pub(super) fn space<S: MetaRead>(&mut self, store: &mut S) -> Result {
        let geometry = self.geometry.ok_or(EINVAL)?;
        let fixed = (0..geometry.shards).map(|shard| geometry.fixed_len(shard));
        self.summary.used = self.claimed.total() + fixed.sum::<u64>();
        let mut actual = KVec::<u8>::zeroed(PAYLOAD_SIZE, GFP_KERNEL)?;
        let mut expected = KVec::<u8>::zeroed(PAYLOAD_SIZE, GFP_KERNEL)?;
        for shard in 0..geometry.shards {
            let Some(entry) = self.summary_entry(store, shard)? else {
                continue;
            };
            let bitmap = shard * SHARD_BLOCKS + SHARD_BITMAP;
            if entry.flags.get() & SUMMARY_UNINIT != 0 {
                geometry.fill_bitmap(shard, &mut actual);
            } else {
                match store.read(bitmap, Kind::Bitmap, OWNER_VOLUME) {
                    Ok(payload) => actual.copy_from_slice(payload),
                    Err(e) => {
                        self.bad_block(e, Problem::Bitmap, 0, bitmap, 0)?;
                        continue;
                    }
                }
            }
            self.expect(&geometry, shard, &mut expected);
            self.compare(shard, &actual, &expected);
            let free: u32 = actual.iter().map(|byte| byte.count_zeros()).sum();
            if free != entry.free.get() {
                self.found(Problem::FreeCount, 0, bitmap, free.into());
            }
        }
        Ok(())
    }

    fn summary_entry<S: MetaRead>(
        &mut self,
        store: &mut S,
        shard: u64,
    ) -> Result<Option<SummaryEntry>> {
        let block = SUMMARY_START + shard / SUMMARY_PER_BLOCK;
        let at = (shard % SUMMARY_PER_BLOCK) as usize * size_of::<SummaryEntry>();
        match store.read(block, Kind::Summary, OWNER_VOLUME) {
            Ok(payload) => {
                let entry = payload
                    .get(at..)
                    .and_then(|p| SummaryEntry::read_from_prefix(p).ok());
                Ok(entry.map(|(entry, _)| entry))
            }
            // Once for all the shards that it is about.
            Err(e) if at == 0 => {
                self.bad_block(e, Problem::SummaryBlock, 0, block, 0)?;
                Ok(None)
            }
            Err(_) => Ok(None),
        }
    }

    /// Fills `bitmap` with what shard `shard` should have.
    fn expect(&self, geometry: &Geometry, shard: u64, bitmap: &mut [u8]) {
        geometry.fill_bitmap(shard, bitmap);
        let first = shard * SHARD_BLOCKS;
        let behind = first + SHARD_BLOCKS;
        let mut next = self.claimed.next_from(first);
        while let Some((start, end)) = next.filter(|&(start, _)| start < behind) {
            set_bits(bitmap, start - first, end.min(behind) - first);
            next = self.claimed.next_from(end);
        }
    }

    /// Reports the runs in which the bitmaps differ.
    fn compare(&mut self, shard: u64, actual: &[u8], expected: &[u8]) {
        let mut run: Option<(u64, u64, Problem)> = None;
        let mut at = shard * SHARD_BLOCKS;
        for (&is, &should) in actual.iter().zip(expected) {
            for bit in 0..8 {
                let mask = 1u8 << bit;
                let problem = match (is & mask != 0, should & mask != 0) {
                    (true, false) => Some(Problem::Leaked),
                    (false, true) => Some(Problem::FreeInUse),
                    _ => None,
                };
                run = match (run, problem) {
                    (Some((start, len, kind)), Some(now)) if kind == now => {
                        Some((start, len + 1, kind))
                    }
                    (ended, now) => {
                        if let Some((start, len, kind)) = ended {
                            self.found(kind, 0, start, len);
                        }
                        now.map(|kind| (at, 1, kind))
                    }
                };
                at += 1;
            }
        }
        if let Some((start, len, kind)) = run {
            self.found(kind, 0, start, len);
        }
    }
}
