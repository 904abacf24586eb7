// SPDX-License-Identifier: GPL-2.0

//! Operations that fail midway, and volumes that somebody has tampered with.

use super::rig::*;
use crate::{
    device::BlockDevice,
    format::{HEADER_SIZE, ROOT_INO, SECTORS_PER_BLOCK},
    inode::{Inode, S_IFDIR, S_IFREG},
    store::block::{self, Block},
    volume::{RenameFlags, Volume},
};
use kernel::prelude::*;
use std::{collections::BTreeMap, string::String, vec::Vec};

/// All that can be seen below the root: inodes, names, targets, mappings.
fn dump(v: &mut Volume<Dev>) -> BTreeMap<String, (Inode, String)> {
    let mut all = BTreeMap::new();
    let mut todo = Vec::from([(String::new(), ROOT_INO)]);
    while let Some((path, ino)) = todo.pop() {
        let inode = v.iget(ino).unwrap();
        let mut more = String::new();
        if inode.is_dir() {
            more = format!("{:?}", (v.parent(ino), list(v, ino)));
            let names = list(v, ino).into_iter();
            todo.extend(names.map(|(name, ino, ..)| (format!("{path}/{name}"), ino)));
        } else if inode.attr.mode & 0o170000 == S_IFREG {
            more = (0..40).map(|i| format!("{:?}", v.map(ino, i, 1))).collect();
        }
        all.insert(path, (inode, more));
    }
    all
}

type Job = fn(&mut Volume<Dev>) -> Result;

fn lookup(v: &mut Volume<Dev>, name: &str) -> Result<u64> {
    v.lookup(ROOT_INO, name.as_bytes())?.ok_or(ENOENT)
}

/// One of each operation, some where trees begin, split or end.
const JOBS: [(&str, Job); 14] = [
    ("create", |v| make(v, ROOT_INO, b"new", S_IFREG).map(drop)),
    ("mkdir", |v| make(v, ROOT_INO, b"new", S_IFDIR).map(drop)),
    ("create in a tree", |v| {
        let dir = lookup(v, "large")?;
        make(v, dir, &[b'n'; 255], S_IFREG).map(drop)
    }),
    ("directory to tree", |v| {
        let dir = lookup(v, "brim")?;
        make(v, dir, &[b'n'; 255], S_IFREG).map(drop)
    }),
    ("symlink", |v| {
        symlink(v, ROOT_INO, b"new", &[b't'; 4095]).map(drop)
    }),
    ("link", |v| {
        let f = lookup(v, "f")?;
        v.link(f, ROOT_INO, b"new", at(9))
    }),
    ("unlink", |v| v.unlink(ROOT_INO, b"f", at(9)).map(drop)),
    ("unlink in a tree", |v| {
        let dir = lookup(v, "large")?;
        v.unlink(dir, b"entry 17", at(9)).map(drop)
    }),
    ("rmdir", |v| v.rmdir(ROOT_INO, b"empty", at(9)).map(drop)),
    ("rename over", |v| {
        let dir = lookup(v, "large")?;
        v.rename(
            ROOT_INO,
            b"f",
            dir,
            b"entry 3",
            RenameFlags::default(),
            at(9),
        )
        .map(drop)
    }),
    ("rename of a directory", |v| {
        let dir = lookup(v, "brim")?;
        v.rename(
            ROOT_INO,
            b"large",
            dir,
            b"moved",
            RenameFlags::default(),
            at(9),
        )
        .map(drop)
    }),
    ("exchange", |v| {
        let (dir, flags) = (
            lookup(v, "brim")?,
            RenameFlags {
                noreplace: false,
                exchange: true,
            },
        );
        v.rename(ROOT_INO, b"f", dir, b"a0", flags, at(9)).map(drop)
    }),
    ("extents to tree", |v| {
        let f = lookup(v, "f")?;
        write(v, f, 38, 1)
    }),
    ("truncate", |v| {
        let f = lookup(v, "f")?;
        v.truncate(f, 70_000, at(9))
    }),
];

fn sample() -> Dev {
    let mut v = mount(&format(4096));
    let f = file(&mut v, ROOT_INO, b"f");
    for i in 0..16 {
        write(&mut v, f, i * 2, 1).unwrap();
    }
    mkdir(&mut v, ROOT_INO, b"empty");
    let (large, brim) = (
        mkdir(&mut v, ROOT_INO, b"large"),
        mkdir(&mut v, ROOT_INO, b"brim"),
    );
    for i in 0..60 {
        file(&mut v, large, format!("entry {i}").as_bytes());
    }
    for i in 0..40 {
        file(&mut v, brim, format!("a{i}").as_bytes());
    }
    v.unmount().unwrap();
    v.store().device().clone()
}

