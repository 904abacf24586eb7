// SPDX-License-Identifier: GPL-2.0

//! What an operation has left of the inodes that it stored, for a caller that has an inode of its own to
//! bring up to date afterwards and must not fail any more.

use crate::inode::Inode;

/// Inodes that one operation stores at most: two directories, what moves and what it replaces.
const SAVED_MAX: usize = 4;

/// The inodes of one operation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Saved([Option<Inode>; SAVED_MAX]);

impl Saved {
    /// `ino`, if it was stored.
    pub fn get(&self, ino: u64) -> Option<&Inode> {
        self.0.iter().flatten().find(|inode| inode.ino == ino)
    }

    /// It was stored, as `inode`.
    pub(super) fn note(&mut self, inode: Inode) {
        let place = |entry: &&mut Option<Inode>| entry.is_none_or(|old| old.ino == inode.ino);
        if let Some(entry) = self.0.iter_mut().find(place) {
            *entry = Some(inode);
        }
    }
}
