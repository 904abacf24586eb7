// SPDX-License-Identifier: GPL-2.0

//! Nodes with anything in them.

use super::*;

proptest! {
    /// Whatever bytes nodes hold: no panic, no endless loop, no block freed that is not the tree's.
    #[test]
    fn corrupt_nodes_are_survived(
        entries in prop::collection::vec((any_key(), any_len()), 1..400),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0usize..4032, 1u8..), 1..12),
        near_head in any::<bool>(),
        key in any_key(),
        len in any_len(),
    ) {
        let (mut tree, mut s) = (Tree::empty(OWNER), Mock::default());
        for &(key, len) in &entries {
            let _ = tree.insert(&mut s, key, &value(key, len));
        }
        let blocks: std::vec::Vec<u64> = s.blocks.keys().copied().collect();
        for (which, at, bits) in &flips {
            let at = if near_head { at % 64 } else { *at };
            s.blocks.get_mut(which.get(&blocks)).unwrap().payload[at] ^= bits;
        }
        let whole = s.clone();
        let _ = tree.get(&mut s, key, |_| Ok(()));
        let _ = tree.at_or_after(&mut s, key, |_, _| Ok(()));
        let _ = tree.at_or_before(&mut s, key, |_, _| Ok(()));
        let mut last = None;
        let _ = tree.scan(&mut s, 0, |k, _| {
            assert!(last.is_none_or(|l| k > l));
            last = Some(k);
            Ok(true)
        });
        let mut nodes = BTreeSet::new();
        tree.check(&mut s, |seen| {
            if let Seen::Node { block, .. } = seen {
                assert!(nodes.insert(block), "block {block} seen twice");
            }
            Ok(())
        }).unwrap();
        for op in 0..4 {
            let (mut tree, mut s) = (tree, whole.clone());
            let _ = match op {
                0 => tree.insert(&mut s, key, &value(key, len)),
                1 => tree.update(&mut s, key, &value(key, len)),
                2 => tree.remove(&mut s, key),
                _ => tree.destroy_step(&mut s, 3).map(|_| ()),
            };
        }
    }
}

#[test]
fn a_cycle_is_corruption() {
    let (mut tree, mut s) = (Tree::empty(OWNER), Mock::default());
    fill(&mut tree, &mut s, 3000, 100, |i| i);
    assert_eq!(tree.level, 1);
    let root = tree.root;
    let node = read_node(&mut s, root, OWNER, 1).unwrap();
    let at = node.record(4).unwrap().at + node::KEY;
    let below = node.key(4).unwrap();
    let other = node.child(7).unwrap();
    for child in [root, other, 0, u64::MAX] {
        s.blocks.get_mut(&root).unwrap().payload[at..at + 8].copy_from_slice(&child.to_le_bytes());
        assert_eq!(tree.count(&mut s), Err(EFSCORRUPTED));
        assert_eq!(tree.scan(&mut s, 0, |_, _| Ok(true)), Err(EFSCORRUPTED));
        assert_eq!(tree.insert(&mut s, below, &[]), Err(EFSCORRUPTED));
        let mut faults = 0;
        tree.check(&mut s, |seen| {
            faults += usize::from(matches!(seen, Seen::Fault { .. }));
            Ok(())
        })
        .unwrap();
        assert_eq!(faults, 1);
    }
}

/// One field after the other is made wrong in a leaf of three records.
#[test]
fn each_fault_has_its_name() {
    fn u16_at(payload: &mut [u8], at: usize, change: impl Fn(u16) -> u16) {
        let old = u16::from_le_bytes([payload[at], payload[at + 1]]);
        payload[at..at + 2].copy_from_slice(&change(old).to_le_bytes());
    }
    type Damage = fn(&mut [u8]);
    let leaf: [(Fault, Damage); 10] = [
        (Fault::Level, |p| p[0] = 1),
        (Fault::Header, |p| p[1] = 1),
        (Fault::Empty, |p| u16_at(p, 2, |_| 0)),
        (Fault::Header, |p| u16_at(p, 2, |_| 2000)),
        (Fault::Header, |p| u16_at(p, 4, |_| 10)),
        (Fault::Space, |p| u16_at(p, 6, |n| n + 1)),
        (Fault::Slot, |p| u16_at(p, 8, |_| 9)),
        (Fault::Order, |p| p.copy_within(8..10, 10)),
        // The second record grows into the first: the sum is right, the bytes are shared.
        (Fault::Overlap, |p| {
            u16_at(p, 4032 - 2 * 110 + 8, |n| n + 20);
            u16_at(p, 4032 - 3 * 110 + 8, |n| n - 20);
        }),
        (Fault::Space, |p| u16_at(p, 4032 - 110 + 8, |n| n - 1)),
    ];
    for (i, (fault, damage)) in leaf.into_iter().enumerate() {
        let (mut tree, mut s) = (Tree::empty(OWNER), Mock::default());
        fill(&mut tree, &mut s, 3, 100, |i| i);
        damage(&mut s.blocks.get_mut(&tree.root).unwrap().payload);
        let mut found = std::vec::Vec::new();
        tree.check(&mut s, |seen| {
            if let Seen::Fault { fault, .. } = seen {
                found.push(fault);
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(found, [fault], "case {i}");
        if fault != Fault::Overlap {
            assert_eq!(tree.insert(&mut s, 9, &[]), Err(EFSCORRUPTED), "case {i}");
        }
    }
}
