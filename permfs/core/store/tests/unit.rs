// SPDX-License-Identifier: GPL-2.0

//! Single properties.

use super::{
    device::{Counts, TestDevice},
    rig::{check, device_model, mount, volume, Rig},
};
use crate::{
    device::BlockDevice,
    format::*,
    journal::{OP_BLOCKS, OP_BYTES},
    meta::{MetaRead, MetaWrite},
    store::Store,
};
use kernel::prelude::*;
use std::{rc::Rc, vec, vec::Vec};

/// What an append and its fsync do: data, claim and map change, commit.
fn append(rig: &mut Rig, n: u64) -> Counts {
    rig.dev.take_counts();
    let (block, len) = rig.store.reserve_data(0, 1, false).unwrap();
    rig.dev
        .write_blocks(&[(block, &[n as u8; BLOCK_SIZE])])
        .unwrap();
    rig.store
        .run(|op| {
            op.claim(block, len)?;
            // An inode record and an extent, about.
            op.write(STATE_BLOCK, 128, &n.to_le_bytes())?;
            op.write(STATE_BLOCK, 256, &block.to_le_bytes())
        })
        .unwrap();
    rig.store.commit().unwrap();
    rig.dev.take_counts()
}

#[test]
fn an_append_with_fsync_costs_two_writes_and_at_most_two_flushes() {
    for (cache, fua, flushes, fuas) in [
        (true, false, 2, 0),
        (true, true, 1, 1),
        (false, false, 0, 0),
    ] {
        let mut model = device_model(512, fua);
        model.cache = cache;
        let (image, sb) = volume(1024);
        let mut rig = Rig::new(model, 1024, 1);
        rig.dev = TestDevice::new(model, image);
        rig.store = mount(&rig.dev, &sb, false).unwrap();
        append(&mut rig, 0);
        for n in 1..50 {
            let counts = append(&mut rig, n);
            assert_eq!(
                (counts.writes, counts.flushes, counts.fua),
                (2, flushes, fuas)
            );
            // The data block, and one sector of log.
            assert_eq!(counts.bytes, (BLOCK_SIZE + SECTOR_SIZE) as u64);
        }
    }
}

#[test]
fn an_overwrite_with_fsync_costs_a_flush_and_nothing_twice() {
    let mut rig = Rig::new(device_model(512, true), 256, 1);
    let (block, _) = rig.store.reserve_data(0, 1, false).unwrap();
    rig.dev.write_blocks(&[(block, &[1; BLOCK_SIZE])]).unwrap();
    rig.dev.take_counts();
    rig.store.commit().unwrap();
    assert_eq!(
        rig.dev.take_counts(),
        Counts {
            flushes: 1,
            ..Counts::default()
        }
    );
    rig.store.commit().unwrap();
    assert_eq!(rig.dev.take_counts(), Counts::default());
}

#[test]
fn data_that_is_written_after_the_seal_is_flushed_with_it() {
    let mut rig = Rig::new(device_model(512, true), 256, 1);
    let (block, _) = rig.store.reserve_data(0, 1, false).unwrap();
    rig.store
        .run(|op| op.write(STATE_BLOCK, 8, &[1; 8]))
        .unwrap();
    let sealed = rig.store.seal().unwrap().unwrap();
    rig.dev.write_blocks(&[(block, &[1; BLOCK_SIZE])]).unwrap();
    rig.dev.take_counts();
    let outcome = sealed.write(&rig.dev);
    rig.store.complete(sealed, outcome).unwrap();
    let counts = rig.dev.take_counts();
    assert_eq!((counts.writes, counts.flushes, counts.fua), (1, 1, 1));
    // Who asks now finds it durable.
    rig.store.commit().unwrap();
    assert_eq!(rig.dev.take_counts(), Counts::default());
}

#[test]
fn what_a_failed_flush_was_to_cover_is_acknowledged_to_nobody() {
    for fua in [false, true] {
        // With nothing else to commit, with a record, and with blocks on their way home.
        for kind in 0..3 {
            let mut rig = Rig::new(device_model(512, fua), 256, 1);
            rig.step();
            rig.store.commit().unwrap();
            let (block, _) = rig.store.reserve_data(0, 1, false).unwrap();
            rig.dev.write_blocks(&[(block, &[1; BLOCK_SIZE])]).unwrap();
            if kind == 1 {
                rig.step();
            }
            rig.dev.fail_flushes(true);
            let failed = if kind == 2 {
                let batch = rig.store.begin_checkpoint_batch(64).unwrap().unwrap();
                let outcome = batch.write(&rig.dev);
                rig.store.finish_checkpoint_batch(batch, outcome)
            } else {
                rig.store.commit()
            };
            assert_eq!(failed, Err(EIO), "fua {fua}, kind {kind}");
            rig.dev.fail_flushes(false);
            for _ in 0..2 {
                assert_eq!(rig.store.commit(), Err(EIO), "fua {fua}, kind {kind}");
                assert!(rig.store.failed());
            }
            assert_eq!(rig.store.unmount(), Err(EIO));
        }
    }
}

