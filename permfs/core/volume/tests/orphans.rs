// SPDX-License-Identifier: GPL-2.0

//! Files without a name and truncations, across a crash.

use super::rig::*;
use crate::{
    extent::Mapping,
    format::{inode::ORPHAN_TRUNCATE, BLOCK_SIZE, ROOT_INO},
    volume::Volume,
};
use kernel::prelude::*;

/// A file of `runs` extents that nothing can merge.
fn scattered(v: &mut Volume<Dev>, name: &[u8], runs: u32) -> u64 {
    let ino = file(v, ROOT_INO, name);
    for i in 0..runs {
        write(v, ino, i * 2, 1).unwrap();
    }
    ino
}

#[test]
fn the_next_mount_frees_what_was_open() {
    let mut v = mount(&format(16384));
    let keep = file(&mut v, ROOT_INO, b"keep");
    // What the trees of inodes and extents grew to is theirs: only a second round is exact.
    let mut free = [0; 2];
    for free in &mut free {
        let big = scattered(&mut v, b"big", 300);
        let dir = mkdir(&mut v, ROOT_INO, b"dir");
        let link = symlink(&mut v, ROOT_INO, b"link", &[b'x'; 4000])
            .unwrap()
            .ino;
        v.unlink(ROOT_INO, b"big", at(2)).unwrap();
        v.unlink(ROOT_INO, b"link", at(2)).unwrap();
        v.rmdir(ROOT_INO, b"dir", at(2)).unwrap();
        assert_eq!(commit_and_check(&mut v), 3);
        v = crash(v);
        for ino in [big, dir, link] {
            assert_eq!(v.iget(ino), Err(ESTALE));
        }
        assert_eq!(commit_and_check(&mut v), 0);
        *free = v.statfs().blocks_free;
    }
    assert_eq!(free[0], free[1]);
    assert_eq!(v.lookup(ROOT_INO, b"keep"), Ok(Some(keep)));
    assert_eq!(v.iget(ROOT_INO).unwrap().attr.nlink, 2);
}

#[test]
fn a_read_only_mount_frees_nothing() {
    let mut v = mount(&format(8192));
    let f = scattered(&mut v, b"f", 50);
    v.unlink(ROOT_INO, b"f", at(2)).unwrap();
    v.sync().unwrap();
    let mut dev = v.store().device().clone();
    drop(v);
    dev.read_only = true;
    let mut v = try_mount(&dev, true).unwrap();
    assert_eq!(v.iget(f).unwrap().attr.nlink, 0);
    assert_eq!(v.evict(f), Err(EROFS));
    drop(v);
    dev.read_only = false;
    let mut v = try_mount(&dev, true).unwrap();
    v.remount_rw().unwrap();
    assert_eq!(v.iget(f), Err(ESTALE));
    assert_eq!(commit_and_check(&mut v), 0);
}

/// What the device would hold if the power went after each of the operations of a truncation.
#[test]
fn a_truncation_goes_on_from_every_operation() {
    let mut v = mount(&format(16384));
    let f = scattered(&mut v, b"f", 100);
    let keep = 10 * BLOCK_SIZE as u64 + 17;
    // The first operation of `truncate`, as it is; the others one by one.
    v.cutting.reserve(1, GFP_KERNEL).unwrap();
    v.change(|view| {
        let mut rec = view.load(f)?;
        rec.head.size.set(keep);
        view.save(&mut rec)?;
        view.add_orphan(f, ORPHAN_TRUNCATE, keep)
    })
    .unwrap();
    let mut steps = 0;
    loop {
        v.sync().unwrap();
        let dev = v.store().device().copy();
        fsck(&dev);
        let mut after = mount(&dev);
        let attr = after.iget(f).unwrap().attr;
        assert_eq!((attr.size, attr.blocks), (keep, 6));
        assert_eq!(after.map(f, 12, 300), Ok(Mapping::Hole { len: 300 }));
        assert_eq!(commit_and_check(&mut after), 0);
        if v.change(|view| view.cut_some(f)).unwrap() {
            break;
        }
        steps += 1;
    }
    assert!(steps > 5, "the truncation was not cut into steps");
    assert_eq!(commit_and_check(&mut v), 0);
}

