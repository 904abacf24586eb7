// SPDX-License-Identifier: GPL-2.0

//! Blocks of one file that have data in memory, or on its way to the device, but no place in the
//! file's extent map yet.
//!
//! A buffered write into a hole *delays* blocks: space is promised, no block is chosen. Writeback
//! *chooses* blocks for a run of them and starts the data write. When that has completed, the blocks
//! are *settled*: they leave this map in the same operation that enters them in the extent map. So the
//! extent map, which the journal makes durable, never names a block whose data was not written.
//!
//! With the blocks goes a promise of the metadata that it may take to enter them, at worst
//! ([`Shape::worst_nodes`]); [`crate::volume::Volume`] makes it and takes it back.
//!
//! The map is volatile and small: its size follows the number of runs, not of blocks. One lock of the
//! file serialises it (the caller's); nothing here sleeps but the allocation of nodes.

use crate::extent::Shape;
use kernel::prelude::*;
use kernel::rbtree::{RBTree, RBTreeNode};

/// What is known of a run of blocks without a place in the extent map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Space is promised.
    Delayed,
    /// The run starts at this block of the device.
    Chosen(u64),
}

impl State {
    /// The state of the same run from its `by`th block on.
    fn advanced(self, by: u64) -> State {
        match self {
            State::Delayed => State::Delayed,
            State::Chosen(phys) => State::Chosen(phys.wrapping_add(by)),
        }
    }
}

/// Run of blocks of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// First block in the file.
    pub logical: u64,
    /// Blocks, at least one.
    pub len: u64,
    /// What is known of it.
    pub state: State,
}

impl Run {
    fn end(&self) -> u64 {
        self.logical.saturating_add(self.len)
    }

    /// The part of this run within `[from, to)`, if any.
    fn clipped(&self, from: u64, to: u64) -> Option<Run> {
        let start = self.logical.max(from);
        let end = self.end().min(to);
        (start < end).then(|| Run {
            logical: start,
            len: end - start,
            state: self.state.advanced(start - self.logical),
        })
    }

    /// Whether `next` goes on where this run ends, in the file and on the device.
    fn joins(&self, next: &Run) -> bool {
        self.end() == next.logical && self.state.advanced(self.len) == next.state
    }
}

/// Volatile map of one file.
///
/// # Invariants
///
/// `DISJOINT`: runs do not overlap, and none is empty.
pub struct WriteMap {
    runs: RBTree<u64, (u64, State)>,
    delayed: u64,
    /// Blocks in any state.
    blocks: u64,
    /// Ranges without a gap that the runs make up.
    groups: u64,
    /// Blocks of metadata that are promised for entering what is in the map.
    pub(crate) nodes: u64,
    /// The file's extent map, as it was at some time since this map was last empty.
    pub(crate) shape: Option<Shape>,
}

impl WriteMap {
    /// An empty map.
    pub fn new() -> Self {
        Self {
            runs: RBTree::new(),
            delayed: 0,
            blocks: 0,
            groups: 0,
            nodes: 0,
            shape: None,
        }
    }

    /// Blocks of metadata that entering what is in the map takes at worst.
    pub(crate) fn worst_nodes(&self) -> u64 {
        let worst = |shape: Shape| shape.worst_nodes(self.groups, self.blocks);
        self.shape.map_or(0, worst)
    }

    /// The same for a file of `shape`, with blocks `[logical, logical + len)` that are not in the map.
    pub(crate) fn worst_nodes_with(&self, shape: Shape, logical: u64, len: u64) -> u64 {
        let groups = self.groups + 1 - self.touching(logical, logical.saturating_add(len));
        shape.worst_nodes(groups, self.blocks.saturating_add(len))
    }

    /// How many runs end at `start` or begin at `end`.
    fn touching(&self, start: u64, end: u64) -> u64 {
        let before = start.checked_sub(1).and_then(|last| self.before(last));
        let joins_before = before.is_some_and(|run| run.end() == start);
        let joins_after = self.from(end).is_some_and(|run| run.logical == end);
        u64::from(joins_before) + u64::from(joins_after)
    }

    /// A run is about to enter the map.
    fn count_in(&mut self, logical: u64, len: u64) {
        self.groups = self.groups + 1 - self.touching(logical, logical.saturating_add(len));
        self.blocks += len;
    }

    /// A run has left the map.
    fn count_out(&mut self, logical: u64, len: u64) {
        self.groups = self.groups + self.touching(logical, logical.saturating_add(len)) - 1;
        self.blocks -= len;
    }

    /// Blocks in state [`State::Delayed`].
    pub fn delayed(&self) -> u64 {
        self.delayed
    }

    /// Whether nothing is on its way.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// First run that ends behind block `logical`: it holds that block or follows it.
    pub fn at_or_after(&self, logical: u64) -> Option<Run> {
        let holds = self.before(logical).filter(|run| run.end() > logical);
        holds.or_else(|| self.from(logical))
    }

    /// Delays blocks `[logical, logical + len)` that are not in the map. Returns how many those are.
    ///
    /// On `ENOMEM` nothing has changed.
    pub fn delay(&mut self, logical: u64, len: u64) -> Result<u64> {
        let end = logical.checked_add(len).ok_or(EFBIG)?;
        let mut gaps = KVec::new();
        let mut at = logical;
        while at < end {
            let next = self.at_or_after(at);
            let stop = next.map_or(end, |run| run.logical.clamp(at, end));
            if stop > at {
                gaps.push((at, stop - at), GFP_KERNEL)?;
            }
            at = next.map_or(end, |run| run.end().max(stop));
        }
        let mut added: u64 = 0;
        for i in 0..gaps.len() {
            let Some(&(start, count)) = gaps.get(i) else {
                break;
            };
            self.count_in(start, count);
            let inserted =
                self.runs
                    .try_create_and_insert(start, (count, State::Delayed), GFP_KERNEL);
            if let Err(e) = inserted {
                self.count_out(start, count);
                for &(start, count) in gaps.iter().take(i) {
                    self.runs.remove(&start);
                    self.delayed -= count;
                    self.count_out(start, count);
                }
                return Err(e);
            }
            self.delayed += count;
            added += count;
        }
        self.merge_around(logical, end);
        Ok(added)
    }

