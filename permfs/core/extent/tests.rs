// SPD-License-Identifier: GPL-2.0

//! Tests of extent maps against a map of single blocks.

use super::*;
use crate::btree::mock::Mock;
use proptest::prelude::*;
use std::collections::BTreeMap;

const OWNER: u64 = 77;

/// Block of the file to block of the device.
type Model = BTreeMap<u32, u64>;

/// All runs of `fork`.
fn runs(fork: &Fork, s: &mut Mock) -> std::vec::Vec<Run> {
    let mut runs = std::vec::Vec::new();
    fork.for_each(s, 0, |run| {
        runs.push(run);
        Ok(true)
    })
    .unwrap();
    runs
}

fn assert_same(fork: &Fork, s: &mut Mock, model: &Model) {
    let mut blocks = Model::new();
    let runs = runs(fork, s);
    for run in &runs {
        for i in 0..run.blocks() {
            assert!(blocks
                .insert(run.logical() + i, run.phys() + u64::from(i))
                .is_none());
        }
    }
    assert_eq!(&blocks, model);
    assert_eq!(fork.last(s).unwrap(), runs.last().copied());
    match fork {
        Fork::List(list) => {
            assert!(list.len() <= INLINE_EXTENTS);
            assert!(s.blocks.is_empty(), "nodes leaked");
            let bytes = fork.to_list().unwrap().unwrap();
            let Fork::List(back) = Fork::from_list(&bytes).unwrap() else {
                panic!("not a list")
            };
            assert_eq!(back, *list);
        }
        Fork::Tree(_) => {
            assert!(runs.len() > INLINE_EXTENTS / 2);
            assert!(fork.to_list().unwrap().is_none());
        }
    }
    assert_eq!(fork.meta_blocks(s).unwrap(), s.blocks.len() as u64);
}

fn assert_lookup(fork: &Fork, s: &mut Mock, model: &Model, logical: u32, max: u32) {
    let expected = match model.get(&logical) {
        Some(&phys) => {
            let same = |i: &u32| model.get(&(logical + i)) == Some(&(phys + u64::from(*i)));
            let len = (0..max).take_while(same).count() as u32;
            match fork.lookup(s, logical, max).unwrap() {
                // Two runs that became adjacent by a removal between them stay two.
                Mapping::Data { phys: p, len: l } => assert!(p == phys && l >= 1 && l <= len),
                hole => panic!("{hole:?} at {logical}"),
            }
            return;
        }
        None => {
            let next = model.range(logical..).next().map_or(u32::MAX, |(k, _)| *k);
            Mapping::Hole {
                len: max.min(next - logical),
            }
        }
    };
    assert_eq!(fork.lookup(s, logical, max).unwrap(), expected);
}

#[derive(Clone, Debug)]
enum Step {
    /// At a block, up to so many, at an offset on the device.
    Map(u32, u32, u64),
    Unmap(u32, u32, usize),
    Lookup(u32, u32),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0u32..600, 1u32..8, 1u64..4).prop_map(|(l, n, at)| Step::Map(l, n, at)),
        3 => (0u32..600, 1u32..60, 1usize..5).prop_map(|(l, n, m)| Step::Unmap(l, n, m)),
        2 => (0u32..600, 1u32..40).prop_map(|(l, n)| Step::Lookup(l, n)),
    ]
}

fn unmap(fork: &mut Fork, s: &mut Mock, model: &mut Model, from: u32, len: u32, max: usize) {
    let to = from + len;
    let mut expected = model.clone();
    expected.retain(|k, _| !(from..to).contains(k));
    loop {
        let mut calls = 0;
        let mut gone = std::vec::Vec::new();
        let progress = fork
            .remove(s, OWNER, from.into(), to.into(), max, |_, phys, len| {
                calls += 1;
                gone.extend((0..u64::from(len)).map(|i| phys + i));
                Ok(())
            })
            .unwrap();
        assert!(calls <= max);
        assert_eq!(progress.blocks, gone.len() as u64);
        for phys in gone {
            let key = *model
                .iter()
                .find(|(_, p)| **p == phys)
                .expect("freed twice")
                .0;
            model.remove(&key);
        }
        assert_same(fork, s, model);
        if progress.done {
            break;
        }
        assert!(calls == max);
    }
    assert_eq!(*model, expected);
}

