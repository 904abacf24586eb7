// SPDX-License-Identifier: GPL-2.0

//! Metadata that was changed and its checksums made right: mounted, walked, written to, emptied, checked.

#![no_main]

use std::{cell::OnceCell, vec::Vec};

use kernel::prelude::*;
use libfuzzer_sys::fuzz_target;
use permfs_core::{
    check::check, format::*, geometry::read_super, inode::S_IFREG, volume::RenameFlags,
};
use permfs_fuzz::{
    image::{create, mount, populated, seal, write, Memory, NOW},
    plan::Plan,
};
use permfs_hostdev::MemoryBlockDevice;

/// Changes in one run at most.
const CHANGES: usize = 24;
/// Entries listed, and inodes looked at.
const ENTRIES: usize = 200;

thread_local! {
    static BASES: OnceCell<[Base; 2]> = const { OnceCell::new() };
}

/// A volume, and the blocks of it that are not zero: those of the log, and the others.
#[derive(Clone)]
struct Base {
    dev: MemoryBlockDevice,
    log: Vec<u64>,
    homes: Vec<u64>,
}

impl Base {
    fn new(dev: MemoryBlockDevice) -> Self {
        let (_, geometry) = read_super(&dev).expect("a volume");
        let ring = geometry.journal_start..geometry.panic_start;
        let (log, homes) = dev
            .used_blocks()
            .into_iter()
            .partition(|b| ring.contains(b));
        Self { dev, log, homes }
    }

    /// One of the two volumes, for this run alone.
    fn get(crashed: bool) -> Self {
        BASES.with(|bases| {
            let base = &bases.get_or_init(|| populated().map(Self::new))[usize::from(crashed)];
            let dev = base.dev.snapshot();
            Self {
                dev,
                ..base.clone()
            }
        })
    }

    /// A block; one of the log is chosen seldom.
    fn block(&self, plan: &mut Plan<'_>) -> u64 {
        let n = usize::from(plan.short());
        let list = if n & 0xe000 == 0 {
            &self.log
        } else {
            &self.homes
        };
        list[n % list.len()]
    }
}

/// A place in a block: mostly one where something stands.
fn place(plan: &mut Plan<'_>, bytes: &[u8; BLOCK_SIZE]) -> usize {
    let n = usize::from(plan.short());
    let used = bytes.iter().filter(|&&b| b != 0).count();
    if n & 0xc000 == 0 || used == 0 {
        return n % BLOCK_SIZE;
    }
    let mut standing = (0..BLOCK_SIZE).filter(|&at| bytes[at] != 0);
    standing.nth(n % used).unwrap_or(0)
}

fn damage(base: &Base, plan: &mut Plan<'_>) {
    let dev = &base.dev;
    for _ in 0..CHANGES {
        if plan.is_over() {
            return;
        }
        let block = base.block(plan);
        let mut bytes = dev.block(block);
        let (at, how) = (place(plan, &bytes), plan.byte());
        let new = plan.bytes(usize::from(how & 15) + 1);
        for (i, byte) in new.iter().enumerate() {
            let place = &mut bytes[(at + i) % BLOCK_SIZE];
            *place = match how >> 4 {
                0..8 => *byte,
                8..12 => place.wrapping_add(*byte),
                _ => *place ^ *byte,
            };
        }
        dev.set_block(block, bytes);
        // Now and then the damage is one that a checksum shows.
        if how != 0xff {
            seal(dev, block);
        }
    }
}

fn walk(v: &mut Memory) -> Vec<(u64, Vec<u8>, u64)> {
    let (mut todo, mut all) = (Vec::from([ROOT_INO]), Vec::new());
    while let Some(dir) = todo.pop() {
        let _ = v.readdir(dir, 0, |name, ino, kind, _| {
            all.push((dir, name.to_vec(), ino));
            if kind == 4 && todo.len() < ENTRIES {
                todo.push(ino);
            }
            all.len() < ENTRIES
        });
        if all.len() >= ENTRIES {
            break;
        }
    }
    for (dir, name, ino) in &all {
        let _ = v.lookup(*dir, name);
        let _ = v.iget(*ino);
        let _ = v.parent(*ino);
        let _ = v.readlink(*ino, &mut KVec::new());
        for logical in [0, 1, 50, u32::MAX] {
            let _ = v.map(*ino, logical, 100);
        }
    }
    all
}

fn change(v: &mut Memory, names: &[(u64, Vec<u8>, u64)]) {
    let new = create(v, ROOT_INO, b"new", S_IFREG, None);
    if let Ok(ino) = new {
        let _ = write(v, ino, 0, 8);
    }
    for (i, (dir, name, ino)) in names.iter().enumerate().take(40) {
        let _ = match i % 5 {
            0 => write(v, *ino, 100, 2),
            1 => v.truncate(*ino, 5000, NOW),
            2 => v
                .rename(*dir, name, ROOT_INO, b"moved", RenameFlags::default(), NOW)
                .map(drop),
            3 => v.rmdir(*dir, name, NOW).map(drop),
            _ => v.unlink(*dir, name, NOW).map(drop),
        };
        let _ = v.evict(*ino);
    }
    let _ = v.statfs();
    let _ = v.sync();
    let _ = v.store().checkpoint();
    let _ = v.unmount();
}

fuzz_target!(|data: &[u8]| {
    let mut plan = Plan(data);
    let flags = plan.byte();
    let base = Base::get(flags & 1 != 0);
    damage(&base, &mut plan);
    let dev = base.dev;
    let _ = check(dev.read_only_view(), &mut |finding| {
        let _ = format!("{finding}");
    });
    match mount(&dev, flags & 2 != 0) {
        Ok(mut v) => {
            let _ = v.survey_panic_area();
            let names = walk(&mut v);
            change(&mut v, &names);
            let _ = v.take_report();
        }
        Err(why) => assert!(!format!("{why}").is_empty()),
    }
});
