// SPDX-License-Identifier: GPL-2.0

//! One shard: its bitmap as atomic words, and one word that holds its counter and its pressure.

use crate::format::{PAYLOAD_SIZE, SHARD_BLOCKS};
use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Full, Relaxed},
        SetOnce, //
    },
};

/// Lost `cmpxchg`s on one word after which an allocation settles for what it has.
const RETRIES: u32 = 16;
/// Runs tried in one shard when other CPUs take them first.
const ATTEMPTS: u32 = 8;

const WORD: u32 = u64::BITS;

/// Bits of [`Shard::state`]; the bits below hold the free count, at most [`SHARD_BLOCKS`].
const PRESSURE: u32 = 1 << 31;
/// The shard's bitmap cannot be had: nothing is taken from it or given back to it.
const LOST: u32 = 1 << 30;

/// `len` bits from bit `off` of a word; `off + len <= 64`, `len > 0`.
const fn mask(off: u32, len: u32) -> u64 {
    (u64::MAX >> (WORD - len)) << off
}

/// Blocks of a shard, from its first, that are taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) len: u32,
}

/// A bitmap in memory; 1 means used, reserved, or freed by an epoch that is not durable yet.
pub(super) struct Map {
    words: KVec<Atomic<u64>>,
    blocks: u32,
}

impl Map {
    /// Copies an on-disk bitmap (4032 bytes, little endian), of which `blocks` bits count.
    fn new(bitmap: &[u8], blocks: u32) -> Result<Self> {
        let count = blocks.div_ceil(WORD) as usize;
        if bitmap.len() != PAYLOAD_SIZE || count > PAYLOAD_SIZE / 8 {
            return Err(EINVAL);
        }
        let mut words = KVec::with_capacity(count, GFP_KERNEL)?;
        for (i, bytes) in (0u32..).zip(bitmap.chunks_exact(8).take(count)) {
            let mut word = u64::from_le_bytes(bytes.try_into().map_err(|_| EINVAL)?);
            let valid = blocks - i * WORD;
            if valid < WORD {
                word |= !mask(0, valid);
            }
            words.push(Atomic::<u64>::new(word), GFP_KERNEL)?;
        }
        Ok(Self { words, blocks })
    }

    fn word(&self, bit: u32) -> u64 {
        self.words
            .get((bit / WORD) as usize)
            .map_or(u64::MAX, |w| w.load(Relaxed))
    }

    fn free(&self) -> u32 {
        self.words
            .iter()
            .map(|w| w.load(Relaxed).count_zeros())
            .sum()
    }

    /// First bit in `from..end` that is clear (`used` false) or set (`used` true), else `end`.
    fn next(&self, from: u32, end: u32, used: bool) -> u32 {
        let mut bit = from;
        while bit < end {
            let word = self.word(bit);
            let found = if used { word } else { !word } >> (bit % WORD);
            if found != 0 {
                return end.min(bit + found.trailing_zeros());
            }
            bit = (bit / WORD + 1) * WORD;
        }
        end
    }

    /// First free run of `want` blocks in `from..end`, else the longest there.
    fn run_in(&self, from: u32, end: u32, want: u32) -> Option<Span> {
        let mut best: Option<Span> = None;
        let mut bit = self.next(from, end, false);
        while bit < end {
            let stop = self.next(bit, end.min(bit.saturating_add(want)), true);
            let len = stop - bit;
            if best.is_none_or(|b| len > b.len) {
                best = Some(Span { start: bit, len });
            }
            if len >= want {
                break;
            }
            bit = self.next(stop, end, false);
        }
        best
    }

    /// The run to try for a wish: at `from` if that is free, else the first long enough after it,
    /// then before it, else the longest.
    fn find(&self, from: u32, want: u32) -> Option<Span> {
        let at = self.next(from, self.blocks.min(from.saturating_add(want)), true);
        if at > from {
            return Some(Span {
                start: from,
                len: at - from,
            });
        }
        let after = self.run_in(from, self.blocks, want);
        if after.is_some_and(|s| s.len >= want) {
            return after;
        }
        let before = self.run_in(0, from.min(self.blocks), want);
        match (after, before) {
            (Some(a), Some(b)) if b.len > a.len => Some(b),
            (None, b) => b,
            (a, _) => a,
        }
    }