/// What the volume says that it has stored last is what is there, and holds all that differs from `before`.
fn saved_is_all(v: &mut Volume<Dev>, before: &BTreeMap<String, (Inode, String)>, what: &str) {
    let saved = v.saved();
    for stored in (0..1000).filter_map(|ino| saved.get(ino)) {
        assert_eq!(v.iget(stored.ino), Ok(*stored), "{what}");
    }
    for (path, (inode, _)) in dump(v) {
        if !before.values().any(|(old, _)| *old == inode) {
            assert_eq!(saved.get(inode.ino), Some(&inode), "{what}: {path}");
        }
    }
}

#[test]
fn without_memory_nothing_happens_at_all() {
    let sample = sample();
    for (what, job) in JOBS {
        let mut failures = 0;
        for n in 0.. {
            let mut v = mount(&sample.copy());
            let (before, free) = (dump(&mut v), v.statfs().blocks_free);
            let guard = kernel::alloc::fail_after(n);
            let outcome = job(&mut v);
            drop(guard);
            match outcome {
                Ok(()) => break,
                Err(e) => assert_eq!(e, ENOMEM, "{what} at allocation {n}"),
            }
            failures += 1;
            // Truncation is several operations: it may stop between two, and goes on later.
            if what != "truncate" {
                assert_eq!(dump(&mut v), before, "{what} at allocation {n}");
                assert_eq!(v.statfs().blocks_free, free, "{what} at allocation {n}");
            }
            saved_is_all(&mut v, &before, what);
            job(&mut v).unwrap_or_else(|e| panic!("{what} after all, at {n}: {e:?}"));
            saved_is_all(&mut v, &before, what);
            assert!(dump(&mut v) != before);
            assert_eq!(v.take_report(), None);
            commit_and_check(&mut v);
        }
        assert!(failures > 3, "{what}: memory is not asked for");
    }
}

/// Everything there is to do, errors and all, on a volume that may hold anything.
fn exercise(v: &mut Volume<Dev>, rng: &mut Rng) {
    for (_, job) in JOBS {
        let _ = job(v);
    }
    let mut names = Vec::new();
    let mut budget = 2000;
    for ino in (0..20).chain(100..140) {
        let _ = v.iget(ino);
        let _ = v.parent(ino);
        let _ = v.readlink(ino, &mut KVec::new());
        let _ = v.map(ino, rng.next() as u32, rng.next() as u32);
        let _ = v.readdir(ino, rng.next() >> rng.below(48), |name, child, _, _| {
            names.push((ino, name.to_vec(), child));
            budget -= 1;
            budget > 0
        });
        if budget <= 0 {
            break;
        }
    }
    for (dir, name, child) in names.into_iter().take(100) {
        let _ = match rng.below(4) {
            0 => v.unlink(dir, &name, at(1)).map(drop),
            1 => v.rmdir(dir, &name, at(1)).map(drop),
            2 => v
                .rename(dir, &name, ROOT_INO, b"z", RenameFlags::default(), at(1))
                .map(drop),
            _ => v.truncate(child, rng.next() % 100_000, at(1)),
        };
        let _ = v.evict(child);
        let _ = write(v, child, rng.below(100) as u32, 2);
    }
    let _ = v.sync();
    let _ = v.unmount();
}

/// Bytes of metadata blocks are changed and their checksums made right again: what a person may do who
/// makes an image to attack the kernel with. Nothing may panic or go on for ever.
#[test]
fn tampered_volumes_give_errors_at_most() {
    let sample = sample();
    let last = sample.sectors() / SECTORS_PER_BLOCK;
    let metadata: Vec<u64> = (0..last).filter(|&at| is_metadata(&sample, at)).collect();
    assert!(metadata.len() > 8);
    let mut mounted = 0;
    for seed in 1..=1500 {
        let mut rng = Rng(seed * 2 + 1);
        let bad = sample.copy();
        for _ in 0..=rng.below(3) {
            let at = metadata[rng.below(metadata.len() as u64) as usize];
            let changes = 1 + rng.below(4);
            bad.damage(at, |bytes| {
                for _ in 0..changes {
                    let place =
                        HEADER_SIZE + rng.below(if changes == 1 { 4032 } else { 400 }) as usize;
                    bytes[place] = match rng.below(4) {
                        0 => 0,
                        1 => 0xff,
                        2 => bytes[place].wrapping_add(1),
                        _ => rng.next() as u8,
                    };
                }
                let whole: &mut Block = bytes.try_into().unwrap();
                block::seal(whole, 0);
            });
        }
        if let Ok(mut v) = try_mount(&bad, false) {
            mounted += 1;
            exercise(&mut v, &mut rng);
        }
    }
    assert!(mounted > 500, "too few were mounted: {mounted}");
}

fn is_metadata(dev: &Dev, at: u64) -> bool {
    let mut block: Block = [0; 4096];
    dev.read(at * SECTORS_PER_BLOCK, &mut block).unwrap();
    block::verify(&block, at, b"volume tests uid").is_ok()
}
