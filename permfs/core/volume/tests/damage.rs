// SPDX-License-Identifier: GPL-2.0

//! One bad block costs what stands in it, and not the mount, whether it cannot be read or not be believed.

use super::rig::*;
use crate::{
    check::{check, Problem},
    format::*,
    journal::header::HEADER_BLOCKS,
    volume::{MountError, Volume},
};
use kernel::prelude::*;
use std::vec::Vec;

/// Three shards.
const BLOCKS: u64 = 3 * SHARD_BLOCKS;

/// How a block is bad: both kinds in turn, with the error that each gives.
fn each_way(mut f: impl FnMut(&dyn Fn(&Dev, u64), Error)) {
    f(&|dev, block| dev.make_unreadable(block), EIO);
    f(
        &|dev, block| dev.damage(block, |b| b[2000] ^= 0x40),
        EFSCORRUPTED,
    );
}

/// Kinds of what a check finds, with the blocks.
fn findings(dev: &Dev) -> Vec<(Problem, u64)> {
    let mut all = Vec::new();
    check(dev.copy(), &mut |f| all.push((f.problem, f.block))).unwrap();
    all
}

/// A file of `len` blocks, the first of them in shard `shard`.
fn file_in(v: &mut Volume<Dev>, name: &[u8], shard: u64, len: u32) -> u64 {
    let f = file(v, ROOT_INO, name);
    let goal = shard * SHARD_BLOCKS + 100;
    let (phys, got) = v.store.reserve_data(goal, len, false).unwrap();
    assert_eq!((phys / SHARD_BLOCKS, got), (shard, len));
    v.commit_extent(f, 0, phys, len, Some(u64::from(len) * 4096), None)
        .unwrap();
    f
}

fn shard_of(v: &mut Volume<Dev>, f: u64, logical: u32) -> u64 {
    match v.map(f, logical, 1).unwrap() {
        crate::extent::Mapping::Data { phys, .. } => phys / SHARD_BLOCKS,
        hole => panic!("{hole:?}"),
    }
}

#[test]
fn a_bad_summary_costs_its_shards() {
    each_way(|spoil, error| {
        let dev = format(BLOCKS);
        let mut v = mount(&dev);
        let f = file_in(&mut v, b"f", 1, 5);
        v.unmount().unwrap();
        spoil(&dev, SUMMARY_START);

        let mut v = try_mount(&dev, true).unwrap();
        assert_eq!(v.lookup(ROOT_INO, b"f"), Ok(Some(f)));
        assert_eq!(v.left().shards, 3);
        let report = v.take_report().unwrap();
        assert_eq!((report.block, report.error), (SUMMARY_START, error));
        assert_eq!(v.statfs().blocks_free, 0);
        drop(v);

        // All shards of so small a volume are described by one block: nothing can be allocated, all else goes.
        let mut v = mount(&dev);
        assert!(v.take_report().is_some());
        assert_eq!(write(&mut v, f, 5, 1), Err(ENOSPC));
        assert_eq!(v.take_report(), None);
        let attr = v.iget(f).unwrap().attr;
        v.set_attr(f, &attr).unwrap();
        v.truncate(f, 0, at(2)).unwrap();
        // That leaked, and was told.
        assert_eq!(v.iget(f).unwrap().attr.blocks, 0);
        assert!(v.take_report().unwrap().what.contains("leaked"));
        v.unmount().unwrap();
        dev.heal();
        if error == EIO {
            let leaked = (Problem::Leaked, SHARD_BLOCKS + 100);
            assert_eq!(findings(&dev), [leaked]);
        }
    });
}

