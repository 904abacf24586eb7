// SPDX-License-Identifier: GPL-2.0

//! Freeing what may be too large for one operation: truncation, deletion, and going on after a crash.
//!
//! The first operation of a truncation sets the new size and, if it cannot free all, enters the inode
//! in the orphan tree, so that no crash leaves blocks behind the end that a later growth would show.
//! An inode without a name stands there until it is freed. The mount goes on with all of them.

use super::{
    file::blocks_of,
    view::{View, Watched},
    Volume,
};
use crate::{
    device::BlockDevice,
    extent::Fork,
    format::inode::{OrphanRecord, FILE_BLOCKS_MAX, FILE_SIZE_MAX, ORPHAN_DELETE, ORPHAN_TRUNCATE},
    inode::{ForkKind, Record, Time, S_IFLNK, S_IFREG},
    store::Op,
};
use kernel::prelude::*;

/// Runs of blocks freed in one operation. Each may change a bitmap and a block of the summary table,
/// and an operation may log [`crate::journal::OP_BLOCKS`] blocks.
const RUNS_PER_OP: usize = 8;

impl<D: BlockDevice> Volume<D> {
    /// Sets the size of file `ino`; blocks behind the new end are freed.
    ///
    /// On an error the size may be the new one and blocks behind it still be mapped: then they are
    /// freed before the file next grows, or at the next mount. Errors: `EFBIG`, `EISDIR`, `EINVAL`.
    pub fn truncate(&mut self, ino: u64, size: u64, now: Time) -> Result {
        match self.begin_truncate(ino, size, now)? {
            true => Ok(()),
            false => self.finish_cut(ino),
        }
    }

    /// The first operation of [`Volume::truncate`], with which the size is the new one; says whether it was the
    /// only one. If not, [`Volume::truncate_step`] goes on: the caller may let others have the volume first.
    pub fn begin_truncate(&mut self, ino: u64, size: u64, now: Time) -> Result<bool> {
        if size > FILE_SIZE_MAX {
            return Err(EFBIG);
        }
        self.finish_cut(ino)?;
        // Room for the reminder comes first: it must not fail once it is needed.
        self.cutting.reserve(1, GFP_KERNEL)?;
        let done = self.change_removing(|v| {
            let (mut rec, mut fork) = v.load_file(ino)?;
            let shrinks = size < rec.head.size.get();
            rec.head.size.set(size);
            rec.touch(now);
            let done = !shrinks || v.free_behind(&mut rec, &mut fork, blocks_of(size))?;
            v.save(&mut rec)?;
            if !done && v.orphan(ino)?.is_none() {
                v.add_orphan(ino, ORPHAN_TRUNCATE, size)?;
            }
            Ok(done)
        })?;
        if !done {
            self.cutting.push(ino, GFP_KERNEL)?;
        }
        Ok(done)
    }

    /// Goes on with a truncation of `ino`; says whether that is done. Errors as for [`Volume::truncate`].
    pub fn truncate_step(&mut self, ino: u64) -> Result<bool> {
        let done = self.change_removing(|v| v.cut_some(ino))?;
        if done {
            self.cutting.retain(|i| *i != ino);
        }
        Ok(done)
    }

    /// Frees the inode `ino` that has no name, if nobody has it open any more.
    ///
    /// Errors: `ESTALE` if there is none, `EBUSY` if it has a name. After an error the next mount goes
    /// on.
    pub fn evict(&mut self, ino: u64) -> Result {
        while !self.evict_step(ino)? {}
        Ok(())
    }

    /// One operation of [`Volume::evict`]; says whether it was the last. The orphan tree remembers what is left,
    /// so the caller may let others have the volume between two.
    pub fn evict_step(&mut self, ino: u64) -> Result<bool> {
        self.cutting.retain(|i| *i != ino);
        self.change_removing(|v| v.free_some(ino))
    }

    /// Goes on with a truncation of `ino` that an error has stopped.
    pub(super) fn finish_cut(&mut self, ino: u64) -> Result {
        if !self.cutting.contains(&ino) && !self.cutting_unknown {
            return Ok(());
        }
        while !self.truncate_step(ino)? {}
        Ok(())
    }

