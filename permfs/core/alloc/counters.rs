// SPDX-License-Identifier: GPL-2.0

//! The allocator's counters, kept where the panic handler can read them: in static memory.

use kernel::sync::atomic::{Atomic, Relaxed};

/// Counters of one volume's allocator.
///
/// Each is exact when no operation is under way. They are independent: a reader on another CPU may
/// see one of two counters that an operation changes, never a value that wrapped below zero.
pub struct AllocCounters {
    /// Shards of the volume.
    pub shards_total: Atomic<u64>,
    /// Shards below their pressure threshold.
    pub shards_with_pressure: Atomic<u64>,
    /// Free blocks, the reserved ones included.
    pub free_blocks: Atomic<u64>,
    /// Blocks promised to delayed allocation and not yet chosen.
    pub reserved: Atomic<u64>,
    /// Allocations refused for want of space.
    pub alloc_failed: Atomic<u64>,
    /// Blocks freed while free.
    pub double_frees: Atomic<u64>,
    /// Words that two CPUs wanted at once.
    pub hint_collisions: Atomic<u64>,
}

impl AllocCounters {
    /// All zero.
    pub const fn new() -> Self {
        Self {
            shards_total: Atomic::<u64>::new(0),
            shards_with_pressure: Atomic::<u64>::new(0),
            free_blocks: Atomic::<u64>::new(0),
            reserved: Atomic::<u64>::new(0),
            alloc_failed: Atomic::<u64>::new(0),
            double_frees: Atomic::<u64>::new(0),
            hint_collisions: Atomic::<u64>::new(0),
        }
    }

    /// Sets all to zero: a slot in static memory gets a new volume. Nobody else may count meanwhile.
    pub fn reset(&self) {
        for counter in [
            &self.shards_total,
            &self.shards_with_pressure,
            &self.free_blocks,
            &self.reserved,
            &self.alloc_failed,
            &self.double_frees,
            &self.hint_collisions,
        ] {
            counter.store(0, Relaxed);
        }
    }
}

impl Default for AllocCounters {
    fn default() -> Self {
        Self::new()
    }
}
