// SPDX-License-Identifier: GPL-2.0

//! The way from the root to a leaf.

use super::edit::read_node;
use super::node::{Fault, Node, Range};
use super::{Tree, MAX_LEVEL};
use crate::meta::MetaRead;
use kernel::prelude::*;

/// One node on the way down.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) block: u64,
    /// The keys that the node covers.
    pub(super) range: Range,
    /// The slot of the child that was taken; 0 in a leaf.
    pub(super) slot: usize,
}

/// The nodes from a leaf (level 0) to the root.
pub(super) struct Path {
    steps: [Step; MAX_LEVEL as usize + 1],
}

impl Path {
    /// A way not yet gone. On the stack of whoever changes the tree, and too large to be moved about.
    #[inline(always)]
    pub(super) fn new() -> Self {
        let start = Step {
            block: 0,
            range: Range::ALL,
            slot: 0,
        };
        Self {
            steps: [start; MAX_LEVEL as usize + 1],
        }
    }

    #[inline(always)]
    pub(super) fn at(&self, level: u8) -> Result<Step> {
        self.steps
            .get(usize::from(level))
            .copied()
            .ok_or(EFSCORRUPTED)
    }
}

/// The child of inner node `node`, which covers `range`, that covers `key`: slot, block, range.
pub(super) fn child_for(
    node: &Node<'_>,
    key: u64,
    range: Range,
) -> Result<(usize, u64, Range), Fault> {
    let slot = match node.search(key, range)? {
        (i, true) => i,
        // The first record's key is the first that the node covers: 0 here means it is not.
        (i, false) => i.checked_sub(1).ok_or(Fault::Range)?,
    };
    Ok((slot, node.child(slot)?, node.child_range(slot, range)?))
}

impl Tree {
    /// Goes to the leaf that covers `key`, in a tree that is not empty, and notes the way in `path`.
    ///
    /// The inner nodes are checked as far as they are used; the leaf is not read.
    #[inline(never)]
    pub(super) fn descend<S: MetaRead>(&self, s: &mut S, key: u64, path: &mut Path) -> Result {
        let mut step = Step {
            block: self.root,
            range: Range::ALL,
            slot: 0,
        };
        let way = path.steps.get_mut(..=usize::from(self.level));
        for (level, place) in (0..=self.level).zip(way.ok_or(EFSCORRUPTED)?).rev() {
            if level == 0 {
                *place = step;
                break;
            }
            let node = read_node(s, step.block, self.owner, level)?;
            let (slot, block, range) = child_for(&node, key, step.range)?;
            *place = Step { slot, ..step };
            step = Step {
                block,
                range,
                slot: 0,
            };
        }
        Ok(())
    }
}
