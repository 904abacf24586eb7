// SPDX-License-Identifier: GPL-2.0

//! What one operation sees of the volume: the metadata, the tree roots, and where to report damage.

use super::{Report, Saved};
use crate::{
    btree::Tree,
    device::BlockDevice,
    dir::{self, hash::NameHash, Found},
    format::{inode::OrphanRecord, *},
    geometry::Geometry,
    inode::Record,
    meta::{MetaRead, MetaWrite},
    store::Op,
};
use kernel::prelude::*;

/// Metadata, and the block of it that was read last: if something is wrong, it is there.
pub(super) struct Watched<'a, M> {
    inner: &'a mut M,
    last: u64,
}

impl<'a, M> Watched<'a, M> {
    pub(super) fn new(inner: &'a mut M) -> Self {
        Self { inner, last: 0 }
    }
}

impl<M: MetaRead> MetaRead for Watched<'_, M> {
    fn read(&mut self, block: u64, kind: Kind, owner: u64) -> Result<&[u8]> {
        self.last = block;
        self.inner.read(block, kind, owner)
    }
}

impl<M: MetaWrite> MetaWrite for Watched<'_, M> {
    fn write(&mut self, block: u64, offset: usize, bytes: &[u8]) -> Result {
        self.inner.write(block, offset, bytes)
    }

    fn alloc(&mut self, kind: Kind, owner: u64, near: u64) -> Result<u64> {
        self.inner.alloc(kind, owner, near)
    }

    fn free(&mut self, block: u64) -> Result {
        self.inner.free(block)
    }
}

impl<D: BlockDevice> Watched<'_, Op<'_, D>> {
    pub(super) fn claim(&mut self, block: u64, len: u32) -> Result {
        self.inner.claim(block, len)
    }

    pub(super) fn free_data(&mut self, block: u64, len: u32) -> Result {
        self.inner.free_data(block, len)
    }
}

/// A view of the volume through `M`: the store, or an operation on it.
pub(super) struct View<'a, M> {
    pub(super) m: &'a mut Watched<'a, M>,
    pub(super) geometry: &'a Geometry,
    pub(super) state: State,
    /// As the state block has it.
    stored: State,
    pub(super) hash: NameHash,
    report: &'a mut Option<Report>,
    /// What was stored so far.
    pub(super) saved: Saved,
}

impl<'a, M: MetaRead> View<'a, M> {
    pub(super) fn new(
        m: &'a mut Watched<'a, M>,
        geometry: &'a Geometry,
        hash: NameHash,
        report: &'a mut Option<Report>,
    ) -> Result<Self> {
        let state = State::default();
        let mut view = Self {
            m,
            geometry,
            state,
            stored: state,
            hash,
            report,
            saved: Saved::default(),
        };
        let state = view.read_state();
        view.state = view.note(0, "state block", state)?;
        view.stored = view.state;
        Ok(view)
    }

    fn read_state(&mut self) -> Result<State> {
        let payload = self.m.read(STATE_BLOCK, Kind::State, OWNER_VOLUME)?;
        let (state, _) = State::read_from_prefix(payload).map_err(|_| EFSCORRUPTED)?;
        Ok(state)
    }

    /// Remembers damage, the first of it, and hands `outcome` on.
    pub(super) fn note<T>(
        &mut self,
        ino: u64,
        what: &'static str,
        outcome: Result<T>,
    ) -> Result<T> {
        match &outcome {
            Err(e) if (*e == EFSCORRUPTED || *e == EIO) && self.report.is_none() => {
                *self.report = Some(Report {
                    ino,
                    block: self.m.last,
                    what,
                    error: *e,
                });
            }
            _ => {}
        }
        outcome
    }

    pub(super) fn inodes(&self) -> Result<Tree> {
        Tree::from_disk(&self.state.inodes, OWNER_INODES)
    }

    pub(super) fn orphans(&self) -> Result<Tree> {
        Tree::from_disk(&self.state.orphans, OWNER_ORPHANS)
    }

    /// The record of `ino`. Errors: `ESTALE` if there is none.
    pub(super) fn load(&mut self, ino: u64) -> Result<Record> {
        let tree = self.inodes()?;
        let record = tree.get(self.m, ino, |value| Record::decode(ino, value));
        self.note(ino, "inode record", record)?.ok_or(ESTALE)
    }

    /// The record of directory `ino`. Errors: `ESTALE`, `ENOTDIR`.
    pub(super) fn load_dir(&mut self, ino: u64) -> Result<Record> {
        let rec = self.load(ino)?;
        rec.must_be_dir()?;
        Ok(rec)
    }

