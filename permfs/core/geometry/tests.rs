// SPDX-License-Identifier: GPL-2.0

//! The layout holds its invariants for every size and wish.

use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn a_layout_is_whole_or_refused(
        blocks in prop_oneof![0u64..70_000, 0u64..=MAX_BLOCKS],
        journal_blocks in prop_oneof![Just(None), (0u64..40_000).prop_map(Some)],
        panic_slots in prop_oneof![Just(None), (0u32..2000).prop_map(Some)],
        panic_slot_blocks in prop_oneof![Just(None), (0u32..300).prop_map(Some)],
    ) {
        let wishes = Wishes { journal_blocks, panic_slots, panic_slot_blocks };
        let Ok(g) = Geometry::new(blocks, &wishes) else { return Ok(()) };
        prop_assert!(g.blocks <= blocks && blocks - g.blocks <= SHARD_RESERVED);
        prop_assert!(g.data_start <= SHARD_BLOCKS && g.data_start + MIN_DATA_BLOCKS <= g.blocks);
        prop_assert_eq!(g.journal_header, SUMMARY_START + g.summary_blocks);
        prop_assert_eq!(g.panic_start + g.panic_blocks(), g.data_start);
        let last = g.shards - 1;
        prop_assert!(g.free_at_start(last) > 0 || last == 0);
        prop_assert!(!g.may_hold_data(g.data_start - 1, 1));
        prop_assert!(!g.may_hold_data(g.blocks, 1));
        prop_assert!(!g.may_hold_data(0, 0));
    }
}

#[test]
fn defaults_follow_the_size() {
    let at = |mib: u64| Geometry::new(mib * 256, &Wishes::default()).unwrap();
    assert_eq!((at(8).journal_blocks, at(8).panic_slots), (128, 8));
    assert_eq!((at(128).journal_blocks, at(128).panic_slots), (2048, 16));
    assert_eq!((at(1024).journal_blocks, at(1024).panic_slots), (8192, 16));
    assert_eq!(at(64 << 10).journal_blocks, 16384);
    assert_eq!(at(1 << 20).summary_blocks, 34);
}

#[test]
fn too_small_or_too_large_is_a_sentence() {
    let wishes = Wishes::default();
    assert_eq!(Geometry::new(0, &wishes), Err(Invalid::NoRoom));
    assert_eq!(Geometry::new(200, &wishes), Err(Invalid::NoRoom));
    assert_eq!(Geometry::new(u64::MAX, &wishes), Err(Invalid::Size));
    let long = Wishes {
        journal_blocks: Some(40_000),
        ..wishes
    };
    assert_eq!(Geometry::new(1 << 20, &long), Err(Invalid::Areas));
    let odd = Wishes {
        panic_slots: Some(3),
        ..wishes
    };
    assert_eq!(Geometry::new(1 << 20, &odd), Err(Invalid::PanicArea));
    for blocks in [0, 1, 3, 257] {
        let useless = Wishes {
            panic_slot_blocks: Some(blocks),
            ..wishes
        };
        assert_eq!(
            Geometry::new(1 << 20, &useless),
            Err(Invalid::PanicSlotSize)
        );
    }
}

#[test]
fn a_fresh_bitmap_has_as_many_zeros_as_blocks_are_free() {
    let g = Geometry::new(SHARD_BLOCKS + 1000, &Wishes::default()).unwrap();
    for shard in 0..g.shards {
        let mut bitmap = [0xa5u8; PAYLOAD_SIZE];
        g.fill_bitmap(shard, &mut bitmap);
        let free: u32 = bitmap.iter().map(|b| b.count_zeros()).sum();
        assert_eq!(u64::from(free), g.free_at_start(shard));
    }
}

#[test]
fn copies_are_where_the_format_says() {
    let listed: std::vec::Vec<u64> = copies(10_000).collect();
    let expected: std::vec::Vec<u64> = (0..10_000).filter(|&s| has_super_block(s)).collect();
    assert_eq!(listed, expected);
}
