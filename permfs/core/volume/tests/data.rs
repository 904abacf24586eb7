// SPDX-License-Identifier: GPL-2.0

//! Extents: choosing, committing, truncating.

use super::rig::*;
use crate::{
    extent::Mapping,
    format::{inode::FILE_SIZE_MAX, BLOCK_SIZE, ROOT_INO, SHARD_BLOCKS},
};
use kernel::prelude::*;

const BLOCK: u64 = BLOCK_SIZE as u64;

#[test]
fn sequential_writes_make_one_extent() {
    let mut v = mount(&format(8192));
    let f = file(&mut v, ROOT_INO, b"f");
    for i in 0..64 {
        write(&mut v, f, i, 1).unwrap();
    }
    let Ok(Mapping::Data { phys, len: 64 }) = v.map(f, 0, 1000) else {
        panic!("not one extent: {:?}", v.map(f, 0, 1000));
    };
    assert_eq!(
        v.map(f, 10, 5),
        Ok(Mapping::Data {
            phys: phys + 10,
            len: 5
        })
    );
    assert_eq!(v.map(f, 64, 1000), Ok(Mapping::Hole { len: 1000 }));
    let attr = v.iget(f).unwrap().attr;
    assert_eq!(
        (attr.blocks, attr.size, attr.mtime),
        (64, 64 * BLOCK, at(5))
    );
    v = crash(v);
    assert_eq!(v.map(f, 0, 64), Ok(Mapping::Data { phys, len: 64 }));
}

#[test]
fn files_stay_near_their_directory_and_directories_spread() {
    let mut v = mount(&format(4 * SHARD_BLOCKS));
    let mut shards = std::collections::BTreeSet::new();
    for i in 0..16 {
        let dir = mkdir(&mut v, ROOT_INO, format!("d{i}").as_bytes());
        let deep = mkdir(&mut v, dir, b"deep");
        let mut seen = std::collections::BTreeSet::new();
        for dir in [dir, deep, dir] {
            let f = file(&mut v, dir, format!("f{}", seen.len()).as_bytes());
            write(&mut v, f, 0, 4).unwrap();
            let Ok(Mapping::Data { phys, .. }) = v.map(f, 0, 1) else {
                panic!("not mapped");
            };
            seen.insert(phys / SHARD_BLOCKS);
            v.rename(
                dir,
                b"f0",
                dir,
                format!("r{}", phys).as_bytes(),
                Default::default(),
                at(2),
            )
            .ok();
        }
        assert_eq!(seen.len(), 1);
        shards.extend(seen);
    }
    assert_eq!(shards.len(), 4);
    commit_and_check(&mut v);
}

#[test]
fn a_lost_race_gives_the_blocks_back() {
    let mut v = mount(&format(8192));
    let f = file(&mut v, ROOT_INO, b"f");
    let free = v.statfs().blocks_free;
    let (mine, 8) = v.reserve_extent(f, 0, 8, false).unwrap() else {
        panic!("fewer than asked for");
    };
    let (theirs, 4) = v.reserve_extent(f, 2, 4, false).unwrap() else {
        panic!("fewer than asked for");
    };
    assert_eq!(v.statfs().blocks_free, free - 12);
    v.commit_extent(f, 2, theirs, 4, None, None).unwrap();
    v.commit_extent(f, 0, mine, 8, Some(8 * BLOCK), None)
        .unwrap();
    assert_eq!(v.map(f, 0, 8), Ok(Mapping::Data { phys: mine, len: 2 }));
    assert_eq!(
        v.map(f, 2, 6),
        Ok(Mapping::Data {
            phys: theirs,
            len: 4
        })
    );
    assert_eq!(
        v.map(f, 6, 9),
        Ok(Mapping::Data {
            phys: mine + 6,
            len: 2
        })
    );
    assert_eq!(v.statfs().blocks_free, free - 8);
    assert_eq!(v.iget(f).unwrap().attr.blocks, 8);
    // The very same commit again changes nothing and frees nothing.
    v.commit_extent(f, 2, theirs, 4, None, None).unwrap();
    assert_eq!(v.statfs().blocks_free, free - 8);
    commit_and_check(&mut v);
}