    /// The record of an inode that an entry of `dir` names: that it is missing is damage.
    pub(super) fn load_named(&mut self, dir: u64, found: &Found) -> Result<Record> {
        match self.load(found.ino) {
            Err(e) if e == ESTALE => self.note(dir, "entry without an inode", Err(EFSCORRUPTED)),
            Ok(rec) if rec.entry_kind() != found.kind || rec.head.nlink.get() == 0 => self.note(
                dir,
                "entry of another type, or of a deleted inode",
                Err(EFSCORRUPTED),
            ),
            // No directory has two names, so none can be in itself.
            Ok(rec) if rec.is_dir() && rec.head.parent.get() != dir => {
                self.note(rec.ino, "parent of a directory", Err(EFSCORRUPTED))
            }
            outcome => outcome,
        }
    }

    pub(super) fn find(&mut self, dir: &Record, name: &[u8]) -> Result<Option<Found>> {
        let found = dir::find(self.m, dir, self.hash.base(name), name);
        self.note(dir.ino, "directory entries", found)
    }

    pub(super) fn orphan(&mut self, ino: u64) -> Result<Option<OrphanRecord>> {
        let tree = self.orphans()?;
        let found = tree.get(self.m, ino, |value| {
            OrphanRecord::read_from_bytes(value).map_err(|_| EFSCORRUPTED)
        });
        self.note(ino, "orphan record", found)
    }

    /// First block of an inode's home shard that may hold data.
    pub(super) fn goal(&self, home: u32) -> u64 {
        u64::from(home) % self.geometry.shards.max(1) * SHARD_BLOCKS + SHARD_RESERVED
    }
}

/// What a tree had a moment ago, or must have: that it is missing is damage.
pub(super) fn must_exist(outcome: Result) -> Result {
    outcome.map_err(|e| if e == ENOENT { EFSCORRUPTED } else { e })
}

/// The key of what enters a tree was given out just now: that it is there is damage.
fn must_be_new(outcome: Result) -> Result {
    outcome.map_err(|e| if e == EEXIST { EFSCORRUPTED } else { e })
}

impl<M: MetaWrite> View<'_, M> {
    /// Stores a changed record.
    pub(super) fn save(&mut self, rec: &mut Record) -> Result {
        let value = rec.encode()?;
        let mut tree = self.inodes()?;
        let outcome = must_exist(tree.update(self.m, rec.ino, &value));
        self.note(rec.ino, "inode tree", outcome)?;
        self.state.inodes = tree.to_disk();
        self.saved.note(rec.inode());
        Ok(())
    }

    /// Enters a new record.
    pub(super) fn add(&mut self, rec: &mut Record) -> Result {
        let value = rec.encode()?;
        let mut tree = self.inodes()?;
        let outcome = must_be_new(tree.insert(self.m, rec.ino, &value));
        self.note(rec.ino, "inode tree", outcome)?;
        self.state.inodes = tree.to_disk();
        let count = self
            .state
            .inode_count
            .get()
            .checked_add(1)
            .ok_or(EFSCORRUPTED)?;
        self.state.inode_count.set(count);
        self.saved.note(rec.inode());
        Ok(())
    }

    /// Takes out the record of `ino`.
    pub(super) fn erase(&mut self, ino: u64) -> Result {
        let mut tree = self.inodes()?;
        let outcome = must_exist(tree.remove(self.m, ino));
        self.note(ino, "inode tree", outcome)?;
        self.state.inodes = tree.to_disk();
        let count = self
            .state
            .inode_count
            .get()
            .checked_sub(1)
            .ok_or(EFSCORRUPTED);
        let count = self.note(ino, "inode count", count)?;
        self.state.inode_count.set(count);
        Ok(())
    }

    /// Enters `ino` in the orphan tree.
    pub(super) fn add_orphan(&mut self, ino: u64, kind: u8, size: u64) -> Result {
        let value = OrphanRecord {
            kind,
            size: size.into(),
            ..OrphanRecord::default()
        };
        let mut tree = self.orphans()?;
        let outcome = must_be_new(tree.insert(self.m, ino, value.as_bytes()));
        self.note(ino, "orphan tree", outcome)?;
        self.state.orphans = tree.to_disk();
        Ok(())
    }

    /// Takes `ino` out of the orphan tree.
    pub(super) fn remove_orphan(&mut self, ino: u64) -> Result {
        let mut tree = self.orphans()?;
        let outcome = must_exist(tree.remove(self.m, ino));
        self.note(ino, "orphan tree", outcome)?;
        self.state.orphans = tree.to_disk();
        Ok(())
    }

    /// Writes back what has changed of the state block, field by field so that little is logged.
    pub(super) fn finish(&mut self) -> Result {
        const FIELD: usize = size_of::<u64>();
        let old = self.stored.as_bytes().chunks(FIELD);
        for (i, (new, old)) in self.state.as_bytes().chunks(FIELD).zip(old).enumerate() {
            if new != old {
                self.m.write(STATE_BLOCK, i * FIELD, new)?;
            }
        }
        Ok(())
    }
}
