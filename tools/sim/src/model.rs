// SPDX-License-Identifier: GPL-2.0

//! What a filesystem is, without a disk: names, links, sizes, and which blocks of a file are there.

use kernel::prelude::{Error, EEXIST, EISDIR, ENOENT, ENOTDIR, ENOTEMPTY};
use std::collections::{BTreeMap, BTreeSet};

/// Inode number of the root directory.
pub const ROOT: u64 = 2;

/// What an inode is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory: entries by name, and the directory above.
    Dir {
        /// Inode by name.
        entries: BTreeMap<Vec<u8>, u64>,
        /// `..`.
        parent: u64,
    },
    /// A regular file.
    File {
        /// Bytes.
        size: u64,
        /// Blocks that are no holes.
        blocks: BTreeSet<u32>,
    },
    /// A symbolic link and its target.
    Symlink(Vec<u8>),
    /// A device node, socket or pipe.
    Special,
}

/// An inode.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Names, and for a directory also those that its own entries give it.
    pub nlink: u32,
    /// Type and permissions.
    pub mode: u16,
}

/// The namespace.
#[derive(Clone, Debug)]
pub struct Model {
    /// Inodes by number. Those without a name are not here.
    pub nodes: BTreeMap<u64, Node>,
}

/// What an operation says.
pub type Outcome<T = ()> = Result<T, Error>;

impl Default for Model {
    fn default() -> Self {
        let root = Node {
            kind: Kind::Dir {
                entries: BTreeMap::new(),
                parent: ROOT,
            },
            nlink: 2,
            mode: 0o040755,
        };
        Self {
            nodes: [(ROOT, root)].into(),
        }
    }
}

impl Model {
    fn entries(&mut self, dir: u64) -> Outcome<&mut BTreeMap<Vec<u8>, u64>> {
        match self.nodes.get_mut(&dir).map(|n| &mut n.kind) {
            Some(Kind::Dir { entries, .. }) => Ok(entries),
            Some(_) => Err(ENOTDIR),
            None => Err(ENOENT),
        }
    }

    fn is_dir(&self, ino: u64) -> bool {
        matches!(self.nodes.get(&ino), Some(n) if matches!(n.kind, Kind::Dir { .. }))
    }

    fn is_empty_dir(&self, ino: u64) -> bool {
        matches!(self.nodes.get(&ino).map(|n| &n.kind),
            Some(Kind::Dir { entries, .. }) if entries.is_empty())
    }

    fn links(&mut self, ino: u64, change: i32) {
        if let Some(node) = self.nodes.get_mut(&ino) {
            node.nlink = node.nlink.saturating_add_signed(change);
        }
    }

    /// Inode of `name` in `dir`.
    pub fn lookup(&mut self, dir: u64, name: &[u8]) -> Option<u64> {
        self.entries(dir).ok()?.get(name).copied()
    }

    /// A new inode.
    pub fn create(&mut self, dir: u64, name: &[u8], ino: u64, mode: u16, kind: Kind) -> Outcome {
        let entries = self.entries(dir)?;
        if entries.contains_key(name) {
            return Err(EEXIST);
        }
        entries.insert(name.to_vec(), ino);
        let is_dir = matches!(kind, Kind::Dir { .. });
        let nlink = if is_dir { 2 } else { 1 };
        self.nodes.insert(ino, Node { kind, nlink, mode });
        if is_dir {
            self.links(dir, 1);
        }
        Ok(())
    }

    /// Another name for what is no directory.
    pub fn link(&mut self, ino: u64, dir: u64, name: &[u8]) -> Outcome {
        let entries = self.entries(dir)?;
        if entries.contains_key(name) {
            return Err(EEXIST);
        }
        entries.insert(name.to_vec(), ino);
        self.links(ino, 1);
        Ok(())
    }

    /// The inode loses a name; returns whether it was the last.
    fn drop_name(&mut self, ino: u64) -> bool {
        let last = match self.nodes.get(&ino) {
            Some(node) => self.is_dir(ino) || node.nlink <= 1,
            None => true,
        };
        if last {
            self.nodes.remove(&ino);
        } else {
            self.links(ino, -1);
        }
        last
    }

