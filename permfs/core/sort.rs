// SPDX-License-Identifier: GPL-2.0

//! Sorting in place.
//!
//! The standard library's unstable sort panics when a comparison contradicts itself; the kernel's
//! object checker does not know that function and warns of it. This is the heap sort of
//! `lib/sort.c`: no allocation, no panic, O(n log n) whatever the input.

/// Sorts `items`, smallest first. Equal items may change places.
pub fn sort<T: PartialOrd>(items: &mut [T]) {
    for root in (0..items.len() / 2).rev() {
        sift_down(items, root);
    }
    for end in (1..items.len()).rev() {
        let Some((heap, _)) = items.split_at_mut_checked(end + 1) else {
            return;
        };
        heap.swap(0, end);
        if let Some((heap, _)) = heap.split_at_mut_checked(end) {
            sift_down(heap, 0);
        }
    }
}

/// Moves the item at `root` down until it is not smaller than those below it.
fn sift_down<T: PartialOrd>(heap: &mut [T], mut root: usize) {
    loop {
        let left = 2 * root + 1;
        let larger = match (heap.get(left), heap.get(left + 1)) {
            (Some(l), Some(r)) if l < r => left + 1,
            (Some(_), _) => left,
            (None, _) => return,
        };
        if heap.get(root) >= heap.get(larger) {
            return;
        }
        heap.swap(root, larger);
        root = larger;
    }
}

#[cfg(test)]
mod tests {
    use super::sort;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sorts_like_the_standard_library(mut items in proptest::collection::vec(0..500u32, 0..300)) {
            let mut model = items.clone();
            model.sort();
            sort(&mut items);
            prop_assert_eq!(items, model);
        }
    }
}
