// SPDX-License-Identifier: GPL-2.0

//! What the calls of a program have made of a volume, and what they have promised.
//!
//! The promises are those of POSIX with what ext4 and XFS add, on which programs have come to rely:
//! - changes of names, permissions and set sizes are durable in their order, each whole or not at all;
//! - fsync of a file: its contents, its size, and everything of that kind that was done to it, its names included;
//!   fdatasync, and a write with `O_DSYNC`, the same but for permissions and later names;
//! - fsync of a folder: what was done to it and in it;
//! - sync, syncfs, freezing, unmounting: everything;
//! - a volume mounted with dirsync: each change of a name when the call returns; with sync: everything a call does.

use super::{
    content::File,
    journal::{content, Call},
    names::{self, Names},
};
use crate::model::{Kind, Model, ROOT};
use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    rc::Rc,
};

/// The folder in which somebody else works, and nobody knows what.
pub const BESIDE: &str = "beside";

const ALL: Range<u64> = 0..u64::MAX;

/// A program's file descriptor.
#[derive(Clone)]
struct Open {
    file: u64,
    append: bool,
    /// `O_SYNC`, `O_DSYNC`.
    sync: bool,
    dsync: bool,
}

/// How much a call makes durable of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sync {
    /// What fdatasync does.
    Data,
    /// What fsync does.
    Full,
}

/// Everything that was done.
pub struct History {
    /// The calls.
    pub calls: Vec<Call>,
    /// Names after each call.
    pub names: Vec<Rc<Names>>,
    /// Regular files by inode.
    pub files: HashMap<u64, File>,
    /// Whether a call has changed what is durable in order.
    ordered: Vec<bool>,
    /// When call .0 has returned, names are at least those after call .1.
    floors: Vec<(u64, u64)>,
    model: Model,
    slots: HashMap<String, Open>,
    /// The last call that changed an inode, or a name of it or in it; and the last one that fdatasync is bound by.
    touched: HashMap<u64, (u64, u64)>,
    dirsync: bool,
    sync: bool,
}

/// The model and the kernel disagree.
fn odd<T>(call: &Call, what: impl std::fmt::Debug) -> Result<T, String> {
    Err(format!(
        "call {call} has succeeded, and the model says {what:?}"
    ))
}

impl History {
    /// Follows `calls`, of which the first is the mount.
    pub fn follow(calls: Vec<Call>) -> Result<Self, String> {
        let options = calls.first().filter(|c| c.name == "mount");
        let options = options.ok_or("the journal does not begin with a mount")?;
        let (dirsync, sync) = (options.has(0, "dirsync"), options.has(0, "sync"));
        let mut history = Self {
            calls: Vec::new(),
            names: Vec::new(),
            files: HashMap::new(),
            ordered: Vec::new(),
            floors: Vec::new(),
            model: Model::default(),
            slots: HashMap::new(),
            touched: HashMap::new(),
            dirsync: dirsync || sync,
            sync,
        };
        for call in calls {
            history.call(&call)?;
            history.calls.push(call);
        }
        Ok(history)
    }

    fn call(&mut self, call: &Call) -> Result<(), String> {
        let before = self.ordered.len();
        self.ordered.push(false);
        if let Some(result) = call.result {
            self.succeeded(call, result)?;
        }
        let names = match self.names.last() {
            Some(same) if !self.ordered[before] => same.clone(),
            _ => Rc::new(names::of(&self.model)),
        };
        self.names.push(names);
        Ok(())
    }

    /// The names that a power cut may leave: those after one of these calls, the newest first. Some of them are the same.
    pub fn candidates(&self, returned: u64) -> Vec<u64> {
        let done = (returned + 1).min(self.calls.len() as u64 - 1);
        let floor = self
            .floors
            .iter()
            .filter(|f| f.0 <= returned)
            .map(|f| f.1)
            .max();
        let floor = floor.unwrap_or(0);
        let ends = |&k: &u64| k == done || self.ordered[k as usize + 1];
        (floor..=done).rev().filter(ends).collect()
    }

