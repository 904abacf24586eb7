// SPDX-License-Identifier: GPL-2.0

//! A fixed ring of allocator events: many writers without a lock, one reader that never waits.
//!
//! # Protocol
//!
//! A writer takes a *ticket* from `head`; ticket `t` belongs to entry `t % N`. The entry's stamp is
//!
//! - `0`: never written,
//! - `2t + 1`: the writer with ticket `t` is in it,
//! - `2t + 2`: it holds the whole event with ticket `t`.
//!
//! A writer enters by moving the stamp from an even value older than its own to `2t + 1` with one
//! `cmpxchg`. If another writer is in the entry (it was interrupted there, or the ring wrapped
//! round it), or a newer event is already in it, the event is dropped: nobody waits, and an entry
//! has one writer at a time, also when an NMI writes on top of a half-written entry of its own CPU.
//!
//! # Ordering
//!
//! It is a sequence lock without fences. The payload is stored with [`Release`] and loaded with
//! [`Acquire`]:
//!
//! - A reader that saw `2t + 2` by an acquiring load sees the payload of `t` or something newer,
//!   because the stamp was stored with [`Release`] after the payload.
//! - A reader that saw even one payload word of a newer writer synchronises with that word's
//!   releasing store, which comes after that writer's stamp `2u + 1` in program order. So the
//!   reader's second load of the stamp, ordered after its payload loads, cannot return `2t + 2` any
//!   more, and the reader discards what it copied.
//!
//! The stamp only grows, so equal stamps before and after mean that no writer entered in between.

use crate::TELEMETRY;
use kernel::sync::atomic::{Acquire, Atomic, Relaxed, Release};

/// What happened in the allocator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventKind {
    /// No event, or one of a kind that this code does not know.
    #[default]
    None,
    /// No blocks could be found; `arg` is how many were wanted.
    AllocFailed,
    /// A block that was free was freed; `arg` is its number.
    DoubleFree,
    /// Two CPUs met in a word; `arg` is how often that happened on this volume.
    HintCollision,
    /// A shard fell below its pressure threshold; `arg` is its free blocks.
    Pressure,
}

impl EventKind {
    /// Number of the kind in a ring entry and in a panic record.
    pub const fn as_u32(self) -> u32 {
        match self {
            EventKind::None => 0,
            EventKind::AllocFailed => 1,
            EventKind::DoubleFree => 2,
            EventKind::HintCollision => 3,
            EventKind::Pressure => 4,
        }
    }

    /// The kind with that number, [`EventKind::None`] if there is none.
    pub const fn from_u32(n: u32) -> Self {
        match n {
            1 => EventKind::AllocFailed,
            2 => EventKind::DoubleFree,
            3 => EventKind::HintCollision,
            4 => EventKind::Pressure,
            _ => EventKind::None,
        }
    }

    /// Name as printed in breadcrumbs.
    pub const fn name(self) -> &'static str {
        match self {
            EventKind::None => "none",
            EventKind::AllocFailed => "alloc-failed",
            EventKind::DoubleFree => "double-free",
            EventKind::HintCollision => "hint-collision",
            EventKind::Pressure => "pressure",
        }
    }
}

/// One event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Place in the order of all events of the ring, from 0. Set by [`EventRing::push`].
    pub seq: u64,
    /// Monotonic time, nanoseconds.
    pub time_ns: u64,
    /// What happened.
    pub kind: EventKind,
    /// CPU that it happened on.
    pub cpu: u32,
    /// Shard that it happened in.
    pub shard: u64,
    /// See [`EventKind`].
    pub arg: u64,
}

impl Event {
    /// An empty event, to make buffers of.
    pub const EMPTY: Event = Event {
        seq: 0,
        time_ns: 0,
        kind: EventKind::None,
        cpu: 0,
        shard: 0,
        arg: 0,
    };
}

/// What [`EventRing::drain_for_panic`] found. The three add up to the number of events ever pushed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Whole events, now in the caller's buffer.
    pub events: usize,
    /// Entries that a writer was in.
    pub torn: u64,
    /// Events overwritten, dropped for want of an entry, not begun, or too many for the buffer.
    pub lost: u64,
}

const WORDS: usize = 4;

struct Entry {
    stamp: Atomic<u64>,
    words: [Atomic<u64>; WORDS],
}

impl Entry {
    const fn new() -> Self {
        Self {
            stamp: Atomic::<u64>::new(0),
            words: [const { Atomic::<u64>::new(0) }; WORDS],
        }
    }

