// SPDX-License-Identifier: GPL-2.0

//! The map from a file's blocks to the device's: a list in the inode's record, then a tree.
//!
//! What an entry does not cover is a hole. Entries never overlap; two that follow one another both in
//! the file and on the device are made one when the second is inserted.

use crate::btree::Tree;
use crate::format::inode::{FILE_BLOCKS_MAX, INLINE_EXTENTS};
use crate::format::Extent;
use crate::meta::MetaRead;
use kernel::prelude::*;
use zerocopy::little_endian::{U32, U64};
use zerocopy_derive::{Immutable, KnownLayout, Unaligned};

mod change;
mod room;
#[cfg(test)]
mod tests;

pub use room::Shape;

/// Value of an entry in a tree of extents, whose key is the first block within the file. 12 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct ExtentValue {
    /// Blocks, at least one.
    pub len: U32,
    /// First block on the device.
    pub phys: U64,
}

/// A run of a file's blocks that lies in one piece on the device.
///
/// # Invariants
///
/// `len` is not 0, `phys` is not 0, and neither end of the run overflows its type's range of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    logical: u32,
    len: u32,
    phys: u64,
}

impl Run {
    /// The run of `len` blocks from block `logical` of the file, from block `phys` of the device.
    pub fn new(logical: u32, phys: u64, len: u32) -> Option<Self> {
        let fits = u64::from(logical) + u64::from(len) <= FILE_BLOCKS_MAX
            && phys.checked_add(u64::from(len)).is_some();
        // INVARIANT: all of them were checked.
        (fits && len != 0 && phys != 0).then_some(Self { logical, len, phys })
    }

    fn from_disk(extent: &Extent) -> Result<Self> {
        Self::new(extent.logical.get(), extent.phys.get(), extent.len.get()).ok_or(EFSCORRUPTED)
    }

    fn from_entry(key: u64, value: &[u8]) -> Result<Self> {
        let value = ExtentValue::read_from_bytes(value).map_err(|_| EFSCORRUPTED)?;
        let logical = u32::try_from(key).map_err(|_| EFSCORRUPTED)?;
        Self::new(logical, value.phys.get(), value.len.get()).ok_or(EFSCORRUPTED)
    }

    fn to_value(self) -> ExtentValue {
        ExtentValue {
            len: self.len.into(),
            phys: self.phys.into(),
        }
    }

    /// First block within the file.
    pub fn logical(&self) -> u32 {
        self.logical
    }

    /// Blocks.
    pub fn blocks(&self) -> u32 {
        self.len
    }

    /// First block on the device.
    pub fn phys(&self) -> u64 {
        self.phys
    }

    /// The file's block behind the run, up to 2^32.
    pub fn end(&self) -> u64 {
        u64::from(self.logical) + u64::from(self.len)
    }

    /// The device's block behind the run.
    fn phys_end(&self) -> u64 {
        self.phys + u64::from(self.len)
    }

    /// The part of the run from block `from` of the file up to `to`; `None` if there is none.
    fn part(&self, from: u64, to: u64) -> Option<Self> {
        let from = from.max(u64::from(self.logical));
        let len = to.min(self.end()).checked_sub(from)?;
        let phys = self.phys + (from - u64::from(self.logical));
        Self::new(u32::try_from(from).ok()?, phys, u32::try_from(len).ok()?)
    }

    /// This run and `next` as one, if `next` follows it both in the file and on the device.
    fn joined(&self, next: &Self) -> Option<Self> {
        let adjacent = self.end() == u64::from(next.logical) && self.phys_end() == next.phys;
        let len = self.len.checked_add(next.len).filter(|_| adjacent)?;
        Self::new(self.logical, self.phys, len)
    }
}

/// Where a file's block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// `len` blocks from it are on the device from block `phys` on.
    Data {
        /// First block on the device.
        phys: u64,
        /// Blocks.
        len: u32,
    },
    /// `len` blocks from it are nowhere and read as zeroes.
    Hole {
        /// Blocks.
        len: u32,
    },
}

/// How far [`Fork::remove`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Blocks that were unmapped.
    pub blocks: u64,
    /// Nothing of the range is mapped any more.
    pub done: bool,
}

/// A file's map of extents.
///
/// After an error of a changing call the fork is as it was before.
pub enum Fork {
    /// Up to [`INLINE_EXTENTS`] runs, in order, which the inode's record holds.
    List(KVec<Run>),
    /// A tree of [`ExtentValue`]s.
    Tree(Tree),
}

impl Fork {
    /// A map with nothing in it.
    pub const fn empty() -> Self {
        Self::List(KVec::new())
    }

    /// Reads the list in an inode's record: [`Extent`]s up to the first of length 0.
    ///
    /// Errors: `EFSCORRUPTED`, `ENOMEM`.
    pub fn from_list(bytes: &[u8]) -> Result<Self> {
        let mut list = KVec::new();
        let mut covered = 0;
        let extents = <[Extent]>::ref_from_bytes(bytes).map_err(|_| EFSCORRUPTED)?;
        if extents.len() > INLINE_EXTENTS {
            return Err(EFSCORRUPTED);
        }
        for extent in extents.iter().take_while(|e| e.len.get() != 0) {
            let run = Run::from_disk(extent)?;
            if u64::from(run.logical) < covered {
                return Err(EFSCORRUPTED);
            }
            covered = run.end();
            list.push(run, GFP_KERNEL)?;
        }
        Ok(Self::List(list))
    }

