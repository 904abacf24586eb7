// SPDX-License-Identifier: GPL-2.0

//! B+tree with unique `u64` keys and values of up to [`MAX_VALUE`] bytes.
//!
//! One type serves inodes, directories, extents and orphans. Nodes are slotted pages, so that a change
//! writes few bytes; the format is told in [`node`]. Nodes are not linked with their siblings: a scan
//! goes on by looking up the key behind the last leaf's range, which costs a descent a leaf and spares
//! a change to a third node at every split.
//!
//! Nothing read from the device is believed. Each node must have the level and lie in the range of
//! keys that its parent gives it, so a cycle, or a child with two parents, is found on the first visit.
//! Every loop ends because levels descend and keys ascend. A lookup checks what it touches; a node that
//! is to be changed is checked whole.
//!
//! A change that fails midway leaves the [`Tree`] as it was, and blocks that the failed operation takes
//! back ([`crate::meta::MetaWrite`]).

use crate::format::TreeRoot;
use crate::meta::MetaRead;
use kernel::prelude::*;

mod batch;
mod edit;
mod insert;
#[cfg(test)]
pub(crate) mod mock;
pub mod node;
mod path;
mod remove;
#[cfg(test)]
mod tests;
pub mod walk;

pub use node::Fault;
pub use walk::Seen;

use edit::read_node;
use node::{Node, Range};

/// Longest value in bytes: a leaf always holds three.
pub const MAX_VALUE: usize = 1280;
/// Highest level of a root; leaves are level 0.
pub const MAX_LEVEL: u8 = 7;

/// The root of a tree. Whoever keeps it stores it after every change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tree {
    /// Block of the root node, 0 while the tree is empty.
    pub root: u64,
    /// Level of the root node.
    pub level: u8,
    /// Owner in the header of every node.
    pub owner: u64,
}

impl Tree {
    /// A tree without entries.
    pub const fn empty(owner: u64) -> Self {
        Self {
            root: 0,
            level: 0,
            owner,
        }
    }

    /// The tree whose root stands in a block as `root`.
    ///
    /// Errors: `EFSCORRUPTED` if no tree can have that root.
    pub fn from_disk(root: &TreeRoot, owner: u64) -> Result<Self> {
        let tree = Self {
            root: root.root.get(),
            level: root.level,
            owner,
        };
        if tree.level > MAX_LEVEL || (tree.root == 0 && tree.level != 0) {
            return Err(EFSCORRUPTED);
        }
        Ok(tree)
    }

    /// The root as it stands in a block.
    pub fn to_disk(&self) -> TreeRoot {
        TreeRoot {
            root: self.root.into(),
            level: self.level,
            reserved: [0; 7],
        }
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.root == 0
    }

    /// Hands the value of `key` to `f`; `None` if there is no such key.
    pub fn get<T>(
        &self,
        s: &mut impl MetaRead,
        key: u64,
        f: impl FnOnce(&[u8]) -> Result<T>,
    ) -> Result<Option<T>> {
        if self.is_empty() {
            return Ok(None);
        }
        let (node, range) = self.leaf(s, key)?;
        match node.search(key, range)? {
            (i, true) => f(node.record(i)?.body).map(Some),
            (_, false) => Ok(None),
        }
    }

    /// Hands the entry with the first key not below `key` to `f`.
    pub fn at_or_after<T>(
        &self,
        s: &mut impl MetaRead,
        key: u64,
        f: impl FnOnce(u64, &[u8]) -> Result<T>,
    ) -> Result<Option<T>> {
        if self.is_empty() {
            return Ok(None);
        }
        let (node, range) = self.leaf(s, key)?;
        let (i, _) = node.search(key, range)?;
        if i < node.head.count {
            return entry(&node, i, range, f).map(Some);
        }
        let Some(next) = range.last.checked_add(1) else {
            return Ok(None);
        };
        // The next leaf is not empty and lies wholly behind `key`.
        let (node, range) = self.leaf(s, next)?;
        entry(&node, 0, range, f).map(Some)
    }

    /// Hands the entry with the last key not above `key` to `f`.
    pub fn at_or_before<T>(
        &self,
        s: &mut impl MetaRead,
        key: u64,
        f: impl FnOnce(u64, &[u8]) -> Result<T>,
    ) -> Result<Option<T>> {
        if self.is_empty() {
            return Ok(None);
        }
        let (node, range) = self.leaf(s, key)?;
        let (i, found) = node.search(key, range)?;
        if found {
            return entry(&node, i, range, f).map(Some);
        }
        if let Some(before) = i.checked_sub(1) {
            return entry(&node, before, range, f).map(Some);
        }
        let Some(previous) = range.first.checked_sub(1) else {
            return Ok(None);
        };
        let (node, range) = self.leaf(s, previous)?;
        entry(&node, node.head.count - 1, range, f).map(Some)
    }

    /// Hands the entry with the last key to `f`.
    pub fn last<T>(
        &self,
        s: &mut impl MetaRead,
        f: impl FnOnce(u64, &[u8]) -> Result<T>,
    ) -> Result<Option<T>> {
        self.at_or_before(s, u64::MAX, f)
    }

    /// Hands the entries from key `from` on to `f`, in order, for as long as it returns true.
    pub fn scan(
        &self,
        s: &mut impl MetaRead,
        from: u64,
        mut f: impl FnMut(u64, &[u8]) -> Result<bool>,
    ) -> Result {
        if self.is_empty() {
            return Ok(());
        }
        let mut next = from;
        loop {
            let (node, range) = self.leaf(s, next)?;
            let (start, _) = node.search(next, range)?;
            let mut below = None;
            for i in start..node.head.count {
                let record = node.record(i)?;
                if !range.contains(record.key) || below.is_some_and(|b| record.key <= b) {
                    return Err(EFSCORRUPTED);
                }
                below = Some(record.key);
                if !f(record.key, record.body)? {
                    return Ok(());
                }
            }
            match range.last.checked_add(1) {
                Some(behind) => next = behind,
                None => return Ok(()),
            }
        }
    }

    /// The leaf that covers `key`, and all keys that it covers.
    #[inline(never)]
    fn leaf<'s, S: MetaRead>(&self, s: &'s mut S, key: u64) -> Result<(Node<'s>, Range), Fault> {
        if self.level > MAX_LEVEL {
            return Err(Fault::Level);
        }
        let (mut block, mut range) = (self.root, Range::ALL);
        for level in (1..=self.level).rev() {
            let node = read_node(s, block, self.owner, level)?;
            (_, block, range) = path::child_for(&node, key, range)?;
        }
        Ok((read_node(s, block, self.owner, 0)?, range))
    }
}

/// Hands record `i` of a leaf that covers `range` to `f`.
fn entry<T>(
    node: &Node<'_>,
    i: usize,
    range: Range,
    f: impl FnOnce(u64, &[u8]) -> Result<T>,
) -> Result<T> {
    let record = node.record(i)?;
    if !range.contains(record.key) {
        return Err(EFSCORRUPTED);
    }
    f(record.key, record.body)
}
