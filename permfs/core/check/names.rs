// SPDX-License-Identifier: GPL-2.0

//! Third pass: directories, inline and in trees.

use super::{Checker, Finding, Problem};
use crate::{
    btree::Tree,
    dir::{self, hash::NameHash, hash::COLLISIONS, inline, Entry},
    format::*,
    inode::{entry_kind, ForkKind, Record, S_IFDIR},
    meta::MetaRead,
};
use kernel::prelude::*;

/// Entries of one directory, so far.
struct Names {
    ino: u64,
    hash: NameHash,
    /// Bytes that the entries count for.
    size: u64,
    /// Hash that `group` is about.
    group_hash: u64,
    /// Names of that hash, each with its length in front.
    group: KVec<u8>,
}

impl Names {
    fn new(ino: u64, hash: NameHash) -> Self {
        Self {
            ino,
            hash,
            size: 0,
            group_hash: 0,
            group: KVec::new(),
        }
    }

    /// Whether `name` was there before under the same hash. Keys come in ascending order.
    fn seen_before(&mut self, hash: u64, name: &[u8]) -> Result<bool> {
        if hash != self.group_hash {
            self.group.clear();
            self.group_hash = hash;
        }
        let mut rest = self.group.as_slice();
        while let Some((&len, tail)) = rest.split_first() {
            let (old, tail) = tail
                .split_at_checked(usize::from(len))
                .ok_or(EFSCORRUPTED)?;
            if old == name {
                return Ok(true);
            }
            rest = tail;
        }
        // A name has 255 bytes at most.
        self.group.push(name.len() as u8, GFP_KERNEL)?;
        self.group.extend_from_slice(name, GFP_KERNEL)?;
        Ok(false)
    }
}

impl<F: FnMut(Finding)> Checker<'_, F> {
    /// Visits the entries of every directory.
    pub(super) fn names<S: MetaRead>(
        &mut self,
        store: &mut S,
        state: &State,
        sb: &SuperBlock,
    ) -> Result {
        let hash = NameHash::new(&sb.hash_seed);
        let work = core::mem::take(&mut self.work);
        for fork in work.iter().filter(|fork| fork.kind == S_IFDIR) {
            let mut names = Names::new(fork.ino, hash);
            self.tree(
                store,
                &fork.tree(),
                fork.ino,
                |c, key, value| match dir::tree_entry(key, value) {
                    Ok(entry) => c.entry(&mut names, &entry),
                    Err(_) => {
                        c.found(Problem::Entry, fork.ino, 0, key);
                        Ok(())
                    }
                },
            )?;
            self.directory_size(&names, fork.size);
        }
        self.inline_directories(store, state, hash)
    }

    /// Goes over the inode tree again for the directories whose entries stand in the record: their
    /// entries can only be judged once all inodes are known.
    fn inline_directories<S: MetaRead>(
        &mut self,
        store: &mut S,
        state: &State,
        hash: NameHash,
    ) -> Result {
        let Ok(tree) = Tree::from_disk(&state.inodes, OWNER_INODES) else {
            return Ok(());
        };
        // Faults were reported, and nodes claimed, by the first pass.
        tree.check(store, |seen| match seen {
            crate::btree::Seen::Entry { key, value } => match Record::decode(key, value) {
                Ok(record) => self.inline_directory(&record, hash),
                Err(ENOMEM) => Err(ENOMEM),
                Err(_) => Ok(()),
            },
            _ => Ok(()),
        })
    }

    fn inline_directory(&mut self, record: &Record, hash: NameHash) -> Result {
        if record.file_type() != S_IFDIR || record.fork_kind()? != ForkKind::Inline {
            return Ok(());
        }
        let mut names = Names::new(record.ino, hash);
        // The smallest key first, so that equal hashes follow one another.
        let mut from = 0;
        loop {
            match inline::at_or_after(&record.fork, from) {
                Ok(Some(entry)) => {
                    from = entry.key + 1;
                    self.entry(&mut names, &entry)?;
                }
                Ok(None) => break,
                Err(_) => {
                    self.found(Problem::Entry, record.ino, 0, from);
                    break;
                }
            }
        }
        let mut keys = inline::entries(&record.fork);
        let mut before = KVec::new();
        while let Some(Ok(entry)) = keys.next() {
            if before.contains(&entry.key) {
                self.found(Problem::Entry, record.ino, 0, entry.key);
            }
            before.push(entry.key, GFP_KERNEL)?;
        }
        self.directory_size(&names, record.head.size.get());
        Ok(())
    }

    fn directory_size(&mut self, names: &Names, recorded: u64) {
        if names.size != recorded {
            self.found(Problem::DirectorySize, names.ino, 0, names.size);
        }
    }

    /// One entry of the directory that `names` is about.
    fn entry(&mut self, names: &mut Names, entry: &Entry<'_>) -> Result {
        let dir = names.ino;
        names.size += dir::entry_size(entry.name);
        let hash = entry.key / COLLISIONS;
        if names.hash.base(entry.name) / COLLISIONS != hash {
            self.found(Problem::EntryHash, dir, 0, entry.ino);
        }
        if names.seen_before(hash, entry.name)? {
            self.found(Problem::DuplicateName, dir, 0, entry.ino);
        }
        let Some(target) = self.inodes.get_mut(&entry.ino) else {
            self.found(Problem::DanglingEntry, dir, 0, entry.ino);
            return Ok(());
        };
        let wrong_type = entry_kind(target.mode) != entry.kind;
        let second = target.is_dir() && target.found_in != 0;
        target.names = target.names.saturating_add(1);
        if target.found_in == 0 {
            target.found_in = dir;
        }
        let is_dir = target.is_dir();
        if let Some(parent) = self.inodes.get_mut(&dir).filter(|_| is_dir) {
            parent.subdirs = parent.subdirs.saturating_add(1);
        }
        if wrong_type {
            self.found(Problem::EntryType, dir, 0, entry.ino);
        }
        if second || entry.ino == ROOT_INO {
            self.found(Problem::DirectoryTwice, entry.ino, 0, dir);
        }
        Ok(())
    }
}
