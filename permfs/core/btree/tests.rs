// SPDX-License-Identifier: GPL-2.0

//! Tests of the tree as a whole, against `BTreeMap`.

use super::mock::Mock;
use super::*;
use proptest::prelude::*;
use std::collections::{btree_map::Entry, BTreeMap, BTreeSet};

mod corrupt;

type Model = BTreeMap<u64, std::vec::Vec<u8>>;

const OWNER: u64 = 42;

/// A cheap permutation of `u64`, for keys without an order (splitmix64).
fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn value(key: u64, len: usize) -> std::vec::Vec<u8> {
    (0..len)
        .map(|i| mix(key ^ (i as u64) << 32) as u8)
        .collect()
}

/// Checks structure and contents; nothing that the tree does not use is left allocated.
fn assert_whole(tree: &Tree, s: &mut Mock, model: &Model) {
    let mut nodes = BTreeSet::new();
    let mut entries = Model::new();
    tree.check(s, |seen| {
        match seen {
            Seen::Node { block, .. } => assert!(nodes.insert(block), "block {block} seen twice"),
            Seen::Entry { key, value } => assert!(entries.insert(key, value.to_vec()).is_none()),
            Seen::Fault { .. } => panic!("{seen:?}"),
        }
        Ok(())
    })
    .unwrap();
    assert!(&entries == model, "contents differ");
    assert_eq!(nodes, s.blocks.keys().copied().collect(), "blocks leaked");
}

/// Used bytes over the capacity of all leaves, in percent.
fn leaf_fill(tree: &Tree, s: &mut Mock) -> usize {
    let mut leaves = std::vec::Vec::new();
    tree.walk(s, |block, level| {
        if level == 0 {
            leaves.push(block);
        }
        Ok(())
    })
    .unwrap();
    let used: usize = leaves
        .iter()
        .map(|&b| read_node(s, b, OWNER, 0).unwrap().head.used())
        .sum();
    used * 100 / (leaves.len() * node::CAPACITY)
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u64, usize),
    Update(u64, usize),
    Remove(u64),
    Get(u64),
    After(u64),
    Before(u64),
    Destroy(usize),
}

/// Keys from few, so that steps meet, with the ends of the range among them.
fn any_key() -> impl Strategy<Value = u64> {
    prop_oneof![
        20 => 0u64..200,
        1 => (0u64..3).prop_map(|n| u64::MAX - n),
        4 => (0u64..100).prop_map(mix),
    ]
}

fn any_len() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0usize..40, 4 => 100usize..400, 2 => 1000usize..=MAX_VALUE]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        30 => (any_key(), any_len()).prop_map(|(k, l)| Step::Insert(k, l)),
        20 => (any_key(), any_len()).prop_map(|(k, l)| Step::Update(k, l)),
        25 => any_key().prop_map(Step::Remove),
        5 => any_key().prop_map(Step::Get),
        5 => any_key().prop_map(Step::After),
        5 => any_key().prop_map(Step::Before),
        1 => (0usize..3).prop_map(Step::Destroy),
    ]
}

fn owned(key: u64, value: &[u8]) -> Result<(u64, std::vec::Vec<u8>)> {
    Ok((key, value.to_vec()))
}

fn pair((key, value): (&u64, &std::vec::Vec<u8>)) -> (u64, std::vec::Vec<u8>) {
    (*key, value.clone())
}

fn apply(tree: &mut Tree, s: &mut Mock, model: &mut Model, step: &Step, n: usize) {
    match *step {
        Step::Insert(key, len) => {
            let new = value(key, len);
            match model.entry(key) {
                Entry::Occupied(_) => assert_eq!(tree.insert(s, key, &new), Err(EEXIST)),
                Entry::Vacant(place) => {
                    assert_eq!(tree.insert(s, key, &new), Ok(()));
                    place.insert(new);
                }
            }
        }
        Step::Update(key, len) => {
            // Another value than the insertion's, equal to it here and there.
            let mut new = value(key, len);
            new.iter_mut()
                .step_by(n % 50 + 1)
                .for_each(|b| *b = b.wrapping_add(1));
            let result = tree.update(s, key, &new);
            match model.get_mut(&key) {
                Some(old) => {
                    assert_eq!(result, Ok(()));
                    *old = new;
                }
                None => assert_eq!(result, Err(ENOENT)),
            }
        }
        Step::Remove(key) => match model.remove(&key) {
            Some(_) => assert_eq!(tree.remove(s, key), Ok(())),
            None => assert_eq!(tree.remove(s, key), Err(ENOENT)),
        },
        Step::Get(key) => {
            assert_eq!(
                tree.get(s, key, |v| Ok(v.to_vec())).unwrap(),
                model.get(&key).cloned()
            );
        }
        Step::After(key) => {
            let expected = model.range(key..).next().map(pair);
            assert_eq!(tree.at_or_after(s, key, owned).unwrap(), expected);
        }
        Step::Before(key) => {
            let expected = model.range(..=key).next_back().map(pair);
            assert_eq!(tree.at_or_before(s, key, owned).unwrap(), expected);
        }
        Step::Destroy(nodes) => {
            let before = model.len();
            let done = tree.destroy_step(s, nodes).unwrap();
            // The last leaves went: what is left is what stood in front of them.
            let left = tree.count(s).unwrap() as usize;
            assert_eq!(done, left == 0);
            assert!(nodes == 0 || before == 0 || left < before);
            while model.len() > left {
                model.pop_last();
            }
        }
    }
}

