// SPDX-License-Identifier: GPL-2.0

//! The file device is the memory device with another backing.

mod common;

use std::{io::ErrorKind, path::Path};

use common::params;
use kernel::prelude::*;
use permfs_core::{
    check::check,
    device::{BlockDevice, WriteFlags},
    format::*,
    mkfs::format,
};
use permfs_hostdev::{FileBlockDevice, MemoryBlockDevice, OpenMode};
use tempfile::NamedTempFile;

fn image(bytes: u64) -> NamedTempFile {
    let file = NamedTempFile::new().expect("room");
    file.as_file().set_len(bytes).expect("room");
    file
}

#[test]
fn both_devices_hold_the_same_volume() {
    let file = image(4096 * BLOCK_SIZE as u64);
    let dev = FileBlockDevice::open(file.path(), OpenMode::Exclusive).expect("a file");
    let memory = MemoryBlockDevice::new(4096);
    format(&dev, &params()).expect("mkfs");
    format(&memory, &params()).expect("mkfs");
    let mut bytes = [0; BLOCK_SIZE];
    for block in 0..4096 {
        dev.read(block * SECTORS_PER_BLOCK, &mut bytes)
            .expect("in range");
        assert!(bytes == memory.block(block), "block {block}");
    }
    assert_eq!(
        check(dev, &mut |f| panic!("{f}")).expect("a result").inodes,
        1
    );
}

#[test]
fn a_device_opened_to_read_refuses_writes() {
    let file = image(8192);
    let dev = FileBlockDevice::open(file.path(), OpenMode::Read).expect("a file");
    assert!(dev.read_only() && !dev.is_block_device());
    assert_eq!(dev.write(0, &[0; 512], WriteFlags::default()), Err(EROFS));
    assert_eq!(dev.write_blocks(&[(0, &[0; BLOCK_SIZE])]), Err(EROFS));
    assert_eq!(dev.discard(0, 1), Err(EROFS));
}

#[test]
fn what_is_behind_the_end_is_an_error() {
    let file = image(8192 + 100);
    let dev = FileBlockDevice::open(file.path(), OpenMode::Exclusive).expect("a file");
    assert_eq!(dev.sectors(), 16);
    let mut sector = [0; 512];
    assert_eq!(dev.read(15, &mut sector), Ok(()));
    assert_eq!(dev.read(16, &mut sector), Err(EIO));
    assert_eq!(dev.read(u64::MAX, &mut sector), Err(EIO));
    assert_eq!(dev.read(0, &mut sector[..100]), Err(EINVAL));
    let fua = WriteFlags {
        preflush: true,
        fua: true,
    };
    assert_eq!(dev.write(15, &[7; 512], fua), Ok(()));
    assert_eq!(dev.write_blocks(&[(2, &[0; BLOCK_SIZE])]), Err(EIO));
}

#[test]
fn discarded_blocks_read_as_zeros() {
    let file = image(8192);
    let dev = FileBlockDevice::open(file.path(), OpenMode::Exclusive).expect("a file");
    dev.write_blocks(&[(0, &[1; BLOCK_SIZE]), (1, &[2; BLOCK_SIZE])])
        .expect("in range");
    dev.discard(0, 1)
        .expect("a filesystem that can punch holes");
    let mut both = [0; 2 * BLOCK_SIZE];
    dev.read(0, &mut both).expect("in range");
    assert!(both[..BLOCK_SIZE] == [0; BLOCK_SIZE] && both[BLOCK_SIZE..] == [2; BLOCK_SIZE]);
}

#[test]
fn only_files_and_block_devices_are_opened() {
    for path in ["/dev/null", "/"] {
        let refused = FileBlockDevice::open(Path::new(path), OpenMode::Read).err();
        assert_eq!(refused.expect("refused").kind(), ErrorKind::InvalidInput);
    }
}
