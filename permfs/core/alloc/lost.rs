// SPDX-License-Identifier: GPL-2.0

//! Shards that are given up: one bad bitmap costs its shard, and not the volume.

use super::{shard::Crossed, shard::Shard, Allocator};
use kernel::sync::atomic::Relaxed;

impl Allocator {
    /// Gives `shard` up, because its bitmap or its place in the summary cannot be read or believed: from
    /// now on nothing is allocated there, what is freed there stays lost to this mount, and its free
    /// blocks do not count. What was promised of them can be missing.
    ///
    /// The caller serialises this with allocations and frees. Returns whether it is news.
    pub fn lose(&self, shard: u64) -> bool {
        let Some((free, crossed)) = self.shard(shard).and_then(Shard::lose) else {
            return false;
        };
        self.lost.fetch_add(1u64, Relaxed);
        let counters = self.sink.counters();
        counters.free_blocks.fetch_sub(u64::from(free), Relaxed);
        self.space.force(free.into());
        if crossed {
            self.crossed(shard, Crossed::Below(0));
        }
        true
    }

    /// Whether `shard` was given up.
    pub fn is_lost(&self, shard: u64) -> bool {
        self.shard(shard).is_some_and(Shard::is_lost)
    }

    /// Shards that were given up.
    pub fn lost_shards(&self) -> u64 {
        self.lost.load(Relaxed)
    }
}