proptest! {
    #[test]
    fn agrees_with_a_map(steps in prop::collection::vec(any_step(), 1..250)) {
        let (mut tree, mut s, mut model) = (Tree::empty(OWNER), Mock::default(), Model::new());
        for (n, step) in steps.iter().enumerate() {
            apply(&mut tree, &mut s, &mut model, step, n);
            assert_whole(&tree, &mut s, &model);
        }
        let from = steps.len() as u64;
        let mut scanned = Model::new();
        tree.scan(&mut s, from, |k, v| {
            scanned.insert(k, v.to_vec());
            Ok(true)
        }).unwrap();
        prop_assert!(scanned.iter().eq(model.range(from..)));
        let last = tree.last(&mut s, owned).unwrap();
        prop_assert_eq!(last, model.last_key_value().map(pair));
    }

    /// An operation that fails at any of its steps leaves the tree as it was, once the blocks are back.
    #[test]
    fn failure_leaves_the_root(
        steps in prop::collection::vec(any_step(), 50..150),
        fail_in in 0u32..60,
    ) {
        let (mut tree, mut s, mut model) = (Tree::empty(OWNER), Mock::default(), Model::new());
        for (n, step) in steps.iter().enumerate() {
            let (before, blocks) = (tree, s.blocks.clone());
            s.fail_in = Some(fail_in);
            let result = match *step {
                Step::Insert(key, len) => tree.insert(&mut s, key, &value(key, len)),
                Step::Update(key, len) => tree.update(&mut s, key, &value(key, len)),
                Step::Remove(key) => tree.remove(&mut s, key),
                Step::Destroy(nodes) => tree.destroy_step(&mut s, nodes).map(|_| ()),
                _ => Ok(()),
            };
            s.fail_in = None;
            if result == Err(EIO) {
                prop_assert_eq!(tree, before);
            }
            (tree, s.blocks) = (before, blocks);
            apply(&mut tree, &mut s, &mut model, step, n);
        }
        assert_whole(&tree, &mut s, &model);
    }
}

/// Inserts keys 0 to `n - 1`, each mapped by `order`, and returns the bytes written for each on average.
fn fill(tree: &mut Tree, s: &mut Mock, n: u64, len: usize, order: impl Fn(u64) -> u64) -> usize {
    for i in 0..n {
        let key = order(i);
        tree.insert(s, key, &value(key, len)).unwrap();
    }
    let average = s.written / n as usize;
    assert_eq!(tree.count(s).unwrap(), n);
    average
}

#[test]
fn ascending_keys_fill_the_leaves() {
    let (mut tree, mut s) = (Tree::empty(OWNER), Mock::default());
    let average = fill(&mut tree, &mut s, 100_000, 96, |i| i);
    assert!(
        leaf_fill(&tree, &mut s) >= 95,
        "leaves are {} % full",
        leaf_fill(&tree, &mut s)
    );
    assert!(average <= 96 + 40, "{average} bytes written an insertion");
}

#[test]
fn descending_keys_fill_the_leaves() {
    let (mut tree, mut s) = (Tree::empty(OWNER), Mock::default());
    fill(&mut tree, &mut s, 100_000, 96, |i| 1_000_000 - i);
    assert!(
        leaf_fill(&tree, &mut s) >= 95,
        "leaves are {} % full",
        leaf_fill(&tree, &mut s)
    );
}

#[test]
fn random_keys_fill_two_thirds_and_write_little() {
    let (mut tree, mut s) = (Tree::empty(OWNER), Mock::default());
    let average = fill(&mut tree, &mut s, 100_000, 32, mix);
    let full = leaf_fill(&tree, &mut s);
    assert!((60..80).contains(&full), "leaves are {full} % full");
    assert!(average <= 350, "{average} bytes written an insertion");
    for i in 0..100_000u64 {
        let key = mix(i);
        let found = tree.get(&mut s, key, |v| Ok(v == value(key, 32))).unwrap();
        assert_eq!(found, Some(true));
    }
}

