// SPDX-License-Identifier: GPL-2.0

//! Removal, merging, and taking a whole tree down.

use super::batch::Batch;
use super::edit::{read_node, Edit};
use super::node::{Head, CAPACITY};
use super::path::{Path, Step};
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
        let mut path = Path::new();
        self.descend(s, key, &mut path)?;
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
                match tree.merge(s, level, parent)? {
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
            let mut path = Path::new();
            tree.descend(s, u64::MAX, &mut path)?;
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

    /// Merges the sparse child of `level` at `parent.slot` with a neighbour. Returns the parent's head;
    /// `None` if no neighbour has room.
    #[inline(never)]
    fn merge<S: MetaWrite>(&self, s: &mut S, level: u8, parent: Step) -> Result<Option<Head>> {
        let sparse = self
            .child(s, level, parent, parent.slot)?
            .ok_or(EFSCORRUPTED)?;
        let batch = self.open(s, level, sparse)?.batch()?;
        let slots = [parent.slot.checked_add(1), parent.slot.checked_sub(1)];
        for slot in slots.into_iter().flatten() {
            if let Some(neighbour) = self.child(s, level, parent, slot)? {
                if self.move_records(s, level, &batch, neighbour, slot > parent.slot)? {
                    s.free(sparse.block)?;
                    return self
                        .forget_child(s, level + 1, parent, neighbour.block, slot)
                        .map(Some);
                }
            }
        }
        Ok(None)
    }

    /// The child of `level` at `slot` of the node at `parent`; `None` if there is no such slot.
    #[inline(never)]
    fn child<S: MetaWrite>(
        &self,
        s: &mut S,
        level: u8,
        parent: Step,
        slot: usize,
    ) -> Result<Option<Step>> {
        let node = read_node(s, parent.block, self.owner, level + 1)?;
        if slot >= node.head.count {
            return Ok(None);
        }
        let range = node.child_range(slot, parent.range)?;
        Ok(Some(Step {
            block: node.child(slot)?,
            range,
            slot: 0,
        }))
    }

    /// Adds `batch` to the node at `to` if there is room, in front of its records or behind them.
    #[inline(never)]
    fn move_records<S: MetaWrite>(
        &self,
        s: &mut S,
        level: u8,
        batch: &Batch,
        to: Step,
        in_front: bool,
    ) -> Result<bool> {
        let mut node = self.open(s, level, to)?;
        let fits = node.head.used() + batch.used() <= MERGED;
        if fits {
            node.absorb(batch, in_front)?;
        }
        Ok(fits)
    }

    /// Takes the child at `parent.slot` out of its parent, which is of `level`. Its keys are now in
    /// `heir`, at `slot` beside it.
    #[inline(never)]
    fn forget_child<S: MetaWrite>(
        &self,
        s: &mut S,
        level: u8,
        parent: Step,
        heir: u64,
        slot: usize,
    ) -> Result<Head> {
        let mut node = self.open(s, level, parent)?;
        if slot > parent.slot {
            // The right neighbour covers both ranges from the left one's first key on.
            node.set_child(parent.slot, heir)?;
            node.remove(slot)?;
        } else {
            node.remove(parent.slot)?;
        }
        Ok(node.head)
    }

    /// Frees a root with no record, and roots with one child only.
    #[inline(never)]
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
