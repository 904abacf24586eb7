// SPDX-License-Identifier: GPL-2.0

//! Removal, merging, and taking a whole tree down.

use super::edit::{read_node, Edit};
use super::node::{Head, CAPACITY};
use super::path::Step;
use super::Tree;
use crate::meta::MetaWrite;
use kernel::prelude::*;

/// A node with fewer bytes in use is merged with a neighbour.
const SPARSE: usize = CAPACITY / 4;
/// Bytes in use in a merged node, at most: it must not have to be split again at once.
const MERGED: usize = CAPACITY / 4 * 3;

impl Tree {
    /// Removes an entry. Empty nodes are freed, sparse ones merged with a neighbour.
    ///
    /// Errors: `ENOENT`, `EFSCORRUPTED`, and those of [`MetaWrite`].
    pub fn remove<S: MetaWrite>(&mut self, s: &mut S, key: u64) -> Result {
        if self.is_empty() {
            return Err(ENOENT);
        }
        let path = self.path(s, key)?;
        let step = path.at(0)?;
        let mut node = Edit::open(s, step.block, self.owner, 0, step.range)?;
        let (pos, found) = node.node()?.search(key, step.range)?;
        if !found {
            return Err(ENOENT);
        }
        node.remove(pos)?;

        let (mut tree, mut head) = (*self, node.head);
        for level in 0..tree.level {
            let (child, parent) = (path.at(level)?, path.at(level + 1)?);
            if head.count == 0 {
                s.free(child.block)?;
                let mut above = tree.open(s, level + 1, parent)?;
                above.remove_child(parent.slot, parent.range.first)?;
                head = above.head;
            } else if head.used() < SPARSE {
                match tree.merge(s, level, child.block, parent)? {
                    Some(above) => head = above,
                    None => return Ok(()),
                }
            } else {
                return Ok(());
            }
        }
        tree.settle_root(s, head.count)?;
        *self = tree;
        Ok(())
    }

    /// Frees nodes from the last on, about `nodes` of them, without a look at the values.
    ///
    /// Returns true once the tree is empty. Each call leaves a whole tree of what is left.
    pub fn destroy_step<S: MetaWrite>(&mut self, s: &mut S, nodes: usize) -> Result<bool> {
        let mut tree = *self;
        let mut freed = 0;
        while freed < nodes && !tree.is_empty() {
            let path = tree.path(s, u64::MAX)?;
            let mut empty = true;
            for level in 0..=tree.level {
                let step = path.at(level)?;
                // A leaf is opened too: what is freed must be a node of this tree.
                let mut node = tree.open(s, level, step)?;
                if level > 0 {
                    node.remove_child(step.slot, step.range.first)?;
                    empty = node.head.count == 0;
                }
                if !empty {
                    break;
                }
                s.free(step.block)?;
                freed += 1;
            }
            if empty {
                tree = Self::empty(tree.owner);
            }
        }
        *self = tree;
        Ok(tree.is_empty())
    }

    fn open<'s, S: MetaWrite>(&self, s: &'s mut S, level: u8, step: Step) -> Result<Edit<'s, S>> {
        Edit::open(s, step.block, self.owner, level, step.range)
    }

    /// Moves the records of sparse node `block` of `level` into a neighbour that has room for them, and
    /// frees it. `parent.slot` is the node's. Returns the parent's head; `None` if no neighbour has room.
    fn merge<S: MetaWrite>(
        &self,
        s: &mut S,
        level: u8,
        block: u64,
        parent: Step,
    ) -> Result<Option<Head>> {
        let slot = parent.slot;
        let mut above = self.open(s, level + 1, parent)?;
        let node = above.node()?;
        let range = node.child_range(slot, parent.range)?;
        let mut neighbours = [None, None];
        let slots = [slot.checked_add(1), slot.checked_sub(1)];
        for (place, i) in neighbours.iter_mut().zip(slots) {
            if let Some(i) = i.filter(|&i| i < node.head.count) {
                *place = Some((i, node.child(i)?, node.child_range(i, parent.range)?));
            }
        }
        let batch = Edit::open(s, block, self.owner, level, range)?.batch()?;
        for (i, neighbour, range) in neighbours.into_iter().flatten() {
            let mut node = Edit::open(s, neighbour, self.owner, level, range)?;
            if node.head.used() + batch.used() > MERGED {
                continue;
            }
            let in_front = i > slot;
            node.absorb(&batch, in_front)?;
            s.free(block)?;
            let mut above = self.open(s, level + 1, parent)?;
            if in_front {
                above.set_child(slot, neighbour)?;
                above.remove(i)?;
            } else {
                above.remove(slot)?;
            }
            return Ok(Some(above.head));
        }
        Ok(None)
    }

    /// Frees a root with no record, and roots with one child only.
    fn settle_root<S: MetaWrite>(&mut self, s: &mut S, records: usize) -> Result {
        if records == 0 {
            s.free(self.root)?;
            *self = Self::empty(self.owner);
        }
        while self.level > 0 {
            let node = read_node(s, self.root, self.owner, self.level)?;
            if node.head.count > 1 {
                break;
            }
            let child = node.child(0)?;
            s.free(self.root)?;
            (self.root, self.level) = (child, self.level - 1);
        }
        Ok(())
    }
}
