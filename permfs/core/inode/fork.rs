// SPDX-License-Identifier: GPL-2.0

//! A regular file's extents in its record.

use super::{ForkKind, Record, S_IFREG};
use crate::{
    btree::Tree,
    extent::Fork,
    format::{inode::INLINE_EXTENTS, Extent},
};
use kernel::prelude::*;

impl Record {
    /// Where the file's data is. Errors: `EINVAL` for anything but a regular file, `EFSCORRUPTED`.
    pub fn extents(&self) -> Result<Fork> {
        if self.file_type() != S_IFREG {
            return Err(EINVAL);
        }
        match self.fork_kind()? {
            ForkKind::Tree => Ok(Fork::Tree(self.tree())),
            ForkKind::List => Fork::from_list(&self.fork),
            _ => Err(EFSCORRUPTED),
        }
    }

    /// Remembers where the file's data is.
    ///
    /// The list's room is a power of two, at least one: the first extent of a file, and most later
    /// ones, then leave the record's length as it is, and only their own bytes are logged. It never gets smaller,
    /// and what was a tree gets the largest: a file that is cut, with data on its way, needs no room
    /// in the inode tree later that nobody has promised (see [`crate::extent::Shape`]).
    pub fn set_extents(&mut self, fork: &Fork) -> Result {
        if let Fork::Tree(tree) = fork {
            self.fork.clear();
            self.set_tree(tree);
            return Ok(());
        }
        let mut list = fork.to_list()?.ok_or(EINVAL)?;
        let used = list.len() / size_of::<Extent>();
        let had = match self.fork_kind()? {
            ForkKind::Tree => INLINE_EXTENTS,
            _ => self.list_room(),
        };
        let room = used.max(1).next_power_of_two().max(had);
        let room = room.min(INLINE_EXTENTS);
        list.resize(room * size_of::<Extent>(), 0, GFP_KERNEL)?;
        self.fork = list;
        self.set_tree(&Tree::empty(self.ino));
        self.head.fork = ForkKind::List as u8;
        Ok(())
    }

    /// Extents that the record has room for.
    pub fn list_room(&self) -> usize {
        self.fork.len() / size_of::<Extent>()
    }
}