#[test]
fn removal_in_any_order_gives_every_block_back() {
    for order in [|i| i, |i| 19_999 - i, |i: u64| i * 7919 % 20_000] {
        let (mut tree, mut s) = (Tree::empty(OWNER), Mock::default());
        fill(&mut tree, &mut s, 20_000, 40, mix);
        let full = s.blocks.len();
        for i in 0..20_000u64 {
            tree.remove(&mut s, mix(order(i))).unwrap();
            if i == 18_000 {
                assert!(
                    s.blocks.len() * 4 < full,
                    "{} of {full} nodes left",
                    s.blocks.len()
                );
            }
        }
        assert_eq!(tree, Tree::empty(OWNER));
        assert!(s.blocks.is_empty());
    }
}

/// Inner nodes split and merge too: the tree grows to three levels and shrinks to nothing, three times.
#[test]
fn three_levels_agree_with_a_map() {
    let (mut tree, mut s, mut model) = (Tree::empty(OWNER), Mock::default(), Model::new());
    let mut n = 0;
    for round in 0..3 {
        let mut highest = 0;
        for (steps, growing) in [(4000, true), (6000, false)] {
            for _ in 0..steps {
                n += 1;
                // Dense keys in the second round, so that removal leaves gaps of whole nodes.
                let key = mix(n) % 5000;
                let key = if round == 1 { key } else { mix(key) };
                let key = match model.range(key..).next() {
                    Some((&there, _)) if !growing => there,
                    _ => key,
                };
                let len = (mix(n ^ 77) % (MAX_VALUE as u64 + 1)) as usize / (1 + round);
                let step = match n % 8 {
                    0 => Step::Update(key, len),
                    1 if growing => Step::Remove(key),
                    _ if growing => Step::Insert(key, len.max(700)),
                    1 => Step::Insert(key, len),
                    _ => Step::Remove(key),
                };
                apply(&mut tree, &mut s, &mut model, &step, n as usize);
                highest = highest.max(tree.level);
                if n % 100 == 0 {
                    assert_whole(&tree, &mut s, &model);
                }
            }
        }
        assert_eq!(highest, 2);
        while !model.is_empty() {
            apply(&mut tree, &mut s, &mut model, &Step::Destroy(5), 0);
            assert_whole(&tree, &mut s, &model);
        }
    }
    assert_eq!(tree, Tree::empty(OWNER));
}

#[test]
fn an_equal_length_update_writes_the_changed_bytes() {
    let (mut tree, mut s) = (Tree::empty(OWNER), Mock::default());
    fill(&mut tree, &mut s, 100, 200, |i| i);
    let mut new = value(50, 200);
    new[7] ^= 1;
    new[100] ^= 1;
    new[104] ^= 1;
    s.written = 0;
    tree.update(&mut s, 50, &new).unwrap();
    assert_eq!(s.written, 1 + 5);
    s.written = 0;
    tree.update(&mut s, 50, &new).unwrap();
    assert_eq!(s.written, 0);
    assert_eq!(tree.get(&mut s, 50, |v| Ok(v == new)).unwrap(), Some(true));
}

#[test]
fn a_value_that_grows_again_and_again_writes_little_more_than_itself() {
    let (mut tree, mut s) = (Tree::empty(OWNER), Mock::default());
    fill(&mut tree, &mut s, 10, 100, |i| i);
    s.written = 0;
    for len in (101..=1000).step_by(16) {
        tree.update(&mut s, 3, &value(3, len)).unwrap();
        assert!(
            s.written <= len + 32,
            "{} bytes written for a value of {len}",
            s.written
        );
        s.written = 0;
    }
}

#[test]
fn bad_arguments_are_refused() {
    let (mut tree, mut s) = (Tree::empty(OWNER), Mock::default());
    assert_eq!(tree.insert(&mut s, 1, &[0; MAX_VALUE + 1]), Err(EINVAL));
    assert_eq!(tree.update(&mut s, 1, &[]), Err(ENOENT));
    assert_eq!(tree.remove(&mut s, 1), Err(ENOENT));
    assert!(s.blocks.is_empty());
    let disk = TreeRoot {
        root: 5.into(),
        level: MAX_LEVEL + 1,
        reserved: [0; 7],
    };
    assert_eq!(Tree::from_disk(&disk, OWNER), Err(EFSCORRUPTED));
    let tree = Tree {
        root: 5,
        level: 3,
        owner: OWNER,
    };
    assert_eq!(Tree::from_disk(&tree.to_disk(), OWNER), Ok(tree));
}