#[test]
fn metadata_alone_is_one_fua_write() {
    let mut rig = Rig::new(device_model(512, true), 256, 1);
    rig.dev.take_counts();
    rig.store
        .run(|op| op.write(STATE_BLOCK, 8, &[1; 8]))
        .unwrap();
    rig.store.commit().unwrap();
    let counts = rig.dev.take_counts();
    assert_eq!((counts.writes, counts.flushes, counts.fua), (1, 0, 1));
}

#[test]
fn a_failed_log_write_stops_changes_and_loses_nothing_acknowledged() {
    let mut rig = Rig::new(device_model(512, false), 256, 5);
    for _ in 0..20 {
        rig.step();
    }
    rig.store.commit().unwrap();
    let acked = rig.store.durable_epoch();
    rig.store
        .run(|op| op.write(STATE_BLOCK, 8, &[1; 8]))
        .unwrap();
    rig.dev.fail_after(Some(0));
    assert_eq!(rig.store.commit(), Err(EIO));
    rig.dev.fail_after(None);
    assert!(rig.store.failed());
    assert_eq!(rig.store.run(|_| Ok(())), Err(EIO));
    assert_eq!(rig.store.commit(), Err(EIO));
    assert_eq!(rig.store.checkpoint(), Err(EIO));
    assert!(rig
        .store
        .read(STATE_BLOCK, Kind::State, OWNER_VOLUME)
        .is_ok());
    let dev = rig.dev.with_image(rig.dev.image());
    let mut store = mount(&dev, &rig.sb, false).unwrap();
    assert_eq!(store.durable_epoch(), acked);
    check(&mut store, &dev, rig.expected(acked)).unwrap();
}

#[test]
fn a_failed_home_write_is_repeated_and_nothing_is_lost() {
    for journal in [128, 1024] {
        let mut rig = Rig::new(device_model(512, false), journal, 6);
        for round in 0..30 {
            for _ in 0..4 {
                rig.step();
            }
            rig.store.commit().unwrap();
            rig.dev.fail_after(Some(round % 7));
            let failed = rig.store.checkpoint();
            rig.dev.fail_after(None);
            assert!(failed.is_err() || round % 7 > 3);
            let dev = rig.dev.with_image(rig.dev.image());
            let mut store = mount(&dev, &rig.sb, false).unwrap();
            check(&mut store, &dev, &rig.items).unwrap();
        }
        rig.store.checkpoint().unwrap();
    }
}

#[test]
fn unmounted_volumes_have_an_empty_log_and_all_at_home() {
    let mut rig = Rig::new(device_model(512, false), 128, 8);
    for _ in 0..200 {
        rig.step();
    }
    rig.store.unmount().unwrap();
    assert_eq!(rig.store.run(|_| Ok(())), Err(EROFS));
    let mut model = rig.dev.model();
    model.read_only = true;
    let dev = TestDevice::new(model, rig.dev.image());
    assert_eq!(mount(&dev, &rig.sb, false).err(), Some(EROFS));
    let mut store = mount(&dev, &rig.sb, true).unwrap();
    assert!(store.cache.iter().all(|(_, buffer)| !buffer.is_dirty()));
    check(&mut store, &dev, &rig.items).unwrap();
    assert_eq!(store.make_writable(), Err(EROFS));
}

#[test]
fn remounting_goes_both_ways() {
    let mut rig = Rig::new(device_model(512, false), 256, 9);
    for _ in 0..50 {
        rig.step();
    }
    rig.store.commit().unwrap();
    let dev = rig.dev.with_image(rig.dev.image());
    rig.dev = dev.clone();
    rig.store = mount(&dev, &rig.sb, true).unwrap();
    assert_eq!(rig.store.run(|_| Ok(())), Err(EROFS));
    check(&mut rig.store, &dev, &rig.items).unwrap();
    rig.store.make_writable().unwrap();
    for _ in 0..50 {
        rig.step();
    }
    rig.store.make_read_only().unwrap();
    let mut store = mount(&dev.with_image(dev.image()), &rig.sb, true).unwrap();
    assert!(store.cache.iter().all(|(_, buffer)| !buffer.is_dirty()));
    check(&mut store, &dev, &rig.items).unwrap();
}

/// Allocates `n` nodes, each filled to the last byte, in one operation.
fn fill_nodes(store: &mut Store<TestDevice>, n: usize) -> Result<Vec<u64>> {
    store.run(|op| {
        let mut blocks = Vec::new();
        for _ in 0..n {
            let block = op.alloc(Kind::Node, 5, 0)?;
            op.write(block, 0, &[0xee; PAYLOAD_SIZE])?;
            blocks.push(block);
        }
        Ok(blocks)
    })
}

