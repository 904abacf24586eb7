// SPDX-License-Identifier: GPL-2.0

//! The worst case against maps that are filled as badly as can be.

use super::*;
use crate::btree::mock::Mock;
use crate::extent::Fork;
use proptest::prelude::*;
use std::{collections::BTreeSet, vec::Vec};

const OWNER: u64 = 7;

#[test]
fn small_files_need_nothing_and_appends_little() {
    let list = |runs, room, blocks| Shape::List { runs, room }.worst_nodes(1, blocks);
    assert_eq!(
        (list(0, 1, 0), list(0, 1, 1), list(1, 1, 1)),
        (0, 0, RECORD)
    );
    assert_eq!((list(9, 16, 7), list(9, 16, 8)), (0, 1));
    let tree = |blocks, groups, new| Shape::Tree { level: 1, blocks }.worst_nodes(groups, new);
    assert_eq!(tree(1 << 20, 1, 0), 0);
    assert!(tree(1 << 20, 1, 256) < 16);
    // However scattered, not more than all leaves there can be.
    assert!(tree(10_000, 5000, 5000) < 250);
    assert!(tree(1 << 28, 1, 1) < 8);
}

/// A map of single blocks none of which joins another.
struct Map {
    s: Mock,
    fork: Fork,
    used: BTreeSet<u32>,
}

impl Map {
    fn new() -> Self {
        Self {
            s: Mock::default(),
            fork: Fork::empty(),
            used: BTreeSet::new(),
        }
    }

    fn insert(&mut self, block: u32) {
        if self.used.insert(block) {
            let phys = 10 + 3 * u64::from(block);
            let added = self.fork.insert(&mut self.s, OWNER, block, phys, 1);
            assert_eq!(added, Ok(1));
        }
    }

    fn remove(&mut self, from: u32, to: u32) {
        let (from, to) = (u64::from(from), u64::from(to));
        let removed = self
            .fork
            .remove(&mut self.s, OWNER, from, to, usize::MAX, |_, _, _| Ok(()));
        assert!(removed.unwrap().done);
        self.used.retain(|&b| !(from..to).contains(&b.into()));
    }

    fn nodes(&self) -> u64 {
        self.s.blocks.len() as u64
    }

    /// What inserting `pending` takes at worst.
    fn worst(&self, pending: &BTreeSet<u32>) -> u64 {
        let begins = |b: &&u32| b.checked_sub(1).is_none_or(|p| !pending.contains(&p));
        let groups = pending.iter().filter(begins).count() as u64;
        self.fork
            .shape(self.used.len() as u64, INLINE_EXTENTS as u64)
            .worst_nodes(groups, pending.len() as u64)
    }

    /// Inserts `pending` in the order given, all of which takes no more than was promised at first, though
    /// as much as possible is given back on the way. Returns what was promised, and what it took.
    fn insert_promised(&mut self, order: Vec<u32>) -> (u64, u64) {
        let mut pending: BTreeSet<u32> = order.iter().copied().collect();
        let before = self.nodes();
        let first = self.worst(&pending);
        let mut left = first;
        for block in order {
            let nodes = self.nodes();
            pending.remove(&block);
            self.insert(block);
            let taken = self.nodes() - nodes;
            assert!(taken <= left, "{taken} of {left}");
            left = (left - taken).min(self.worst(&pending));
        }
        assert_eq!(left, 0);
        (first, self.nodes() - before)
    }
}

#[test]
fn one_block_for_every_full_leaf_splits_all_of_them() {
    for leaves in [1, 2, 30, 220, 300] {
        let mut map = Map::new();
        // Ascending keys fill every leaf, and every node above.
        (0..leaves * LEAF as u32).for_each(|i| map.insert(i * 4));
        let before = map.nodes();
        let step = LEAF as u32 * 4;
        let order = (0..leaves).map(|i| i * step + 2).collect();
        let (promised, taken) = map.insert_promised(order);
        assert!(taken >= u64::from(leaves), "{leaves}: {before}, {taken}");
        assert!(
            promised <= 2 * taken + 8,
            "{leaves}: {promised} for {taken}"
        );
    }
}

#[test]
fn a_new_tree_takes_what_its_extents_fill() {
    for blocks in [17, 167, 168, 1000, 6000] {
        for backwards in [false, true] {
            let mut map = Map::new();
            let mut order: Vec<u32> = (0..blocks).collect();
            if backwards {
                order.reverse();
            }
            let (promised, taken) = map.insert_promised(order);
            assert!(promised <= 3 * taken + 8, "{promised} for {taken}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn no_order_and_no_map_takes_more(
        stride in 2..9u32,
        count in prop_oneof![0..40u32, 100..800u32, 2000..5000u32],
        holes in proptest::collection::vec((0..30_000u32, 1..900u32), 0..20),
        first in 0..30_000u32,
        pending in proptest::collection::vec((0..30_000u32, 1..200u32, any::<bool>()), 1..30),
        scattered in proptest::collection::vec(0..40_000u32, 0..400),
        shuffle in any::<u64>(),
    ) {
        let mut map = Map::new();
        (0..count).for_each(|i| map.insert(first + i * stride));
        for (at, len) in holes {
            map.remove(first + at, first + at + len);
        }
        let mut new = BTreeSet::new();
        for (at, len, every) in pending {
            new.extend((at..at + len).filter(|b| every || b % 2 == 0));
        }
        new.extend(scattered);
        let mut order: Vec<u32> = new.difference(&map.used).copied().collect();
        let key = |b: &u32| (u64::from(*b) ^ shuffle).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        match shuffle % 4 {
            0 => order.reverse(),
            1 => order.sort_by_key(|b| (b % 2, *b)),
            2 => order.sort_by_key(key),
            _ => (),
        }
        map.insert_promised(order);
    }
}
