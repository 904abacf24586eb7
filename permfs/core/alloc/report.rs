// SPDX-License-Identifier: GPL-2.0

//! What the panic handler tells of a volume's allocator.

use super::{AllocCounters, Drained, Event, EventRing};
use kernel::sync::atomic::Relaxed;

/// Events that a report holds.
pub(super) const LAST_ERRORS: usize = 8;

/// State of an allocator at a panic. Made without allocation, locks or waiting.
#[derive(Clone, Copy, Debug)]
pub struct AllocatorPanicReport {
    /// Epoch that was running.
    pub epoch: u64,
    /// Shards of the volume.
    pub shards_total: u64,
    /// Shards below their pressure threshold.
    pub shards_with_pressure: u64,
    /// Free blocks, the reserved ones included.
    pub free_blocks: u64,
    /// Blocks promised to delayed allocation.
    pub reserved: u64,
    /// Allocations refused for want of space.
    pub alloc_failed: u64,
    /// Blocks freed while free.
    pub double_frees: u64,
    /// Words that two CPUs wanted at once.
    pub hint_collisions: u64,
    /// The newest events, oldest first; the first `drained.events` of them count.
    pub last_errors: [Event; LAST_ERRORS],
    /// How complete `last_errors` is.
    pub drained: Drained,
}

impl AllocatorPanicReport {
    /// Nothing is known.
    pub const EMPTY: Self = Self {
        epoch: 0,
        shards_total: 0,
        shards_with_pressure: 0,
        free_blocks: 0,
        reserved: 0,
        alloc_failed: 0,
        double_frees: 0,
        hint_collisions: 0,
        last_errors: [Event::EMPTY; LAST_ERRORS],
        drained: Drained {
            events: 0,
            torn: 0,
            lost: 0,
        },
    };

    /// The counters alone.
    pub fn counters(epoch: u64, counters: &AllocCounters) -> Self {
        let mut report = Self::EMPTY;
        report.fill_counters(epoch, counters);
        report
    }

    /// The counters and the newest events.
    pub fn read<const N: usize>(
        epoch: u64,
        counters: &AllocCounters,
        events: &EventRing<N>,
    ) -> Self {
        let mut report = Self::EMPTY;
        report.fill(epoch, counters, events);
        report
    }

    /// [`AllocatorPanicReport::read`] in place, for a copy more is much on a panic's stack. Safe in any
    /// context, whoever was stopped where.
    pub fn fill<const N: usize>(
        &mut self,
        epoch: u64,
        counters: &AllocCounters,
        events: &EventRing<N>,
    ) {
        self.fill_counters(epoch, counters);
        self.drained = events.drain_for_panic(&mut self.last_errors);
    }

    fn fill_counters(&mut self, epoch: u64, counters: &AllocCounters) {
        self.epoch = epoch;
        self.shards_total = counters.shards_total.load(Relaxed);
        self.shards_with_pressure = counters.shards_with_pressure.load(Relaxed);
        self.free_blocks = counters.free_blocks.load(Relaxed);
        self.reserved = counters.reserved.load(Relaxed);
        self.alloc_failed = counters.alloc_failed.load(Relaxed);
        self.double_frees = counters.double_frees.load(Relaxed);
        self.hint_collisions = counters.hint_collisions.load(Relaxed);
    }
}
