// SPDX-License-Identifier: GPL-2.0

//! Filled to the brim, at random and on purpose: what was accepted is never refused later, what removes
//! always works, and in the end every block is back.

use super::rig::*;
use crate::{
    format::{BLOCK_SIZE, ROOT_INO},
    inode::S_IFREG,
    volume::{RenameFlags, Volume, Which},
    write_map::{State, WriteMap},
};
use kernel::prelude::*;
use std::{collections::BTreeSet, format, string::String, vec::Vec};

/// Blocks of a file that are written: few enough that holes are met again.
const SPAN: u64 = 4000;

struct File {
    ino: u64,
    map: WriteMap,
    /// Blocks that have their place, or are on the way there.
    used: BTreeSet<u64>,
    /// Names that it has in the root directory.
    names: Vec<String>,
}

struct Brim {
    v: Volume<Dev>,
    rng: Rng,
    files: Vec<File>,
    links: Vec<String>,
    dirs: Vec<String>,
    serial: u64,
    /// Names have 10 bytes and up to so many more.
    longer: u64,
    /// Refusals, all in their place.
    refused: u64,
}

fn refused_for_space<T>(outcome: Result<T>) -> Option<T> {
    match outcome {
        Ok(done) => Some(done),
        Err(e) => {
            assert_eq!(e, ENOSPC);
            None
        }
    }
}

impl Brim {
    fn new(blocks: u64, seed: u64) -> Self {
        Self {
            v: mount(&format(blocks)),
            rng: Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            files: Vec::new(),
            links: Vec::new(),
            dirs: Vec::new(),
            serial: 0,
            longer: 200,
            refused: 0,
        }
    }

    fn name(&mut self) -> String {
        self.serial += 1;
        let width = 10 + self.rng.below(self.longer) as usize;
        format!("{:0width$}", self.serial)
    }

    fn file(&mut self) -> Option<usize> {
        let n = self.files.len() as u64;
        (n > 0).then(|| self.rng.below(n) as usize)
    }

    fn create(&mut self) -> bool {
        let name = self.name();
        let made = make(&mut self.v, ROOT_INO, name.as_bytes(), S_IFREG);
        let Some(inode) = refused_for_space(made) else {
            self.refused += 1;
            return false;
        };
        self.files.push(File {
            ino: inode.ino,
            map: WriteMap::new(),
            used: BTreeSet::new(),
            names: vec![name],
        });
        true
    }

    /// Another name, a directory or a symbolic link.
    fn other_name(&mut self) -> bool {
        let name = self.name();
        let done = match self.rng.below(3) {
            0 => {
                let made = make(
                    &mut self.v,
                    ROOT_INO,
                    name.as_bytes(),
                    crate::inode::S_IFDIR,
                );
                made.map(|_| self.dirs.push(name))
            }
            1 => symlink(&mut self.v, ROOT_INO, name.as_bytes(), &[b't'; 4000])
                .map(|_| self.links.push(name)),
            _ => match self.file().filter(|&i| !self.files[i].names.is_empty()) {
                Some(i) => {
                    let file = &mut self.files[i];
                    let done = self.v.link(file.ino, ROOT_INO, name.as_bytes(), at(3));
                    done.map(|()| file.names.push(name))
                }
                None => Ok(()),
            },
        };
        let done = refused_for_space(done).is_some();
        self.refused += u64::from(!done);
        done
    }

    /// A hole of file `i` at or behind `from`.
    fn hole(&mut self, i: usize, from: u64, want: u64) -> (u64, u64) {
        let used = &self.files[i].used;
        let first = (from..).find(|b| !used.contains(b)).unwrap();
        let len = (first..first + want).take_while(|b| !used.contains(b));
        (first, len.count() as u64)
    }

    /// A write through the page cache.
    fn delay(&mut self, i: usize, from: u64, want: u64) -> bool {
        let (first, len) = self.hole(i, from, want);
        let least = if self.rng.below(4) == 0 { len } else { 1 };
        let file = &mut self.files[i];
        let Some(got) =
            refused_for_space(self.v.delay(file.ino, &mut file.map, (first, len), least))
        else {
            self.refused += 1;
            return false;
        };
        assert!(least <= got && got <= len);
        file.used.extend(first..first + got);
        true
    }

    /// Writeback chooses one block, the last of a run of delayed ones: so none joins another.
    fn choose_last(&mut self, i: usize) {
        let file = &mut self.files[i];
        let mut delayed = Vec::new();
        let mut from = self.rng.below(SPAN);
        while let Some(run) = file.map.at_or_after(from).filter(|_| delayed.is_empty()) {
            from = run.logical + run.len;
            if run.state == State::Delayed {
                delayed.push(from - 1);
            }
        }
        if let Some(&last) = delayed.first() {
            let chosen = self.v.choose(file.ino, &mut file.map, last, 1, true);
            chosen.expect("a promise of data is kept");
        }
    }

