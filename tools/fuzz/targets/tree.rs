// SPDX-License-Identifier: GPL-2.0

//! A B+tree against a map; once its nodes are damaged, only that it ends and does not panic.

#![no_main]

use std::{collections::BTreeMap, vec::Vec};

use kernel::prelude::*;
use libfuzzer_sys::fuzz_target;
use permfs_core::btree::Tree;
use permfs_fuzz::{blocks::Blocks, plan::Plan};

/// Longest value.
const VALUE: usize = 400;
/// Operations in one run at most.
const STEPS: usize = 3000;

fn key(plan: &mut Plan<'_>) -> u64 {
    match plan.byte() {
        n @ 0..240 => u64::from(n) << 8 | u64::from(plan.byte()),
        _ => plan.long(),
    }
}

fn value(plan: &mut Plan<'_>, key: u64) -> Vec<u8> {
    vec![key as u8 | 1; plan.below(VALUE) + 1]
}

fn whole(tree: &Tree, blocks: &mut Blocks, model: &BTreeMap<u64, Vec<u8>>) {
    let mut entries = Vec::new();
    tree.scan(blocks, 0, |key, value| {
        entries.push((key, value.to_vec()));
        Ok(true)
    })
    .expect("a whole tree");
    assert!(entries.iter().map(|(k, v)| (k, v)).eq(model.iter()));
    let mut nodes = 0;
    tree.walk(blocks, |_, _| {
        nodes += 1;
        Ok(())
    })
    .expect("whole nodes");
    assert_eq!(nodes, blocks.len(), "no node is lost");
}

fuzz_target!(|data: &[u8]| {
    let mut plan = Plan(data);
    let (mut blocks, mut model) = (Blocks::default(), BTreeMap::new());
    let mut tree = Tree::empty(9);
    let mut damaged = false;
    for _ in 0..STEPS {
        if plan.is_over() {
            break;
        }
        let op = plan.byte();
        let key = key(&mut plan);
        match op % 16 {
            0..8 => {
                let value = value(&mut plan, key);
                let outcome = tree.insert(&mut blocks, key, &value);
                if !damaged {
                    match outcome {
                        Ok(()) => assert!(model.insert(key, value).is_none()),
                        Err(e) => assert!(e == EEXIST && model.contains_key(&key), "{e:?}"),
                    }
                }
            }
            8..11 => {
                let outcome = tree.remove(&mut blocks, key);
                if !damaged {
                    assert_eq!(outcome.is_ok(), model.remove(&key).is_some());
                }
            }
            11..13 => {
                let value = value(&mut plan, key);
                let outcome = tree.update(&mut blocks, key, &value);
                if !damaged {
                    assert_eq!(outcome.is_ok(), model.contains_key(&key));
                    model.entry(key).and_modify(|old| *old = value);
                }
            }
            13..15 => {
                let get = tree.get(&mut blocks, key, |v| Ok(v.to_vec()));
                let next = tree.at_or_after(&mut blocks, key, |k, _| Ok(k));
                let before = tree.at_or_before(&mut blocks, key, |k, _| Ok(k));
                if !damaged {
                    assert_eq!(get, Ok(model.get(&key).cloned()));
                    assert_eq!(next, Ok(model.range(key..).next().map(|(k, _)| *k)));
                    assert_eq!(before, Ok(model.range(..=key).next_back().map(|(k, _)| *k)));
                }
            }
            // Seldom at first: what comes behind it is not compared any more.
            _ if op & 0x80 != 0 => {
                damaged |= !blocks.is_empty();
                let (nth, at) = (plan.below(64), plan.below(4032));
                let bytes = plan.bytes(8);
                blocks.damage(nth, at, bytes);
            }
            _ => {}
        }
    }
    if !damaged {
        whole(&tree, &mut blocks, &model);
    }
    let _ = tree.check(&mut blocks, |_| Ok(()));
    let _ = tree.count(&mut blocks);
    for _ in 0..10_000 {
        if tree.destroy_step(&mut blocks, 8) != Ok(false) {
            break;
        }
    }
    if !damaged {
        assert!(blocks.is_empty());
    }
});
