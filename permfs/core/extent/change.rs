// SPDX-License-Identifier: GPL-2.0

//! Mapping and unmapping blocks.
//!
//! A change is made on a copy of the fork, which replaces it at the end: after an error in the middle
//! the list or the tree's root is what it was, and the operation takes back what happened to blocks.

use super::{Fork, Progress, Run};
use crate::btree::Tree;
use crate::format::inode::{FILE_BLOCKS_MAX, INLINE_EXTENTS};
use crate::meta::MetaWrite;
use kernel::prelude::*;

/// A tree with so few runs becomes a list again; fewer than fit, so that it does not flip each time.
const SHRINK_TO: usize = INLINE_EXTENTS / 2;

impl Fork {
    /// Maps `len` blocks from block `logical` of the file to those of the device from `phys` on.
    ///
    /// `owner` is the inode, for nodes of a tree. Returns how many blocks were not mapped before: all,
    /// or 0 if the very same mapping was there.
    ///
    /// Errors: `EINVAL` if there can be no such run, `EFSCORRUPTED` if it overlaps another mapping,
    /// `ENOMEM`, and those of [`MetaWrite`].
    pub fn insert<S: MetaWrite>(
        &mut self,
        s: &mut S,
        owner: u64,
        logical: u32,
        phys: u64,
        len: u32,
    ) -> Result<u32> {
        let new = Run::new(logical, phys, len).ok_or(EINVAL)?;
        let before = self.at_or_before(s, logical)?;
        if let Some(run) = before {
            match run.part(logical.into(), new.end()) {
                Some(part) if part == new => return Ok(0),
                Some(_) => return Err(EFSCORRUPTED),
                None => (),
            }
        }
        let after = self.at_or_after(s, logical)?;
        if after.is_some_and(|run| u64::from(run.logical) < new.end()) {
            return Err(EFSCORRUPTED);
        }

        let mut work = self.duplicate()?;
        let (mut merged, mut grown) = (new, None);
        if let Some(run) = before.and_then(|run| run.joined(&new)) {
            (merged, grown) = (run, Some(run));
        }
        if let Some((next, run)) = after.and_then(|n| Some((n, merged.joined(&n)?))) {
            work.delete(s, next.logical)?;
            merged = run;
        }
        if grown.is_some() {
            work.change(s, merged)?;
        } else {
            work.put(s, merged)?;
        }
        *self = work.fit(s, owner)?;
        Ok(len)
    }

    /// Unmaps the blocks from `from` up to `to` of the file (up to 2^32), beginning with the last, and
    /// ends after `max_runs` runs of blocks at the latest.
    ///
    /// `owner` is the inode: a hole in the middle of a run may make a list too long.
    /// `freed` gets each run on the device, first block and length, that is mapped no more.
    ///
    /// Errors: `EFSCORRUPTED`, `ENOMEM`, those of [`MetaWrite`] and of `freed`.
    pub fn remove<S: MetaWrite>(
        &mut self,
        s: &mut S,
        owner: u64,
        from: u64,
        to: u64,
        max_runs: usize,
        mut freed: impl FnMut(&mut S, u64, u32) -> Result,
    ) -> Result<Progress> {
        let mut work = self.duplicate()?;
        let mut to = to.min(FILE_BLOCKS_MAX);
        let mut progress = Progress {
            blocks: 0,
            done: false,
        };
        let mut runs = 0;
        loop {
            let Some((run, part)) = work.last_mapped(s, from, to)? else {
                progress.done = true;
                break;
            };
            if runs == max_runs {
                break;
            }
            if runs > 0 && run.end() > to {
                // It overlaps the run that was unmapped before it.
                return Err(EFSCORRUPTED);
            }
            runs += 1;
            work.cut(s, run, part)?;
            freed(s, part.phys, part.len)?;
            progress.blocks += u64::from(part.len);
            to = part.logical.into();
        }
        if runs > 0 {
            *self = work.fit(s, owner)?.shrink(s)?;
        }
        Ok(progress)
    }

