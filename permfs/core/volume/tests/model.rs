// SPDX-License-Identifier: GPL-2.0

//! Random operations against a plain tree in memory, with crashes and remounts in between.

use super::rig::*;
use crate::{
    format::{BLOCK_SIZE, ROOT_INO},
    inode::{S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG},
    volume::{RenameFlags, Volume},
};
use kernel::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Default)]
struct Node {
    kind: u16,
    nlink: u32,
    parent: u64,
    entries: BTreeMap<std::vec::Vec<u8>, u64>,
    target: std::vec::Vec<u8>,
    /// Blocks with data.
    blocks: BTreeSet<u32>,
    size: u64,
}

impl Node {
    fn is_dir(&self) -> bool {
        self.kind == S_IFDIR
    }
}

struct Model {
    nodes: BTreeMap<u64, Node>,
    /// Without a name, but open.
    open: BTreeSet<u64>,
}

impl Model {
    fn new() -> Self {
        let root = Node {
            kind: S_IFDIR,
            nlink: 2,
            parent: ROOT_INO,
            ..Node::default()
        };
        Self {
            nodes: BTreeMap::from([(ROOT_INO, root)]),
            open: BTreeSet::new(),
        }
    }

    fn find(&self, dir: u64, name: &[u8]) -> Option<u64> {
        self.nodes[&dir].entries.get(name).copied()
    }

    fn live(&self, dir: u64) -> Result {
        if self.nodes[&dir].nlink == 0 {
            Err(ENOENT)
        } else {
            Ok(())
        }
    }

    fn above(&self, ino: u64, dir: u64) -> bool {
        let mut at = dir;
        loop {
            if at == ino {
                return true;
            }
            if at == ROOT_INO {
                return false;
            }
            at = self.nodes[&at].parent;
        }
    }

    fn node(&mut self, ino: u64) -> &mut Node {
        self.nodes.get_mut(&ino).unwrap()
    }

    fn drop_name(&mut self, dir: u64, name: &[u8]) {
        let ino = self.node(dir).entries.remove(name).unwrap();
        if self.node(ino).is_dir() {
            self.node(dir).nlink -= 1;
            self.node(ino).nlink = 0;
        } else {
            self.node(ino).nlink -= 1;
        }
        if self.node(ino).nlink == 0 {
            self.open.insert(ino);
        }
    }

    fn put(&mut self, dir: u64, name: &[u8], ino: u64) {
        self.node(dir).entries.insert(name.to_vec(), ino);
        if self.node(ino).is_dir() {
            self.node(dir).nlink += 1;
            self.node(ino).parent = dir;
        }
    }

    fn take(&mut self, dir: u64, name: &[u8]) -> u64 {
        let ino = self.node(dir).entries.remove(name).unwrap();
        if self.node(ino).is_dir() {
            self.node(dir).nlink -= 1;
        }
        ino
    }

    fn create(&mut self, dir: u64, name: &[u8], ino: u64, kind: u16, target: &[u8]) -> Result {
        self.live(dir)?;
        if self.find(dir, name).is_some() {
            return Err(EEXIST);
        }
        let nlink = if kind == S_IFDIR { 2 } else { 1 };
        let size = target.len() as u64;
        let node = Node {
            kind,
            nlink,
            target: target.to_vec(),
            size,
            ..Node::default()
        };
        self.nodes.insert(ino, node);
        self.put(dir, name, ino);
        Ok(())
    }

    fn link(&mut self, ino: u64, dir: u64, name: &[u8]) -> Result {
        if self.nodes[&ino].is_dir() {
            return Err(EPERM);
        }
        if self.nodes[&ino].nlink == 0 {
            return Err(ENOENT);
        }
        self.live(dir)?;
        if self.find(dir, name).is_some() {
            return Err(EEXIST);
        }
        self.node(ino).nlink += 1;
        self.put(dir, name, ino);
        Ok(())
    }

    fn remove(&mut self, dir: u64, name: &[u8], want_dir: bool) -> Result {
        let ino = self.find(dir, name).ok_or(ENOENT)?;
        let node = &self.nodes[&ino];
        match (node.is_dir(), want_dir) {
            (true, false) => return Err(EISDIR),
            (false, true) => return Err(ENOTDIR),
            (true, true) if !node.entries.is_empty() => return Err(ENOTEMPTY),
            _ => (),
        }
        self.drop_name(dir, name);
        Ok(())
    }

    fn rename(&mut self, od: u64, on: &[u8], nd: u64, nn: &[u8], flags: RenameFlags) -> Result {
        let source = self.find(od, on).ok_or(ENOENT)?;
        self.live(nd)?;
        let target = self.find(nd, nn);
        if flags.exchange && target.is_none() {
            return Err(ENOENT);
        }
        if flags.noreplace && target.is_some() {
            return Err(EEXIST);
        }
        if target == Some(source) {
            return Ok(());
        }
        let moves = self.nodes[&source].is_dir() && od != nd;
        if moves && self.above(source, nd) {
            return Err(EINVAL);
        }
        if flags.exchange {
            let target = target.unwrap();
            if od != nd && self.nodes[&target].is_dir() && self.above(target, od) {
                return Err(EINVAL);
            }
            self.take(od, on);
            self.take(nd, nn);
            self.put(od, on, target);
            self.put(nd, nn, source);
            return Ok(());
        }
        if let Some(target) = target {
            let victim = &self.nodes[&target];
            match (self.nodes[&source].is_dir(), victim.is_dir()) {
                (false, true) => return Err(EISDIR),
                (true, false) => return Err(ENOTDIR),
                (true, true) if !victim.entries.is_empty() => return Err(ENOTEMPTY),
                _ => (),
            }
            self.drop_name(nd, nn);
        }
        self.take(od, on);
        self.put(nd, nn, source);
        Ok(())
    }

