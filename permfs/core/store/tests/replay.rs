// SPDX-License-Identifier: GPL-2.0

//! Logs made by hand: what replay makes of them.

use super::{
    device::{put, Image, TestDevice},
    rig::{device_model, mount, volume, Random, UUID},
};
use crate::{
    device::BlockDevice,
    format::*,
    journal::header::HEADER_BLOCKS,
    journal::record::{Builder, Entry, DATA, DELTA, ENTRY_SIZE, HEADER_BYTES, IMAGE, REVOKE},
    meta::MetaRead,
    store::{block, Store},
};
use kernel::prelude::*;
use std::{vec, vec::Vec};

/// Kind, block, offset, bytes; for a revoke the number of blocks is that of the bytes.
type Change = (u8, u64, u16, Vec<u8>);

const GENERATION: u64 = 1000;

/// Metadata block `number`, with `fill` in all of its payload.
fn node(number: u64, fill: u8) -> Vec<u8> {
    let mut bytes = [0u8; BLOCK_SIZE];
    block::stamp(&mut bytes, Kind::Node, number, 5, &UUID);
    bytes[HEADER_SIZE..].fill(fill);
    bytes.to_vec()
}

/// Writes a record for `epoch` at `lsn` into the ring; returns the LSN behind it.
fn log(image: &mut Image, sb: &SuperBlock, lsn: u64, epoch: u64, changes: &[Change]) -> u64 {
    let bytes = |c: &Change| if c.0 == REVOKE { 0 } else { c.3.len() };
    let data: usize = changes.iter().map(bytes).sum();
    let sectors = (HEADER_BYTES + changes.len() * ENTRY_SIZE + data).div_ceil(SECTOR_SIZE) as u64;
    let mut builder = Builder::new(changes.len(), data, sectors).unwrap();
    for change in changes {
        let entry = Entry {
            block: change.1.into(),
            kind: change.0,
            reserved: 0,
            offset: change.2.into(),
            len: (change.3.len() as u32).into(),
        };
        builder.push(&entry, &change.3[..bytes(change)]).unwrap();
    }
    let ring = sb.journal_blocks.get() * SECTORS_PER_BLOCK;
    let sector = sb.journal_start.get() * SECTORS_PER_BLOCK + lsn % ring;
    let home = sector / SECTORS_PER_BLOCK;
    let record = builder.finish(&UUID, home, lsn, epoch, GENERATION).unwrap();
    put(image, sector, &record);
    lsn + sectors
}

/// Mounts both ways; the epochs must agree.
fn mount_both(image: &Image, sb: &SuperBlock) -> Result<[(Store<TestDevice>, TestDevice); 2]> {
    let dev = || TestDevice::new(device_model(512, false), image.clone());
    let (a, b) = (dev(), dev());
    let (ro, rw) = (mount(&a, sb, true)?, mount(&b, sb, false)?);
    assert_eq!(ro.durable_epoch(), rw.durable_epoch());
    Ok([(ro, a), (rw, b)])
}

fn home(dev: &TestDevice, number: u64) -> Vec<u8> {
    let mut bytes = vec![0; BLOCK_SIZE];
    dev.read(number * SECTORS_PER_BLOCK, &mut bytes).unwrap();
    bytes
}

const X: u64 = SHARD_BLOCKS - 10;
const Y: u64 = SHARD_BLOCKS - 9;

#[test]
fn a_revoked_block_is_left_alone_until_it_is_logged_anew() {
    let (mut image, sb) = volume(128);
    put(&mut image, X * SECTORS_PER_BLOCK, &[0xda; BLOCK_SIZE]);
    let lsn = log(
        &mut image,
        &sb,
        0,
        1,
        &[(IMAGE, X, 0, node(X, 1)), (IMAGE, Y, 0, node(Y, 1))],
    );
    let lsn = log(&mut image, &sb, lsn, 2, &[(DELTA, X, 64, vec![2; 8])]);
    let lsn = log(&mut image, &sb, lsn, 3, &[(REVOKE, X, 0, vec![0; 2])]);
    for (_, dev) in mount_both(&image, &sb).unwrap() {
        assert_eq!(home(&dev, X), [0xda; BLOCK_SIZE]);
        assert_eq!(home(&dev, Y), [0; BLOCK_SIZE]);
    }
    let lsn = log(&mut image, &sb, lsn, 4, &[(IMAGE, X, 0, node(X, 4))]);
    log(&mut image, &sb, lsn, 5, &[(DELTA, X, 100, vec![5; 8])]);
    for (mut store, _) in mount_both(&image, &sb).unwrap() {
        let payload = store.read(X, Kind::Node, 5).unwrap();
        let mut expected = vec![4; PAYLOAD_SIZE];
        expected[36..44].fill(5);
        assert_eq!(payload, &expected[..]);
        assert_eq!(store.durable_epoch(), 5);
        assert!(store.read(Y, Kind::Node, 5).is_err());
    }
}

#[test]
fn a_block_without_an_image_is_home_already() {
    let (mut image, sb) = volume(128);
    put(&mut image, X * SECTORS_PER_BLOCK, &[0xda; BLOCK_SIZE]);
    let lsn = log(&mut image, &sb, 0, 1, &[(DELTA, X, 64, vec![1; 8])]);
    log(&mut image, &sb, lsn, 2, &[(IMAGE, Y, 0, node(Y, 7))]);
    for (mut store, dev) in mount_both(&image, &sb).unwrap() {
        assert_eq!(home(&dev, X), [0xda; BLOCK_SIZE]);
        assert!(store.read(Y, Kind::Node, 5).is_ok());
    }
}

