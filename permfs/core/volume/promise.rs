// SPDX-License-Identifier: GPL-2.0

//! Data on its way: promised, chosen, entered, given up.
//!
//! What is promised is exact. With every block of data go the blocks of metadata that it may take to enter it
//! in the map at worst, however the data comes to be scattered ([`Shape::worst_nodes`]). So once a write was
//! accepted nothing refuses it for want of space (PROMISE). When an operation enters data its promise
//! is lent to the volume, and what is still needed is taken back from what the operation left, before anybody
//! else may have it: the caller holds the volume all the while.

use super::Volume;
use crate::{
    device::BlockDevice,
    extent::Shape,
    inode::Time,
    write_map::{Run, State, WriteMap},
};
use kernel::prelude::*;

/// What [`Volume::forget`] drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Everything: it will never be written.
    All,
    /// Blocks the data of which could not be written.
    Chosen,
    /// Blocks for which no place was chosen yet.
    Delayed,
}

impl<D: BlockDevice> Volume<D> {
    /// Promises space to blocks `[first, first + len)` of file `ino`, which have no place and are not in `map`,
    /// and delays them there. Where there is not enough for all, for as many from `first` on as halving finds, but not
    /// for fewer than `least`.
    ///
    /// Returns how many. Errors: `ENOSPC`, `EROFS`, `ENOMEM`, those of a commit.
    pub fn delay(
        &mut self,
        ino: u64,
        map: &mut WriteMap,
        (first, len): (u64, u64),
        least: u64,
    ) -> Result<u64> {
        let shape = self.shape(ino, map)?;
        let mut len = len;
        let nodes = loop {
            let worst = map.worst_nodes_with(shape, first, len);
            let nodes = worst.saturating_sub(map.nodes);
            match self.reserve_space(len.saturating_add(nodes)) {
                Err(e) if e == ENOSPC && len > least => len = (len / 2).max(least),
                outcome => break outcome.map(|()| nodes)?,
            }
        };
        if let Err(e) = map.delay(first, len) {
            self.unreserve_space(len + nodes);
            return Err(e);
        }
        self.promised_nodes(map, nodes);
        map.shape = Some(shape);
        Ok(len)
    }

    /// Chooses contiguous blocks on the device for up to `want` blocks from `first` on. Either all
    /// of them are delayed in `map`, so `promised`, or none is in it: then what entering them may take is promised too.
    ///
    /// Returns the first, and how many. Errors: `ENOSPC`, `EFBIG`, `EROFS`, `ENOMEM`.
    pub fn choose(
        &mut self,
        ino: u64,
        map: &mut WriteMap,
        first: u64,
        want: u32,
        promised: bool,
    ) -> Result<(u64, u32)> {
        let logical = u32::try_from(first).map_err(|_| EFBIG)?;
        if promised {
            let (phys, len) = self.reserve_extent(ino, logical, want, true)?;
            if let Err(e) = map.choose(first, len.into(), phys) {
                // As it was: the blocks go back, and they keep their promise.
                self.release_extent(phys, len);
                self.store.allocator().promise_again(len.into());
                return Err(e);
            }
            return Ok((phys, len));
        }
        let shape = self.shape(ino, map)?;
        let nodes_for = |map: &WriteMap, len: u32| {
            let worst = map.worst_nodes_with(shape, first, len.into());
            worst.saturating_sub(map.nodes)
        };
        let (phys, mut len) = self.reserve_extent(ino, logical, want, false)?;
        let mut nodes = nodes_for(map, len);
        if let Err(e) = self.reserve_space(nodes) {
            // The end of the run makes room for them, if it is long enough.
            let less = u32::try_from(nodes).ok().and_then(|n| len.checked_sub(n));
            let Some(left) = less.filter(|&left| left > 0 && e == ENOSPC) else {
                self.release_extent(phys, len);
                return Err(e);
            };
            self.release_extent(phys + u64::from(left), len - left);
            len = left;
            nodes = nodes_for(map, len);
            self.reserve_space(nodes)
                .inspect_err(|_| self.store.release_reserved(phys, len))?;
        }
        if let Err(e) = map.choose(first, len.into(), phys) {
            self.release_extent(phys, len);
            self.unreserve_space(nodes);
            return Err(e);
        }
        self.promised_nodes(map, nodes);
        map.shape = Some(shape);
        Ok((phys, len))
    }

