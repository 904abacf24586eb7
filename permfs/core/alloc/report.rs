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
    /// The counters alone.
    pub fn counters(epoch: u64, counters: &AllocCounters) -> Self {
        Self {
            epoch,
            shards_total: counters.shards_total.load(Relaxed),
            shards_with_pressure: counters.shards_with_pressure.load(Relaxed),
            free_blocks: counters.free_blocks.load(Relaxed),
            reserved: counters.reserved.load(Relaxed),
            alloc_failed: counters.alloc_failed.load(Relaxed),
            double_frees: counters.double_frees.load(Relaxed),
            hint_collisions: counters.hint_collisions.load(Relaxed),
            last_errors: [Event::EMPTY; LAST_ERRORS],
            drained: Drained::default(),
        }
    }

    /// The counters and the newest events. Safe in any context, whoever was stopped where.
    pub fn read<const N: usize>(
        epoch: u64,
        counters: &AllocCounters,
        events: &EventRing<N>,
    ) -> Self {
        let mut report = Self::counters(epoch, counters);
        report.drained = events.drain_for_panic(&mut report.last_errors);
        report
    }
}
