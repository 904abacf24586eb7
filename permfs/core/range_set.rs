// SPDX-License-Identifier: GPL-2.0

//! A set of `u64` kept as ranges: delayed-allocation blocks of an inode, blocks whose freeing waits.

use kernel::prelude::*;
use kernel::rbtree::{RBTree, RBTreeNode};

/// A set of numbers that takes up as much memory as it has gaps.
///
/// # Invariants
///
/// `ranges` maps the first number of each range to the one behind its last. No range is empty, and
/// between two ranges at least one number is missing. `total` is the sum of their lengths.
pub struct RangeSet {
    ranges: RBTree<u64, u64>,
    total: u64,
}

impl RangeSet {
    /// A set without numbers.
    pub fn new() -> Self {
        Self {
            ranges: RBTree::new(),
            total: 0,
        }
    }

    /// How many numbers are in the set.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Whether no number is in the set.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// Whether `n` is in the set.
    pub fn contains(&self, n: u64) -> bool {
        self.at_or_before(n).is_some_and(|(_, end)| n < end)
    }

    /// The numbers from `start` to before `start + len` that are in the set, counted.
    pub fn overlap(&self, start: u64, len: u64) -> u64 {
        let end = start.saturating_add(len);
        let mut count = 0;
        let mut next = self.next_from(start);
        while let Some((first, behind)) = next.filter(|&(first, _)| first < end) {
            count += behind.min(end) - first;
            next = self.next_from(behind);
        }
        count
    }

    /// The first range with a number not below `n`, cut off below `n`: its first number, and the one
    /// behind its last.
    pub fn next_from(&self, n: u64) -> Option<(u64, u64)> {
        match self.at_or_before(n) {
            Some((_, end)) if n < end => Some((n, end)),
            _ => self.at_or_after(n),
        }
    }

    /// All ranges in order, each as its first number and the one behind its last.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.ranges.iter().map(|(&start, &end)| (start, end))
    }

    /// Adds `len` numbers from `start` on. Returns how many of them are new.
    ///
    /// Errors: `EINVAL` if they overflow, `ENOMEM`; the set is then as before.
    pub fn insert(&mut self, start: u64, len: u64) -> Result<u64> {
        let end = start.checked_add(len).ok_or(EINVAL)?;
        if len == 0 {
            return Ok(0);
        }
        // The range before takes the new one in if they touch.
        let before = self
            .at_or_before(start)
            .filter(|&(_, behind)| start <= behind);
        let first = before.map_or(start, |(first, _)| first);
        // So does the new one with every range that begins in it or right behind it.
        let last = self.at_or_before(end).filter(|&(other, _)| other >= first);
        let behind = last.map_or(end, |(_, behind)| behind.max(end));
        let new = len - self.overlap(start, len);

        match before {
            Some(_) => {
                if let Some(value) = self.ranges.get_mut(&first) {
                    *value = behind;
                }
            }
            // The only allocation comes before the first change.
            None => {
                self.ranges
                    .try_create_and_insert(first, behind, GFP_KERNEL)?;
            }
        }
        while let Some((other, _)) = self
            .at_or_after(first + 1)
            .filter(|&(other, _)| other <= end)
        {
            self.ranges.remove(&other);
        }
        // INVARIANT: what lay in or touched the new range is part of it now.
        self.total += new;
        Ok(new)
    }

    /// Takes out the `len` numbers from `start` on. Returns how many of them were in the set.
    ///
    /// Errors: `ENOMEM` if a range is cut in two; the set is then as before.
    pub fn remove(&mut self, start: u64, len: u64) -> Result<u64> {
        let end = start.saturating_add(len);
        let gone = self.overlap(start, len);
        if gone == 0 {
            return Ok(0);
        }
        if let Some((first, behind)) = self
            .at_or_before(start)
            .filter(|&(f, b)| f < start && start < b)
        {
            let tail = if end < behind {
                Some(RBTreeNode::new(end, behind, GFP_KERNEL)?)
            } else {
                None
            };
            if let Some(value) = self.ranges.get_mut(&first) {
                *value = start;
            }
            if let Some(node) = tail {
                self.ranges.insert(node);
            }
        }
        while let Some((first, behind)) = self.at_or_after(start).filter(|&(first, _)| first < end)
        {
            let node = self.ranges.remove_node(&first);
            if let Some(node) = node.filter(|_| end < behind) {
                // What is left of it begins later: the node's memory serves again.
                self.ranges
                    .insert(node.into_reservation().into_node(end, behind));
            }
        }
        // INVARIANT: what is left of a range is not empty and apart from the others.
        self.total -= gone;
        Ok(gone)
    }

    /// Takes out everything.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    fn at_or_after(&self, n: u64) -> Option<(u64, u64)> {
        let cursor = self.ranges.cursor_lower_bound(&n)?;
        let (&start, &end) = cursor.current();
        Some((start, end))
    }

    fn at_or_before(&self, n: u64) -> Option<(u64, u64)> {
        let copy = |(&start, &end): (&u64, &u64)| (start, end);
        match self.ranges.cursor_lower_bound(&n) {
            Some(cursor) if *cursor.current().0 == n => Some(copy(cursor.current())),
            Some(cursor) => cursor.peek_prev().map(copy),
            None => self
                .ranges
                .cursor_back()
                .map(|cursor| copy(cursor.current())),
        }
    }
}

