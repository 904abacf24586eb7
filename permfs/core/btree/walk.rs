// SPDX-License-Identifier: GPL-2.0

//! Visiting every node: counting, listing blocks, checking.

use super::edit::read_node;
use super::node::{Fault, Node, Range};
use super::path::Step;
use super::{Tree, MAX_LEVEL};
use crate::meta::MetaRead;
use kernel::prelude::*;

/// What [`Tree::check`] comes across.
#[derive(Debug)]
pub enum Seen<'a> {
    /// A node that is whole, before what is below it.
    Node {
        /// Its block.
        block: u64,
        /// Its level.
        level: u8,
    },
    /// An entry of the leaf that was seen last. Keys ascend.
    Entry {
        /// Its key.
        key: u64,
        /// Its value.
        value: &'a [u8],
    },
    /// A node that is not whole, or unreadable. Nothing below it is visited.
    Fault {
        /// Its block as the parent has it.
        block: u64,
        /// The level that it should have.
        level: u8,
        /// What is wrong.
        fault: Fault,
    },
}

impl Tree {
    /// Checks the whole tree and hands all nodes, entries and faults to `f`, in order.
    ///
    /// Each block is handed over as a node once at most, however the tree is corrupted.
    ///
    /// Errors: those of `f` only.
    pub fn check<S: MetaRead>(&self, s: &mut S, mut f: impl FnMut(Seen<'_>) -> Result) -> Result {
        self.visit(s, |block, level, range, node| {
            let checked = node.and_then(|n| n.verify(range).and(n.verify_disjoint()).map(|()| n));
            let node = match checked {
                Ok(node) => node,
                Err(fault) => {
                    f(Seen::Fault {
                        block,
                        level,
                        fault,
                    })?;
                    return Ok(false);
                }
            };
            f(Seen::Node { block, level })?;
            if level == 0 {
                for i in 0..node.head.count {
                    let record = node.record(i)?;
                    f(Seen::Entry {
                        key: record.key,
                        value: record.body,
                    })?;
                }
            }
            Ok(true)
        })
    }

    /// Hands block and level of every node to `f`, parents first.
    ///
    /// Errors: `EFSCORRUPTED` at the first node that is not whole; those of `f`.
    pub fn walk<S: MetaRead>(&self, s: &mut S, mut f: impl FnMut(u64, u8) -> Result) -> Result {
        self.visit(s, |block, level, range, node| {
            node?.verify(range)?;
            f(block, level)?;
            Ok(true)
        })
    }

    /// Hands the block of every node to `f`, parents first. Errors: as [`Tree::walk`].
    pub fn blocks<S: MetaRead>(&self, s: &mut S, mut f: impl FnMut(u64) -> Result) -> Result {
        self.walk(s, |block, _| f(block))
    }

    /// Counts the entries. Errors: as [`Tree::walk`].
    pub fn count<S: MetaRead>(&self, s: &mut S) -> Result<u64> {
        let mut entries = 0u64;
        self.visit(s, |_, level, range, node| {
            let node = node?;
            node.verify(range)?;
            if level == 0 {
                entries += u64::try_from(node.head.count)?;
            }
            Ok(true)
        })?;
        Ok(entries)
    }

    /// Hands every node to `f`, parents first: block, level, the keys it should cover, and the node or
    /// why it cannot be read. `f` tells whether to go on below the node, and has verified it if so.
    fn visit<S: MetaRead>(
        &self,
        s: &mut S,
        mut f: impl FnMut(u64, u8, Range, Result<Node<'_>, Fault>) -> Result<bool>,
    ) -> Result {
        if self.is_empty() {
            return Ok(());
        }
        let top = Step {
            block: self.root,
            range: Range::ALL,
            slot: 0,
        };
        if self.level > MAX_LEVEL {
            return f(top.block, self.level, top.range, Err(Fault::Level)).map(|_| ());
        }
        // The way to the node at hand; `slot` is that of the next child to visit.
        let mut way = [top; MAX_LEVEL as usize + 1];
        let mut level = self.level;
        let node = read_node(s, top.block, self.owner, level);
        let mut below = f(top.block, level, top.range, node)? && level > 0;
        loop {
            let child = if below {
                self.next_child(s, &mut way, level)?
            } else {
                None
            };
            if let Some(child) = child {
                level -= 1;
                *way.get_mut(usize::from(level)).ok_or(EFSCORRUPTED)? = child;
                let node = read_node(s, child.block, self.owner, level);
                below = f(child.block, level, child.range, node)? && level > 0;
            } else if level < self.level {
                level += 1;
                below = true;
            } else {
                return Ok(());
            }
        }
    }

    /// The next child to visit of the node at `level` on the way, if one is left.
    fn next_child<S: MetaRead>(
        &self,
        s: &mut S,
        way: &mut [Step],
        level: u8,
    ) -> Result<Option<Step>> {
        let step = way.get_mut(usize::from(level)).ok_or(EFSCORRUPTED)?;
        let node = read_node(s, step.block, self.owner, level)?;
        if step.slot >= node.head.count {
            return Ok(None);
        }
        let range = node.child_range(step.slot, step.range)?;
        let child = Step {
            block: node.child(step.slot)?,
            range,
            slot: 0,
        };
        step.slot += 1;
        Ok(Some(child))
    }
}