    /// Takes a name away; returns the inode and whether that was its last name.
    pub fn unlink(&mut self, dir: u64, name: &[u8]) -> Outcome<(u64, bool)> {
        let ino = self.lookup(dir, name).ok_or(ENOENT)?;
        if self.is_dir(ino) {
            return Err(EISDIR);
        }
        self.entries(dir)?.remove(name);
        Ok((ino, self.drop_name(ino)))
    }

    /// Takes an empty directory away.
    pub fn rmdir(&mut self, dir: u64, name: &[u8]) -> Outcome<u64> {
        let ino = self.lookup(dir, name).ok_or(ENOENT)?;
        if !self.is_dir(ino) {
            return Err(ENOTDIR);
        }
        if !self.is_empty_dir(ino) {
            return Err(ENOTEMPTY);
        }
        self.entries(dir)?.remove(name);
        self.nodes.remove(&ino);
        self.links(dir, -1);
        Ok(ino)
    }

    /// Whether `ino` is `dir` or above it.
    pub fn is_above(&self, ino: u64, dir: u64) -> bool {
        let mut at = dir;
        loop {
            if at == ino {
                return true;
            }
            match self.nodes.get(&at).map(|n| &n.kind) {
                Some(Kind::Dir { parent, .. }) if at != ROOT => at = *parent,
                _ => return false,
            }
        }
    }

    fn move_dir(&mut self, ino: u64, from: u64, to: u64) {
        if let Some(Kind::Dir { parent, .. }) = self.nodes.get_mut(&ino).map(|n| &mut n.kind) {
            *parent = to;
            self.links(from, -1);
            self.links(to, 1);
        }
    }

    /// Renames; returns the inode that was replaced, if that was its last name.
    pub fn rename(
        &mut self,
        (from, old): (u64, &[u8]),
        (to, new): (u64, &[u8]),
        noreplace: bool,
    ) -> Outcome<Option<u64>> {
        let ino = self.lookup(from, old).ok_or(ENOENT)?;
        let target = self.lookup(to, new);
        match target {
            Some(_) if noreplace => return Err(EEXIST),
            Some(target) if target == ino => return Ok(None),
            Some(target) => match (self.is_dir(ino), self.is_dir(target)) {
                (false, true) => return Err(EISDIR),
                (true, false) => return Err(ENOTDIR),
                (true, true) if !self.is_empty_dir(target) => return Err(ENOTEMPTY),
                _ => (),
            },
            None => (),
        }
        let gone = match target {
            Some(target) if self.is_dir(target) => {
                self.links(to, -1);
                self.drop_name(target).then_some(target)
            }
            Some(target) => self.drop_name(target).then_some(target),
            None => None,
        };
        self.entries(from)?.remove(old);
        self.entries(to)?.insert(new.to_vec(), ino);
        if from != to {
            self.move_dir(ino, from, to);
        }
        Ok(gone)
    }

    /// Two names change places.
    pub fn exchange(&mut self, (a, old): (u64, &[u8]), (b, new): (u64, &[u8])) -> Outcome {
        let first = self.lookup(a, old).ok_or(ENOENT)?;
        let second = self.lookup(b, new).ok_or(ENOENT)?;
        if first == second {
            return Ok(());
        }
        self.entries(a)?.insert(old.to_vec(), second);
        self.entries(b)?.insert(new.to_vec(), first);
        if a != b {
            self.move_dir(first, a, b);
            self.move_dir(second, b, a);
        }
        Ok(())
    }

    /// Size and blocks of a file.
    pub fn file(&mut self, ino: u64) -> Option<(&mut u64, &mut BTreeSet<u32>)> {
        match &mut self.nodes.get_mut(&ino)?.kind {
            Kind::File { size, blocks } => Some((size, blocks)),
            _ => None,
        }
    }

    /// Inodes of which `f` is true.
    pub fn all(&self, f: impl Fn(&Kind) -> bool) -> Vec<u64> {
        let found = self.nodes.iter().filter(|(_, n)| f(&n.kind));
        found.map(|(&ino, _)| ino).collect()
    }

    /// Every (directory, name).
    pub fn names(&self) -> Vec<(u64, Vec<u8>)> {
        let mut names = Vec::new();
        for (&dir, node) in &self.nodes {
            if let Kind::Dir { entries, .. } = &node.kind {
                names.extend(entries.keys().map(|name| (dir, name.clone())));
            }
        }
        names
    }
}