impl Default for RangeSet {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Numbers at both ends of the range, close enough that ranges meet.
    fn any_start() -> impl Strategy<Value = u64> {
        prop_oneof![0u64..120, (0u64..20).prop_map(|n| u64::MAX - n)]
    }

    fn assert_same(set: &RangeSet, model: &BTreeSet<u64>) {
        let mut numbers = BTreeSet::new();
        let mut behind = None;
        for (start, end) in set.iter() {
            assert!(
                start < end && behind.is_none_or(|b| b < start),
                "{start}..{end}"
            );
            behind = Some(end);
            numbers.extend(start..end);
        }
        assert_eq!(&numbers, model);
        assert_eq!(set.total(), model.len() as u64);
        assert_eq!(set.is_empty(), model.is_empty());
    }

    proptest! {
        #[test]
        fn agrees_with_a_set_of_numbers(
            steps in prop::collection::vec((any_start(), 0u64..30, 0u8..4), 1..120),
        ) {
            let (mut set, mut model) = (RangeSet::new(), BTreeSet::new());
            for (start, len, what) in steps {
                let numbers = start..start.saturating_add(len);
                let there = numbers.clone().filter(|n| model.contains(n)).count() as u64;
                prop_assert_eq!(set.overlap(start, len), there);
                match what {
                    0 | 1 if start.checked_add(len).is_none() => {
                        prop_assert_eq!(set.insert(start, len), Err(EINVAL));
                    }
                    0 | 1 => {
                        prop_assert_eq!(set.insert(start, len), Ok(len - there));
                        model.extend(numbers);
                    }
                    2 => {
                        prop_assert_eq!(set.remove(start, len), Ok(there));
                        model.retain(|n| !numbers.contains(n));
                    }
                    _ => {
                        prop_assert_eq!(set.contains(start), model.contains(&start));
                        let next = set.next_from(start).map(|(first, _)| first);
                        prop_assert_eq!(next, model.range(start..).next().copied());
                    }
                }
                assert_same(&set, &model);
            }
            set.clear();
            assert_same(&set, &BTreeSet::new());
        }

        #[test]
        fn without_memory_a_change_happens_wholly_or_not_at_all(
            steps in prop::collection::vec((any_start(), 1u64..30, any::<bool>()), 1..120),
        ) {
            let (mut set, mut model) = (RangeSet::new(), BTreeSet::new());
            for (start, len, add) in steps {
                let change = |set: &mut RangeSet| match add {
                    true => set.insert(start, len),
                    false => set.remove(start, len),
                };
                let refused = {
                    let _guard = kernel::alloc::fail_after(0);
                    change(&mut set) == Err(ENOMEM)
                };
                if refused {
                    assert_same(&set, &model);
                    // Only a new range or a second piece of one needs memory.
                    prop_assert!(change(&mut set) != Ok(0));
                }
                match start.checked_add(len) {
                    Some(end) if add => model.extend(start..end),
                    _ if add => (),
                    end => model.retain(|n| *n < start || *n >= end.unwrap_or(u64::MAX)),
                }
                assert_same(&set, &model);
            }
        }
    }
}
