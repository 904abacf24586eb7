// SPDX-License-Identifier: GPL-2.0

//! What a file may hold, case by case.

use super::*;

/// The names are those after call `names`; call `returned` had returned.
fn at(names: u64, returned: u64) -> Moment {
    Moment { names, returned }
}

fn filled(parts: &[(u8, usize)]) -> Vec<u8> {
    parts.iter().flat_map(|&(b, n)| vec![b; n]).collect()
}

const ALL: Range<u64> = 0..u64::MAX;

#[test]
fn what_was_not_promised_may_be_there_or_not() {
    let mut file = File::new(1);
    file.write(2, 0, &filled(&[(b'a', 1024)]));
    for found in [
        &[][..],
        &[(b'a', 1024)],
        &[(0, 512), (b'a', 512)],
        &[(b'a', 512)],
    ] {
        file.check(at(1, 2), &filled(found)).unwrap();
    }
    assert!(file.check(at(1, 2), &filled(&[(b'x', 512)])).is_err());
    // A sector is old or new, and longer than anybody made it a file is never.
    assert!(file
        .check(at(1, 2), &filled(&[(b'a', 100), (0, 412)]))
        .is_err());
    assert!(file
        .check(at(1, 2), &filled(&[(b'a', 1024), (0, 1)]))
        .is_err());
}

#[test]
fn what_was_promised_is_there() {
    let mut file = File::new(1);
    file.write(2, 0, &filled(&[(b'a', 1024)]));
    file.promise(3, ALL, true);
    file.write(4, 0, &filled(&[(b'b', 512)]));
    file.check(at(1, 3), &filled(&[(b'a', 1024)])).unwrap();
    file.check(at(1, 3), &filled(&[(b'b', 512), (b'a', 512)]))
        .unwrap();
    assert!(file
        .check(at(1, 3), &filled(&[(0, 512), (b'a', 512)]))
        .is_err());
    assert!(file.check(at(1, 3), &filled(&[(b'a', 512)])).is_err());
    // Before the promise.
    file.check(at(1, 1), &[]).unwrap();
}

#[test]
fn a_range_and_its_end_can_be_promised() {
    let mut file = File::new(1);
    file.write(2, 0, &filled(&[(b'a', 512)]));
    file.write(3, 512, &filled(&[(b'b', 512)]));
    file.promise(3, 512..1024, false);
    file.check(at(1, 3), &filled(&[(0, 512), (b'b', 512)]))
        .unwrap();
    assert!(file.check(at(1, 3), &filled(&[(b'a', 512)])).is_err());
    assert!(file
        .check(at(1, 3), &filled(&[(b'a', 512), (0, 512)]))
        .is_err());
}

#[test]
fn what_a_durable_cut_took_does_not_come_back() {
    let mut file = File::new(1);
    file.write(2, 0, &filled(&[(b'a', 1024)]));
    file.promise(3, ALL, true);
    file.cut(4, 100);
    file.write(5, 1024, &filled(&[(b'b', 512)]));
    file.promise(6, ALL, true);
    let good = filled(&[(b'a', 100), (0, 924), (b'b', 512)]);
    file.check(at(4, 6), &good).unwrap();
    let back = filled(&[(b'a', 512), (0, 512), (b'b', 512)]);
    assert!(file.check(at(4, 6), &back).is_err());
    // Nobody has promised the write: the cut is there, and after it only its size or more.
    file.check(at(4, 4), &filled(&[(b'a', 100)])).unwrap();
    assert!(file.check(at(4, 4), &filled(&[(b'a', 1024)])).is_err());
    // Nor the cut.
    file.check(at(3, 4), &filled(&[(b'a', 1024)])).unwrap();
}

#[test]
fn a_store_may_be_caught_in_the_middle_and_a_write_may_not() {
    let mut file = File::new(1);
    file.write(2, 0, &filled(&[(b'a', 512)]));
    file.promise(3, ALL, true);
    file.store(4, 0, &filled(&[(b'b', 512)]));
    file.check(at(1, 4), &filled(&[(b'b', 7), (b'a', 505)]))
        .unwrap();
    assert!(file
        .check(at(1, 4), &filled(&[(b'c', 7), (b'a', 505)]))
        .is_err());
    file.promise(5, ALL, true);
    assert!(file
        .check(at(1, 5), &filled(&[(b'b', 7), (b'a', 505)]))
        .is_err());
}

#[test]
fn reading_gives_what_is_there() {
    let mut file = File::new(1);
    file.write(2, 100, &filled(&[(b'a', 600)]));
    assert_eq!(file.read(90..110), filled(&[(0, 10), (b'a', 10)]));
    assert_eq!(file.read(600..5000), filled(&[(b'a', 100)]));
    assert_eq!(file.read(5000..6000), []);
}
