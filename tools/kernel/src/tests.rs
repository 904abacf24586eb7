// SPDX-License-Identifier: GPL-2.0

//! What the shim promises over `std`: growth is counted, fails on a test's word, and loses nothing then.

use crate::{
    alloc,
    prelude::*,
    rbtree::RBTree,
    sync::atomic::{Atomic, Full},
};

#[test]
fn a_refused_push_keeps_what_was_there() {
    let mut v = KVec::with_capacity(1, GFP_KERNEL).unwrap();
    v.push(1, GFP_KERNEL).unwrap();
    let guard = alloc::fail_after(0);
    assert!(v.push(2, GFP_KERNEL).is_err());
    drop(guard);
    v.push(3, GFP_KERNEL).unwrap();
    assert_eq!(v, [1, 3]);
}

#[test]
fn a_push_within_capacity_needs_no_memory() {
    let mut v = KVec::with_capacity(4, GFP_KERNEL).unwrap();
    let _guard = alloc::fail_after(0);
    for i in 0..4 {
        v.push(i, GFP_KERNEL).unwrap();
    }
}

#[test]
fn errors_carry_the_kernels_numbers() {
    assert_eq!(EFSCORRUPTED.to_errno(), -117);
    assert_eq!(Error::from_errno(-28), ENOSPC);
    assert_eq!(Error::from_errno(0), EINVAL);
    assert_eq!(Error::from_errno(-5000), EINVAL);
    assert_eq!(format!("{ENOSPC:?}"), "ENOSPC");
}

#[test]
fn a_cursor_goes_on_at_the_next_node_after_a_removal() {
    let mut tree = RBTree::new();
    for key in [10u64, 20, 30] {
        tree.try_create_and_insert(key, key * 2, GFP_KERNEL)
            .unwrap();
    }
    let (cursor, node) = tree.cursor_lower_bound_mut(&15).unwrap().remove_current();
    assert_eq!(node.to_key_value(), (20, 40));
    let cursor = cursor.unwrap();
    assert_eq!(cursor.current(), (&30, &60));
    let (cursor, _) = cursor.remove_current();
    assert_eq!(cursor.unwrap().current(), (&10, &20));
}

#[test]
fn cmpxchg_returns_what_it_found() {
    let word = Atomic::new(7u64);
    assert_eq!(word.cmpxchg(7, 8, Full), Ok(7));
    assert_eq!(word.cmpxchg(7, 9, Full), Err(8));
    assert_eq!(word.fetch_add(u64::MAX, Full), 8);
    assert_eq!(word.xchg(0, Full), 7);
}