proptest! {
    #[test]
    fn agrees_with_a_map_of_blocks(steps in prop::collection::vec(any_step(), 1..200)) {
        let (mut fork, mut s, mut model) = (Fork::empty(), Mock::default(), Model::new());
        for step in steps {
            match step {
                Step::Map(logical, len, at) => {
                    // A place on the device that is the block's own, so that blocks meet often.
                    let phys = at * 10_000 + u64::from(logical);
                    let old: std::vec::Vec<_> =
                        (0..len).filter_map(|i| model.get(&(logical + i)).copied()).collect();
                    let result = fork.insert(&mut s, OWNER, logical, phys, len);
                    if old.is_empty() {
                        prop_assert_eq!(result, Ok(len));
                        model.extend((0..len).map(|i| (logical + i, phys + u64::from(i))));
                    } else if result != Ok(0) {
                        prop_assert_eq!(result, Err(EFSCORRUPTED));
                    } else {
                        let same: std::vec::Vec<_> =
                            (0..len).map(|i| phys + u64::from(i)).collect();
                        prop_assert_eq!(old, same);
                    }
                }
                Step::Unmap(from, len, max) => unmap(&mut fork, &mut s, &mut model, from, len, max),
                Step::Lookup(at, max) => assert_lookup(&fork, &mut s, &model, at, max),
            }
            assert_same(&fork, &mut s, &model);
        }
        unmap(&mut fork, &mut s, &mut model, 0, 1000, 3);
        prop_assert!(s.blocks.is_empty());
    }

    /// A change that fails leaves the fork as it was, once the blocks are back.
    #[test]
    fn failure_leaves_the_fork(
        steps in prop::collection::vec(any_step(), 20..120),
        fail_in in 0u32..40,
        memory in any::<bool>(),
    ) {
        let (mut fork, mut s) = (Fork::empty(), Mock::default());
        for step in steps {
            let before = runs(&fork, &mut s);
            let blocks = s.blocks.clone();
            s.fail_in = (!memory).then_some(fail_in);
            let guard = memory.then(|| kernel::alloc::fail_after(u64::from(fail_in) / 8));
            let result = match step {
                Step::Map(logical, len, at) => {
                    let phys = at * 10_000 + u64::from(logical);
                    fork.insert(&mut s, OWNER, logical, phys, len).map(|_| ())
                }
                Step::Unmap(from, len, max) => fork
                    .remove(&mut s, OWNER, from.into(), (from + len).into(), max, |_, _, _| Ok(()))
                    .map(|_| ()),
                Step::Lookup(at, max) => fork.lookup(&mut s, at, max).map(|_| ()),
            };
            s.fail_in = None;
            drop(guard);
            if result.is_err() {
                s.blocks = blocks;
                prop_assert_eq!(runs(&fork, &mut s), before);
            }
        }
    }

    /// Whatever a record holds: an error or a list in order.
    #[test]
    fn any_list_is_refused_or_in_order(bytes in prop::collection::vec(0u8..3, 0..20 * 16)) {
        if let Ok(fork) = Fork::from_list(&bytes) {
            let list = runs(&fork, &mut Mock::default());
            prop_assert!(list.windows(2).all(|w| w[0].end() <= u64::from(w[1].logical())));
            prop_assert!(list.len() <= INLINE_EXTENTS);
        }
    }
}

#[test]
fn neighbours_become_one() {
    let (mut fork, mut s) = (Fork::empty(), Mock::default());
    for (logical, phys) in [(10, 110), (30, 130), (20, 120)] {
        assert_eq!(fork.insert(&mut s, OWNER, logical, phys, 10), Ok(10));
    }
    assert_eq!(runs(&fork, &mut s), [Run::new(10, 110, 30).unwrap()]);
    assert_eq!(fork.insert(&mut s, OWNER, 15, 115, 5), Ok(0));
    assert_eq!(fork.insert(&mut s, OWNER, 15, 116, 5), Err(EFSCORRUPTED));
    assert_eq!(fork.insert(&mut s, OWNER, 5, 105, 6), Err(EFSCORRUPTED));
    assert_eq!(fork.insert(&mut s, OWNER, 40, 141, 1), Ok(1));
    assert_eq!(runs(&fork, &mut s).len(), 2);
}