#[test]
fn an_operation_too_large_for_the_log_is_undone() {
    let mut rig = Rig::new(device_model(512, false), 128, 10);
    let free = rig.store.allocator().free_blocks();
    assert_eq!(fill_nodes(&mut rig.store, OP_BLOCKS), Err(E2BIG));
    assert_eq!(rig.store.allocator().free_blocks(), free);
    check(&mut rig.store, &rig.dev, &rig.items).unwrap();
    // Bitmap and summary are images too.
    for _ in 0..20 {
        fill_nodes(&mut rig.store, OP_BLOCKS - 2).unwrap();
    }
    assert!(rig.store.epoch.bytes <= OP_BYTES);
    rig.store.unmount().unwrap();
}

#[test]
fn clean_blocks_are_evicted_and_dirty_ones_stay() {
    let mut rig = Rig::new(device_model(512, false), 1024, 11);
    let mut blocks = vec![];
    for _ in 0..10 {
        blocks.extend(fill_nodes(&mut rig.store, 30).unwrap());
    }
    rig.store.checkpoint().unwrap();
    rig.store.cache.set_limit(64);
    let dirty = fill_nodes(&mut rig.store, 20).unwrap();
    for _ in 0..3 {
        for &block in blocks.iter() {
            assert_eq!(
                rig.store.read(block, Kind::Node, 5).unwrap(),
                &[0xee; PAYLOAD_SIZE]
            );
        }
    }
    assert!(rig.store.cache.len() < 64 + 30, "{}", rig.store.cache.len());
    for block in dirty {
        assert!(rig.store.cache.get(block).is_some());
    }
}

#[test]
fn what_is_not_the_right_block_is_not_believed() {
    let mut rig = Rig::new(device_model(512, false), 128, 12);
    let block = fill_nodes(&mut rig.store, 1).unwrap()[0];
    assert_eq!(
        rig.store.read(block, Kind::Node, 6).err(),
        Some(EFSCORRUPTED)
    );
    assert_eq!(
        rig.store.read(block, Kind::Bitmap, 5).err(),
        Some(EFSCORRUPTED)
    );
    assert_eq!(
        rig.store.read(u64::MAX, Kind::Node, 5).err(),
        Some(EFSCORRUPTED)
    );
    rig.store.unmount().unwrap();
    let mut image = rig.dev.image();
    let sector = image.get_mut(&(block * SECTORS_PER_BLOCK + 3)).unwrap();
    Rc::make_mut(sector)[17] ^= 4;
    let mut store = mount(&rig.dev.with_image(image), &rig.sb, true).unwrap();
    assert_eq!(store.read(block, Kind::Node, 5).err(), Some(EFSCORRUPTED));
}

#[test]
fn freeing_what_is_free_is_refused() {
    let mut rig = Rig::new(device_model(512, false), 128, 13);
    let block = fill_nodes(&mut rig.store, 1).unwrap()[0];
    rig.store.run(|op| op.free(block)).unwrap();
    assert_eq!(
        rig.store.run(|op| op.free_data(block, 1)),
        Err(EFSCORRUPTED)
    );
    assert_eq!(
        rig.store.run(|op| op.free_data(SHARD_BLOCKS, 1)),
        Err(EFSCORRUPTED)
    );
    assert_eq!(
        rig.store.run(|op| op.free_data(STATE_BLOCK, 1)),
        Err(EFSCORRUPTED)
    );
    assert_eq!(
        rig.store.run(|op| op.free_data(u64::MAX, 2)),
        Err(EFSCORRUPTED)
    );
    check(&mut rig.store, &rig.dev, &rig.items).unwrap();
}

#[test]
fn discarded_blocks_are_reused_only_after_the_discard() {
    let mut rig = Rig::new(device_model(512, false), 128, 14);
    rig.store.set_discard(true);
    let block = fill_nodes(&mut rig.store, 1).unwrap()[0];
    rig.store.commit().unwrap();
    let free = rig.store.allocator().free_blocks();
    rig.store.run(|op| op.free(block)).unwrap();
    assert!(rig.store.take_discards().is_empty());
    rig.store.commit().unwrap();
    assert_eq!(rig.store.allocator().free_blocks(), free);
    let runs = rig.store.take_discards();
    assert_eq!(&runs[..], &[(block, 1)]);
    rig.store.discards_done(runs);
    assert_eq!(rig.store.allocator().free_blocks(), free + 1);
}