#[test]
fn a_bad_bitmap_costs_its_shard() {
    each_way(|spoil, error| {
        let dev = format(BLOCKS);
        let mut v = mount(&dev);
        let (f, g) = (file_in(&mut v, b"f", 1, 5), file_in(&mut v, b"g", 2, 5));
        v.unmount().unwrap();
        let bitmap = SHARD_BLOCKS + SHARD_BITMAP;
        spoil(&dev, bitmap);

        let mut v = mount(&dev);
        assert_eq!(v.take_report(), None, "nobody needs it yet");
        let free = v.statfs().blocks_free;
        // Behind the file's last block would be shard 1.
        write(&mut v, f, 5, 3).unwrap();
        assert_ne!(shard_of(&mut v, f, 5), 1);
        let report = v.take_report().unwrap();
        assert_eq!(
            (report.block, report.what, report.error),
            (bitmap, "bitmap", error)
        );
        assert_eq!(v.left().shards, 1);
        let shard = SHARD_BLOCKS - SHARD_RESERVED - 5;
        assert_eq!(v.statfs().blocks_free, free - shard - 3);
        // Told once; and a promise for it is kept elsewhere.
        v.reserve_space(4).unwrap();
        let (phys, len) = v.reserve_extent(f, 8, 4, true).unwrap();
        assert!(len == 4 && phys / SHARD_BLOCKS != 1);
        v.commit_extent(f, 8, phys, len, None, None).unwrap();
        assert_eq!(v.take_report(), None);

        // What is freed there leaks, the rest does not.
        v.unlink(ROOT_INO, b"f", at(3)).unwrap();
        v.evict(f).unwrap();
        v.unlink(ROOT_INO, b"g", at(3)).unwrap();
        v.evict(g).unwrap();
        let report = v.take_report().unwrap();
        assert!(report.block == bitmap && report.what.contains("leaked"));
        v.sync().unwrap();
        assert_eq!(v.statfs().blocks_free, free - shard + 5);
        v.unmount().unwrap();
        drop(v);

        let found = findings(&dev);
        let expected = if error == EIO {
            (Problem::Unreadable, bitmap)
        } else {
            (Problem::Bitmap, bitmap)
        };
        assert_eq!(found, [expected]);
        dev.heal();
        if error == EIO {
            assert_eq!(findings(&dev), [(Problem::Leaked, SHARD_BLOCKS + 100)]);
        }
    });
}

#[test]
fn a_bitmap_that_turns_bad_in_use_costs_its_shard() {
    let dev = format(BLOCKS);
    let mut v = mount(&dev);
    let f = file_in(&mut v, b"f", 1, 5);
    v.store.checkpoint().unwrap();
    let bitmap = SHARD_BLOCKS + SHARD_BITMAP;
    // The allocator knows the shard, but the block has left memory.
    dev.make_unreadable(bitmap);
    v.store.forget_buffer(bitmap);
    v.reserve_space(4).unwrap();
    let available = v.statfs().blocks_available;
    let (phys, len) = v.reserve_extent(f, 5, 4, true).unwrap();
    assert!(len == 4 && phys / SHARD_BLOCKS != 1);
    v.commit_extent(f, 5, phys, len, None, None).unwrap();
    assert_eq!(v.take_report().map(|r| r.block), Some(bitmap));
    let shard = SHARD_BLOCKS - SHARD_RESERVED - 5;
    assert_eq!(v.statfs().blocks_available, available - shard);
    // Metadata goes elsewhere too.
    for i in 0..200 {
        file(&mut v, ROOT_INO, format!("file {i}").as_bytes());
    }
    commit_clean_but(&mut v, (Problem::Unreadable, bitmap));
}

fn commit_clean_but(v: &mut Volume<Dev>, finding: (Problem, u64)) {
    v.sync().unwrap();
    assert_eq!(findings(v.store().device()), [finding]);
}

/// Every metadata block of a volume with orphans is unreadable in turn: only the few that hold everything
/// up bar a read-write mount.
#[test]
fn few_blocks_bar_a_mount() {
    let dev = format(BLOCKS);
    let mut v = mount(&dev);
    let d = mkdir(&mut v, ROOT_INO, b"d");
    for i in 0..300 {
        let f = file(&mut v, d, format!("file {i}").as_bytes());
        if i % 3 == 0 {
            // With a tree of extents.
            for j in 0..12 {
                write(&mut v, f, j * 2, 1).unwrap();
            }
            v.unlink(d, format!("file {i}").as_bytes(), at(2)).unwrap();
        }
    }
    v.sync().unwrap();
    v.store.checkpoint().unwrap();
    drop(v);
    let geometry = *mount(&dev.copy()).geometry();
    let header = geometry.journal_header;
    let ring = geometry.journal_start..geometry.journal_start + geometry.journal_blocks;
    let root = {
        let mut v = mount(&dev.copy());
        v.look(|v| Ok(v.state.inodes.root.get())).unwrap()
    };
    let mut bars = Vec::new();
    let mut left = 0;
    for block in 0..BLOCKS {
        let mut first = [0; 4];
        dev.damage(block, |b| first.copy_from_slice(&b[..4]));
        if first != *b"PmFS" || ring.contains(&block) {
            continue;
        }
        let bad = dev.copy();
        bad.make_unreadable(block);
        match try_mount(&bad, false) {
            Ok(v) => left += v.left().orphans,
            Err(MountError::Super(..)) => assert_eq!(block, 0),
            Err(_) => bars.push(block),
        }
        let mut found = findings(&bad);
        found.retain(|f| *f == (Problem::Unreadable, block));
        // A slot of the header may have been torn by a crash: the other one does.
        let is_slot = (header..header + HEADER_BLOCKS).contains(&block);
        let told = found.len() == 1 || is_slot || block == STATE_BLOCK;
        assert!(told, "block {block}");
    }
    // The state block, the root of the inode tree and the leaf with the root directory in it.
    bars.retain(|block| ![STATE_BLOCK, root].contains(block));
    assert!(bars.len() <= 1, "{bars:?}");
    assert!(left > 0);
}