#[test]
fn logged_file_data_reaches_its_place() {
    let (mut image, sb) = volume(128);
    let lsn = log(
        &mut image,
        &sb,
        0,
        1,
        &[(DATA, X, 0, vec![9; 700]), (DATA, Y, 0, vec![8; 5])],
    );
    log(&mut image, &sb, lsn, 2, &[(REVOKE, Y, 0, vec![0; 1])]);
    let [(ro, dev), (rw, written)] = mount_both(&image, &sb).unwrap();
    let mut expected = [0; BLOCK_SIZE];
    expected[..700].fill(9);
    assert_eq!(ro.data_overlay(X), Some(&expected));
    assert_eq!(ro.data_overlay(Y), None);
    assert_eq!(home(&dev, X), [0; BLOCK_SIZE]);
    assert_eq!(rw.data_overlay(X), None);
    assert_eq!(home(&written, X), expected);
    assert_eq!(home(&written, Y), [0; BLOCK_SIZE]);
}

#[test]
fn the_log_ends_at_the_first_record_that_does_not_follow() {
    let (base, sb) = volume(128);
    let set = |n: u8| [(IMAGE, X, 0, node(X, n))];
    let last = |image: &Image| mount_both(image, &sb).unwrap()[0].0.durable_epoch();
    let mut image = base.clone();
    let second = log(&mut image, &sb, 0, 1, &set(1));
    let third = log(&mut image, &sb, second, 2, &set(2));
    assert_eq!(last(&image), 2);
    // Wrong epoch.
    log(&mut image, &sb, third, 4, &set(4));
    assert_eq!(last(&image), 2);
    // Right, but one bit is torn.
    log(&mut image, &sb, third, 3, &set(3));
    assert_eq!(last(&image), 3);
    let ring = sb.journal_start.get() * SECTORS_PER_BLOCK;
    let sector = image[&(ring + third + 2)].clone();
    let mut torn = *sector;
    torn[1] ^= 1;
    put(&mut image, ring + third + 2, &torn);
    assert_eq!(last(&image), 2);
    // A mount in between makes what is behind it stale, also where it would follow again.
    put(&mut image, ring + third + 2, &sector[..]);
    put(&mut image, ring + second, &[0; SECTOR_SIZE]);
    let dev = TestDevice::new(device_model(512, false), image);
    drop(mount(&dev, &sb, false).unwrap());
    let mut image = dev.image();
    log(&mut image, &sb, second, 2, &set(2));
    assert_eq!(last(&image), 1);
}

#[test]
fn a_record_that_makes_no_sense_is_corruption_and_never_a_crash() {
    let (base, sb) = volume(128);
    for bad in [
        (IMAGE, 0, 0, node(0, 1)),
        (IMAGE, X, 0, node(Y, 1)),
        (DELTA, X, 8, vec![1; 8]),
        (
            IMAGE,
            sb.journal_start.get() + 3,
            0,
            node(sb.journal_start.get() + 3, 1),
        ),
        (DATA, sb.panic_start.get(), 0, vec![1; 8]),
        (REVOKE, sb.blocks.get(), 0, vec![1; 1]),
        (9, X, 0, vec![]),
    ]
    .map(|change| vec![change])
    .into_iter()
    // A delta of a block in front of its image, in one record.
    .chain([vec![(DELTA, X, 64, vec![1; 8]), (IMAGE, X, 0, node(X, 1))]])
    {
        let mut image = base.clone();
        log(&mut image, &sb, 0, 1, &bad);
        assert_eq!(mount_both(&image, &sb).err(), Some(EFSCORRUPTED));
    }
    let mut random = Random(99);
    for _ in 0..300 {
        let mut image = base.clone();
        let mut lsn = 0;
        for epoch in 1..4 {
            let mut change = || -> Change {
                let number = [X, Y, 1, 2, 3, random.next()][random.below(6) as usize];
                let kind = random.below(5) as u8;
                let bytes = match random.below(3) {
                    0 => node(number, kind),
                    1 => vec![7; random.below(300) as usize],
                    _ => vec![1; 1],
                };
                (
                    kind,
                    number,
                    [0, 64, random.next() as u16][random.below(3) as usize],
                    bytes,
                )
            };
            let changes: Vec<Change> = (0..3).map(|_| change()).collect();
            lsn = log(&mut image, &sb, lsn, epoch, &changes);
        }
        let _ = mount_both(&image, &sb);
    }
}

/// An entry of 16 bytes names up to 256 blocks: 1 MiB of them would be 16 million.
#[test]
fn a_revoke_takes_no_memory_for_what_it_names() {
    let (mut image, sb) = volume(128);
    let first = X - 256 * 110;
    let revokes = (0..110).map(|i| (REVOKE, first + i * 256, 0, vec![0; 256]));
    let changes: Vec<Change> = revokes.chain([(IMAGE, Y, 0, node(Y, 7))]).collect();
    log(&mut image, &sb, 0, 1, &changes);
    let dev = TestDevice::new(device_model(512, false), image);
    let guard = kernel::alloc::fail_after(300);
    let mut store = mount(&dev, &sb, true).unwrap();
    drop(guard);
    assert!(store.read(Y, Kind::Node, 5).is_ok());
}

#[test]
fn no_header_is_no_mount() {
    let (base, sb) = volume(128);
    let mut image = base.clone();
    for sector in 0..HEADER_BLOCKS * SECTORS_PER_BLOCK {
        image.remove(&(sb.journal_header.get() * SECTORS_PER_BLOCK + sector));
    }
    assert_eq!(mount_both(&image, &sb).err(), Some(EFSCORRUPTED));
    let mut small = sb;
    small.journal_blocks = 127.into();
    assert_eq!(mount_both(&base, &small).err(), Some(EFSCORRUPTED));
}
