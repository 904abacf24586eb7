// SPDX-License-Identifier: GPL-2.0

//! How many blocks of metadata it may take, at worst, to map blocks that have no place yet.
//!
//! Every block may come to lie on its own, and they may enter the map in any order. A node that splits
//! leaves two halves, each with room for as many records again. So beside one split for every so many
//! records there are at most as many as nodes were full before: a run of new blocks lies between two
//! neighbours in the map, hence in one leaf or in the two on either side of a border. At a tree's edge a
//! full node may stay full once (see `insert_or_split`).

use super::ExtentValue;
use crate::{
    btree::node::{leaf_records, INNER_RECORDS},
    format::inode::INLINE_EXTENTS,
    plant::{self, Fault},
};

/// Extents in a leaf at most.
const LEAF: u64 = leaf_records(size_of::<ExtentValue>());
/// Records that enter a half before it splits, in a leaf and in an inner node.
const LEAF_HALF: u64 = LEAF / 2;
const INNER_HALF: u64 = INNER_RECORDS / 2;
/// Nodes of the inode tree that a record may take which grows with its list: its leaf splits, and its growth is
/// far from splitting another one, but adds up with that of others.
const RECORD: u64 = 2;

/// What the cost of entering extents in a file's map depends on.
///
/// A map only gets cheaper by truncation, and by entering what was counted; so a shape that was read
/// before either is good afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A list in the inode's record.
    List {
        /// Runs in the list.
        runs: u64,
        /// Runs that the record has room for; it never has less while the inode lives.
        room: u64,
    },
    /// A tree. Should it become a list, the record has room for the longest.
    Tree {
        /// Level of its root.
        level: u8,
        /// Blocks that are mapped: there are not more runs, and not more leaves.
        blocks: u64,
    },
}

impl Shape {
    /// Blocks of metadata that it takes at most until `blocks` more blocks are mapped, which lie in `groups`
    /// ranges of the file without a gap.
    pub fn worst_nodes(&self, groups: u64, blocks: u64) -> u64 {
        if blocks == 0 || plant::is(Fault::Promise) {
            return 0;
        }
        match *self {
            Self::List { runs, room } => list(runs, room, blocks),
            Self::Tree {
                level,
                blocks: mapped,
            } => tree(level, mapped, groups, blocks),
        }
    }
}

fn list(runs: u64, room: u64, blocks: u64) -> u64 {
    let all = runs.saturating_add(blocks);
    let grows = all.min(INLINE_EXTENTS as u64) > room;
    let record = if grows { RECORD } else { 0 };
    let nodes = match all {
        _ if all <= INLINE_EXTENTS as u64 => 0,
        _ if all <= LEAF => 1,
        // No node was there before, so none was full.
        _ => 1 + splits(0, 0, blocks),
    };
    record + nodes
}

fn tree(level: u8, mapped: u64, groups: u64, blocks: u64) -> u64 {
    let height = u64::from(level) + 1;
    let touched = groups.saturating_mul(2).min(blocks).saturating_mul(height);
    // Of leaves with few extents more fill the nodes above, but these are none to split themselves.
    let full = touched.min(mapped.div_ceil(LEAF - 1));
    // An insertion splits one node of each level at most, and the root once.
    splits(level, full, blocks).min(blocks.saturating_mul(height).saturating_add(1))
}

/// Nodes of all levels that come into being in a tree with a root of `level`, when `full` of its nodes are.
fn splits(level: u8, full: u64, blocks: u64) -> u64 {
    // Each of the two edges of the leaves, and one of every other level, has a node that may stay full.
    let mut more = full + blocks / LEAF_HALF + 2;
    // A root that splits gets a new one above it, which then is nearly empty.
    let mut nodes = more + 1;
    let mut at = 0;
    while at < level || more >= INNER_HALF {
        at += 1;
        more = more / INNER_HALF + 1;
        nodes += more;
    }
    nodes
}

#[cfg(test)]
mod tests;
