// SPDX-License-Identifier: GPL-2.0

//! The judge of system calls: a core that keeps its promises on a disk is believed, one that promises too early is not.

use permfs_core::{
    alloc::Env,
    inode::{Time, S_IFREG},
    mkfs::{format, MkfsParams},
    panic::SlotGuard,
    volume::{MountOptions, NewInode, Volume},
};
use permfs_sim::{
    disk::{Caps, Lie, SimDisk},
    image::Image,
    syscalls::{history::History, journal, judge::Trial, log::Log},
};

const BLOCKS: u64 = 2048;
const CAPS: Caps = Caps {
    cache: true,
    fua: true,
    sector_size: 512,
};
const NOW: Time = Time { sec: 1, nsec: 0 };

/// A program on the core itself: a file, made durable, and another name.
struct Program {
    disk: SimDisk,
    volume: Volume<SimDisk>,
    journal: String,
    marks: Vec<(usize, u64)>,
}

impl Program {
    fn new() -> Self {
        let disk = SimDisk::new(Image::new(BLOCKS), CAPS, Lie::None);
        let params = MkfsParams {
            label: [0; 64],
            uuid: *b"of system calls.",
            blocks: None,
            wishes: Default::default(),
            hash_seed: *b"hash of the test",
            generation: 1,
            now: NOW,
            root_owner: (0, 0),
        };
        format(&disk, &params).map_err(|e| e.to_string()).unwrap();
        let options = MountOptions {
            read_only: false,
            rescue: false,
            slot: SlotGuard::claim(b"sim", &[0; 16]),
            env: Env::default(),
        };
        let volume = Volume::mount(disk.clone(), options).map_err(|e| e.to_string());
        let mut program = Self {
            disk,
            volume: volume.unwrap(),
            journal: String::new(),
            marks: Vec::new(),
        };
        program.returned("mount defaults");
        program
    }

    fn returned(&mut self, call: &str) {
        let number = self.marks.len() as u64;
        self.journal += &format!("test {number} {call} = ok\n");
        self.marks.push((self.disk.events(), number));
    }

    fn create(&mut self, name: &str) {
        let new = NewInode {
            ino: self.volume.allocate_ino(),
            mode: S_IFREG | 0o644,
            uid: 0,
            gid: 0,
            rdev: 0,
            symlink: None,
            now: NOW,
            generation: 1,
        };
        let root = self.volume.root_ino();
        self.volume.create(root, name.as_bytes(), &new).unwrap();
        self.returned(&format!("open 0 {name} create"));
    }

    fn trial(self) -> Trial {
        let calls = journal::read(&self.journal, "test").unwrap();
        Trial {
            history: History::follow(calls).unwrap(),
            log: Log {
                events: self.disk.take_log(),
                marks: self.marks,
            },
            caps: CAPS,
            blocks: BLOCKS,
        }
    }
}

fn failures(program: Program) -> Vec<String> {
    let outcome = program.trial().run(1, 200, None, |_| ());
    assert!(outcome.states > 200 && outcome.boundaries > 0);
    outcome.failures.into_iter().map(|f| f.2).collect()
}

#[test]
fn promises_that_are_kept_are_believed() {
    let mut program = Program::new();
    program.create("a");
    program.volume.sync().unwrap();
    program.returned("fsync 0");
    program.create("b");
    program.volume.unmount().unwrap();
    program.returned("umount");
    assert!(failures(program).is_empty());
}

#[test]
fn a_name_that_was_promised_too_early_is_missed() {
    let mut program = Program::new();
    program.create("a");
    program.returned("fsync 0");
    program.volume.sync().unwrap();
    let failures = failures(program);
    assert!(
        failures.iter().any(|why| why.contains("/a/ is not there")),
        "{failures:?}"
    );
}

#[test]
fn a_name_that_nobody_made_is_seen() {
    let mut program = Program::new();
    program.create("a");
    program.journal = program.journal.replace("open 0 a", "open 0 b");
    program.volume.sync().unwrap();
    program.returned("fsync 0");
    let failures = failures(program);
    assert!(
        failures.iter().any(|why| why.contains("/a/ is there")),
        "{failures:?}"
    );
}
