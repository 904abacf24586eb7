// SPDX-License-Identifier: GPL-2.0

//! The lock-free block allocator and what it tells the panic handler.
//!
//! A volume's blocks are cut into shards of [`SHARD_BLOCKS`]. Of every shard 24 bytes are in memory;
//! its bitmap is read when somebody first needs it ([`Refused::NeedShard`], [`Allocator::load`]) and
//! then kept as atomic words. A CPU without a better idea allocates where its *hint* points; when two
//! CPUs meet in a word, the one that lost moves its hint to another shard.
//!
//! What is in memory is the on-disk bitmap plus what was reserved and is not yet mapped plus what was
//! freed by an epoch that is not yet durable. The store keeps the on-disk bitmap; this type is never
//! written anywhere. Nothing here locks, waits or sleeps, except that [`Allocator::load`] allocates memory.

use crate::{
    format::{SHARD_BLOCKS, SHARD_RESERVED},
    TELEMETRY,
};
use kernel::{
    prelude::*,
    sync::atomic::{Atomic, Relaxed}, //
};

mod counters;
#[cfg(all(test, loom))]
mod loom;
mod lost;
mod promise;
mod report;
mod ring;
mod shard;
mod space;
#[cfg(test)]
mod tests;

pub use self::counters::AllocCounters;
pub use self::report::AllocatorPanicReport;
pub use self::ring::{Drained, Event, EventKind, EventRing};

use self::shard::{Crossed, Map, Shard, Span};
use self::space::{Class, Space};

/// Entries in a volume's event ring.
pub const EVENTS: usize = 64;
/// CPUs with a hint of their own; further ones share.
const HINTS: usize = 64;
/// Shards looked at for one without pressure when a hint moves.
const PROBES: u64 = 64;
/// Walks over all shards before an allocation is refused though space was promised to it: blocks
/// freed behind the walk may be the ones that are left.
const ROUNDS: u32 = 3;

/// Contiguous blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// First block on the device.
    pub start: u64,
    /// Blocks, at least one.
    pub len: u32,
}

/// Why there are no blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The bitmap of this shard is needed: [`Allocator::load`] it and ask again.
    NeedShard(u64),
    /// The volume is full, or what is left is promised to others.
    NoSpace,
}

/// What the allocator asks its surroundings. Both functions work in any context.
#[derive(Clone, Copy)]
pub struct Env {
    /// Number of the CPU that runs; a stale answer costs speed only.
    pub cpu: fn() -> u32,
    /// Monotonic time in nanoseconds.
    pub now_ns: fn() -> u64,
}

impl Default for Env {
    /// One CPU and no clock, as for mkfs and fsck.
    fn default() -> Self {
        Self {
            cpu: || 0,
            now_ns: || 0,
        }
    }
}

/// Counters and events in static memory, so that the panic handler can read them whatever happens to
/// the volume.
#[derive(Clone, Copy)]
pub struct Telemetry {
    /// Counters of this volume.
    pub counters: &'static AllocCounters,
    /// Events of this volume.
    pub events: &'static EventRing<EVENTS>,
}

enum Sink {
    Static(Telemetry),
    /// No slot was left for the volume: it is counted for `statfs`, events go nowhere.
    Private(AllocCounters),
}

impl Sink {
    fn counters(&self) -> &AllocCounters {
        match self {
            Sink::Static(t) => t.counters,
            Sink::Private(counters) => counters,
        }
    }
}

/// Block at which a CPU looks first. Alone in its cache line: it is written at every allocation.
#[repr(align(64))]
struct Hint(Atomic<u64>);

/// The allocator of one volume.
pub struct Allocator {
    total: u64,
    shards: KVVec<Shard>,
    hints: KVec<Hint>,
    space: Space,
    /// Shards that were given up.
    lost: Atomic<u64>,
    sink: Sink,
    env: Env,
}

/// Blocks of shard `shard` in a volume of `total` blocks; 0 past its end.
fn shard_len(total: u64, shard: u64) -> u32 {
    let left = total.saturating_sub(shard.saturating_mul(SHARD_BLOCKS));
    // Lossless: SHARD_BLOCKS is below 2^15.
    left.min(SHARD_BLOCKS) as u32
}

