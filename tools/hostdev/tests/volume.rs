// SPDX-License-Identifier: GPL-2.0

//! A new volume is whole, the same bytes for the same parameters, and what stands on it is found wrong
//! when it is damaged.

mod common;

use common::{checked, params};
use kernel::prelude::*;
use permfs_core::{
    check::{check, Problem},
    device::BlockDevice,
    format::*,
    geometry::{self, SuperError},
    mkfs::{format, MkfsError},
};
use permfs_hostdev::MemoryBlockDevice;

fn problems(dev: &MemoryBlockDevice) -> std::vec::Vec<Problem> {
    checked(dev).1.iter().map(|f| f.problem).collect()
}

#[test]
fn a_new_volume_is_clean_at_any_size() {
    for blocks in [
        1024,
        4096,
        SHARD_BLOCKS,
        SHARD_BLOCKS + 1,
        SHARD_BLOCKS + 3,
        9 * SHARD_BLOCKS,
    ] {
        let dev = MemoryBlockDevice::new(blocks);
        let geometry = format(&dev, &params()).unwrap();
        let (summary, findings) = checked(&dev);
        assert!(findings.is_empty(), "{blocks}: {findings:?}");
        assert_eq!((summary.inodes, summary.directories), (1, 1));
        assert_eq!(summary.blocks, geometry.blocks);
        // The root directory's leaf is all that is used behind the fixed areas.
        let fixed = geometry.data_start + (geometry.shards - 1) * SHARD_RESERVED;
        assert_eq!(summary.used, fixed + 1);
    }
}

#[test]
fn a_device_with_sectors_of_4096_bytes_works() {
    let dev = MemoryBlockDevice::with_sectors(4096 * SECTORS_PER_BLOCK, BLOCK_SIZE);
    format(&dev, &params()).unwrap();
    assert_eq!(problems(&dev), []);
}

#[test]
fn the_same_parameters_give_the_same_bytes() {
    let dev = MemoryBlockDevice::new(2 * SHARD_BLOCKS);
    format(&dev, &params()).unwrap();
    let mut crc = 0;
    let used = dev.used_blocks();
    for &block in &used {
        crc = permfs_core::crc::crc32c(crc, &block.to_le_bytes());
        crc = permfs_core::crc::crc32c(crc, &dev.block(block));
    }
    // A change here is a change of the format: it needs a new version or a feature bit, and words in
    // Documentation/format.md.
    assert_eq!((used.len(), crc), GOLDEN);
}

/// Blocks of the image that are not zero, and CRC32C over their numbers and contents.
const GOLDEN: (usize, u32) = (24, 0x7cba_4f43);

#[test]
fn what_was_there_before_is_gone() {
    let dev = MemoryBlockDevice::new(3 * SHARD_BLOCKS);
    let last = 3 * SHARD_BLOCKS - 1;
    for block in [0, 1, 16, 200, last, last - 16] {
        dev.set_block(block, [0x5a; BLOCK_SIZE]);
    }
    let mut old = params();
    old.uuid = [7; 16];
    format(&dev, &old).unwrap();
    let mut small = params();
    small.blocks = Some(SHARD_BLOCKS);
    format(&dev, &small).unwrap();
    assert_eq!(dev.block(last), [0; BLOCK_SIZE]);
    assert_eq!(dev.block(200), [0; BLOCK_SIZE]);
    // The larger volume's backup in shard 1 cannot be taken for one of this volume.
    assert_eq!(dev.block(SHARD_BLOCKS), [0; BLOCK_SIZE]);
    assert!(geometry::find_backup(&dev).is_none());
    assert_eq!(problems(&dev), []);
}

#[test]
fn an_interrupted_mkfs_leaves_no_volume() {
    let whole = MemoryBlockDevice::new(2 * SHARD_BLOCKS);
    let mut old = params();
    old.uuid = [7; 16];
    format(&whole, &old).unwrap();
    for calls in 0.. {
        let dev = whole.snapshot();
        dev.fail_after(Some(calls));
        let outcome = format(&dev, &params());
        dev.fail_after(None);
        let found = geometry::read_super(&dev);
        match outcome {
            // Nothing was written yet, or all was and only the last flush failed.
            Err(_) if calls == 0 => assert_eq!(found.unwrap().0.uuid, old.uuid),
            Err(e) => {
                assert_eq!(e, MkfsError::Device(EIO));
                assert!(found.is_err() || found.unwrap().0.uuid == params().uuid);
            }
            Ok(_) => {
                assert!(calls > 20);
                return;
            }
        }
    }
}

