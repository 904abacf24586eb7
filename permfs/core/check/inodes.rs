// SPDX-License-Identifier: GPL-2.0

//! First pass: the inode tree, and what the records say by themselves.

use super::{Checker, Finding, Problem};
use crate::{
    btree::Tree,
    format::*,
    inode::{ForkKind, Record, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG},
    meta::MetaRead,
};
use kernel::prelude::*;

/// What is remembered of an inode.
pub(super) struct Info {
    pub(super) mode: u16,
    pub(super) nlink: u32,
    /// Entries that name it.
    pub(super) names: u32,
    /// Directories: directories in it.
    pub(super) subdirs: u32,
    /// Directories: inode of `..`.
    pub(super) parent: u64,
    /// Directory in which the first entry that names it was found, 0: none.
    pub(super) found_in: u64,
    /// Directories: known to hang on the root, or reported.
    pub(super) settled: bool,
    /// In the orphan tree, to be deleted.
    pub(super) orphan: bool,
}

impl Info {
    pub(super) fn is_dir(&self) -> bool {
        self.mode & S_IFMT == S_IFDIR
    }
}

/// A fork outside of its inode's record.
pub(super) struct Work {
    pub(super) ino: u64,
    pub(super) root: u64,
    pub(super) level: u8,
    /// `S_IF*`.
    pub(super) kind: u16,
    /// Size in the record.
    pub(super) size: u64,
    /// Blocks in the record.
    pub(super) blocks: u64,
}

impl Work {
    pub(super) fn tree(&self) -> Tree {
        Tree {
            root: self.root,
            level: self.level,
            owner: self.ino,
        }
    }
}

impl<F: FnMut(Finding)> Checker<'_, F> {
    /// Enters every inode in the table, and claims what its record alone tells.
    pub(super) fn inode_tree<S: MetaRead>(&mut self, store: &mut S, state: &State) -> Result {
        match Tree::from_disk(&state.inodes, OWNER_INODES) {
            Ok(tree) => self.tree(store, &tree, 0, |c, ino, value| c.inode(state, ino, value))?,
            Err(_) => self.found(Problem::Node, 0, state.inodes.root.get(), 0),
        }
        if self.summary.inodes != state.inode_count.get() {
            self.found(Problem::InodeCount, 0, STATE_BLOCK, state.inode_count.get());
        }
        if !self.inodes.get(&ROOT_INO).is_some_and(Info::is_dir) {
            self.found(Problem::Root, ROOT_INO, 0, 0);
        }
        Ok(())
    }

    fn inode(&mut self, state: &State, ino: u64, value: &[u8]) -> Result {
        self.summary.inodes += 1;
        if (ino != ROOT_INO && ino < FIRST_INO) || ino >= state.next_ino.get() {
            self.found(Problem::InodeNumber, ino, 0, state.next_ino.get());
        }
        let record = match Record::decode(ino, value) {
            Ok(record) => record,
            Err(ENOMEM) => return Err(ENOMEM),
            Err(_) => {
                self.found(Problem::InodeRecord, ino, 0, 0);
                return Ok(());
            }
        };
        let head = &record.head;
        if head.xattr_root.get() != 0 || head.xattr_len.get() != 0 {
            // Nothing in this version makes any: their blocks could not be accounted for.
            self.found(Problem::InodeRecord, ino, head.xattr_root.get(), 0);
        }
        let info = Info {
            mode: head.mode.get(),
            nlink: head.nlink.get(),
            names: 0,
            subdirs: 0,
            parent: head.parent.get(),
            found_in: 0,
            settled: ino == ROOT_INO,
            orphan: false,
        };
        match record.file_type() {
            S_IFREG => self.summary.files += 1,
            S_IFDIR => self.summary.directories += 1,
            S_IFLNK => self.summary.symlinks += 1,
            _ => {}
        }
        self.inodes.try_create_and_insert(ino, info, GFP_KERNEL)?;
        self.record_fork(&record)
    }

    /// Checks an inline list of extents at once, and puts other forks on the list of work.
    fn record_fork(&mut self, record: &Record) -> Result {
        let head = &record.head;
        match record.fork_kind()? {
            ForkKind::Inline => {
                if record.file_type() == S_IFLNK && record.fork.contains(&0) {
                    self.found(Problem::Symlink, record.ino, 0, 0);
                }
            }
            ForkKind::List => self.extent_list(record)?,
            ForkKind::Tree | ForkKind::Chain => {
                let work = Work {
                    ino: record.ino,
                    root: head.fork_root.get(),
                    level: head.fork_level,
                    kind: record.file_type(),
                    size: head.size.get(),
                    blocks: head.blocks.get(),
                };
                self.work.push(work, GFP_KERNEL)?;
            }
        }
        Ok(())
    }
}
