// SPDX-License-Identifier: GPL-2.0

//! Workloads from a seed: what is done to the volume, in what order, and on what kind of disk.

use crate::{
    crash::Walk,
    disk::{Caps, Event, Lie, SimDisk},
    driver::{Done, Driver, Fault, Trouble},
    image::{Image, PER_BLOCK},
    model::{Kind, ROOT},
    oracle::{blocks_of, Oracle},
    rng::Rng,
    verify::Judge,
};
use permfs_core::{
    format::{inode::FILE_BLOCKS_MAX, SHARD_BLOCKS},
    geometry::Wishes,
    inode::{Time, S_IFDIR, S_IFLNK, S_IFREG},
    journal::MIN_JOURNAL_BLOCKS,
    mkfs::{format, MkfsParams},
};
use std::collections::{BTreeMap, BTreeSet};

const S_IFIFO: u16 = 0o010000;

/// What a workload is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A few operations, every crash of which is tried.
    Short,
    /// A bit of everything, until the log has wrapped.
    Mixed,
    /// Many names, so that directories become trees.
    Names,
    /// Sparse files, so that extent maps become trees, and truncations of them.
    Extents,
    /// Commits and checkpoints whose two halves have others in between.
    Halves,
    /// The same, where metadata blocks come and go: on a small volume, so that what is freed is soon something else, or on
    /// one with so much space that what is freed is not committed at once.
    Churn,
    /// As full as it gets.
    Full,
    /// Two shards, the first of which is all but taken by the journal.
    Shards,
}

/// Blocks that are fixed beside the journal's ring: super block, bitmap, state, summary, the journal's header of two,
/// and one panic slot of four.
const FIXED: u64 = 10;

impl Style {
    const ALL: [Style; 8] = [
        Style::Mixed,
        Style::Names,
        Style::Extents,
        Style::Halves,
        Style::Churn,
        Style::Full,
        Style::Shards,
        Style::Short,
    ];

    /// Operations of a workload.
    fn operations(self, rng: &mut Rng) -> u64 {
        match self {
            Style::Short => 3 + rng.below(8),
            _ => 60 + rng.below(140),
        }
    }

    /// Blocks of the volume behind the fixed areas.
    fn blocks(self, rng: &mut Rng) -> u64 {
        match self {
            Style::Full => 96,
            Style::Short => 128,
            Style::Churn => *rng.pick(&[72, 640]),
            _ => 512,
        }
    }

    /// Blocks of the journal: the shortest one wraps most often, longer ones take batches as large as the
    /// module's.
    fn journal_blocks(self, rng: &mut Rng) -> u64 {
        match self {
            // What is fixed, and some 40 blocks.
            Style::Shards => SHARD_BLOCKS - FIXED - 40,
            Style::Short | Style::Churn => MIN_JOURNAL_BLOCKS,
            _ => *rng.pick(&[MIN_JOURNAL_BLOCKS, MIN_JOURNAL_BLOCKS, 200, 400, 1024]),
        }
    }

    /// Whether every crash is to be tried, not some.
    pub fn is_short(self) -> bool {
        self == Style::Short
    }
}

/// A workload that was run.
pub struct Run {
    /// What is to be expected.
    pub oracle: Oracle,
    /// The disk's contents before.
    pub base: Image,
    /// What the disk has seen.
    pub log: Vec<Event>,
    /// The disk.
    pub caps: Caps,
    /// What it was like.
    pub style: Style,
}

/// A fresh volume.
fn make_volume(style: Style, caps: Caps, rng: &mut Rng) -> Result<Image, String> {
    let journal = style.journal_blocks(rng);
    let image = Image::new(FIXED + journal + style.blocks(rng));
    let disk = SimDisk::new(image, caps, Lie::None);
    let params = MkfsParams {
        label: [0; 64],
        uuid: *b"simulated volume",
        blocks: None,
        wishes: Wishes {
            journal_blocks: Some(journal),
            panic_slots: Some(1),
            panic_slot_blocks: Some(4),
        },
        hash_seed: *b"hash of the sim.",
        generation: 1,
        now: Time {
            sec: 1_000_000_000,
            nsec: 0,
        },
        root_owner: (0, 0),
    };
    format(&disk, &params).map_err(|e| format!("mkfs: {e}"))?;
    Ok(disk.image())
}

/// Runs workload `number` of `seed`. `Err`: the volume did something wrong without any crash.
pub fn run(seed: u64, number: u64, lie: Lie, fault: Fault) -> Result<Run, String> {
    let mut rng = Rng::part(seed, number);
    let caps = Caps::ALL[(number % Caps::ALL.len() as u64) as usize];
    // Every other workload is short: those are the ones that are tried from end to end.
    let style = match number % 2 {
        0 => Style::Short,
        _ => *rng.pick(&Style::ALL),
    };
    let mut base = make_volume(style, caps, &mut rng)?;
    let mut disk = SimDisk::new(base.clone(), caps, lie);
    let discard = rng.one_in(4);
    let mut work = Workload {
        driver: Driver::new(disk.clone(), fault, discard)?,
        rng,
        style,
        discard,
    };
    let earlier = if style.is_short() { 4 } else { 2 };
    while work.rng.one_in(earlier) {
        work.operations()?;
        (work, base) = work.crash_and_go_on(&disk, base)?;
        disk = work.driver.disk().clone();
    }
    work.operations()?;
    let log = disk.take_log();
    work.driver.crash(&log);
    Ok(Run {
        oracle: work.driver.oracle,
        base,
        log,
        caps,
        style,
    })
}

