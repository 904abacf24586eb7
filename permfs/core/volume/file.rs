// SPDX-License-Identifier: GPL-2.0

//! Where a regular file's data is, and its way into the map.
//!
//! Blocks are *reserved* in memory, the caller writes data to them, and only then are they *committed*:
//! claimed on disk and entered in the map by one operation. So a crash finds no block in a map that
//! does not hold the file's data.

use super::{view::View, Volume};
use crate::{
    device::BlockDevice,
    extent::{Fork, Mapping, Shape},
    format::inode::{FILE_BLOCKS_MAX, FILE_SIZE_MAX},
    format::BLOCK_SIZE,
    inode::{Record, Time, S_IFDIR, S_IFREG},
    meta::MetaRead,
    store::Op,
};
use kernel::prelude::*;

impl<D: BlockDevice> Volume<D> {
    /// Where block `logical` of file `ino` is, and up to `max` blocks from it that are so too.
    pub fn map(&mut self, ino: u64, logical: u32, max: u32) -> Result<Mapping> {
        self.look(|v| {
            let (_, fork) = v.load_file(ino)?;
            v.place(ino, &fork, logical, max)
        })
    }

    /// Chooses up to `want` contiguous blocks for block `logical` of file `ino` and those behind it,
    /// in memory only. Returns the first, and how many.
    ///
    /// `promised`: all `want` were promised by [`Volume::reserve_space`]; then those returned are
    /// promised no more, and there must be no [`Volume::unreserve_space`] for them.
    /// Errors: `ENOSPC`, `EFBIG`, `EROFS`.
    pub fn reserve_extent(
        &mut self,
        ino: u64,
        logical: u32,
        want: u32,
        promised: bool,
    ) -> Result<(u64, u32)> {
        if self.read_only {
            return Err(EROFS);
        }
        let left = FILE_BLOCKS_MAX - u64::from(logical);
        let want = u32::try_from(u64::from(want).min(left)).map_err(|_| EFBIG)?;
        let goal = self.look(|v| {
            let (rec, fork) = v.load_file(ino)?;
            v.data_goal(&rec, &fork, logical)
        })?;
        self.store.reserve_data(goal, want, promised)
    }

    /// Enters blocks that hold their data now: `len` blocks from block `logical` of file `ino` are on
    /// the device from block `phys` on. The file grows to `new_size` if it is smaller.
    ///
    /// Blocks of the file that have a place already keep it, and the new ones for them are given
    /// back: somebody else's write of the same blocks has come first. On an error all are given back,
    /// and the file is as it was. What metadata this takes nobody has promised, unlike in [`Volume::enter`].
    /// Errors: `ESTALE`, `ENOSPC`, `EFBIG`, `EIO`.
    pub fn commit_extent(
        &mut self,
        ino: u64,
        logical: u32,
        phys: u64,
        len: u32,
        new_size: Option<u64>,
        mtime: Option<Time>,
    ) -> Result {
        self.enter_extent(ino, (logical, phys, len), new_size, mtime)
            .map(|_| ())
    }

    /// The same; says what the file's map is like then.
    pub(super) fn enter_extent(
        &mut self,
        ino: u64,
        (logical, phys, len): (u32, u64, u32),
        new_size: Option<u64>,
        mtime: Option<Time>,
    ) -> Result<Shape> {
        let mut unused = KVec::new();
        let outcome = self.finish_cut(ino).and_then(|()| {
            self.change(|v| {
                let (mut rec, mut fork) = v.load_file(ino)?;
                let added = v.enter_run(ino, &mut fork, (logical, phys, len), &mut unused)?;
                let blocks = rec
                    .head
                    .blocks
                    .get()
                    .checked_add(added)
                    .ok_or(EFSCORRUPTED)?;
                rec.head.blocks.set(blocks);
                rec.set_extents(&fork)?;
                rec.written(new_size, mtime)?;
                v.save(&mut rec)?;
                Ok(rec.shape(&fork))
            })
        });
        match &outcome {
            Ok(_) => unused
                .iter()
                .for_each(|&(at, n)| self.store.release_reserved(at, n)),
            Err(_) => self.store.release_reserved(phys, len),
        }
        outcome
    }