impl Allocator {
    /// An allocator for `total_blocks` blocks, none of whose bitmaps was read; `free_per_shard` comes
    /// from the summary table. Counters of `telemetry` start anew.
    ///
    /// Errors: `EFSCORRUPTED` if a shard has more free blocks than blocks, `ENOMEM`.
    pub fn new(
        total_blocks: u64,
        free_per_shard: impl Fn(u64) -> u32,
        telemetry: Option<Telemetry>,
        env: Env,
    ) -> Result<Self> {
        let count = total_blocks.div_ceil(SHARD_BLOCKS);
        let mut shards = KVVec::with_capacity(count.try_into()?, GFP_KERNEL)?;
        let (mut free, mut pressure) = (0u64, 0u64);
        for s in 0..count {
            let shard = Shard::new(shard_len(total_blocks, s), free_per_shard(s))?;
            free += u64::from(shard.free());
            pressure += u64::from(shard.under_pressure());
            shards.push(shard, GFP_KERNEL)?;
        }
        let mut hints = KVec::with_capacity(HINTS, GFP_KERNEL)?;
        for cpu in 0..HINTS as u64 {
            // CPUs start in shards side by side: apart, and no more of them read than there are CPUs.
            let start = cpu % count.max(1) * SHARD_BLOCKS;
            hints.push(Hint(Atomic::<u64>::new(start)), GFP_KERNEL)?;
        }
        let sink = telemetry.map_or_else(|| Sink::Private(AllocCounters::new()), Sink::Static);
        let counters = sink.counters();
        counters.reset();
        counters.shards_total.store(count, Relaxed);
        counters.shards_with_pressure.store(pressure, Relaxed);
        counters.free_blocks.store(free, Relaxed);
        Ok(Self {
            total: total_blocks,
            shards,
            hints,
            space: Space::new(total_blocks, free),
            lost: Atomic::<u64>::new(0),
            sink,
            env,
        })
    }

    fn shard(&self, shard: u64) -> Option<&Shard> {
        self.shards.get(usize::try_from(shard).ok()?)
    }

    /// Installs the bitmap of a shard: the 4032 bytes of the on-disk bitmap's payload, as they are now
    /// with all that was replayed. To be called before the first change to that bitmap since the
    /// mount, so that what was freed and is not durable is not taken for free. Loading twice is harmless.
    ///
    /// Errors: `EFSCORRUPTED` if the bitmap contradicts the summary, `EINVAL`, `ENOMEM`.
    pub fn load(&self, shard: u64, bitmap: &[u8]) -> Result {
        let len = shard_len(self.total, shard);
        self.shard(shard).ok_or(EINVAL)?.load(bitmap, len)
    }

    /// Whether the bitmap of `shard` is in memory.
    pub fn is_loaded(&self, shard: u64) -> bool {
        self.shard(shard).is_some_and(|s| s.map().is_some())
    }

    /// Takes up to `want` contiguous blocks for file data, at `goal` or near it; 0 means anywhere.
    pub fn alloc(&self, goal: u64, want: u32) -> Result<Run, Refused> {
        self.alloc_class(goal, want, Class::Data)
    }

    /// The same for metadata, which may use the reserve that file data leaves alone.
    pub fn alloc_meta(&self, goal: u64, want: u32) -> Result<Run, Refused> {
        self.alloc_class(goal, want, Class::Metadata)
    }

    /// The same for data whose `want` blocks were promised by [`Allocator::reserve`]; what is taken
    /// is no longer reserved.
    pub fn alloc_reserved(&self, goal: u64, want: u32) -> Result<Run, Refused> {
        let run = self.alloc_class(goal, want, Class::Promised)?;
        self.promised(0, run.len.into());
        Ok(run)
    }

    fn alloc_class(&self, goal: u64, want: u32, class: Class) -> Result<Run, Refused> {
        let want = want.max(1);
        // Lossless: at most `want`.
        let got = self.space.take(1, want.into(), class) as u32;
        let found = match got {
            0 => Err(Refused::NoSpace),
            _ => self.search(goal, got),
        };
        let used = found.map_or(0, |run| run.len);
        self.space.give(u64::from(got - used), class);
        if found == Err(Refused::NoSpace) {
            self.refused(goal, want.into());
        }
        found
    }