struct Workload {
    driver: Driver,
    rng: Rng,
    style: Style,
    discard: bool,
}

impl Workload {
    fn operations(&mut self) -> Done {
        let style = self.style;
        for n in 0..style.operations(&mut self.rng) {
            let done = self.operation();
            done.map_err(|e| format!("operation {n} ({style:?}): {e}"))?;
        }
        Ok(())
    }

    /// Crashes, at a time and in a manner given by chance, and goes on with what is left.
    fn crash_and_go_on(mut self, disk: &SimDisk, base: Image) -> Result<(Self, Image), String> {
        let (caps, lie) = (disk.caps(), disk.lie());
        let log = disk.take_log();
        self.driver.crash(&log);
        let mut walk = Walk::new(base, &log, caps, lie);
        let point = self.rng.index(log.len() + 1);
        while walk.point() < point {
            walk.advance();
        }
        let crashes = walk.random(&mut self.rng, 1);
        let image = crashes.first().map(|crash| walk.image(crash));
        let image = image.ok_or("no crash")?;
        let judge = Judge {
            oracle: &self.driver.oracle,
            caps,
            point,
        };
        let tried = SimDisk::new(image.clone(), caps, Lie::None);
        let (_, step) = judge
            .recover(tried, "after an earlier crash")
            .map_err(|e| format!("{e}\n    ({crashes:?})"))?;
        let disk = SimDisk::new(image.clone(), caps, lie);
        let driver = self.driver.after_crash(disk, step, self.discard)?;
        Ok((Self { driver, ..self }, image))
    }

    fn operation(&mut self) -> Done {
        if self.driver.dead {
            // Somebody asks all the same, and an answer would be believed.
            return self.driver.sync();
        }
        self.driver.tick()?;
        self.driver.trouble = match self.rng.below(60) {
            0..=2 => Trouble::Memory(self.rng.below(40)),
            3 => Trouble::Disk(self.rng.below(6)),
            _ => Trouble::None,
        };
        if self.rng.one_in(self.commits_every()) {
            return self.durability();
        }
        match (self.style, self.rng.below(100)) {
            (Style::Extents, 0..=69) | (Style::Full, 0..=39) => self.data(),
            (Style::Names, 0..=79) => self.names(),
            (_, 0..=44) => self.names(),
            (_, 45..=94) => self.data(),
            _ => self.rarely(),
        }
    }

    fn commits_every(&self) -> u64 {
        match self.style {
            Style::Halves | Style::Churn => 2,
            Style::Short => 3,
            _ => 5,
        }
    }

    /// Commits, checkpoints, and their halves.
    fn durability(&mut self) -> Done {
        let halves = matches!(self.style, Style::Halves | Style::Churn) || self.rng.one_in(2);
        match self.rng.below(12) {
            0..=3 if halves => self.driver.seal(),
            4 if halves => self.driver.write_sealed(),
            // Others go on meanwhile, for a while.
            5..=7 if self.style == Style::Churn && self.driver.in_batch() => Ok(()),
            5..=8 if halves => {
                let max = *self.rng.pick(&[1, 3, 4, 5, 7, 9, 12, 64, 256]);
                self.driver.begin_batch(max)
            }
            9 => self.driver.checkpoint(),
            10 if self.discard => self.driver.discard(),
            _ => self.driver.sync(),
        }
    }

    fn rarely(&mut self) -> Done {
        match self.rng.below(4) {
            0 => self.driver.remount(self.discard),
            1 => match self.driver.open.first() {
                Some(&ino) => self.driver.evict(ino),
                None => Ok(()),
            },
            _ => {
                let all = self.driver.model.all(|_| true);
                let ino = *self.rng.pick(&all);
                let bits = 0o400 | self.rng.below(0o400) as u16;
                self.driver.chmod(ino, bits)
            }
        }
    }

    fn dir(&mut self) -> u64 {
        let dirs = self.driver.model.all(|k| matches!(k, Kind::Dir { .. }));
        if self.style == Style::Names && !self.rng.one_in(4) {
            return ROOT;
        }
        *self.rng.pick(&dirs)
    }

    /// A name out of so few that it is often there.
    fn name(&mut self) -> Vec<u8> {
        let (count, len) = match self.style {
            Style::Names => (90, 60 + self.rng.index(160)),
            Style::Short => (4, 1),
            _ => (14, 1 + self.rng.index(30)),
        };
        let n = self.rng.below(count);
        let mut name = format!("{n:02}-").into_bytes();
        // The length belongs to the name, or no two would ever be the same.
        let len = if self.style == Style::Names {
            60 + n as usize % 160
        } else {
            len % 2 * 20
        };
        name.resize(name.len() + len, b'a' + (n % 26) as u8);
        name
    }

