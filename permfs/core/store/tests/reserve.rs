// SPDX-License-Identifier: GPL-2.0

//! However full the ring is when blocks begin to go home, the next operation has room (RESERVE).

use super::rig::{device_model, Random, Rig};
use crate::{
    format::*,
    journal::{record::HEADER_BYTES, OP_BYTES},
    meta::MetaWrite,
    store::HomeBatch,
};
use kernel::prelude::*;
use std::vec::Vec;

/// More blocks than any batch takes.
const NODES: usize = 300;
const OWNER: u64 = 7;
/// Blocks that the module asks for.
const BATCH: usize = 256;

/// A volume with [`NODES`] dirty blocks, and these.
fn dirty(journal: u64, seed: u64) -> (Rig, Vec<u64>) {
    let mut rig = Rig::new(device_model(512, false), journal, seed);
    let nodes = (0..NODES)
        .map(|_| {
            let full = |op: &mut crate::store::Op<'_, _>| {
                let block = op.alloc(Kind::Node, OWNER, 0)?;
                // An image leaves out the zeros at its end: these have none.
                op.write(block, PAYLOAD_SIZE - 8, &[0xff; 8])?;
                Ok(block)
            };
            rig.store.run(full).unwrap()
        })
        .collect();
    (rig, nodes)
}

/// Changes a word of one node or of a few.
fn change(rig: &mut Rig, nodes: &[u64], random: &mut Random) -> Result {
    let n = random.next();
    let first = random.below(nodes.len() as u64) as usize;
    let count = if n % 8 == 0 { 30 } else { 1 };
    rig.store.run(|op| {
        for block in nodes.iter().cycle().skip(first).take(count) {
            crate::meta::MetaRead::read(op, *block, Kind::Node, OWNER)?;
            op.write(*block, (n % 400) as usize * 8, &n.to_le_bytes())?;
        }
        Ok(())
    })
}

fn finish(rig: &mut Rig, batch: HomeBatch) {
    let outcome = batch.write(&rig.dev);
    rig.store.finish_checkpoint_batch(batch, outcome).unwrap();
    rig.store.advance_tail().unwrap();
}

#[test]
fn a_batch_begins_only_if_it_can_be_logged_again() {
    let op = (HEADER_BYTES + OP_BYTES).div_ceil(SECTOR_SIZE) as u64;
    for journal in [128, 256, 1024, 4096] {
        for left in [
            op + 1,
            op + 40,
            op + 400,
            2 * op,
            2 * op + 700,
            3 * op + 1000,
        ] {
            let (mut rig, nodes) = dirty(journal, left);
            let mut random = Random(left);
            let ring = rig.store.ring.sectors();
            // Dirty blocks stand at the tail, then the ring fills up.
            while ring.saturating_sub(rig.store.ring.used()) > left {
                let before = rig.store.ring.tail.lsn;
                change(&mut rig, &nodes[..1], &mut random).unwrap();
                rig.store.commit().unwrap();
                if rig.store.ring.tail.lsn != before {
                    break;
                }
            }
            let batch = rig.store.begin_checkpoint_batch(BATCH).unwrap();
            for _ in 0..60 {
                change(&mut rig, &nodes, &mut random)
                    .unwrap_or_else(|e| panic!("ring {journal}, {left} sectors left: {e:?}"));
            }
            if let Some(batch) = batch {
                finish(&mut rig, batch);
            }
        }
    }
}

#[test]
fn an_operation_finds_room_whatever_others_do() {
    for seed in 0..24 {
        let journal = [128, 200, 512, 1024][seed as usize % 4];
        let (mut rig, nodes) = dirty(journal, seed);
        let mut random = Random(seed);
        let (mut sealed, mut batch) = (None, None);
        for _ in 0..1500 {
            match random.below(40) {
                0 if sealed.is_none() => sealed = rig.store.seal().unwrap(),
                1 | 2 => {
                    if let Some(s) = sealed.take() {
                        let outcome = s.write(&rig.dev);
                        rig.store.complete(s, outcome).unwrap();
                    }
                }
                3 if batch.is_none() => {
                    let max = 1 << random.below(9);
                    batch = rig.store.begin_checkpoint_batch(max).unwrap();
                }
                4 => {
                    if let Some(batch) = batch.take() {
                        finish(&mut rig, batch);
                    }
                }
                5 if sealed.is_none() => rig.store.commit().unwrap(),
                _ => change(&mut rig, &nodes, &mut random)
                    .unwrap_or_else(|e| panic!("seed {seed}, ring {journal}: {e:?}")),
            }
        }
    }
}
