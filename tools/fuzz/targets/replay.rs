// SPDX-License-Identifier: GPL-2.0

//! A log of records with right checksums and any contents: replayed, read-only and read-write, with the same
//! outcome, and a second mount finds what the first one left.

#![no_main]

use std::vec::Vec;

use kernel::prelude::*;
use libfuzzer_sys::fuzz_target;
use permfs_core::{
    alloc::Env,
    format::*,
    geometry,
    journal::record::{Builder, Entry, DATA, DELTA, ENTRY_SIZE, HEADER_BYTES, IMAGE, REVOKE},
    meta::MetaRead,
    panic::SlotGuard,
    store::{block, Store},
};
use permfs_fuzz::{image::empty, plan::Plan};
use permfs_hostdev::MemoryBlockDevice;

/// Records, and entries in one, at most.
const RECORDS: u64 = 12;
const ENTRIES: usize = 40;
/// The generation that mkfs has begun with.
const GENERATION: u64 = 7;

struct Change {
    entry: Entry,
    bytes: Vec<u8>,
}

/// Blocks that are often named: the volume's own, some for files, some that are nobody's.
fn block(plan: &mut Plan<'_>, data_start: u64) -> u64 {
    match plan.byte() {
        n @ 0..8 => n.into(),
        n @ 8..200 => data_start + u64::from(n % 16),
        n @ 200..240 => SHARD_BLOCKS + u64::from(n % 4),
        _ => plan.long(),
    }
}

fn change(plan: &mut Plan<'_>, data_start: u64, uuid: &[u8; 16]) -> Change {
    let (kind, at) = (plan.byte(), block(plan, data_start));
    let mut entry = Entry {
        block: at.into(),
        kind: match kind % 16 {
            0..6 => IMAGE,
            6..10 => DELTA,
            10..12 => DATA,
            12..15 => REVOKE,
            _ => kind,
        },
        ..Entry::default()
    };
    let mut bytes = Vec::new();
    match entry.kind {
        IMAGE => {
            let mut whole = [0; BLOCK_SIZE];
            let kinds = [Kind::Node, Kind::Bitmap, Kind::Summary, Kind::State];
            let owner = plan.byte() % 4;
            block::stamp(
                &mut whole,
                kinds[usize::from(owner)],
                at,
                owner.into(),
                uuid,
            );
            let len = HEADER_SIZE + plan.below(BLOCK_SIZE - HEADER_SIZE + 1);
            let some = plan.bytes(16);
            for (place, byte) in whole[HEADER_SIZE..].iter_mut().zip(some) {
                *place = *byte;
            }
            bytes.extend_from_slice(&whole[..len]);
        }
        REVOKE => entry.len = (u32::from(plan.byte()) + 1).into(),
        _ => {
            if entry.kind == DELTA {
                entry.offset = plan.short().into();
            }
            let len = plan.below(64);
            bytes.extend_from_slice(plan.bytes(len));
        }
    }
    if entry.kind != REVOKE {
        entry.len = (bytes.len() as u32).into();
    }
    Change { entry, bytes }
}

/// Puts records into the ring of `dev`; some are cut short.
fn fill(dev: &MemoryBlockDevice, plan: &mut Plan<'_>) -> Option<()> {
    let (sb, geometry) = geometry::read_super(dev).ok()?;
    let start = geometry.journal_start;
    let mut image = vec![0; (geometry.journal_blocks as usize) * BLOCK_SIZE];
    let mut lsn = 0u64;
    for epoch in 1..=RECORDS {
        if plan.is_over() {
            break;
        }
        let count = plan.below(ENTRIES);
        let changes: Vec<Change> = (0..count)
            .map(|_| change(plan, geometry.data_start, &sb.uuid))
            .collect();
        let data: usize = changes.iter().map(|c| c.bytes.len()).sum();
        let sectors = (HEADER_BYTES + count * ENTRY_SIZE + data).div_ceil(SECTOR_SIZE) as u64;
        let mut builder = Builder::new(count, data, sectors).ok()?;
        for change in &changes {
            builder.push(&change.entry, &change.bytes).ok()?;
        }
        let home = start + lsn / SECTORS_PER_BLOCK;
        let record = builder
            .finish(&sb.uuid, home, lsn, epoch, GENERATION)
            .ok()?;
        let at = lsn as usize * SECTOR_SIZE;
        let whole = image.get_mut(at..at + record.len())?;
        let torn = match plan.byte() {
            0 => record.len() / 2,
            _ => record.len(),
        };
        whole[..torn].copy_from_slice(&record[..torn]);
        lsn += sectors;
    }
    for (at, piece) in (start..).zip(image.chunks_exact(BLOCK_SIZE)) {
        dev.set_block(at, piece.try_into().ok()?);
    }
    Some(())
}

fn replay(dev: &MemoryBlockDevice, read_only: bool) -> Result<Store<MemoryBlockDevice>> {
    let (sb, _) = geometry::read_super(dev).map_err(Error::from)?;
    let slot = SlotGuard::claim(b"fuzz", &sb.uuid);
    Store::mount(dev.clone(), sb, read_only, slot, Env::default())
}

/// What can be read of the blocks that the plan's logs are about.
fn contents(store: &mut Store<MemoryBlockDevice>, data_start: u64) -> Vec<Result<Vec<u8>>> {
    let blocks = (1..8)
        .chain(data_start..data_start + 16)
        .chain(SHARD_BLOCKS..SHARD_BLOCKS + 4);
    blocks
        .map(|at| store.read(at, Kind::Node, 0).map(<[u8]>::to_vec))
        .collect()
}

fuzz_target!(|data: &[u8]| {
    let (dev, geometry) = empty();
    if fill(&dev, &mut Plan(data)).is_none() {
        return;
    }
    let (ro, rw) = (replay(&dev, true), replay(&dev.snapshot(), false));
    let (mut ro, mut rw) = match (ro, rw) {
        (Ok(ro), Ok(rw)) => (ro, rw),
        (ro, rw) => {
            assert_eq!(ro.err(), rw.err(), "one of the two ways goes");
            return;
        }
    };
    assert_eq!(ro.durable_epoch(), rw.durable_epoch());
    let seen = contents(&mut ro, geometry.data_start);
    assert_eq!(seen, contents(&mut rw, geometry.data_start));
    let home = rw.device().clone();
    drop(rw);
    let mut again = replay(&home, true).expect("what replay has left can be mounted");
    assert_eq!(seen, contents(&mut again, geometry.data_start));
});