    /// A name that is there, if there is any.
    fn there(&mut self) -> Option<(u64, Vec<u8>)> {
        let names = self.driver.model.names();
        (!names.is_empty()).then(|| self.rng.pick(&names).clone())
    }

    fn names(&mut self) -> Done {
        let growing = if self.style == Style::Names { 55 } else { 45 };
        if self.rng.below(100) < growing {
            return self.create();
        }
        let Some((dir, name)) = self.there() else {
            return self.create();
        };
        let ino = self.driver.model.lookup(dir, &name).unwrap_or(ROOT);
        let is_dir = matches!(
            self.driver.model.nodes.get(&ino).map(|n| &n.kind),
            Some(Kind::Dir { .. })
        );
        match self.rng.below(10) {
            0..=3 if is_dir => self.driver.rmdir(dir, &name),
            0..=3 => {
                let open = self.rng.one_in(5);
                self.driver.unlink(dir, &name, open)
            }
            4 if !is_dir => {
                let (dir, name) = (self.dir(), self.name());
                self.driver.link(ino, dir, &name)
            }
            5 => self.exchange((dir, &name)),
            6 => {
                let (dir, name) = (self.dir(), self.name());
                self.driver.unlink(dir, &name, false)
            }
            _ => self.rename((dir, &name), ino),
        }
    }

    fn create(&mut self) -> Done {
        let (dir, name) = (self.dir(), self.name());
        let parent = dir;
        let symlink_more = self.style == Style::Churn && self.rng.one_in(2);
        let (mode, kind) = match if symlink_more { 3 } else { self.rng.below(10) } {
            0..=2 => {
                let entries = BTreeMap::new();
                (S_IFDIR | 0o755, Kind::Dir { entries, parent })
            }
            3 => {
                // Now and then one that needs a block of its own.
                let long = self.style == Style::Churn || self.rng.one_in(3);
                let len = 1 + self.rng.index(if long { 4000 } else { 100 });
                (S_IFLNK | 0o777, Kind::Symlink(vec![b'l'; len]))
            }
            4 => (S_IFIFO | 0o600, Kind::Special),
            _ => {
                let blocks = BTreeSet::new();
                (S_IFREG | 0o644, Kind::File { size: 0, blocks })
            }
        };
        self.driver.create(dir, &name, mode, kind)
    }

    fn rename(&mut self, old: (u64, &[u8]), ino: u64) -> Done {
        let replace = self.rng.one_in(2).then(|| self.there()).flatten();
        let (dir, name) = match replace {
            Some(there) => there,
            None => (self.dir(), self.name()),
        };
        // The VFS lets neither of these through.
        if self.driver.model.is_above(ino, dir) {
            return Ok(());
        }
        let victim = self.driver.model.lookup(dir, &name);
        if victim.is_some_and(|victim| self.driver.model.is_above(victim, old.0)) {
            return Ok(());
        }
        let noreplace = self.rng.one_in(4);
        self.driver.rename(old, (dir, &name), noreplace)
    }

    fn exchange(&mut self, old: (u64, &[u8])) -> Done {
        let Some((dir, name)) = self.there() else {
            return Ok(());
        };
        let model = &mut self.driver.model;
        let (a, b) = (model.lookup(old.0, old.1), model.lookup(dir, &name));
        let (Some(a), Some(b)) = (a, b) else {
            return Ok(());
        };
        if model.is_above(a, dir) || model.is_above(b, old.0) {
            return Ok(());
        }
        self.driver.exchange(old, (dir, &name))
    }

    fn data(&mut self) -> Done {
        let files = self.driver.model.all(|k| matches!(k, Kind::File { .. }));
        if files.is_empty() {
            return self.create();
        }
        let ino = *self.rng.pick(&files);
        let size = self.driver.model.file(ino).map_or(0, |(size, _)| *size);
        let sectors = size / 512;
        if self.rng.one_in(5) {
            let to = match self.rng.below(4) {
                0 => 0,
                2 if self.style == Style::Churn => 0,
                1 => sectors + self.rng.below(40),
                _ => self.rng.below(sectors + 1),
            };
            return self.driver.truncate(ino, to);
        }
        let end_block = blocks_of(size);
        let many = if self.rng.one_in(6) { 24 } else { 4 };
        let len = 1 + self.rng.below(many);
        let first = match (self.style, self.rng.below(4)) {
            // Far apart: every block is an extent.
            (Style::Extents | Style::Churn, 0..=2) => 2 * self.rng.below(100) as u32,
            (_, 0) => self.rng.below(u64::from(end_block) + 6) as u32,
            (_, 1) => self.rng.below(u64::from(end_block) + 1) as u32,
            _ => end_block,
        };
        let len = if matches!(self.style, Style::Extents | Style::Churn) {
            1
        } else {
            len
        };
        let end = (u64::from(first) + len - 1) * PER_BLOCK + 1 + self.rng.below(PER_BLOCK);
        if end.div_ceil(PER_BLOCK) > FILE_BLOCKS_MAX {
            return Ok(());
        }
        let hold = self.rng.one_in(4);
        self.driver.write(ino, first, end, hold)
    }
}