    /// The list as [`Fork::from_list`] reads it; `None` for a tree. Errors: `ENOMEM`.
    pub fn to_list(&self) -> Result<Option<KVec<u8>>> {
        let Self::List(list) = self else {
            return Ok(None);
        };
        let mut bytes = KVec::with_capacity(list.len() * size_of::<Extent>(), GFP_KERNEL)?;
        for run in list {
            let (logical, len, phys) = (run.logical.into(), run.len.into(), run.phys.into());
            let extent = Extent { logical, len, phys };
            bytes.extend_from_slice(extent.as_bytes(), GFP_KERNEL)?;
        }
        Ok(Some(bytes))
    }

    /// Where block `logical` is, and how many blocks from it, `max` at most, are so too.
    ///
    /// Errors: `EFSCORRUPTED`, `EINVAL` if `max` is 0, and those of [`MetaRead`].
    pub fn lookup<S: MetaRead>(&self, s: &mut S, logical: u32, max: u32) -> Result<Mapping> {
        if max == 0 {
            return Err(EINVAL);
        }
        let from = u64::from(logical);
        let to = (from + u64::from(max)).min(FILE_BLOCKS_MAX);
        let covering = self.at_or_before(s, logical)?;
        if let Some(part) = covering.and_then(|run| run.part(from, to)) {
            return Ok(Mapping::Data {
                phys: part.phys,
                len: part.len,
            });
        }
        let end = match self.at_or_after(s, logical)? {
            Some(next) => to.min(u64::from(next.logical)),
            None => to,
        };
        let len = end.checked_sub(from).ok_or(EFSCORRUPTED)?;
        Ok(Mapping::Hole {
            len: u32::try_from(len)?,
        })
    }

    /// The run with the highest blocks of the file.
    pub fn last<S: MetaRead>(&self, s: &mut S) -> Result<Option<Run>> {
        self.at_or_before(s, u32::MAX)
    }

    /// Hands the runs from the first that ends behind block `from` on to `f`, in order, for as long as
    /// it returns true.
    ///
    /// Errors: `EFSCORRUPTED` at a run that is invalid or overlaps the one before; those of `f`.
    pub fn for_each<S: MetaRead>(
        &self,
        s: &mut S,
        from: u32,
        mut f: impl FnMut(Run) -> Result<bool>,
    ) -> Result {
        let covering = self
            .at_or_before(s, from)?
            .filter(|run| run.end() > u64::from(from));
        let start = covering.map_or(from, |run| run.logical);
        let mut covered = 0;
        let mut next = |run: Run| {
            if u64::from(run.logical) < covered {
                return Err(EFSCORRUPTED);
            }
            covered = run.end();
            f(run)
        };
        match self {
            Self::List(list) => {
                for &run in list.iter().filter(|run| run.logical >= start) {
                    if !next(run)? {
                        break;
                    }
                }
                Ok(())
            }
            Self::Tree(tree) => tree.scan(s, start.into(), |key, value| {
                next(Run::from_entry(key, value)?)
            }),
        }
    }

    /// What it depends on how much more metadata the map may need; `blocks` blocks are mapped, and the inode's
    /// record has room for a list of `room` runs.
    pub fn shape(&self, blocks: u64, room: u64) -> Shape {
        match self {
            Self::List(list) => Shape::List {
                runs: list.len() as u64,
                room,
            },
            Self::Tree(tree) => Shape::Tree {
                level: tree.level,
                blocks,
            },
        }
    }

    /// Blocks that the map itself takes up, outside of the inode's record.
    pub fn meta_blocks<S: MetaRead>(&self, s: &mut S) -> Result<u64> {
        let mut blocks = 0;
        if let Self::Tree(tree) = self {
            tree.blocks(s, |_| {
                blocks += 1;
                Ok(())
            })?;
        }
        Ok(blocks)
    }

    /// The last run that begins at or before block `logical`.
    #[inline(never)]
    fn at_or_before<S: MetaRead>(&self, s: &mut S, logical: u32) -> Result<Option<Run>> {
        match self {
            Self::List(list) => {
                let behind = list.partition_point(|run| run.logical <= logical);
                Ok(behind.checked_sub(1).and_then(|i| list.get(i)).copied())
            }
            Self::Tree(tree) => tree.at_or_before(s, logical.into(), Run::from_entry),
        }
    }

    /// The first run that begins at or behind block `logical`.
    #[inline(never)]
    fn at_or_after<S: MetaRead>(&self, s: &mut S, logical: u32) -> Result<Option<Run>> {
        match self {
            Self::List(list) => Ok(list
                .get(list.partition_point(|run| run.logical < logical))
                .copied()),
            Self::Tree(tree) => tree.at_or_after(s, logical.into(), Run::from_entry),
        }
    }
}