    /// Compares everything that can be seen.
    fn compare(&self, v: &mut Volume<Dev>) {
        for (&ino, node) in &self.nodes {
            let attr = v
                .iget(ino)
                .unwrap_or_else(|e| panic!("inode {ino}: {e:?}"))
                .attr;
            assert_eq!(attr.mode & S_IFMT, node.kind, "type of {ino}");
            assert_eq!(attr.nlink, node.nlink, "links of {ino}");
            assert_eq!(attr.blocks, node.blocks.len() as u64, "blocks of {ino}");
            if node.is_dir() {
                let mut names = BTreeMap::new();
                v.readdir(ino, 0, |name, ino, _, _| {
                    names.insert(name.to_vec(), ino).is_none()
                })
                .unwrap();
                assert_eq!(names, node.entries, "entries of {ino}");
                if node.nlink > 0 {
                    assert_eq!(v.parent(ino), Ok(node.parent));
                }
            } else {
                assert_eq!(attr.size, node.size, "size of {ino}");
            }
            if node.kind == S_IFLNK {
                let mut target = KVec::new();
                v.readlink(ino, &mut target).unwrap();
                assert_eq!(target[..], node.target[..]);
            }
            for &block in &node.blocks {
                let found = v.map(ino, block, 1);
                assert!(matches!(found, Ok(crate::extent::Mapping::Data { .. })));
            }
        }
        assert_eq!(v.take_report(), None);
    }
}

fn name(rng: &mut Rng) -> std::vec::Vec<u8> {
    let n = rng.below(40);
    let len = if n % 5 == 0 { 200 } else { 3 };
    format!("{n:n>len$}").into_bytes()
}

fn pick(rng: &mut Rng, from: impl Iterator<Item = u64>) -> u64 {
    let all: std::vec::Vec<u64> = from.collect();
    all[rng.below(all.len() as u64) as usize]
}

/// One random operation on both.
fn step(v: &mut Volume<Dev>, m: &mut Model, rng: &mut Rng) {
    let dirs = m.nodes.iter().filter(|(_, n)| n.is_dir()).map(|(&i, _)| i);
    let dirs: std::vec::Vec<u64> = dirs.collect();
    let mut dir = || dirs[rng.below(dirs.len() as u64) as usize];
    let (dir, other) = (dir(), dir());
    let (first, second) = (name(rng), name(rng));
    let any = pick(rng, m.nodes.keys().copied());
    match rng.below(20) {
        0..=5 => {
            let kind = [S_IFREG, S_IFREG, S_IFDIR, S_IFIFO, S_IFLNK][rng.below(5) as usize];
            let target = vec![b't'; 1 + rng.below(4095) as usize];
            let (made, target) = match kind {
                S_IFLNK => (symlink(v, dir, &first, &target), target),
                _ => (make(v, dir, &first, kind), vec![]),
            };
            let ino = made.as_ref().map_or(0, |inode| inode.ino);
            assert_eq!(made.map(|_| ()), m.create(dir, &first, ino, kind, &target));
        }
        6..=7 => assert_eq!(v.link(any, dir, &first, at(2)), m.link(any, dir, &first)),
        8..=10 => {
            let done = v.unlink(dir, &first, at(3)).map(|_| ());
            assert_eq!(done, m.remove(dir, &first, false));
        }
        11 => {
            let done = v.rmdir(dir, &first, at(3)).map(|_| ());
            assert_eq!(done, m.remove(dir, &first, true));
        }
        12..=15 => {
            let flags = RenameFlags {
                noreplace: rng.below(6) == 0,
                exchange: false,
            };
            let flags = match rng.below(4) {
                0 => RenameFlags {
                    noreplace: false,
                    exchange: true,
                },
                _ => flags,
            };
            let done = v
                .rename(dir, &first, other, &second, flags, at(4))
                .map(|_| ());
            assert_eq!(done, m.rename(dir, &first, other, &second, flags));
        }
        16..=17 => {
            let node = m.node(any);
            if node.kind == S_IFREG {
                let (from, len) = (rng.below(100) as u32, 1 + rng.below(6) as u32);
                write(v, any, from, len).unwrap();
                node.blocks.extend(from..from + len);
                node.size = node.size.max(u64::from(from + len) * BLOCK_SIZE as u64);
            }
        }
        18 => {
            let node = m.node(any);
            if node.kind == S_IFREG {
                let size = rng.below(100 * BLOCK_SIZE as u64);
                v.truncate(any, size, at(6)).unwrap();
                let keep = size.div_ceil(BLOCK_SIZE as u64);
                node.blocks.retain(|&b| u64::from(b) < keep);
                node.size = size;
            }
        }
        _ => {
            if let Some(ino) = m.open.pop_first() {
                v.evict(ino).unwrap();
                m.nodes.remove(&ino);
            }
        }
    }
}

fn run(seed: u64, steps: u64) {
    let mut rng = Rng(seed * 2 + 1);
    let mut v = mount(&format(16384));
    let mut m = Model::new();
    for i in 0..steps {
        step(&mut v, &mut m, &mut rng);
        if rng.below(200) == 0 {
            v = if rng.below(2) == 0 {
                m.compare(&mut v);
                crash(v)
            } else {
                remount(v)
            };
            // The mount has freed what was open.
            for ino in core::mem::take(&mut m.open) {
                m.nodes.remove(&ino);
            }
            m.compare(&mut v);
        } else if i % 50 == 0 {
            m.compare(&mut v);
        }
    }
    commit_and_check(&mut v);
}

#[test]
fn random_operations_agree_with_a_plain_model() {
    for seed in 1..=12 {
        println!("seed {seed}");
        run(seed, 2000);
    }
}