    /// A direct write to a hole, whose blocks are chosen at once.
    fn choose_unpromised(&mut self, i: usize, from: u64, want: u64) {
        let (first, len) = self.hole(i, from, want);
        let file = &mut self.files[i];
        let chosen = self
            .v
            .choose(file.ino, &mut file.map, first, len as u32, false);
        match refused_for_space(chosen) {
            Some((_, got)) => file.used.extend(first..first + u64::from(got)),
            None => self.refused += 1,
        }
    }

    /// Data is on the device.
    fn enter(&mut self, i: usize, from: u64, len: u64) {
        let file = &mut self.files[i];
        let size = Some((from + 1) * BLOCK_SIZE as u64);
        let entered = self
            .v
            .enter(file.ino, &mut file.map, (from, len), size, Some(at(4)));
        entered.expect("what was accepted is not refused");
    }

    /// Data could not be written.
    fn fail(&mut self, i: usize, from: u64, len: u64) {
        let file = &mut self.files[i];
        let chosen = |file: &File, b: u64| {
            let run = file.map.at_or_after(b).filter(|run| run.logical <= b);
            run.is_some_and(|run| run.state != State::Delayed)
        };
        let gone: Vec<u64> = (from..from + len).filter(|&b| chosen(file, b)).collect();
        self.v
            .forget(&mut file.map, (from, len), Which::Chosen)
            .unwrap();
        file.used.retain(|b| !gone.contains(b));
    }

    fn truncate(&mut self, i: usize, blocks: u64) {
        let file = &mut self.files[i];
        let behind = (blocks, u64::MAX - blocks);
        self.v.forget(&mut file.map, behind, Which::All).unwrap();
        file.used.split_off(&blocks);
        let size = blocks * BLOCK_SIZE as u64;
        let mut cut = self.v.begin_truncate(file.ino, size, at(5));
        while !cut.expect("a truncation always works") {
            self.v.follow_cut(file.ino, &mut file.map);
            cut = self.v.truncate_step(file.ino);
        }
        self.v.follow_cut(file.ino, &mut file.map);
    }

    /// Takes a name away. What has none is open still.
    fn unlink(&mut self, i: usize) {
        let Some(name) = self.files[i].names.pop() else {
            return;
        };
        let gone = self.v.unlink(ROOT_INO, name.as_bytes(), at(6));
        gone.expect("a removal always works");
    }

    /// A file without a name is closed.
    fn close(&mut self, i: usize) {
        if !self.files[i].names.is_empty() {
            return;
        }
        let mut file = self.files.swap_remove(i);
        let all = (0, u64::MAX);
        self.v.forget(&mut file.map, all, Which::All).unwrap();
        self.v.evict(file.ino).expect("freeing always works");
    }

    /// Renames one file over the name of another.
    fn replace(&mut self, i: usize, j: usize) {
        if i == j || self.files[i].names.is_empty() || self.files[j].names.is_empty() {
            return;
        }
        let old = self.files[i].names.pop().unwrap();
        let new = self.files[j].names.pop().unwrap();
        let plain = RenameFlags::default();
        let done = self.v.rename(
            ROOT_INO,
            old.as_bytes(),
            ROOT_INO,
            new.as_bytes(),
            plain,
            at(7),
        );
        done.expect("a rename over a name always works");
        self.files[i].names.push(new);
    }

    /// What is promised is what the files' maps say, and it is there.
    fn check(&mut self) {
        let maps = self.files.iter().map(|f| &f.map);
        let (delayed, nodes) = maps.fold((0, 0), |(d, n), m| (d + m.delayed(), n + m.nodes));
        assert_eq!(self.v.promised_to_maps(), nodes);
        let allocator = self.v.store().allocator();
        let promised = allocator.free_blocks() - allocator.unpromised();
        assert_eq!(promised, delayed + nodes);
    }

    fn step(&mut self) {
        let choice = self.rng.below(100);
        let from = self.rng.below(SPAN);
        let few = 1 + self.rng.below(3);
        let len = [1, 1, few, 40][self.rng.below(4) as usize];
        let Some(i) = self.file() else {
            self.create();
            return;
        };
        match choice {
            0..=9 => drop(self.create()),
            10..=14 => drop(self.other_name()),
            15..=49 => drop(self.delay(i, from, len)),
            50..=69 => (0..8).for_each(|_| self.choose_last(i)),
            70..=74 => self.choose_unpromised(i, from, len),
            75..=84 => self.enter(i, from, SPAN / 8),
            85..=86 => self.fail(i, from, 300),
            87..=88 => self.truncate(i, from),
            89 => self.truncate(i, 0),
            90..=92 => self.unlink(i),
            93..=95 => self.close(i),
            96..=98 => {
                let j = self.file().unwrap_or(i);
                self.replace(i, j);
            }
            _ => self.v.sync().unwrap(),
        }
    }