    /// File `ino` grows to `size`, by data that reached blocks it already had, or by none.
    pub fn grow(&mut self, ino: u64, size: u64, mtime: Option<Time>) -> Result {
        self.finish_cut(ino)?;
        self.change(|v| {
            let (mut rec, _) = v.load_file(ino)?;
            rec.written(Some(size), mtime)?;
            v.save(&mut rec)
        })
    }

    /// Gives reserved blocks back, the data of which could not be written.
    pub fn release_extent(&mut self, phys: u64, len: u32) {
        self.store.release_reserved(phys, len);
    }
}

impl Record {
    /// What the cost of entering more in `fork`, the file's map, depends on.
    pub(super) fn shape(&self, fork: &Fork) -> Shape {
        fork.shape(self.head.blocks.get(), self.list_room() as u64)
    }

    fn written(&mut self, new_size: Option<u64>, mtime: Option<Time>) -> Result {
        if let Some(size) = new_size {
            self.grow(size)?;
        }
        if let Some(time) = mtime {
            self.touch(time);
        }
        Ok(())
    }
}

impl<M: MetaRead> View<'_, M> {
    /// A regular file and its map. Errors: `ESTALE`, `EISDIR`, `EINVAL`.
    pub(super) fn load_file(&mut self, ino: u64) -> Result<(Record, Fork)> {
        let rec = self.load(ino)?;
        match rec.file_type() {
            S_IFREG => (),
            S_IFDIR => return Err(EISDIR),
            _ => return Err(EINVAL),
        }
        let fork = rec.extents();
        let fork = self.note(ino, "extent list", fork)?;
        Ok((rec, fork))
    }

    fn place(&mut self, ino: u64, fork: &Fork, logical: u32, max: u32) -> Result<Mapping> {
        let found = fork
            .lookup(self.m, logical, max)
            .and_then(|mapping| match mapping {
                Mapping::Data { phys, len } if !self.geometry.may_hold_data(phys, len.into()) => {
                    Err(EFSCORRUPTED)
                }
                mapping => Ok(mapping),
            });
        self.note(ino, "extent map", found)
    }

    /// Where to look for blocks for block `logical`: behind what comes before it in the file.
    fn data_goal(&mut self, rec: &Record, fork: &Fork, logical: u32) -> Result<u64> {
        let before = match logical.checked_sub(1) {
            Some(previous) => self.place(rec.ino, fork, previous, 1)?,
            None => Mapping::Hole { len: 1 },
        };
        if let Mapping::Data { phys, .. } = before {
            return Ok(phys + 1);
        }
        let last = fork.last(self.m);
        let last = self.note(rec.ino, "extent map", last)?;
        Ok(
            match last.and_then(|run| run.phys().checked_add(run.blocks().into())) {
                Some(behind) => behind,
                None => self.goal(rec.head.home.get()),
            },
        )
    }
}

impl<D: BlockDevice> View<'_, Op<'_, D>> {
    /// Claims and maps those blocks of a run that have no place yet, and tells `unused` the others.
    /// Returns how many it mapped.
    fn enter_run(
        &mut self,
        ino: u64,
        fork: &mut Fork,
        (logical, phys, len): (u32, u64, u32),
        unused: &mut KVec<(u64, u32)>,
    ) -> Result<u64> {
        let (mut added, mut done) = (0, 0);
        while done < len {
            let at = logical.checked_add(done).ok_or(EFBIG)?;
            let (to, left) = (phys + u64::from(done), len - done);
            match self.place(ino, fork, at, left)? {
                Mapping::Data { phys, len } => {
                    // Committed twice: these are the file's, and in use.
                    if phys != to {
                        unused.push((to, len), GFP_KERNEL)?;
                    }
                    done += len;
                }
                Mapping::Hole { len } => {
                    self.m.claim(to, len)?;
                    let outcome = fork.insert(self.m, ino, at, to, len);
                    added += u64::from(self.note(ino, "extent map", outcome)?);
                    done += len;
                }
            }
        }
        Ok(added)
    }
}

/// Blocks that `size` bytes take.
pub(super) fn blocks_of(size: u64) -> u64 {
    size.min(FILE_SIZE_MAX).div_ceil(BLOCK_SIZE as u64)
}