#[test]
fn the_device_and_the_wishes_set_limits() {
    let dev = MemoryBlockDevice::new(4096);
    let mut p = params();
    p.blocks = Some(4097);
    let refused = MkfsError::DeviceTooSmall {
        device: 4096,
        wanted: 4097,
    };
    assert_eq!(format(&dev, &p), Err(refused));
    assert_eq!(dev.counts().writes, 0);
    for blocks in [0, 1, 3, 200] {
        let dev = MemoryBlockDevice::new(blocks);
        let refused = format(&dev, &params()).unwrap_err();
        assert!(matches!(refused, MkfsError::Layout(_)), "{blocks}");
        assert_eq!(dev.counts().writes, 0);
    }
}

#[test]
fn newer_features_are_refused_by_the_name_of_their_bit() {
    let dev = MemoryBlockDevice::new(4096);
    format(&dev, &params()).unwrap();
    let mut block = dev.block(0);
    let at = HEADER_SIZE + core::mem::offset_of!(SuperBlock, feature_incompat);
    block[at] = 0x20;
    permfs_core::store::block::seal(&mut block, 0);
    dev.set_block(0, block);
    let refused = geometry::read_super(&dev).unwrap_err();
    assert_eq!(refused, SuperError::Incompat(0x20));
    assert!(refused.to_string().contains("bit 5"));
    assert_eq!(problems(&dev), [Problem::Incompatible]);
}

#[test]
fn a_lost_super_block_is_found_in_its_backup() {
    let dev = MemoryBlockDevice::new(4 * SHARD_BLOCKS);
    format(&dev, &params()).unwrap();
    dev.set_block(0, [0; BLOCK_SIZE]);
    dev.set_block(SHARD_BLOCKS, [1; BLOCK_SIZE]);
    let (summary, findings) = checked(&dev);
    assert!(!summary.primary_super);
    let kinds: std::vec::Vec<_> = findings
        .iter()
        .map(|f| (f.problem, f.block, f.detail))
        .collect();
    let (one, three) = (SHARD_BLOCKS, 3 * SHARD_BLOCKS);
    assert_eq!(
        kinds,
        [
            (Problem::PrimarySuper, 0, three),
            (Problem::BackupSuper, one, 0)
        ]
    );
}

#[test]
fn a_cut_off_image_is_told_from_a_damaged_one() {
    let dev = MemoryBlockDevice::new(4096);
    format(&dev, &params()).unwrap();
    let short = MemoryBlockDevice::new(2048);
    for block in dev.used_blocks().into_iter().filter(|&b| b < 2048) {
        short.set_block(block, dev.block(block));
    }
    assert_eq!(problems(&short), [Problem::Truncated]);
    let refused = geometry::read_super(&short).unwrap_err();
    assert_eq!(
        refused,
        SuperError::Truncated {
            device: 2048,
            volume: 4096
        }
    );
}

/// Every block of a fresh volume, one bit flipped in each of 64 places: never a panic, and a finding
/// unless the block is only looked at by the panic path.
#[test]
fn flipped_bits_are_found() {
    let dev = MemoryBlockDevice::new(2 * SHARD_BLOCKS);
    let geometry = format(&dev, &params()).unwrap();
    for block in dev.used_blocks() {
        let whole = dev.block(block);
        for step in 0..64 {
            let mut bytes = whole;
            let bit = step * 521 % (BLOCK_SIZE * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            dev.set_block(block, bytes);
            let found = !problems(&dev).is_empty();
            let panic_area = (geometry.panic_start..geometry.data_start).contains(&block);
            // One of the header's two slots is enough.
            let spare = (geometry.journal_header..geometry.journal_start).contains(&block);
            assert!(found || panic_area || spare, "block {block} bit {bit}");
        }
        dev.set_block(block, whole);
    }
    assert_eq!(problems(&dev), []);
}

#[test]
fn a_device_that_fails_is_never_clean() {
    let dev = MemoryBlockDevice::new(4096);
    format(&dev, &params()).unwrap();
    let mut calls = 0;
    loop {
        dev.fail_after(Some(calls));
        match check(dev.read_only_view(), &mut |_| ()) {
            Ok(summary) if summary.findings == 0 => break,
            Ok(_) => assert!(calls > 0),
            // No super block, and no backup on so small a volume.
            Err(e) => assert_eq!((e, calls), (EIO, 0)),
        }
        calls += 1;
    }
    assert!(calls > 5);
}

#[test]
fn memory_that_runs_out_gives_no_result() {
    let dev = MemoryBlockDevice::new(4096);
    format(&dev, &params()).unwrap();
    for n in 0.. {
        let guard = kernel::alloc::fail_after(n);
        let outcome = check(dev.read_only_view(), &mut |f| panic!("{f}"));
        drop(guard);
        match outcome {
            Ok(_) => {
                assert!(n > 5);
                return;
            }
            Err(e) => assert_eq!(e, ENOMEM),
        }
    }
}

#[test]
fn nothing_is_written_by_a_check() {
    let dev = MemoryBlockDevice::new(4096);
    format(&dev, &params()).unwrap();
    let before = dev.counts().writes;
    checked(&dev);
    assert_eq!(dev.counts().writes, before);
    assert!(dev.sectors() > 0);
}
