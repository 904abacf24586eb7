// SPDX-License-Identifier: GPL-2.0

//! A metadata block in memory, and what of it still has to reach the log and its home.

use super::block::{self, Block};
use crate::{
    format::*,
    journal::{record::ENTRY_SIZE, Pos},
    plant::{self, Fault},
    sort::sort,
};
use kernel::prelude::*;

/// Byte ranges that one buffer keeps apart; more are merged.
const MAX_RANGES: usize = 14;
/// Ranges closer than this are one: an entry of its own would cost more.
const GAP: u16 = ENTRY_SIZE as u16;
/// With more changed bytes than this a whole image is logged: it costs little more, and replay
/// then needs no older record for the block.
const WHOLE: usize = BLOCK_SIZE / 2;

/// Sorted, disjoint byte ranges `[start, end)` within a block, more than [`GAP`] apart.
#[derive(Clone, Copy)]
pub(super) struct Ranges {
    list: [(u16, u16); MAX_RANGES],
    len: usize,
}

impl Ranges {
    /// No range.
    pub(super) const fn new() -> Self {
        Self {
            list: [(0, 0); MAX_RANGES],
            len: 0,
        }
    }

    /// The ranges, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u16, u16)> + '_ {
        self.list.iter().take(self.len).copied()
    }

    /// Adds `[start, end)`, joined with the ranges that it meets.
    pub(super) fn add(&mut self, mut start: u16, mut end: u16) {
        let mut merged = Self::new();
        for (s, e) in self.iter() {
            if s <= end.saturating_add(GAP) && start <= e.saturating_add(GAP) {
                start = start.min(s);
                end = end.max(e);
            } else {
                merged.push(s, e);
            }
        }
        if merged.len == MAX_RANGES {
            merged.join_closest();
            // The joined range may now be close to the new one.
            *self = merged;
            return self.add(start, end);
        }
        merged.push(start, end);
        let used = merged.list.get_mut(..merged.len).unwrap_or_default();
        sort(used);
        *self = merged;
    }

    fn push(&mut self, start: u16, end: u16) {
        if let Some(slot) = self.list.get_mut(self.len) {
            *slot = (start, end);
            self.len += 1;
        }
    }

    /// Joins the two neighbours with the smallest gap.
    fn join_closest(&mut self) {
        let gap = |w: &[(u16, u16)]| match w {
            [a, b] => b.0.saturating_sub(a.1),
            _ => u16::MAX,
        };
        let used = self.list.get(..self.len).unwrap_or_default();
        let Some(at) = (0..used.len().saturating_sub(1))
            .min_by_key(|&i| used.get(i..i + 2).map_or(u16::MAX, gap))
        else {
            return;
        };
        let mut joined = Self::new();
        for (i, (s, e)) in self.iter().enumerate() {
            match joined
                .len
                .checked_sub(1)
                .and_then(|last| joined.list.get_mut(last))
            {
                Some(last) if i == at + 1 => last.1 = e,
                _ => joined.push(s, e),
            }
        }
        *self = joined;
    }

    /// Bytes in all ranges.
    fn bytes(&self) -> usize {
        self.iter().map(|(s, e)| usize::from(e - s)).sum()
    }
}

/// A metadata block in the cache.
pub(super) struct Buffer {
    /// Header and payload; LSN and CRC in the header are set in the copies that are written.
    pub(super) bytes: KBox<Block>,
    /// What the running epoch changed.
    ranges: Ranges,
    /// The running epoch changed it: it is in the epoch's list.
    pub(super) touched: bool,
    /// The running epoch's record gets the whole block.
    whole: bool,
    /// Its next change must be logged as an image (IMAGE FIRST).
    pub(super) need_image: bool,
    /// Allocated by the running epoch: no record holds an entry for it.
    pub(super) fresh: bool,
    /// Freed by the running operation.
    pub(super) freed: bool,
    /// First record that replay needs for this block; `None` if its home is up to date.
    pub(super) first: Option<Pos>,
    /// While a copy is on its way home: first record with a change that the copy lacks.
    pub(super) after: Option<Pos>,
    /// A copy is on its way home.
    pub(super) copied: bool,
    /// LSN and epoch of the last record with a change of it.
    pub(super) last: Pos,
    /// Used since the clock's hand passed.
    pub(super) referenced: bool,
}

impl Buffer {
    /// A buffer whose content is that of its home, or that has no home yet.
    pub(super) fn new(bytes: KBox<Block>) -> Self {
        Self {
            bytes,
            ranges: Ranges::new(),
            touched: false,
            whole: false,
            need_image: true,
            fresh: false,
            freed: false,
            first: None,
            after: None,
            copied: false,
            last: Pos { lsn: 0, epoch: 0 },
            referenced: true,
        }
    }