#[test]
fn a_failed_commit_gives_the_blocks_back() {
    let mut v = mount(&format(8192));
    let f = file(&mut v, ROOT_INO, b"f");
    let (_, free) = (v.sync(), v.statfs().blocks_free);
    let (phys, len) = v.reserve_extent(f, 0, 8, false).unwrap();
    let too_large = Some(FILE_SIZE_MAX + 1);
    assert_eq!(
        v.commit_extent(f, 0, phys, len, too_large, None),
        Err(EFBIG)
    );
    assert_eq!(v.statfs().blocks_free, free);
    let (phys, len) = v.reserve_extent(f, 0, 8, false).unwrap();
    v.unlink(ROOT_INO, b"f", at(2)).unwrap();
    v.evict(f).unwrap();
    assert_eq!(v.commit_extent(f, 0, phys, len, None, None), Err(ESTALE));
    let (phys, len) = (v.map(f, 0, 1), v.reserve_extent(f, 0, 1, false));
    assert_eq!((phys, len), (Err(ESTALE), Err(ESTALE)));
    assert_eq!(commit_and_check(&mut v), 0);
    assert_eq!(v.statfs().blocks_free, free);
}

#[test]
fn the_last_block_of_the_largest_file() {
    let mut v = mount(&format(8192));
    let f = file(&mut v, ROOT_INO, b"f");
    let (phys, len) = v.reserve_extent(f, u32::MAX, 9, false).unwrap();
    assert_eq!(len, 1);
    v.commit_extent(f, u32::MAX, phys, 1, Some(FILE_SIZE_MAX), None)
        .unwrap();
    assert_eq!(v.map(f, u32::MAX, 5), Ok(Mapping::Data { phys, len: 1 }));
    assert_eq!(v.map(f, 0, u32::MAX), Ok(Mapping::Hole { len: u32::MAX }));
    assert_eq!(v.truncate(f, FILE_SIZE_MAX + 1, at(2)), Err(EFBIG));
    assert_eq!(v.grow(f, FILE_SIZE_MAX + 1, None), Err(EFBIG));
    commit_and_check(&mut v);
    v.truncate(f, FILE_SIZE_MAX - BLOCK, at(2)).unwrap();
    assert_eq!(v.iget(f).unwrap().attr.blocks, 0);
    commit_and_check(&mut v);
}

#[test]
fn truncate_frees_exactly_what_is_behind() {
    let mut v = mount(&format(16384));
    let f = file(&mut v, ROOT_INO, b"f");
    // Every other block: as many extents as blocks, so a tree, and many operations to cut it.
    for i in 0..500 {
        write(&mut v, f, i * 2, 1).unwrap();
    }
    commit_and_check(&mut v);
    assert_eq!(v.iget(f).unwrap().attr.blocks, 500);
    for (size, blocks) in [
        (900 * BLOCK, 450),
        (100 * BLOCK + 1, 51),
        (2000 * BLOCK, 51),
        (5, 1),
        (0, 0),
    ] {
        v.truncate(f, size, at(7)).unwrap();
        let attr = v.iget(f).unwrap().attr;
        assert_eq!((attr.size, attr.blocks, attr.mtime), (size, blocks, at(7)));
        assert_eq!(commit_and_check(&mut v), 0);
    }
    assert_eq!(v.truncate(ROOT_INO, 0, at(1)), Err(EISDIR));
    assert_eq!(v.truncate(999, 0, at(1)), Err(ESTALE));
    assert_eq!(v.take_report(), None);
}

#[test]
fn truncate_of_a_file_without_a_name() {
    let mut v = mount(&format(16384));
    let f = file(&mut v, ROOT_INO, b"f");
    for i in 0..100 {
        write(&mut v, f, i * 2, 1).unwrap();
    }
    v.unlink(ROOT_INO, b"f", at(2)).unwrap();
    v.truncate(f, 10 * BLOCK, at(3)).unwrap();
    assert_eq!(v.iget(f).unwrap().attr.blocks, 5);
    write(&mut v, f, 50, 3).unwrap();
    assert_eq!(commit_and_check(&mut v), 1);
    v.evict(f).unwrap();
    assert_eq!(commit_and_check(&mut v), 0);
}