    /// The last run with blocks from `from` up to `to`, and these blocks of it.
    #[inline(never)]
    fn last_mapped<S: MetaWrite>(
        &self,
        s: &mut S,
        from: u64,
        to: u64,
    ) -> Result<Option<(Run, Run)>> {
        let Some(last) = to.checked_sub(1).filter(|_| from < to) else {
            return Ok(None);
        };
        let run = self.at_or_before(s, u32::try_from(last)?)?;
        Ok(run.and_then(|run| Some((run, run.part(from, to)?))))
    }

    /// Takes `part` out of `run`.
    #[inline(never)]
    fn cut<S: MetaWrite>(&mut self, s: &mut S, run: Run, part: Run) -> Result {
        match run.part(run.logical.into(), part.logical.into()) {
            Some(head) => self.change(s, head)?,
            None => self.delete(s, run.logical)?,
        }
        match run.part(part.end(), run.end()) {
            Some(tail) => self.put(s, tail),
            None => Ok(()),
        }
    }

    /// A copy that can be changed without this one.
    #[inline(never)]
    fn duplicate(&self) -> Result<Self> {
        match self {
            Self::List(list) => {
                let mut copy = KVec::with_capacity(list.len() + 1, GFP_KERNEL)?;
                copy.extend_from_slice(list, GFP_KERNEL)?;
                Ok(Self::List(copy))
            }
            Self::Tree(tree) => Ok(Self::Tree(*tree)),
        }
    }

    fn put<S: MetaWrite>(&mut self, s: &mut S, run: Run) -> Result {
        match self {
            Self::List(list) => {
                let i = list.partition_point(|other| other.logical < run.logical);
                list.reserve(1, GFP_KERNEL)?;
                Ok(list.insert_within_capacity(i, run)?)
            }
            Self::Tree(tree) => {
                found(tree.insert(s, run.logical.into(), run.to_value().as_bytes()))
            }
        }
    }

    /// Replaces the run that begins where `run` does.
    fn change<S: MetaWrite>(&mut self, s: &mut S, run: Run) -> Result {
        match self {
            Self::List(list) => {
                let old = list.iter_mut().find(|old| old.logical == run.logical);
                *old.ok_or(EFSCORRUPTED)? = run;
                Ok(())
            }
            Self::Tree(tree) => {
                found(tree.update(s, run.logical.into(), run.to_value().as_bytes()))
            }
        }
    }

    /// Removes the run that begins at block `logical`.
    fn delete<S: MetaWrite>(&mut self, s: &mut S, logical: u32) -> Result {
        match self {
            Self::List(list) => {
                list.retain(|run| run.logical != logical);
                Ok(())
            }
            Self::Tree(tree) => found(tree.remove(s, logical.into())),
        }
    }

    /// Makes a list that became too long for a record a tree.
    #[inline(never)]
    fn fit<S: MetaWrite>(self, s: &mut S, owner: u64) -> Result<Self> {
        let list = match self {
            Self::List(list) if list.len() > INLINE_EXTENTS => list,
            other => return Ok(other),
        };
        let mut tree = Tree::empty(owner);
        for run in &list {
            found(tree.insert(s, run.logical.into(), run.to_value().as_bytes()))?;
        }
        Ok(Self::Tree(tree))
    }

    /// Makes a tree that became small a list.
    #[inline(never)]
    fn shrink<S: MetaWrite>(self, s: &mut S) -> Result<Self> {
        let mut list = KVec::new();
        let mut tree = match self {
            // Only one node: whether it holds few runs shows at once.
            Self::Tree(tree) if tree.level == 0 => tree,
            other => return Ok(other),
        };
        Self::Tree(tree).for_each(s, 0, |run| {
            list.push(run, GFP_KERNEL)?;
            Ok(list.len() <= SHRINK_TO)
        })?;
        if list.len() > SHRINK_TO {
            return Ok(Self::Tree(tree));
        }
        while !tree.destroy_step(s, 1)? {}
        Ok(Self::List(list))
    }
}

/// A run that was seen is gone, or one is there that was not: the tree contradicts itself.
fn found(result: Result) -> Result {
    result.map_err(|e| {
        if e == EEXIST || e == ENOENT {
            EFSCORRUPTED
        } else {
            e
        }
    })
}