    /// Takes blocks from the front of `span` until one is used; a whole free word costs one `cmpxchg`.
    ///
    /// Returns how many were taken, and how many words another CPU changed under our hands.
    fn claim(&self, span: Span) -> (u32, u32) {
        let (mut taken, mut lost) = (0, 0);
        while taken < span.len {
            let bit = span.start + taken;
            let Some(word) = self.words.get((bit / WORD) as usize) else {
                break;
            };
            let off = bit % WORD;
            let room = (WORD - off).min(span.len - taken);
            let mut seen = word.load(Relaxed);
            let mut tries = 0;
            let got = loop {
                let free = (seen >> off).trailing_zeros().min(room);
                if free == 0 || tries == RETRIES {
                    break 0;
                }
                // Full: who takes a block sees the count that its freeing added, see `Shard::add`.
                match word.cmpxchg(seen, seen | mask(off, free), Full) {
                    Ok(_) => break free,
                    Err(now) => seen = now,
                }
                tries += 1;
            };
            lost += tries;
            taken += got;
            if got < room {
                break;
            }
        }
        (taken, lost)
    }

    /// Takes up to `want` contiguous blocks near `from`. `None`: nothing found, or others were faster.
    pub(super) fn take(&self, from: u32, want: u32) -> (Option<Span>, u32) {
        let (mut from, mut collisions) = (from, 0);
        for _ in 0..ATTEMPTS {
            let Some(span) = self.find(from, want) else {
                break;
            };
            let (len, lost) = self.claim(span);
            collisions += lost;
            if len > 0 {
                return (Some(Span { len, ..span }), collisions);
            }
            // Somebody took all of it between `find` and `claim`.
            collisions += u32::from(lost == 0);
            from = span.start;
        }
        (None, collisions)
    }

    /// Free blocks within `span`, as far as they are in the map.
    pub(super) fn free_in(&self, span: Span) -> (u32, Option<u32>) {
        let end = span.start.saturating_add(span.len).min(self.blocks);
        let (mut count, mut first) = (0, None);
        let mut bit = self.next(span.start, end, false);
        while bit < end {
            first = first.or(Some(bit));
            let stop = self.next(bit, end, true);
            count += stop - bit;
            bit = self.next(stop, end, false);
        }
        (count, first)
    }

    /// Sets (`used`) or clears all of `span`; returns how many bits that changed.
    pub(super) fn change(&self, span: Span, used: bool) -> u32 {
        let (mut changed, mut done) = (0, 0);
        while done < span.len {
            let bit = span.start + done;
            let Some(word) = self.words.get((bit / WORD) as usize) else {
                break;
            };
            let off = bit % WORD;
            let len = (WORD - off).min(span.len - done);
            let bits = mask(off, len);
            let mut seen = word.load(Relaxed);
            // Lock-free: a lost `cmpxchg` means that another CPU got its work done.
            loop {
                let new = if used { seen | bits } else { seen & !bits };
                match word.cmpxchg(seen, new, Full) {
                    Ok(_) => break changed += (seen ^ new).count_ones(),
                    Err(now) => seen = now,
                }
            }
            done += len;
        }
        changed
    }
}

/// A threshold that a shard's free count crossed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crossed {
    /// Neither.
    None,
    /// Fell below the lower threshold; holds the free count.
    Below(u32),
    /// Rose above the upper one.
    Above,
}

/// A shard as it is kept for every shard of the volume, loaded or not: 24 bytes.
pub(super) struct Shard {
    map: SetOnce<KBox<Map>>,
    /// Free count and [`PRESSURE`]. Both in one word, so that whoever changes the count also sees
    /// whether it crossed a threshold, and each crossing is seen by exactly one CPU.
    state: Atomic<u32>,
}

#[cfg(not(loom))]
// What a volume costs in memory for every 126 MiB that nobody touches.
const _: () = assert!(size_of::<Shard>() <= 32);

