// SPDX-License-Identifier: GPL-2.0

//! What can be mounted, and what is said of the rest.

use super::rig::*;
use crate::{
    device::BlockDevice,
    format::*,
    store::block::{self, Block},
    volume::MountError,
};
use core::mem::offset_of;
use kernel::prelude::*;

/// Changes bytes of the block at `at`, and makes its checksum right again.
fn edit(dev: &Dev, at: u64, f: impl FnOnce(&mut [u8])) {
    dev.damage(at, |bytes| {
        f(&mut bytes[HEADER_SIZE..]);
        let block: &mut Block = bytes.try_into().unwrap();
        block::seal(block, 0);
    });
}

fn set_feature(dev: &Dev, field: usize, bit: u8) {
    edit(dev, 0, |sb| {
        sb[field + usize::from(bit / 8)] |= 1 << (bit % 8)
    });
}

fn error(dev: &Dev, read_only: bool) -> (MountError, String) {
    let e = try_mount(dev, read_only).err().expect("was mounted");
    (e, format!("{e}"))
}

#[test]
fn unknown_features() {
    let dev = format(4096);
    set_feature(&dev, offset_of!(SuperBlock, feature_compat), 63);
    mount(&dev).unmount().unwrap();
    set_feature(&dev, offset_of!(SuperBlock, feature_ro_compat), 9);
    let (e, text) = error(&dev, false);
    assert_eq!(e.errno(), EROFS);
    assert!(
        text.contains("bit 9") && text.contains("mount read-only"),
        "{text}"
    );
    let mut v = try_mount(&dev, true).unwrap();
    let (text, e) = v
        .remount_rw()
        .map_err(|e| (format!("{e}"), e.errno()))
        .unwrap_err();
    assert!(e == EROFS && text.contains("bit 9"), "{text}");
    set_feature(&dev, offset_of!(SuperBlock, feature_incompat), 33);
    for read_only in [false, true] {
        let (e, text) = error(&dev, read_only);
        assert_eq!(e.errno(), EINVAL);
        assert!(text.contains("bit 33"), "{text}");
    }
}

#[test]
fn a_damaged_super_block() {
    let dev = format(2 * SHARD_BLOCKS);
    let mut v = mount(&dev);
    file(&mut v, ROOT_INO, b"f");
    v.unmount().unwrap();
    dev.damage(0, |b| b[100] ^= 1);
    let (e, text) = error(&dev, false);
    assert_eq!(e.errno(), EFSCORRUPTED);
    assert!(text.contains("backup at block 32256"), "{text}");
    let mut v = try_mount(&dev, true).unwrap();
    assert!(v.lookup(ROOT_INO, b"f").unwrap().is_some());
    assert!(v.remount_rw().is_err());
    dev.damage(SHARD_BLOCKS, |b| b[100] ^= 1);
    assert_eq!(error(&dev, true).0.errno(), EFSCORRUPTED);
}

#[test]
fn what_is_no_volume() {
    for blocks in [0, 1, 2, 100, SHARD_BLOCKS + 1] {
        let (e, text) = error(&Dev::new(blocks), false);
        assert!(e.errno() == EINVAL || e.errno() == EIO, "{text}");
        assert!(!text.is_empty());
    }
    let mut dev = format(4096);
    dev.read_only = true;
    let (e, text) = error(&dev, false);
    assert_eq!((e, e.errno()), (MountError::ReadOnlyDevice, EROFS));
    assert!(text.contains("read-only"), "{text}");
    try_mount(&dev, true).unwrap();
}

#[test]
fn a_root_that_is_none() {
    let dev = format(4096);
    edit(&dev, STATE_BLOCK, |state| state[..16].fill(0));
    let (e, text) = error(&dev, false);
    assert_eq!(e, MountError::Root(EFSCORRUPTED));
    assert!(text.contains("root directory: damaged"), "{text}");
}

#[test]
fn read_only_refuses_every_change() {
    let dev = format(4096);
    let mut v = mount(&dev);
    let f = file(&mut v, ROOT_INO, b"f");
    write(&mut v, f, 0, 3).unwrap();
    v.remount_ro().unwrap();
    let attr = v.iget(f).unwrap().attr;
    assert_eq!(make(&mut v, ROOT_INO, b"x", 0o100000), Err(EROFS));
    assert_eq!(v.unlink(ROOT_INO, b"f", at(2)), Err(EROFS));
    assert_eq!(v.truncate(f, 0, at(2)), Err(EROFS));
    assert_eq!(v.set_attr(f, &attr), Err(EROFS));
    assert_eq!(v.reserve_extent(f, 9, 1, false), Err(EROFS));
    assert_eq!(v.reserve_space(1), Err(EROFS));
    assert_eq!(fsck(&dev), 0);
    v.remount_rw().unwrap();
    write(&mut v, f, 3, 1).unwrap();
    assert_eq!(v.iget(f).unwrap().attr.blocks, 4);
    remount(v);
}

/// Every metadata block of a small volume damaged in turn: an error and a report, never a panic.
#[test]
fn damage_is_met_with_an_error_and_named() {
    let dev = format(4096);
    let mut v = mount(&dev);
    let d = mkdir(&mut v, ROOT_INO, b"d");
    for i in 0..300 {
        let f = file(&mut v, d, format!("file {i}").as_bytes());
        write(&mut v, f, 0, 1).unwrap();
    }
    v.unmount().unwrap();
    let mut reported = 0;
    for at in 0..dev.sectors() / SECTORS_PER_BLOCK {
        let bad = dev.copy();
        bad.damage(at, |b| b[2000] ^= 0x40);
        let Ok(mut v) = try_mount(&bad, true) else {
            continue;
        };
        let walked = v.readdir(d, 0, |_, _, _, _| true);
        let mut error = walked.err();
        for i in 0..300 {
            let found = v.lookup(d, format!("file {i}").as_bytes());
            let inode = found.and_then(|ino| v.iget(ino.ok_or(ENOENT)?));
            error = error.or(inode.err());
        }
        if let Some(e) = error {
            assert_eq!(e, EFSCORRUPTED);
            assert_eq!(v.take_report().map(|r| r.block), Some(at));
            reported += 1;
        }
    }
    assert!(reported > 5);
}