    fn write(&self, ticket: u64, event: &Event) {
        let busy = ticket.wrapping_mul(2).wrapping_add(1);
        let seen = self.stamp.load(Relaxed);
        // A busy entry (odd), or one that is ahead of this ticket.
        if seen & 1 == 1 || seen > busy {
            return;
        }
        // `Acquire`: the payload stores below stay after the entry was won.
        if self.stamp.cmpxchg(seen, busy, Acquire).is_err() {
            return;
        }
        let kind_cpu = u64::from(event.kind.as_u32()) << 32 | u64::from(event.cpu);
        let values = [event.time_ns, kind_cpu, event.shard, event.arg];
        for (word, value) in self.words.iter().zip(values) {
            word.store(value, Release);
        }
        self.stamp.store(busy.wrapping_add(1), Release);
    }

    fn read(&self, ticket: u64) -> Read {
        let whole = ticket.wrapping_mul(2).wrapping_add(2);
        let before = self.stamp.load(Acquire);
        if before & 1 == 1 {
            return Read::Torn;
        }
        if before != whole {
            return Read::Absent;
        }
        let mut values = [0u64; WORDS];
        for (value, word) in values.iter_mut().zip(&self.words) {
            *value = word.load(Acquire);
        }
        if self.stamp.load(Relaxed) != whole {
            return Read::Torn;
        }
        let [time_ns, kind_cpu, shard, arg] = values;
        Read::Whole(Event {
            seq: ticket,
            time_ns,
            // The upper half is the kind, the lower half the CPU, as `write` put them.
            kind: EventKind::from_u32((kind_cpu >> 32) as u32),
            cpu: kind_cpu as u32,
            shard,
            arg,
        })
    }
}

enum Read {
    Whole(Event),
    Torn,
    Absent,
}

/// A ring of the last `N` events. `N` is a power of two.
///
/// It may live in a `static`, is never locked, and both ends may be used in any context, NMI included.
pub struct EventRing<const N: usize> {
    /// Next ticket; the number of events ever pushed.
    head: Atomic<u64>,
    entries: [Entry; N],
}

impl<const N: usize> EventRing<N> {
    const POWER_OF_TWO: () = assert!(N.is_power_of_two());

    /// An empty ring.
    pub const fn new() -> Self {
        let () = Self::POWER_OF_TWO;
        Self {
            head: Atomic::<u64>::new(0),
            entries: [const { Entry::new() }; N],
        }
    }

    fn entry(&self, ticket: u64) -> Option<&Entry> {
        // Truncation is harmless: only the low bits count, and `N` is a power of two.
        self.entries.get(ticket as usize & (N - 1))
    }

    /// Adds an event; its `seq` is set here. Drops it if another writer is in the entry.
    pub fn push(&self, event: Event) {
        if !TELEMETRY {
            return;
        }
        // Relaxed: the ticket only has to be unique; readers check the entry's stamp.
        let ticket = self.head.fetch_add(1u64, Relaxed);
        if let Some(entry) = self.entry(ticket) {
            entry.write(ticket, &event);
        }
    }

    /// Empties the ring: a slot in static memory gets a new volume. Nobody may push meanwhile.
    pub fn reset(&self) {
        for entry in &self.entries {
            entry.stamp.store(0, Relaxed);
        }
        self.head.store(0, Release);
    }

    /// Number of events ever pushed.
    pub fn pushed(&self) -> u64 {
        self.head.load(Relaxed)
    }

    /// Copies the newest events, oldest first, to the front of `out`; as many as fit.
    ///
    /// Never waits, allocates, or takes anything out: a second drain finds the same events. An entry
    /// with a writer in it is skipped and counted, so that a CPU stopped in the middle of
    /// [`EventRing::push`] costs one event. Work is bounded by `min(N, out.len())` entries.
    pub fn drain_for_panic(&self, out: &mut [Event]) -> Drained {
        let head = self.head.load(Acquire);
        let span = (N.min(out.len()) as u64).min(head);
        let mut found = Drained::default();
        let mut slots = out.iter_mut();
        for ticket in head.wrapping_sub(span)..head {
            match self.entry(ticket).map_or(Read::Absent, |e| e.read(ticket)) {
                Read::Whole(event) => {
                    if let Some(slot) = slots.next() {
                        *slot = event;
                        found.events = found.events.wrapping_add(1);
                    }
                }
                Read::Torn => found.torn = found.torn.wrapping_add(1),
                Read::Absent => {}
            }
        }
        found.lost = head
            .wrapping_sub(found.events as u64)
            .wrapping_sub(found.torn);
        found
    }
}

impl<const N: usize> Default for EventRing<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