    /// The payload.
    pub(super) fn payload(&self) -> &[u8] {
        &self.bytes[HEADER_SIZE..]
    }

    /// `EFSCORRUPTED` unless it is of `kind`, belongs to `owner`, and is in use.
    pub(super) fn check(&self, kind: Kind, owner: u64) -> Result {
        let header = block::header(&self.bytes)?;
        if self.freed || header.kind.get() != kind as u16 || header.owner.get() != owner {
            return Err(EFSCORRUPTED);
        }
        Ok(())
    }

    /// Whether memory holds what home does not.
    pub(super) fn is_dirty(&self) -> bool {
        self.touched || self.first.is_some() || self.copied
    }

    /// Bytes that it takes in the running epoch's record, at most.
    pub(super) fn cost(&self) -> usize {
        if !self.touched {
            0
        } else if self.whole {
            ENTRY_SIZE + BLOCK_SIZE
        } else {
            self.ranges.len * ENTRY_SIZE + self.ranges.bytes()
        }
    }

    /// Marks it as changed by the running epoch; `image`: all of it is to be logged.
    pub(super) fn touch(&mut self, image: bool) {
        self.touched = true;
        self.whole |= image || self.need_image;
    }

    /// Notes a change of `[start, end)` in the block.
    pub(super) fn note(&mut self, start: u16, end: u16) {
        if !self.whole {
            self.ranges.add(start, end);
            self.whole = self.ranges.bytes() > WHOLE;
        }
    }

    /// Forgets that the running epoch touched it: the operation that did is undone, or it was sealed.
    pub(super) fn untouch(&mut self) {
        self.touched = false;
        self.whole = false;
        self.ranges = Ranges::new();
    }

    /// Length of the image without the zeros at its end.
    fn image_len(&self) -> usize {
        let zeros = self.bytes.iter().rev().take_while(|&&b| b == 0).count();
        (BLOCK_SIZE - zeros).max(HEADER_SIZE)
    }

    /// Calls `f` with (whole image?, offset, bytes) for each entry of the running epoch's record.
    pub(super) fn log_entries(&self, mut f: impl FnMut(bool, u16, &[u8]) -> Result) -> Result {
        if self.whole {
            return f(true, 0, self.bytes.get(..self.image_len()).ok_or(EINVAL)?);
        }
        for (start, end) in self.ranges.iter() {
            let range = usize::from(start)..usize::from(end);
            f(false, start, self.bytes.get(range).ok_or(EINVAL)?)?;
        }
        Ok(())
    }

    /// The record at `pos` holds its changes now. Returns whether that was a whole image.
    pub(super) fn sealed(&mut self, pos: Pos) -> bool {
        let image = self.whole;
        self.untouch();
        self.need_image = false;
        self.fresh = false;
        self.last = pos;
        self.first.get_or_insert(pos);
        if self.copied {
            self.after.get_or_insert(pos);
        }
        image
    }

    /// A durable image at `pos` makes every older record needless for this block.
    pub(super) fn superseded(&mut self, pos: Pos) {
        for first in [&mut self.first, &mut self.after].into_iter().flatten() {
            if first.lsn < pos.lsn {
                *first = pos;
            }
        }
    }

    /// A copy of the content was taken that is going home.
    pub(super) fn copy_taken(&mut self) {
        self.copied = true;
        self.after = None;
        self.need_image = !plant::is(Fault::ImageFirst);
    }

    /// The copy is home durably, or (`!home`) it is not.
    pub(super) fn copy_done(&mut self, home: bool) {
        if home {
            self.first = self.after;
        }
        self.after = None;
        self.copied = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn ranges_cover_what_was_added_and_stay_apart() {
        let mut seed = 1u64;
        for _ in 0..2000 {
            let mut ranges = Ranges::new();
            let mut model = [false; BLOCK_SIZE];
            for _ in 0..40 {
                seed = seed
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                let start = (seed >> 33) as usize % BLOCK_SIZE;
                let end = (start + 1 + (seed >> 55) as usize % 40).min(BLOCK_SIZE);
                ranges.add(start as u16, end as u16);
                model[start..end].fill(true);
            }
            let list: Vec<_> = ranges.iter().collect();
            assert!(list.len() <= MAX_RANGES);
            assert!(list.windows(2).all(|w| w[0].1 + GAP < w[1].0), "{list:?}");
            for (i, _) in model.iter().enumerate().filter(|(_, set)| **set) {
                let i = i as u16;
                assert!(list.iter().any(|&(s, e)| s <= i && i < e), "{i} {list:?}");
            }
        }
    }

    #[test]
    fn close_changes_are_one_range() {
        let mut ranges = Ranges::new();
        ranges.add(100, 104);
        ranges.add(200, 208);
        ranges.add(120, 124);
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [(100, 124), (200, 208)]);
        assert_eq!(ranges.bytes(), 32);
    }
}