    /// Everything that was written reaches the device, scattered and from the back.
    fn write_back(&mut self) {
        for i in 0..self.files.len() {
            while self.files[i].map.delayed() > 0 {
                self.choose_last(i);
                if self.rng.below(3) == 0 {
                    let from = self.rng.below(SPAN);
                    self.enter(i, from, 50);
                }
            }
            self.enter(i, 0, u64::MAX);
        }
        assert_eq!(self.v.promised_to_maps(), 0);
    }

    /// Removes everything: all names first, while everything is open.
    fn remove_all(&mut self) {
        for name in core::mem::take(&mut self.links) {
            let gone = self.v.unlink(ROOT_INO, name.as_bytes(), at(8)).unwrap();
            self.v.evict(gone.ino).unwrap();
        }
        let mut open = Vec::new();
        for name in core::mem::take(&mut self.dirs) {
            open.push(self.v.rmdir(ROOT_INO, name.as_bytes(), at(8)).unwrap().ino);
        }
        for i in 0..self.files.len() {
            while !self.files[i].names.is_empty() {
                self.unlink(i);
            }
        }
        while let Some(i) = self.file() {
            self.close(i);
        }
        open.iter().for_each(|&ino| self.v.evict(ino).unwrap());
    }
}

/// Fills a volume by `f`, which gets `before`, the free blocks of the new one, and sees that removing everything works and gives all back.
fn fill_and_remove(blocks: u64, seed: u64, f: impl FnOnce(&mut Brim)) -> u64 {
    let mut b = Brim::new(blocks, seed);
    b.v.sync().unwrap();
    let fresh = b.v.statfs();
    f(&mut b);
    b.check();
    b.write_back();
    b.check();
    assert_eq!(
        commit_and_check(&mut b.v),
        b.files.iter().filter(|f| f.names.is_empty()).count() as u64
    );
    b.remove_all();
    b.v.sync().unwrap();
    b.v.store().reclaim().unwrap();
    assert_eq!(b.v.statfs(), fresh);
    assert_eq!(commit_and_check(&mut b.v), 0);
    let mut v = remount(b.v);
    assert_eq!(v.statfs(), fresh);
    b.refused
}

#[test]
fn at_random() {
    let mut refused = 0;
    for seed in 1..=60 {
        let blocks = 900 + seed % 6 * 150;
        refused += fill_and_remove(blocks, seed, |b| {
            for _ in 0..1500 {
                b.step();
                b.check();
            }
        });
    }
    assert!(refused > 1000, "{refused}: the volumes are not full");
}

#[test]
fn with_one_file_in_as_many_pieces_as_there_can_be() {
    for (blocks, seed) in [(1024, 1), (3000, 2)] {
        fill_and_remove(blocks, seed, |b| {
            b.create();
            // Every other block, then the gaps: each lies alone, and the leaves split everywhere.
            let mut from = 0;
            while b.delay(0, from, 1) {
                from += 2;
            }
            let mut from = 1;
            b.write_back();
            while b.delay(0, from, 1) {
                from += 4;
            }
            assert!(b.refused > 0);
        });
    }
}

#[test]
fn with_the_smallest_files_all_open_when_they_go() {
    fill_and_remove(1024, 3, |b| while b.create() {});
    fill_and_remove(1024, 4, |b| {
        while b.create() {
            let i = b.files.len() - 1;
            b.delay(i, 0, 3);
        }
        while b.create() {}
    });
}

/// Nearly all is inodes, and their directory gives little back before half of its names are gone.
#[test]
fn with_empty_files_of_short_names_all_open_when_they_go() {
    fill_and_remove(1024, 7, |b| {
        b.longer = 1;
        while b.create() {}
    });
}

#[test]
fn with_names_of_all_kinds() {
    fill_and_remove(1024, 5, |b| {
        b.create();
        let mut refused = 0;
        while refused < 20 {
            refused += u32::from(!b.other_name());
        }
    });
}

#[test]
fn the_last_blocks_go_to_who_appends() {
    let mut b = Brim::new(1024, 6);
    b.create();
    let mut from = 0;
    while b.delay(0, from, 1) {
        from += 1;
    }
    // What the map may take is small beside the data, though each block may lie alone.
    assert!(b.v.statfs().blocks_available < 8);
    assert!(b.v.promised_to_maps() < 32);
    b.write_back();
    let before = b.files[0].used.len();
    while b.delay(0, from, 1) {
        from += 1;
        b.write_back();
    }
    assert!(b.files[0].used.len() >= before);
    assert!(b.v.statfs().blocks_available < 8);
    b.check();
}