impl Shard {
    /// A shard of `blocks` blocks, `free` of them free, whose bitmap was not read yet.
    ///
    /// `EFSCORRUPTED` if more are said to be free than there are.
    pub(super) fn new(blocks: u32, free: u32) -> Result<Self> {
        if free > blocks || u64::from(blocks) > SHARD_BLOCKS {
            return Err(EFSCORRUPTED);
        }
        let pressure = if free < low(blocks) { PRESSURE } else { 0 };
        Ok(Self {
            map: SetOnce::new(),
            state: Atomic::<u32>::new(free | pressure),
        })
    }

    /// The bitmap, if it was loaded and the shard is not lost.
    pub(super) fn map(&self) -> Option<&Map> {
        let map = self.map.as_ref().filter(|_| !self.is_lost());
        map.map(|map| &**map)
    }

    /// Free blocks; none in a shard that is lost.
    pub(super) fn free(&self) -> u32 {
        self.state.load(Relaxed) & !(PRESSURE | LOST)
    }

    pub(super) fn is_lost(&self) -> bool {
        self.state.load(Relaxed) & LOST != 0
    }

    /// Gives the shard up, for good. Returns the free blocks that it had, and whether that put it under
    /// pressure; `None` if it was lost before.
    pub(super) fn lose(&self) -> Option<(u32, bool)> {
        let before = self.state.xchg(LOST | PRESSURE, Full);
        let free = before & !(PRESSURE | LOST);
        (before & LOST == 0).then_some((free, before & PRESSURE == 0))
    }

    pub(super) fn under_pressure(&self) -> bool {
        self.state.load(Relaxed) & PRESSURE != 0
    }

    /// Installs the bitmap. `EFSCORRUPTED` if it does not have as many free blocks as the counter says.
    pub(super) fn load(&self, bitmap: &[u8], blocks: u32) -> Result {
        if self.map().is_some() {
            return Ok(());
        }
        let map = Map::new(bitmap, blocks)?;
        // Nothing changes the counter of a shard without a map.
        if map.free() != self.free() {
            return Err(EFSCORRUPTED);
        }
        // False if another CPU loaded it meanwhile, from the same bitmap: that one stays.
        self.map.populate(KBox::new(map, GFP_KERNEL)?);
        Ok(())
    }

    /// Counts `n` blocks as free *before* their bits are cleared.
    ///
    /// With [`Shard::sub`] after the bits were set, and full ordering on the bits, every
    /// subtraction comes after the addition that it undoes: the count never falls below zero, and is
    /// never less than the clear bits, so that a shard with a zero count may be skipped unread.
    pub(super) fn add(&self, n: u32, blocks: u32) -> Crossed {
        self.adjust(blocks, |free| free.saturating_add(n).min(blocks))
    }

    /// Counts `n` blocks as used, after their bits were set.
    pub(super) fn sub(&self, n: u32, blocks: u32) -> Crossed {
        self.adjust(blocks, |free| free.saturating_sub(n))
    }

    fn adjust(&self, blocks: u32, change: impl Fn(u32) -> u32) -> Crossed {
        let mut seen = self.state.load(Relaxed);
        loop {
            if seen & LOST != 0 {
                return Crossed::None;
            }
            let free = change(seen & !PRESSURE);
            let was = seen & PRESSURE != 0;
            let is = free < if was { high(blocks) } else { low(blocks) };
            let new = free | if is { PRESSURE } else { 0 };
            match self.state.cmpxchg(seen, new, Full) {
                Ok(_) if is && !was => return Crossed::Below(free),
                Ok(_) if was && !is => return Crossed::Above,
                Ok(_) => return Crossed::None,
                Err(now) => seen = now,
            }
        }
    }
}

/// Free blocks below which a shard of `blocks` blocks comes under pressure: 1/32.
const fn low(blocks: u32) -> u32 {
    blocks / 32 + 1
}

/// Free blocks from which the pressure is over: 1/16, so that it does not flicker.
const fn high(blocks: u32) -> u32 {
    blocks / 16 + 2
}
