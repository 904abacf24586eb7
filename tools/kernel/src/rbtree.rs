// SPDX-License-Identifier: GPL-2.0

//! Red-black trees: the kernel's interface over a `BTreeMap`.
//!
//! Cursors that change the tree remember their key, so they want `K: Clone`; the kernel's do not.

use std::{
    collections::{
        btree_map,
        BTreeMap, //
    },
    ops::Bound,
};

use crate::{
    alloc::{
        attempt,
        Flags, //
    },
    error::Result,
};

mod cursor;

pub use cursor::{
    Cursor,
    CursorMut, //
};

/// A map with keys in order; a node's memory is allocated before it is inserted.
pub struct RBTree<K, V> {
    map: BTreeMap<K, V>,
}

impl<K, V> RBTree<K, V> {
    /// An empty tree, without an allocation.
    pub fn new() -> Self {
        Self {
            map: BTreeMap::new(),
        }
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// All nodes in the order of their keys.
    pub fn iter(&self) -> Iter<'_, K, V> {
        self.map.iter()
    }

    /// All nodes in the order of their keys, values mutable.
    pub fn iter_mut(&mut self) -> IterMut<'_, K, V> {
        self.map.iter_mut()
    }

    /// All keys in order.
    pub fn keys(&self) -> impl Iterator<Item = &'_ K> {
        self.map.keys()
    }

    /// All values in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &'_ V> {
        self.map.values()
    }

    /// All values, mutable, in the order of their keys.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &'_ mut V> {
        self.map.values_mut()
    }
}

impl<K: Ord, V> RBTree<K, V> {
    /// Inserts a value and returns the node that it replaces; fails only for memory.
    pub fn try_create_and_insert(
        &mut self,
        key: K,
        value: V,
        flags: Flags,
    ) -> Result<Option<RBTreeNode<K, V>>> {
        Ok(self.insert(RBTreeNode::new(key, value, flags)?))
    }

    /// Inserts a node and returns the one that it replaces.
    pub fn insert(&mut self, node: RBTreeNode<K, V>) -> Option<RBTreeNode<K, V>> {
        let old = self.map.remove_entry(&node.key);
        self.map.insert(node.key, node.value);
        old.map(RBTreeNode::of)
    }

    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.map.get(key)
    }

    /// The value of a key, mutable.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.map.get_mut(key)
    }

    /// Takes the node of a key out.
    pub fn remove_node(&mut self, key: &K) -> Option<RBTreeNode<K, V>> {
        self.map.remove_entry(key).map(RBTreeNode::of)
    }

    /// Takes the value of a key out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.map.remove(key)
    }

    /// The entry of a key, there or not.
    pub fn entry(&mut self, key: K) -> Entry<'_, K, V> {
        match self.map.entry(key) {
            btree_map::Entry::Vacant(e) => Entry::Vacant(VacantEntry(e)),
            btree_map::Entry::Occupied(e) => Entry::Occupied(OccupiedEntry(e)),
        }
    }

    /// A cursor at the smallest key.
    pub fn cursor_front(&self) -> Option<Cursor<'_, K, V>> {
        Cursor::at(&self.map, self.map.first_key_value())
    }

    /// A cursor at the largest key.
    pub fn cursor_back(&self) -> Option<Cursor<'_, K, V>> {
        Cursor::at(&self.map, self.map.last_key_value())
    }

    /// A cursor at the smallest key that is not less than `key`.
    pub fn cursor_lower_bound(&self, key: &K) -> Option<Cursor<'_, K, V>> {
        let from = (Bound::Included(key), Bound::Unbounded);
        Cursor::at(&self.map, self.map.range::<K, _>(from).next())
    }
}