#[test]
fn the_last_block_of_a_file_can_be_mapped() {
    let (mut fork, mut s) = (Fork::empty(), Mock::default());
    assert_eq!(fork.insert(&mut s, OWNER, u32::MAX, 500, 2), Err(EINVAL));
    assert_eq!(fork.insert(&mut s, OWNER, 3, 0, 2), Err(EINVAL));
    assert_eq!(fork.insert(&mut s, OWNER, 3, u64::MAX, 2), Err(EINVAL));
    assert_eq!(fork.insert(&mut s, OWNER, u32::MAX, 500, 1), Ok(1));
    assert_eq!(
        fork.lookup(&mut s, u32::MAX, 9),
        Ok(Mapping::Data { phys: 500, len: 1 })
    );
    assert_eq!(
        fork.lookup(&mut s, 5, u32::MAX),
        Ok(Mapping::Hole { len: u32::MAX - 5 })
    );
    assert_eq!(fork.lookup(&mut s, 5, 0), Err(EINVAL));
    let progress = fork
        .remove(&mut s, OWNER, 0, u64::MAX, 1, |_, _, _| Ok(()))
        .unwrap();
    assert_eq!(
        progress,
        Progress {
            blocks: 1,
            done: true
        }
    );
}

#[test]
fn a_long_list_becomes_a_tree_and_a_list_again() {
    let (mut fork, mut s) = (Fork::empty(), Mock::default());
    for i in 0..2000 {
        fork.insert(&mut s, OWNER, i * 2, 1000 + u64::from(i) * 7, 1)
            .unwrap();
        let inline = i < 16;
        assert_eq!(matches!(fork, Fork::List(_)), inline, "{i}");
    }
    // 2000 entries of 12 bytes, each with 12 bytes of head and slot, in full leaves.
    assert!(fork.meta_blocks(&mut s).unwrap() <= 14);
    let progress = fork
        .remove(&mut s, OWNER, 16, 4000, 5000, |_, _, _| Ok(()))
        .unwrap();
    assert_eq!(
        progress,
        Progress {
            blocks: 1992,
            done: true
        }
    );
    assert!(matches!(&fork, Fork::List(list) if list.len() == 8));
    assert!(s.blocks.is_empty());
}

#[test]
fn overlapping_runs_in_a_tree_are_corruption() {
    let mut s = Mock::default();
    let mut tree = Tree::empty(OWNER);
    for (logical, len) in [(0, 10), (5, 10)] {
        let value = Run::new(logical, 100 + u64::from(logical), len)
            .unwrap()
            .to_value();
        tree.insert(&mut s, logical.into(), value.as_bytes())
            .unwrap();
    }
    let mut fork = Fork::Tree(tree);
    let listed = fork.for_each(&mut s, 0, |_| Ok(true));
    assert_eq!(listed, Err(EFSCORRUPTED));
    let removed = fork.remove(&mut s, OWNER, 0, 100, 9, |_, _, _| Ok(()));
    assert_eq!(removed, Err(EFSCORRUPTED));
    for (key, len, phys) in [
        (0, 0, 9),
        (0, 1, 0),
        (1 << 32, 1, 9),
        (u64::from(u32::MAX), 2, 9),
    ] {
        let (mut s, mut tree) = (Mock::default(), Tree::empty(OWNER));
        let value = ExtentValue {
            len: U32::new(len),
            phys: U64::new(phys),
        };
        tree.insert(&mut s, key, value.as_bytes()).unwrap();
        assert_eq!(
            Fork::Tree(tree).for_each(&mut s, 0, |_| Ok(true)),
            Err(EFSCORRUPTED)
        );
    }
}