    /// The folder that `path` is in, and the name there.
    fn parent<'a>(&mut self, call: &Call, path: &'a str) -> Result<(u64, &'a [u8]), String> {
        let mut at = ROOT;
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        for part in folders.split('/').filter(|p| !p.is_empty()) {
            at = match self.model.lookup(at, part.as_bytes()) {
                Some(ino) => ino,
                None => return odd(call, format!("no {folders}")),
            };
        }
        Ok((at, name.as_bytes()))
    }

    fn lookup(&mut self, call: &Call, path: &str) -> Result<u64, String> {
        if path == "." {
            return Ok(ROOT);
        }
        let (dir, name) = self.parent(call, path)?;
        match self.model.lookup(dir, name) {
            Some(ino) => Ok(ino),
            None => odd(call, "no such name"),
        }
    }

    /// `call` has changed these inodes, in a way that is durable in order.
    fn touch(&mut self, call: &Call, inodes: &[u64], for_data: bool) {
        self.ordered[call.number as usize] = true;
        for &ino in inodes {
            let touched = self.touched.entry(ino).or_default();
            touched.0 = call.number;
            if for_data {
                touched.1 = call.number;
            }
        }
    }

    /// `call` has changed names.
    fn renamed(&mut self, call: &Call, inodes: &[u64]) {
        self.touch(call, inodes, false);
        if self.dirsync {
            self.floors.push((call.number, call.number));
        }
    }

    /// `call` has made something durable of what is open in `slot`.
    fn synced(&mut self, call: &Call, ino: u64, how: Sync, bytes: Range<u64>) {
        let touched = self.touched.get(&ino).copied().unwrap_or_default();
        let floor = if how == Sync::Full {
            touched.0
        } else {
            touched.1
        };
        self.floors.push((call.number, floor));
        if let Some(file) = self.files.get_mut(&ino) {
            let whole = bytes == ALL;
            file.promise(call.number, bytes, whole);
        }
    }

    fn all_synced(&mut self, call: &Call) {
        self.floors.push((call.number, call.number));
        for file in self.files.values_mut() {
            file.promise(call.number, ALL, true);
        }
    }

    fn open(&self, call: &Call, n: usize) -> Result<Open, String> {
        match self.slots.get(call.arg(n)) {
            Some(open) => Ok(open.clone()),
            None => odd(call, "nothing is open there"),
        }
    }

    fn file(&mut self, call: &Call, ino: u64) -> Result<&mut File, String> {
        match self.files.get_mut(&ino) {
            Some(file) => Ok(file),
            None => odd(call, "that is no file"),
        }
    }

    fn make(&mut self, call: &Call, path: &str, mode: u16, kind: Kind) -> Result<u64, String> {
        let (dir, name) = self.parent(call, path)?;
        let ino = call.number + ROOT + 1;
        self.model
            .create(dir, name, ino, mode, kind)
            .or_else(|e| odd(call, e))?;
        self.touch(call, &[ino], true);
        self.renamed(call, &[ino, dir]);
        Ok(ino)
    }

    /// `call` has written `bytes` to what is open in argument `n`, with the flags in argument `flags`.
    fn wrote(
        &mut self,
        call: &Call,
        n: usize,
        at: u64,
        bytes: &[u8],
        flags: usize,
    ) -> Result<(), String> {
        let open = self.open(call, n)?;
        let file = self.file(call, open.file)?;
        let append = open.append || call.has(flags, "append");
        let at = if append { file.size() } else { at };
        file.write(call.number, at, bytes);
        let end = at + bytes.len() as u64;
        if self.sync || open.sync || call.has(flags, "sync") {
            self.synced(call, open.file, Sync::Full, at..end);
        } else if open.dsync || call.has(flags, "dsync") {
            self.synced(call, open.file, Sync::Data, at..end);
        }
        Ok(())
    }

    fn cut(&mut self, call: &Call, ino: u64, size: u64) -> Result<(), String> {
        self.file(call, ino)?.cut(call.number, size);
        self.touch(call, &[ino], true);
        if self.sync {
            self.floors.push((call.number, call.number));
        }
        Ok(())
    }

    fn opened(&mut self, call: &Call) -> Result<(), String> {
        let path = call.arg(1);
        let (dir, name) = self.parent(call, path)?;
        let there = self.model.lookup(dir, name);
        let ino = match there {
            Some(ino) => ino,
            None => {
                let (size, blocks) = Default::default();
                let ino = self.make(call, path, 0o100644, Kind::File { size, blocks })?;
                self.files.insert(ino, File::new(call.number));
                ino
            }
        };
        if there.is_some() && call.has(2, "trunc") {
            self.cut(call, ino, 0)?;
        }
        let open = Open {
            file: ino,
            append: call.has(2, "append"),
            sync: call.has(2, "sync"),
            dsync: call.has(2, "dsync"),
        };
        self.slots.insert(call.arg(0).into(), open);
        Ok(())
    }

    fn succeeded(&mut self, call: &Call, result: u64) -> Result<(), String> {
        let number = |n| call.number_at(n);
        match call.name.as_str() {
            "mount" => {
                if call.arg(1) == "beside" {
                    let (entries, parent) = (BTreeMap::new(), ROOT);
                    self.make(call, BESIDE, 0o040755, Kind::Dir { entries, parent })?;
                }
                self.all_synced(call);
            }
            "sync" | "syncfs" | "freeze" | "umount" => self.all_synced(call),
            "range" | "idle" | "forget" => (),
            "close" => drop(self.slots.remove(call.arg(0))),
            "open" => self.opened(call)?,
            "write" => {
                let bytes = content(call.number, result as usize);
                self.wrote(call, 0, number(1)?, &bytes, 3)?;
            }
            "copy" => {
                let (from, at) = (self.open(call, 0)?.file, number(1)?);
                let bytes = self.file(call, from)?.read(at..at + result);
                if bytes.len() as u64 != result {
                    return odd(call, "less was there to copy");
                }
                if !bytes.is_empty() {
                    self.wrote(call, 2, number(3)?, &bytes, 5)?;
                }
            }
            "store" => {
                let (ino, at, len) = (self.open(call, 0)?.file, number(1)?, number(2)?);
                let bytes = content(call.number, len as usize);
                self.file(call, ino)?.store(call.number, at, &bytes);
                if call.arg(3) == "msync" {
                    self.synced(call, ino, Sync::Data, at..at + len);
                }
            }
            "truncate" => {
                let ino = self.open(call, 0)?.file;
                self.cut(call, ino, number(1)?)?;
            }
            "fsync" | "fdatasync" => {
                let how = if call.name == "fsync" {
                    Sync::Full
                } else {
                    Sync::Data
                };
                self.synced(call, self.open(call, 0)?.file, how, ALL);
            }
            "fsyncdir" => {
                let dir = self.lookup(call, call.arg(0))?;
                self.synced(call, dir, Sync::Full, ALL);
            }
            "mkdir" => {
                let (entries, parent) = (BTreeMap::new(), self.parent(call, call.arg(0))?.0);
                self.make(call, call.arg(0), 0o040755, Kind::Dir { entries, parent })?;
            }
            "mkfifo" => drop(self.make(call, call.arg(0), 0o010600, Kind::Special)?),
            "symlink" => {
                let target = vec![b'x'; number(1)? as usize];
                self.make(call, call.arg(0), 0o120777, Kind::Symlink(target))?;
            }
            "link" => {
                let ino = self.lookup(call, call.arg(0))?;
                let (dir, name) = self.parent(call, call.arg(1))?;
                let linked = self.model.link(ino, dir, name);
                linked.or_else(|e| odd(call, e))?;
                self.renamed(call, &[ino, dir]);
            }
            "unlink" => {
                let (dir, name) = self.parent(call, call.arg(0))?;
                let gone = self.model.unlink(dir, name);
                let (ino, _) = gone.or_else(|e| odd(call, e))?;
                self.renamed(call, &[ino, dir]);
            }
            "rmdir" => {
                let (dir, name) = self.parent(call, call.arg(0))?;
                let gone = self.model.rmdir(dir, name);
                let ino = gone.or_else(|e| odd(call, e))?;
                self.renamed(call, &[ino, dir]);
            }
            "rename" => self.moved(call)?,
            "chmod" => {
                let (ino, mode) = (self.lookup(call, call.arg(0))?, number(1)? as u16);
                match self.model.nodes.get_mut(&ino) {
                    Some(node) => node.mode = node.mode & !0o7777 | mode,
                    None => return odd(call, "no such inode"),
                }
                self.touch(call, &[ino], false);
                if self.sync {
                    self.floors.push((call.number, call.number));
                }
            }
            _ => return Err(format!("{call}: not a call that the judge knows")),
        }
        Ok(())
    }

    fn moved(&mut self, call: &Call) -> Result<(), String> {
        let (from, to) = (call.arg(0), call.arg(1));
        let (from, to) = (self.parent(call, from)?, self.parent(call, to)?);
        let one = self.lookup(call, call.arg(0))?;
        let two = self.model.lookup(to.0, to.1);
        let done = match call.arg(2) {
            "2" => self.model.exchange(from, to),
            flags => self.model.rename(from, to, flags == "1").map(drop),
        };
        done.or_else(|e| odd(call, e))?;
        if two != Some(one) {
            let inodes = [Some(one), two, Some(from.0), Some(to.0)];
            let inodes: Vec<u64> = inodes.into_iter().flatten().collect();
            self.renamed(call, &inodes);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