    /// Data of blocks `[first, first + len)` is on the device: those that were chosen leave `map` and enter the
    /// file's extent map, with the last of them the file grows to `size`.
    ///
    /// Errors: those of [`Volume::commit_extent`] but `ENOSPC`. Then the blocks that did not enter are given back.
    pub fn enter(
        &mut self,
        ino: u64,
        map: &mut WriteMap,
        (first, len): (u64, u64),
        size: Option<u64>,
        mtime: Option<Time>,
    ) -> Result {
        let mut runs: KVec<Run> = KVec::new();
        map.chosen(first, len, |run| Ok(runs.push(run, GFP_KERNEL)?))?;
        if runs.is_empty() {
            return match size {
                Some(size) => self.grow(ino, size, mtime),
                None => Ok(()),
            };
        }
        map.take_chosen(first, len, |_| ())?;
        let mut left = self.lend(map);
        let mut outcome = Ok(());
        for (i, run) in runs.iter().enumerate() {
            let State::Chosen(phys) = run.state else {
                continue;
            };
            // Both fit: the write map takes blocks from `choose` alone.
            let (logical, blocks) = (run.logical as u32, run.len as u32);
            if outcome.is_err() {
                self.release_extent(phys, blocks);
                continue;
            }
            let size = size.filter(|_| i + 1 == runs.len());
            outcome = self
                .enter_extent(ino, (logical, phys, blocks), size, mtime)
                .map(|shape| {
                    map.shape = Some(shape);
                    let taken = self.store.blocks_taken();
                    #[cfg(test)]
                    assert!(taken <= left, "PROMISE: {taken} of {left}");
                    left = left.saturating_sub(taken);
                });
        }
        self.take_back(map, left);
        outcome
    }

    /// Drops blocks `[first, first + len)` from `map`, or those of them that `which` says, and gives back
    /// what was promised and chosen for them. Errors: `ENOMEM`, and then nothing has changed.
    pub fn forget(&mut self, map: &mut WriteMap, (first, len): (u64, u64), which: Which) -> Result {
        let volume = &mut *self;
        let drop = |run: Run| match run.state {
            State::Delayed => volume.unreserve_space(run.len),
            // Lossless, as in `enter`.
            State::Chosen(phys) => volume.release_extent(phys, run.len as u32),
        };
        match which {
            Which::All => map.take(first, len, drop),
            Which::Chosen => map.take_chosen(first, len, drop),
            Which::Delayed => map.take_delayed(first, len, drop),
        }?;
        let left = self.lend(map);
        self.take_back(map, left);
        Ok(())
    }

    /// The last operation was a step of a truncation of file `ino`: what of its map was freed goes to what is
    /// still to enter it, as far as that may need more now: a list that was a tree may become one again.
    pub fn follow_cut(&mut self, ino: u64, map: &mut WriteMap) {
        if map.is_empty() {
            return;
        }
        let freed = self.store.blocks_freed();
        let before = map.shape.take();
        // It was in memory a moment ago; if it cannot be had, what is promised stays as it is.
        map.shape = self.shape(ino, map).ok().or(before);
        // Those blocks are free for reuse with the next commit. Until then their number is taken from what is kept
        // for removals, which try a commit before they fail.
        let left = self.lend(map).saturating_add(freed);
        self.take_back(map, left);
    }

    /// Blocks that are promised to the maps of files, at worst: with all data written there would be none.
    pub fn promised_to_maps(&self) -> u64 {
        self.map_nodes
    }

    /// What the cost of entering what `map` holds depends on.
    fn shape(&mut self, ino: u64, map: &WriteMap) -> Result<Shape> {
        match map.shape {
            Some(shape) => Ok(shape),
            None => self.look(|v| {
                let (rec, fork) = v.load_file(ino)?;
                Ok(rec.shape(&fork))
            }),
        }
    }

    fn promised_nodes(&mut self, map: &mut WriteMap, more: u64) {
        map.nodes += more;
        self.map_nodes += more;
    }

    /// Gives what is promised for the nodes of `map` back to the volume, for the operations that enter
    /// from it. Returns how much that was; until [`Volume::take_back`] nobody else may have the volume.
    fn lend(&mut self, map: &mut WriteMap) -> u64 {
        let nodes = core::mem::take(&mut map.nodes);
        self.map_nodes -= nodes;
        self.unreserve_space(nodes);
        nodes
    }

    /// Takes back from what was lent as much as `map` still needs; `left` of it is there.
    fn take_back(&mut self, map: &mut WriteMap, left: u64) {
        let nodes = map.worst_nodes().min(left);
        self.store.allocator().promise_again(nodes);
        self.promised_nodes(map, nodes);
        if map.is_empty() {
            map.shape = None;
        }
    }
}
