// SPDX-License-Identifier: GPL-2.0

//! Who may have the last blocks.
//!
//! Below what file data may take lies what is kept for metadata. New names leave there what removing takes (REMOVAL):
//!
//! - *For each inode its place in the orphan tree.* Files without a name may be open in any number, and every one of them
//!   stands there. A leaf that splits leaves two halves that take as many entries again; so it takes one block
//!   for half a leaf's entries, however the tree is filled. With it goes what the inner nodes of the inode tree may take.
//! - *For one operation* the nodes that a split up to the root takes, of the orphan tree and, when a map becomes a list in
//!   its record, of the inode tree. What the map's tree had is free after a commit, which the next operation tries.

use super::{view::View, Volume};
use crate::{
    device::BlockDevice,
    inode::{ForkKind, Record},
    meta::MetaRead,
    plant::{self, Fault},
    store::Op,
};
use kernel::prelude::*;

/// Inodes that one kept block goes for. A leaf of the orphan tree holds 143 entries.
const INODES_PER_KEPT: u64 = 48;
/// What creating a name and removing one take at most, each tree being as high as one may be.
const PLENTY: u64 = 64;

/// Blocks of the longest target of a symbolic link.
const SYMLINK_BLOCKS: u64 = 2;

/// Nodes that inserting a record takes in a tree with a root of this level, at most.
fn insertion(level: u8) -> u64 {
    u64::from(level) + 2
}

/// Blocks that are kept so that `inodes` inodes can be removed.
pub(super) fn kept_for(inodes: u64) -> u64 {
    if plant::is(Fault::Removal) {
        return 0;
    }
    inodes.div_ceil(INODES_PER_KEPT)
}

impl<D: BlockDevice> Volume<D> {
    /// Whether there is room for a new name in `dir`, and perhaps its inode, and what removing takes after
    /// that. Errors: `ENOSPC`, `ENOTDIR`, `ESTALE`, `EROFS`.
    pub(super) fn must_have_room_for_name(&mut self, dir: u64) -> Result {
        if self.read_only {
            return Err(EROFS);
        }
        if self.store.allocator().available() >= PLENTY {
            return Ok(());
        }
        let needed = self.look(|v| {
            let rec = v.load_dir(dir)?;
            Ok(v.nodes_of_name(&rec)? + v.nodes_of_removal()? + kept_for(v.inode_count() + 1))
        })?;
        // What was freed comes back with a commit.
        if self.store.allocator().unpromised() < needed {
            self.store.reclaim()?;
        }
        let has_room = self.store.allocator().unpromised() >= needed;
        has_room.then_some(()).ok_or(ENOSPC)
    }

    /// Like [`Volume::change`], for what removes: what earlier ones have freed is tried before `ENOSPC` is said.
    pub(super) fn change_removing<T>(
        &mut self,
        mut f: impl FnMut(&mut View<'_, Op<'_, D>>) -> Result<T>,
    ) -> Result<T> {
        match self.change(&mut f) {
            Err(e) if e == ENOSPC && self.store.reclaim()? => self.change(f),
            outcome => outcome,
        }
    }
}

impl<M: MetaRead> View<'_, M> {
    /// Inodes of the volume.
    pub(super) fn inode_count(&self) -> u64 {
        self.state.inode_count.get()
    }

    /// What a name in `dir` may take at most, with its inode and the longest target of a symbolic link.
    fn nodes_of_name(&self, dir: &Record) -> Result<u64> {
        let entries = match dir.fork_kind()? {
            ForkKind::Tree => insertion(dir.head.fork_level),
            // All of them and one more fit a leaf.
            _ => 1,
        };
        // The directory's record may grow, and the new one comes: each may add a level.
        let inodes = self.inodes()?.level;
        Ok(entries + insertion(inodes) + insertion(inodes) + 1 + SYMLINK_BLOCKS)
    }

    /// What one operation that removes or cuts may take beside the kept blocks.
    fn nodes_of_removal(&self) -> Result<u64> {
        Ok(insertion(self.orphans()?.level) + insertion(self.inodes()?.level) + 1)
    }
}