/// A truncation that an error has stopped must not show old data when the file grows again.
#[test]
fn growth_waits_for_a_stopped_truncation() {
    let mut v = mount(&format(16384));
    let f = scattered(&mut v, b"f", 100);
    let keep = 10 * BLOCK_SIZE as u64;
    v.change(|view| {
        let mut rec = view.load(f)?;
        rec.head.size.set(keep);
        view.save(&mut rec)?;
        view.add_orphan(f, ORPHAN_TRUNCATE, keep)
    })
    .unwrap();
    v.cutting.push(f, GFP_KERNEL).unwrap();
    write(&mut v, f, 40, 1).unwrap();
    assert_eq!(v.map(f, 10, 30), Ok(Mapping::Hole { len: 30 }));
    assert_eq!(v.map(f, 41, 200), Ok(Mapping::Hole { len: 200 }));
    assert_eq!(v.iget(f).unwrap().attr.blocks, 6);
    assert_eq!(commit_and_check(&mut v), 0);
    v = crash(v);
    assert_eq!(v.iget(f).unwrap().attr.blocks, 6);
}

#[test]
fn deletion_overtakes_a_stopped_truncation() {
    let mut v = mount(&format(16384));
    let f = scattered(&mut v, b"f", 60);
    v.change(|view| {
        let mut rec = view.load(f)?;
        rec.head.size.set(0);
        view.save(&mut rec)?;
        view.add_orphan(f, ORPHAN_TRUNCATE, 0)
    })
    .unwrap();
    v.cutting.push(f, GFP_KERNEL).unwrap();
    v.unlink(ROOT_INO, b"f", at(2)).unwrap();
    assert_eq!(commit_and_check(&mut v), 1);
    v.evict(f).unwrap();
    assert!(v.cutting.is_empty());
    assert_eq!(commit_and_check(&mut v), 0);
}

#[test]
fn a_damaged_orphan_is_reported_and_bars_nothing() {
    let mut v = mount(&format(8192));
    let (f, g) = (scattered(&mut v, b"f", 3), scattered(&mut v, b"g", 3));
    v.unlink(ROOT_INO, b"g", at(2)).unwrap();
    v.change(|view| view.add_orphan(f, 77, 0)).unwrap();
    v.sync().unwrap();
    let dev = v.store().device().clone();
    drop(v);
    let mut v = mount(&dev);
    assert_eq!(
        v.take_report().map(|r| (r.ino, r.what)),
        Some((f, "orphan"))
    );
    assert_eq!(v.iget(g), Err(ESTALE));
    assert_eq!(v.iget(f).unwrap().attr.blocks, 3);
}

/// Between two steps the caller gives the volume's lock back: none may do more than a few runs of blocks, and
/// whatever others do then, or a crash, must not matter.
#[test]
fn a_large_file_is_freed_and_cut_in_small_steps() {
    let mut v = mount(&format(16384));
    let (gone, cut) = (
        scattered(&mut v, b"gone", 300),
        scattered(&mut v, b"cut", 300),
    );
    v.sync().unwrap();
    v.unlink(ROOT_INO, b"gone", at(2)).unwrap();
    let blocks = |v: &mut Volume<Dev>, ino| v.iget(ino).map_or(0, |inode| inode.attr.blocks);
    let mut left = 300;
    let mut steps = 0;
    while !v.evict_step(gone).unwrap() {
        let now = blocks(&mut v, gone);
        assert!(now < left && left - now <= 8, "{left} {now}");
        (left, steps) = (now, steps + 1);
        let other = file(
            &mut v,
            ROOT_INO,
            format!("made meanwhile {steps}").as_bytes(),
        );
        write(&mut v, other, 0, 1).unwrap();
    }
    assert!(steps >= 300 / 8 - 1);
    left = 300;
    let mut done = v.begin_truncate(cut, 0, at(3)).unwrap();
    while !done {
        assert_eq!(v.iget(cut).unwrap().attr.size, 0);
        let now = blocks(&mut v, cut);
        assert!(now < left && left - now <= 8, "{left} {now}");
        left = now;
        if left < 100 {
            // The lock was given back, and the power goes.
            v = crash(v);
            break;
        }
        v.sync().unwrap();
        done = v.truncate_step(cut).unwrap();
    }
    assert_eq!(blocks(&mut v, cut), 0);
    commit_and_check(&mut v);
}