    /// Counts an allocation or a promise of `want` blocks near `goal` that was refused.
    fn refused(&self, goal: u64, want: u64) {
        let n = self.sink.counters().alloc_failed.fetch_add(1u64, Relaxed) + 1;
        self.event_seldom(n, EventKind::AllocFailed, goal / SHARD_BLOCKS, want);
    }

    /// Walks the shards from the goal's, or the hint's, and takes the first run that it gets.
    fn search(&self, goal: u64, want: u32) -> Result<Run, Refused> {
        let count = self.shards.len() as u64;
        let hint = self.hint();
        let hinted = goal == 0 || goal >= self.total;
        let start = if hinted { hint.load(Relaxed) } else { goal };
        let first = start / SHARD_BLOCKS;
        for i in 0..count.saturating_mul(ROUNDS.into()) {
            let s = (first + i) % count;
            let Some(shard) = self.shard(s) else { break };
            // Never less than the clear bits, so nothing is missed; see `Shard::add`.
            if shard.free() == 0 {
                continue;
            }
            let map = shard.map().ok_or(Refused::NeedShard(s))?;
            let from = if i == 0 { start % SHARD_BLOCKS } else { 0 };
            let (span, collisions) = map.take(from as u32, want);
            let next = span.map(|span| {
                self.took(s, shard, span.len);
                s * SHARD_BLOCKS + u64::from(span.start) + u64::from(span.len)
            });
            if hinted {
                hint.store(next.unwrap_or(s * SHARD_BLOCKS), Relaxed);
            }
            if collisions > 0 {
                self.collided(s, hinted.then_some(hint), collisions);
            }
            if let (Some(next), Some(span)) = (next, span) {
                return Ok(Run {
                    start: next - u64::from(span.len),
                    len: span.len,
                });
            }
        }
        Err(Refused::NoSpace)
    }

    fn hint(&self) -> &Atomic<u64> {
        let cpu = (self.env.cpu)() as usize % HINTS;
        // There are `HINTS` of them.
        &self.hints[cpu].0
    }

    /// Counts `len` blocks of `shard` as used, after their bits were set.
    fn took(&self, s: u64, shard: &Shard, len: u32) {
        let crossed = shard.sub(len, shard_len(self.total, s));
        let counters = self.sink.counters();
        counters.free_blocks.fetch_sub(u64::from(len), Relaxed);
        self.crossed(s, crossed);
    }

    /// Counts `len` blocks of `shard` as free, before their bits are cleared.
    fn giving(&self, s: u64, shard: &Shard, len: u32) {
        let counters = self.sink.counters();
        counters.free_blocks.fetch_add(u64::from(len), Relaxed);
        let crossed = shard.add(len, shard_len(self.total, s));
        self.crossed(s, crossed);
    }

    fn crossed(&self, s: u64, crossed: Crossed) {
        if !TELEMETRY {
            return;
        }
        let pressure = &self.sink.counters().shards_with_pressure;
        match crossed {
            Crossed::None => {}
            Crossed::Below(free) => {
                pressure.fetch_add(1u64, Relaxed);
                self.event(EventKind::Pressure, s, free.into());
            }
            Crossed::Above => {
                pressure.fetch_sub(1u64, Relaxed);
            }
        }
    }

    /// Another CPU was in the words that this one wanted: look elsewhere the next time.
    fn collided(&self, s: u64, hint: Option<&Atomic<u64>>, times: u32) {
        let counters = self.sink.counters();
        let before = counters
            .hint_collisions
            .fetch_add(u64::from(times), Relaxed);
        if let Some(hint) = hint {
            hint.store(self.elsewhere(s, hint.load(Relaxed)), Relaxed);
        }
        self.event_seldom(
            before + 1,
            EventKind::HintCollision,
            s,
            before + u64::from(times),
        );
    }

    /// Where a hint goes from block `at` of shard `s`: to the next shard that is not under pressure; in
    /// a volume of one shard, a good part of it further on.
    fn elsewhere(&self, s: u64, at: u64) -> u64 {
        let count = self.shards.len() as u64;
        if count == 1 {
            return (at + self.total / 4 + 64) % self.total;
        }
        (1..=PROBES.min(count - 1))
            .map(|i| (s + i) % count)
            .find(|&s| self.shard(s).is_some_and(|s| !s.under_pressure()))
            .unwrap_or((s + 1) % count)
            * SHARD_BLOCKS
    }