/// Brings home what may go, and moves the tail, as a thread beside the operations does.
fn checkpoint_beside(rig: &mut Rig) {
    while let Some(batch) = rig.store.begin_checkpoint_batch(64).unwrap() {
        let outcome = batch.write(&rig.dev);
        rig.store.finish_checkpoint_batch(batch, outcome).unwrap();
    }
    rig.store.advance_tail().unwrap();
}

#[test]
fn the_tail_waits_for_what_is_not_durable() {
    // What happens to a node that is in the log only, in an epoch that never becomes durable.
    type Change = fn(&mut Store<TestDevice>, u64);
    let changes: [(&str, Change); 4] = [
        ("freed", |s, block| s.run(|op| op.free(block)).unwrap()),
        ("freed, sealed", |s, block| {
            s.run(|op| op.free(block)).unwrap();
            core::mem::forget(s.seal().unwrap());
        }),
        ("changed", |s, block| {
            s.run(|op| op.write(block, 0, &[1; 9])).unwrap()
        }),
        ("logged whole, sealed", |s, block| {
            s.run(|op| op.write(block, 0, &[1; 3000])).unwrap();
            core::mem::forget(s.seal().unwrap());
        }),
    ];
    for (what, change) in changes {
        let mut rig = Rig::new(device_model(512, false), 256, 17);
        let block = fill_nodes(&mut rig.store, 1).unwrap()[0];
        rig.store.commit().unwrap();
        change(&mut rig.store, block);
        checkpoint_beside(&mut rig);
        let dev = rig.dev.with_image(rig.dev.image());
        let mut store = mount(&dev, &rig.sb, true).unwrap();
        let payload = store.read(block, Kind::Node, 5);
        assert_eq!(payload, Ok(&[0xee; PAYLOAD_SIZE][..]), "{what}");
    }
}

#[test]
fn a_block_on_its_way_home_is_not_reused() {
    let mut rig = Rig::new(device_model(512, false), 256, 16);
    let block = fill_nodes(&mut rig.store, 1).unwrap()[0];
    rig.store.commit().unwrap();
    let free = rig.store.allocator().free_blocks();
    let batch = rig.store.begin_checkpoint_batch(64).unwrap().unwrap();
    rig.store.run(|op| op.free(block)).unwrap();
    rig.store.commit().unwrap();
    assert_eq!(rig.store.allocator().free_blocks(), free);
    let outcome = batch.write(&rig.dev);
    rig.store.finish_checkpoint_batch(batch, outcome).unwrap();
    assert_eq!(rig.store.allocator().free_blocks(), free + 1);
}

#[test]
fn a_full_volume_finds_what_was_freed() {
    for discard in [false, true] {
        let mut rig = Rig::new(device_model(512, false), 256, 18);
        rig.store.set_discard(discard);
        let (block, len) = rig.store.reserve_data(0, 8, false).unwrap();
        rig.store.run(|op| op.claim(block, len)).unwrap();
        while rig.store.reserve_data(0, 4096, false).is_ok() {}
        assert_eq!(rig.store.reserve_data(0, 1, false), Err(ENOSPC));
        rig.store.run(|op| op.free_data(block, len)).unwrap();
        // Not before the epoch is durable, and then at once.
        let durable = rig.store.durable_epoch();
        assert!(rig.store.reserve_data(0, len, false).is_ok());
        assert!(rig.store.durable_epoch() > durable);
    }
}

#[test]
fn every_failing_allocation_leaves_things_as_they_were() {
    let mut rig = Rig::new(device_model(512, false), 256, 15);
    for _ in 0..30 {
        rig.step();
    }
    rig.store.commit().unwrap();
    let mut failures = 0;
    for n in 0..200u64 {
        let failing = kernel::alloc::fail_after(n);
        let outcome = rig.store.run(|op| {
            let block = op.alloc(Kind::Node, 5, SHARD_BLOCKS + 5)?;
            op.write(block, 0, &[1; 100])?;
            op.reserve_data(0, 4)?;
            op.free(block)?;
            Err::<(), _>(ENOTEMPTY)
        });
        let counted = rig
            .store
            .run(|op| op.write(STATE_BLOCK, 8, &n.to_le_bytes()));
        let done = counted.and_then(|()| rig.store.checkpoint());
        drop(failing);
        assert!(!rig.store.failed());
        failures += usize::from(outcome != Err(ENOTEMPTY) || done.is_err());
        check(&mut rig.store, &rig.dev, &rig.items).unwrap();
    }
    assert!(failures > 10, "{failures}");
    for _ in 0..30 {
        rig.step();
    }
    rig.store.unmount().unwrap();
}

#[test]
fn a_store_is_small_enough_to_be_moved_on_a_kernel_stack() {
    assert!(
        size_of::<Store<TestDevice>>() <= 896,
        "{}",
        size_of::<Store<TestDevice>>()
    );
}
