// SPDX-License-Identifier: GPL-2.0

//! Insertion, change of a value, and splitting.

use super::batch::Batch;
use super::edit::Edit;
use super::node::{record_size, Range, CAPACITY, SLOT};
use super::path::Path;
use super::{Tree, MAX_LEVEL, MAX_VALUE};
use crate::meta::MetaWrite;
use kernel::prelude::*;

/// What a split asks of the parent: `left` instead of the old node, and `right` from `key` on.
struct Split {
    left: u64,
    key: u64,
    right: u64,
}

impl Tree {
    /// Inserts an entry.
    ///
    /// Errors: `EEXIST`, `EINVAL` if `value` is longer than [`MAX_VALUE`], `EFBIG` if the tree is as high
    /// as it may be, `EFSCORRUPTED`, and those of [`MetaWrite`].
    pub fn insert<S: MetaWrite>(&mut self, s: &mut S, key: u64, value: &[u8]) -> Result {
        if value.len() > MAX_VALUE {
            return Err(EINVAL);
        }
        if self.is_empty() {
            let mut leaf = Edit::create(s, self.owner, 0, 0)?;
            leaf.insert(0, key, value)?;
            *self = Self {
                root: leaf.block,
                level: 0,
                owner: self.owner,
            };
            return Ok(());
        }
        let mut path = Path::new();
        self.descend(s, key, &mut path)?;
        let step = path.at(0)?;
        let mut leaf = Edit::open(s, step.block, self.owner, 0, step.range)?;
        let (pos, found) = leaf.node()?.search(key, step.range)?;
        if found {
            return Err(EEXIST);
        }
        let split = insert_or_split(leaf, step.range, pos, key, value)?;
        self.link(s, &path, split)
    }

    /// Gives `key` another value. Of a value that does not grow only the bytes that differ are written.
    ///
    /// Errors: `ENOENT`, else as [`Tree::insert`].
    pub fn update<S: MetaWrite>(&mut self, s: &mut S, key: u64, value: &[u8]) -> Result {
        if value.len() > MAX_VALUE {
            return Err(EINVAL);
        }
        if self.is_empty() {
            return Err(ENOENT);
        }
        let mut path = Path::new();
        self.descend(s, key, &mut path)?;
        let step = path.at(0)?;
        let mut leaf = Edit::open(s, step.block, self.owner, 0, step.range)?;
        let (pos, found) = leaf.node()?.search(key, step.range)?;
        if !found {
            return Err(ENOENT);
        }
        if leaf.replace(pos, value)? {
            return Ok(());
        }
        leaf.remove(pos)?;
        let split = insert_or_split(leaf, step.range, pos, key, value)?;
        self.link(s, &path, split)
    }

    /// Enters `split` of the leaf at the end of `path` into the nodes above it.
    #[inline(never)]
    fn link<S: MetaWrite>(&mut self, s: &mut S, path: &Path, mut split: Option<Split>) -> Result {
        for level in 1..=self.level {
            let Some(new) = split else {
                return Ok(());
            };
            let step = path.at(level)?;
            let mut node = Edit::open(s, step.block, self.owner, level, step.range)?;
            if node.node()?.child(step.slot)? != new.left {
                node.set_child(step.slot, new.left)?;
            }
            let child = new.right.to_le_bytes();
            split = insert_or_split(node, step.range, step.slot + 1, new.key, &child)?;
        }
        match split {
            Some(new) => self.grow(s, &new),
            None => Ok(()),
        }
    }

    /// Puts a new root above the two halves of the old one.
    #[inline(never)]
    fn grow<S: MetaWrite>(&mut self, s: &mut S, halves: &Split) -> Result {
        if self.level >= MAX_LEVEL {
            return Err(EFBIG);
        }
        let level = self.level + 1;
        let mut root = Edit::create(s, self.owner, level, self.root)?;
        root.insert(0, Range::ALL.first, &halves.left.to_le_bytes())?;
        root.insert(1, halves.key, &halves.right.to_le_bytes())?;
        (self.root, self.level) = (root.block, level);
        Ok(())
    }
}

/// Inserts a record at slot `pos` of `node`, which covers `range`; splits the node if it is full.
fn insert_or_split<S: MetaWrite>(
    mut node: Edit<'_, S>,
    range: Range,
    pos: usize,
    key: u64,
    body: &[u8],
) -> Result<Option<Split>> {
    if node.fits(body.len()) {
        node.insert(pos, key, body)?;
        return Ok(None);
    }
    let (block, level, count) = (node.block, node.head.level, node.head.count);
    // Keys that only ever ascend, as inode numbers do, or descend, would leave half-empty nodes behind
    // if the records were shared out. At the tree's edges the new record gets a node of its own.
    if pos == count && range.last == Range::ALL.last {
        let right = node.sibling(|new| new.insert(0, key, body))?;
        return Ok(Some(Split {
            left: block,
            key,
            right,
        }));
    }
    if pos == 0 && level == 0 && range.first == Range::ALL.first {
        let first = node.node()?.key(0)?;
        let left = node.sibling(|new| new.insert(0, key, body))?;
        return Ok(Some(Split {
            left,
            key: first,
            right: block,
        }));
    }
    halve(node, pos, key, body).map(Some)
}

/// Splits `node` with the new record in it into two of about the same number of bytes.
#[inline(never)]
fn halve<S: MetaWrite>(mut node: Edit<'_, S>, pos: usize, key: u64, body: &[u8]) -> Result<Split> {
    let (block, level, count) = (node.block, node.head.level, node.head.count);
    let new_size = record_size(level, body.len()) + SLOT;
    let cut = balanced_cut(&mut node, pos, new_size)?;

    // Counted with the new record, the records from `cut` on go to the right.
    let new_left = pos < cut;
    let keep = if new_left { cut - 1 } else { cut };
    let mut moved = Batch::new(level)?;
    let old = node.node()?;
    for i in keep..count {
        if i == pos && !new_left {
            moved.push(key, body)?;
        }
        moved.push_record(old.record(i)?.bytes)?;
    }
    if pos == count && !new_left {
        moved.push(key, body)?;
    }
    let first = if pos == keep && !new_left {
        key
    } else {
        old.key(keep)?
    };
    node.truncate(keep)?;
    if new_left {
        node.insert(pos, key, body)?;
    }
    let right = node.sibling(|new| new.fill(&moved))?;
    Ok(Split {
        left: block,
        key: first,
        right,
    })
}

/// How many records, the new one of `new_size` bytes at `pos` included, stay in the left half.
#[inline(never)]
fn balanced_cut<S: MetaWrite>(
    node: &mut Edit<'_, S>,
    pos: usize,
    new_size: usize,
) -> Result<usize> {
    let count = node.head.count;
    let total = node.head.used() + new_size;
    let page = node.node()?;
    let (mut left, mut best) = (0, None);
    for cut in 1..=count {
        let i = cut - 1;
        left += match i {
            _ if i == pos => new_size,
            _ if i < pos => page.record(i)?.bytes.len() + SLOT,
            _ => page.record(i - 1)?.bytes.len() + SLOT,
        };
        let right = total.saturating_sub(left);
        let uneven = left.abs_diff(right);
        if left <= CAPACITY && right <= CAPACITY && best.is_none_or(|(least, _)| uneven < least) {
            best = Some((uneven, cut));
        }
    }
    best.map(|(_, cut)| cut).ok_or(EFSCORRUPTED)
}