    /// Calls `f` for the part of a run in each shard. `EINVAL` if the run is empty or not within the
    /// volume, `ENODATA` if a shard of it is not loaded or lost.
    fn spans(
        &self,
        start: u64,
        len: u32,
        mut f: impl FnMut(u64, &Shard, &Map, Span) -> Result,
    ) -> Result {
        let end = start.checked_add(len.into()).ok_or(EINVAL)?;
        if len == 0 || end > self.total {
            return Err(EINVAL);
        }
        let mut at = start;
        while at < end {
            let s = at / SHARD_BLOCKS;
            let stop = end.min((s + 1) * SHARD_BLOCKS);
            let shard = self.shard(s).ok_or(EINVAL)?;
            let map = shard.map().ok_or(ENODATA)?;
            // Lossless: within one shard.
            let span = Span {
                start: (at % SHARD_BLOCKS) as u32,
                len: (stop - at) as u32,
            };
            f(s, shard, map, span)?;
            at = stop;
        }
        Ok(())
    }

    /// Frees `len` blocks from `start`; the epoch that freed them is durable, or nobody ever knew of them.
    ///
    /// Blocks that are free already, or belong to the format, are counted and reported, and then
    /// nothing is freed. Only when two CPUs free the same block at once may the rest of its run be freed.
    ///
    /// Errors: `EFSCORRUPTED` as above, `EINVAL` out of range, `ENODATA` if a shard is not loaded or lost.
    pub fn free(&self, start: u64, len: u32) -> Result {
        self.spans(start, len, |s, _, map, span| {
            let (free, first) = map.free_in(span);
            if u64::from(span.start) < SHARD_RESERVED {
                self.double_free(s, span.start, 1);
                return Err(EFSCORRUPTED);
            }
            if let Some(first) = first {
                self.double_free(s, first, free);
                return Err(EFSCORRUPTED);
            }
            Ok(())
        })?;
        let mut result = Ok(());
        self.spans(start, len, |s, shard, map, span| {
            self.giving(s, shard, span.len);
            let cleared = map.change(span, false);
            self.space.give(cleared.into(), Class::Data);
            let already = span.len - cleared;
            if already > 0 {
                self.took(s, shard, already);
                self.double_free(s, span.start, already);
                result = Err(EFSCORRUPTED);
            }
            Ok(())
        })?;
        result
    }

    fn double_free(&self, s: u64, first: u32, blocks: u32) {
        let counter = &self.sink.counters().double_frees;
        counter.fetch_add(u64::from(blocks), Relaxed);
        let block = s * SHARD_BLOCKS + u64::from(first);
        self.event(EventKind::DoubleFree, s, block);
    }

    /// Takes blocks that are known to be in use; those that already count as used stay so.
    ///
    /// Errors: `EINVAL` out of range, `ENODATA` if a shard is not loaded.
    pub fn mark_used(&self, start: u64, len: u32) -> Result {
        self.spans(start, len, |_, _, _, _| Ok(()))?;
        self.spans(start, len, |s, shard, map, span| {
            let newly = map.change(span, true);
            self.space.force(newly.into());
            self.took(s, shard, newly);
            Ok(())
        })
    }

    /// Free blocks of the volume, the reserved ones included.
    pub fn free_blocks(&self) -> u64 {
        self.sink.counters().free_blocks.load(Relaxed)
    }

    /// What the panic handler would tell of this volume; it reads the same static memory itself.
    pub fn panic_report(&self, epoch: u64) -> AllocatorPanicReport {
        match &self.sink {
            Sink::Static(t) => AllocatorPanicReport::read(epoch, t.counters, t.events),
            Sink::Private(counters) => AllocatorPanicReport::counters(epoch, counters),
        }
    }

    fn event(&self, kind: EventKind, shard: u64, arg: u64) {
        if let Sink::Static(t) = &self.sink {
            t.events.push(Event {
                seq: 0,
                time_ns: (self.env.now_ns)(),
                kind,
                cpu: (self.env.cpu)(),
                shard,
                arg,
            });
        }
    }

    /// Reports the first, second, fourth, … of events that come in storms, so that they do not push a
    /// double free out of the ring; the counter has all of them.
    fn event_seldom(&self, n: u64, kind: EventKind, shard: u64, arg: u64) {
        if n.is_power_of_two() {
            self.event(kind, shard, arg);
        }
    }
}