#[test]
fn an_orphan_that_is_to_be_cut_is_cut_before_it_grows() {
    let dev = format(BLOCKS);
    let mut v = mount(&dev);
    let f = file(&mut v, ROOT_INO, b"f");
    for i in 0..40 {
        write(&mut v, f, i * 2, 1).unwrap();
    }
    v.change(|view| {
        let mut rec = view.load(f)?;
        rec.head.size.set(0);
        view.save(&mut rec)?;
        view.add_orphan(f, crate::format::inode::ORPHAN_TRUNCATE, 0)
    })
    .unwrap();
    v.sync().unwrap();
    v.store.checkpoint().unwrap();
    let tree = v.look(|v| Ok(v.load(f)?.head.fork_root.get())).unwrap();
    let orphans = v.look(|v| Ok(v.state.orphans.root.get())).unwrap();
    drop(v);
    for block in [tree, orphans] {
        let dev = dev.copy();
        dev.make_unreadable(block);
        let mut v = mount(&dev);
        let left = v.left();
        assert!(left.orphans == 1 || left.orphan_tree);
        assert_eq!(v.take_report().map(|r| r.block), Some(block));
        let mut attr = v.iget(f).unwrap().attr;
        attr.size = 100_000;
        // What was cut off must not show.
        assert_eq!(v.set_attr(f, &attr), Err(EIO));
        assert_eq!(v.grow(f, 5, None), Err(EIO));
        file(&mut v, ROOT_INO, b"another");
        dev.heal();
        v.set_attr(f, &attr).unwrap();
        assert_eq!(v.iget(f).unwrap().attr.blocks, 0);
        commit_and_check(&mut v);
    }
}

#[test]
fn a_super_block_that_is_gone() {
    let gone: [fn(&Dev); 3] = [
        |dev| dev.damage(0, |b| b.fill(0)),
        |dev| dev.damage(0, |b| b[..4].fill(0x55)),
        |dev| dev.make_unreadable(0),
    ];
    for (i, spoil) in gone.iter().enumerate() {
        let dev = format(2 * SHARD_BLOCKS);
        let mut v = mount(&dev);
        file(&mut v, ROOT_INO, b"f");
        v.unmount().unwrap();
        spoil(&dev);
        let e = try_mount(&dev, false).err().unwrap();
        let text = format!("{e}");
        assert!(text.contains("backup at block 32256"), "{text}");
        let mut v = try_mount(&dev, true).unwrap();
        assert!(v.lookup(ROOT_INO, b"f").unwrap().is_some());
        assert_eq!(v.left().backup, Some(SHARD_BLOCKS));
        assert!(v.remount_rw().is_err());
        let found = findings(&dev);
        assert!(found.contains(&(Problem::PrimarySuper, 0)), "{found:?}");
        assert_eq!(found.contains(&(Problem::Unreadable, 0)), i == 2);
        // Somebody else's filesystem by now: an old backup behind it is no volume.
        dev.damage(STATE_BLOCK, |b| b.fill(0x55));
        dev.damage(0, |b| b.fill(0x55));
        dev.heal();
        let e = try_mount(&dev, true).err().unwrap();
        assert_eq!(
            (e.errno(), format!("{e}").contains("backup")),
            (EINVAL, false)
        );
    }
}