    /// Frees and cuts what the last mount has left. An inode that is damaged or cannot be read stays, and
    /// is reported; so do those that stand in a part of the orphan tree that is.
    pub(super) fn resume(&mut self) -> Result {
        let mut from = 0;
        (self.left.orphans, self.left.orphan_tree) = (0, false);
        self.cutting_unknown = false;
        loop {
            let next = self.look(|v| {
                let found = v.orphans()?.at_or_after(v.m, from, |ino, value| {
                    let orphan = OrphanRecord::read_from_bytes(value).map_err(|_| EFSCORRUPTED)?;
                    Ok((ino, orphan.kind))
                });
                v.note(0, "orphan tree", found)
            });
            let next = match next {
                Err(e) if e == EFSCORRUPTED || e == EIO => {
                    // A file that is to be cut must not grow before: each is looked up from now on.
                    self.cutting_unknown = true;
                    self.left.orphan_tree = true;
                    return Ok(());
                }
                next => next?,
            };
            let Some((ino, kind)) = next else {
                return Ok(());
            };
            self.cutting.reserve(1, GFP_KERNEL)?;
            match self.resume_one(ino, kind) {
                // A log that cannot be written fails everything from now on.
                Err(e) if self.store.failed() => return Err(e),
                Err(e) if e == EFSCORRUPTED || e == EIO || e == ESTALE || e == EBUSY => {
                    let e = if e == EIO { EIO } else { EFSCORRUPTED };
                    self.look(|v| v.note::<()>(ino, "orphan", Err(e))).err();
                    self.left.orphans += 1;
                    if kind == ORPHAN_TRUNCATE && !self.cutting.contains(&ino) {
                        self.cutting.push(ino, GFP_KERNEL)?;
                    }
                }
                outcome => outcome?,
            }
            let Some(after) = ino.checked_add(1) else {
                return Ok(());
            };
            from = after;
        }
    }

    fn resume_one(&mut self, ino: u64, kind: u8) -> Result {
        match kind {
            ORPHAN_DELETE => self.evict(ino),
            ORPHAN_TRUNCATE => {
                while !self.change_removing(|v| v.cut_some(ino))? {}
                Ok(())
            }
            _ => Err(EFSCORRUPTED),
        }
    }
}

impl<D: BlockDevice> View<'_, Op<'_, D>> {
    /// Frees some blocks of `rec`, which is not stored, from block `keep` of the file on; says
    /// whether that was all.
    fn free_behind(&mut self, rec: &mut Record, fork: &mut Fork, keep: u64) -> Result<bool> {
        let freed = |m: &mut Watched<'_, Op<'_, D>>, phys, len| m.free_data(phys, len);
        let progress = fork.remove(self.m, rec.ino, keep, FILE_BLOCKS_MAX, RUNS_PER_OP, freed);
        let progress = self.note(rec.ino, "extent map", progress)?;
        let left = rec
            .head
            .blocks
            .get()
            .checked_sub(progress.blocks)
            .ok_or(EFSCORRUPTED);
        rec.head
            .blocks
            .set(self.note(rec.ino, "block count", left)?);
        rec.set_extents(fork)?;
        Ok(progress.done)
    }

    /// One step of a truncation that the orphan tree remembers; says whether it was the last.
    pub(super) fn cut_some(&mut self, ino: u64) -> Result<bool> {
        let Some(orphan) = self.orphan(ino)? else {
            return Ok(true);
        };
        let (mut rec, mut fork) = self.load_file(ino)?;
        // The size of a file without a name is as good as its record's.
        let keep = match orphan.kind {
            ORPHAN_TRUNCATE => orphan.size.get(),
            _ => rec.head.size.get(),
        };
        let done = self.free_behind(&mut rec, &mut fork, blocks_of(keep))?;
        self.save(&mut rec)?;
        if done && orphan.kind == ORPHAN_TRUNCATE {
            self.remove_orphan(ino)?;
        }
        Ok(done)
    }

    /// One step of freeing an inode; says whether it was the last, and the inode is gone.
    fn free_some(&mut self, ino: u64) -> Result<bool> {
        let mut rec = self.load(ino)?;
        if rec.head.nlink.get() != 0 {
            return Err(EBUSY);
        }
        match (rec.file_type(), rec.fork_kind()?) {
            (S_IFREG, _) => {
                let fork = rec.extents();
                let mut fork = self.note(ino, "extent list", fork)?;
                if !self.free_behind(&mut rec, &mut fork, 0)? {
                    self.save(&mut rec)?;
                    return Ok(false);
                }
            }
            (S_IFLNK, ForkKind::Chain) => self.free_target(&rec)?,
            _ => self.must_be_empty_of_blocks(&rec)?,
        }
        self.erase(ino)?;
        self.remove_orphan(ino)?;
        Ok(true)
    }

    /// A directory that goes away has no tree: the one it had went with its last entry.
    fn must_be_empty_of_blocks(&mut self, rec: &Record) -> Result {
        let empty = (rec.head.fork_root.get() == 0)
            .then_some(())
            .ok_or(EFSCORRUPTED);
        self.note(rec.ino, "directory without a name", empty)
    }
}
