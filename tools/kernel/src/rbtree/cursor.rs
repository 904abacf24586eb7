// SPDX-License-Identifier: GPL-2.0

//! Cursors: a place in a tree from which its neighbours are reached.

use std::{
    collections::BTreeMap,
    ops::Bound, //
};

use super::RBTreeNode;

/// A place in a tree that is only read.
pub struct Cursor<'a, K, V> {
    map: &'a BTreeMap<K, V>,
    current: (&'a K, &'a V),
}

impl<'a, K: Ord, V> Cursor<'a, K, V> {
    pub(super) fn at(map: &'a BTreeMap<K, V>, current: Option<(&'a K, &'a V)>) -> Option<Self> {
        Some(Self {
            map,
            current: current?,
        })
    }

    /// The node that the cursor is at.
    pub fn current(&self) -> (&K, &V) {
        self.current
    }

    /// The node before.
    pub fn peek_prev(&self) -> Option<(&K, &V)> {
        prev(self.map, self.current.0)
    }

    /// The node after.
    pub fn peek_next(&self) -> Option<(&K, &V)> {
        next(self.map, self.current.0)
    }

    /// Moves to the node before.
    pub fn move_prev(self) -> Option<Self> {
        Self::at(self.map, prev(self.map, self.current.0))
    }

    /// Moves to the node after.
    pub fn move_next(self) -> Option<Self> {
        Self::at(self.map, next(self.map, self.current.0))
    }
}

/// A place in a tree that may be changed there.
///
/// # Invariants
///
/// `current` is a key of `map`.
pub struct CursorMut<'a, K, V> {
    map: &'a mut BTreeMap<K, V>,
    current: K,
}

impl<'a, K: Ord + Clone, V> CursorMut<'a, K, V> {
    pub(super) fn at(map: &'a mut BTreeMap<K, V>, current: K) -> Self {
        Self { map, current }
    }

    /// The node that the cursor is at.
    pub fn current(&self) -> (&K, &V) {
        self.map
            .get_key_value(&self.current)
            .expect("the cursor's key is in the tree")
    }

    /// The node that the cursor is at, value mutable.
    pub fn current_mut(&mut self) -> (&K, &mut V) {
        let value = self
            .map
            .get_mut(&self.current)
            .expect("the cursor's key is in the tree");
        (&self.current, value)
    }

    /// Takes the node out and moves to the next one, or the previous where there is none.
    pub fn remove_current(self) -> (Option<Self>, RBTreeNode<K, V>) {
        let after = self
            .peek_next()
            .or_else(|| self.peek_prev())
            .map(|(key, _)| key.clone());
        let node = self
            .map
            .remove_entry(&self.current)
            .expect("the cursor's key is in the tree");
        let cursor = after.map(|current| Self {
            map: self.map,
            current,
        });
        (cursor, RBTreeNode::of(node))
    }

    /// Takes the node before out.
    pub fn remove_prev(&mut self) -> Option<RBTreeNode<K, V>> {
        let key = self.peek_prev()?.0.clone();
        self.map.remove_entry(&key).map(RBTreeNode::of)
    }

    /// Takes the node after out.
    pub fn remove_next(&mut self) -> Option<RBTreeNode<K, V>> {
        let key = self.peek_next()?.0.clone();
        self.map.remove_entry(&key).map(RBTreeNode::of)
    }

    /// Moves to the node before.
    pub fn move_prev(self) -> Option<Self> {
        let current = self.peek_prev()?.0.clone();
        Some(Self {
            map: self.map,
            current,
        })
    }

    /// Moves to the node after.
    pub fn move_next(self) -> Option<Self> {
        let current = self.peek_next()?.0.clone();
        Some(Self {
            map: self.map,
            current,
        })
    }

    /// The node before.
    pub fn peek_prev(&self) -> Option<(&K, &V)> {
        prev(self.map, &self.current)
    }

    /// The node after.
    pub fn peek_next(&self) -> Option<(&K, &V)> {
        next(self.map, &self.current)
    }

    /// The node before, value mutable.
    pub fn peek_prev_mut(&mut self) -> Option<(&K, &mut V)> {
        let to = (Bound::Unbounded, Bound::Excluded(&self.current));
        self.map.range_mut::<K, _>(to).next_back()
    }

    /// The node after, value mutable.
    pub fn peek_next_mut(&mut self) -> Option<(&K, &mut V)> {
        let from = (Bound::Excluded(&self.current), Bound::Unbounded);
        self.map.range_mut::<K, _>(from).next()
    }
}

fn prev<'a, K: Ord, V>(map: &'a BTreeMap<K, V>, key: &K) -> Option<(&'a K, &'a V)> {
    map.range::<K, _>((Bound::Unbounded, Bound::Excluded(key)))
        .next_back()
}

fn next<'a, K: Ord, V>(map: &'a BTreeMap<K, V>, key: &K) -> Option<(&'a K, &'a V)> {
    map.range::<K, _>((Bound::Excluded(key), Bound::Unbounded))
        .next()
}