    /// Gives blocks `[logical, logical + len)` the device's blocks from `phys`; a block that had been
    /// chosen before must not be in the range. Returns how many of them had been delayed.
    ///
    /// On `ENOMEM` nothing has changed.
    pub fn choose(&mut self, logical: u64, len: u64, phys: u64) -> Result<u64> {
        let mut delayed = 0;
        // Before the blocks leave the map: they could not come back without memory.
        let node = RBTreeNode::new(logical, (len, State::Chosen(phys)), GFP_KERNEL)?;
        self.take(logical, len, |run| {
            if run.state == State::Delayed {
                delayed += run.len;
            }
        })?;
        self.count_in(logical, len);
        self.runs.insert(node);
        Ok(delayed)
    }

    /// Takes the blocks `[logical, logical + len)` out of the map, telling `f` each run of them.
    ///
    /// On `ENOMEM`, which only cutting a run in the middle can give, nothing has changed.
    pub fn take(&mut self, logical: u64, len: u64, f: impl FnMut(Run)) -> Result {
        self.take_if(logical, len, |_| true, f)
    }

    /// Like [`WriteMap::take`], but leaves what is only delayed.
    pub fn take_chosen(&mut self, logical: u64, len: u64, f: impl FnMut(Run)) -> Result {
        self.take_if(logical, len, |state| state != State::Delayed, f)
    }

    /// Like [`WriteMap::take`], but leaves what was chosen.
    pub fn take_delayed(&mut self, logical: u64, len: u64, f: impl FnMut(Run)) -> Result {
        self.take_if(logical, len, |state| state == State::Delayed, f)
    }

    fn take_if(
        &mut self,
        logical: u64,
        len: u64,
        wanted: impl Fn(State) -> bool,
        mut f: impl FnMut(Run),
    ) -> Result {
        let end = logical.saturating_add(len);
        self.cut(logical)?;
        self.cut(end)?;
        let mut at = logical;
        while let Some(run) = self.from(at).filter(|run| run.logical < end) {
            at = run.end();
            if !wanted(run.state) {
                continue;
            }
            self.runs.remove(&run.logical);
            self.count_out(run.logical, run.len);
            if run.state == State::Delayed {
                self.delayed -= run.len;
            }
            f(run);
        }
        Ok(())
    }

    /// Whether one of blocks `[logical, logical + len)` is chosen.
    pub fn has_chosen(&self, logical: u64, len: u64) -> bool {
        // The error that ends the search is not one.
        self.chosen(logical, len, |_| Err(EEXIST)).is_err()
    }

    /// Tells `f` the chosen runs within `[logical, logical + len)`, clipped to it.
    pub fn chosen(&self, logical: u64, len: u64, mut f: impl FnMut(Run) -> Result) -> Result {
        let end = logical.saturating_add(len);
        let mut at = logical;
        while let Some(run) = self.at_or_after(at).filter(|run| run.logical < end) {
            if let (State::Chosen(_), Some(part)) = (run.state, run.clipped(logical, end)) {
                f(part)?;
            }
            at = run.end();
        }
        Ok(())
    }

    fn run((&logical, &(len, state)): (&u64, &(u64, State))) -> Run {
        Run {
            logical,
            len,
            state,
        }
    }

    fn from(&self, logical: u64) -> Option<Run> {
        self.runs
            .cursor_lower_bound(&logical)
            .map(|cursor| Self::run(cursor.current()))
    }

    /// Last run that starts before `logical` or at it.
    fn before(&self, logical: u64) -> Option<Run> {
        match self.runs.cursor_lower_bound(&logical) {
            Some(cursor) if *cursor.current().0 == logical => Some(Self::run(cursor.current())),
            Some(cursor) => cursor.peek_prev().map(Self::run),
            None => self.runs.cursor_back().map(|c| Self::run(c.current())),
        }
    }

    /// Makes `at` a border between runs.
    fn cut(&mut self, at: u64) -> Result {
        let Some(run) = self.before(at).filter(|r| r.logical < at && r.end() > at) else {
            return Ok(());
        };
        let head = at - run.logical;
        let tail = (run.len - head, run.state.advanced(head));
        self.runs.try_create_and_insert(at, tail, GFP_KERNEL)?;
        if let Some(entry) = self.runs.get_mut(&run.logical) {
            entry.0 = head;
        }
        Ok(())
    }

    /// Joins runs that touch within `[from, to]`, so that sequential writing keeps one run.
    fn merge_around(&mut self, from: u64, to: u64) {
        let mut at = from.saturating_sub(1);
        while let Some(run) = self.at_or_after(at).filter(|run| run.logical <= to) {
            match self.from(run.end()) {
                Some(next) if run.joins(&next) => {
                    self.runs.remove(&next.logical);
                    if let Some(entry) = self.runs.get_mut(&run.logical) {
                        entry.0 += next.len;
                    }
                    at = run.logical;
                }
                _ => at = run.end(),
            }
        }
    }
}

impl Default for WriteMap {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