impl<K: Ord + Clone, V> RBTree<K, V> {
    /// The entry of a key, if it is there.
    pub fn find_mut(&mut self, key: &K) -> Option<OccupiedEntry<'_, K, V>> {
        match self.map.entry(key.clone()) {
            btree_map::Entry::Vacant(_) => None,
            btree_map::Entry::Occupied(e) => Some(OccupiedEntry(e)),
        }
    }

    /// A changing cursor at the smallest key.
    pub fn cursor_front_mut(&mut self) -> Option<CursorMut<'_, K, V>> {
        let key = self.map.first_key_value()?.0.clone();
        Some(CursorMut::at(&mut self.map, key))
    }

    /// A changing cursor at the largest key.
    pub fn cursor_back_mut(&mut self) -> Option<CursorMut<'_, K, V>> {
        let key = self.map.last_key_value()?.0.clone();
        Some(CursorMut::at(&mut self.map, key))
    }

    /// A changing cursor at the smallest key that is not less than `key`.
    pub fn cursor_lower_bound_mut(&mut self, key: &K) -> Option<CursorMut<'_, K, V>> {
        let key = self.cursor_lower_bound(key)?.current().0.clone();
        Some(CursorMut::at(&mut self.map, key))
    }
}

impl<K, V> Default for RBTree<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

/// An iterator over a tree's nodes.
pub type Iter<'a, K, V> = btree_map::Iter<'a, K, V>;
/// An iterator over a tree's nodes, values mutable.
pub type IterMut<'a, K, V> = btree_map::IterMut<'a, K, V>;

impl<'a, K, V> IntoIterator for &'a RBTree<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, K, V> IntoIterator for &'a mut RBTree<K, V> {
    type Item = (&'a K, &'a mut V);
    type IntoIter = IterMut<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

/// Memory for a node that will come.
pub struct RBTreeNodeReservation<K, V>(core::marker::PhantomData<(K, V)>);

impl<K, V> RBTreeNodeReservation<K, V> {
    /// Allocates memory for a node.
    pub fn new(_flags: Flags) -> Result<Self> {
        attempt()?;
        Ok(Self(core::marker::PhantomData))
    }

    /// Fills the memory.
    pub fn into_node(self, key: K, value: V) -> RBTreeNode<K, V> {
        RBTreeNode { key, value }
    }
}

/// A node outside a tree.
pub struct RBTreeNode<K, V> {
    key: K,
    value: V,
}

impl<K, V> RBTreeNode<K, V> {
    /// Allocates and fills a node.
    pub fn new(key: K, value: V, flags: Flags) -> Result<Self> {
        Ok(RBTreeNodeReservation::new(flags)?.into_node(key, value))
    }

    /// The node's content.
    pub fn to_key_value(self) -> (K, V) {
        (self.key, self.value)
    }

    /// Drops the content and keeps the memory.
    pub fn into_reservation(self) -> RBTreeNodeReservation<K, V> {
        RBTreeNodeReservation(core::marker::PhantomData)
    }

    fn of((key, value): (K, V)) -> Self {
        Self { key, value }
    }
}

/// A view into one entry, there or not.
pub enum Entry<'a, K, V> {
    /// The key is not in the tree.
    Vacant(VacantEntry<'a, K, V>),
    /// The key is in the tree.
    Occupied(OccupiedEntry<'a, K, V>),
}

/// A place for a node.
pub struct VacantEntry<'a, K, V>(btree_map::VacantEntry<'a, K, V>);

impl<'a, K: Ord, V> VacantEntry<'a, K, V> {
    /// Inserts the value into memory reserved before.
    pub fn insert(self, value: V, _reservation: RBTreeNodeReservation<K, V>) -> &'a mut V {
        self.0.insert(value)
    }
}

/// A node in the tree.
pub struct OccupiedEntry<'a, K, V>(btree_map::OccupiedEntry<'a, K, V>);

impl<'a, K: Ord, V> OccupiedEntry<'a, K, V> {
    /// The value.
    pub fn get(&self) -> &V {
        self.0.get()
    }

    /// The value, mutable.
    pub fn get_mut(&mut self) -> &mut V {
        self.0.get_mut()
    }

    /// The value, mutable, for as long as the tree is borrowed.
    pub fn into_mut(self) -> &'a mut V {
        self.0.into_mut()
    }

    /// Takes the node out.
    pub fn remove_node(self) -> RBTreeNode<K, V> {
        RBTreeNode::of(self.0.remove_entry())
    }

    /// Takes the value out.
    pub fn remove(self) -> V {
        self.0.remove()
    }
}
