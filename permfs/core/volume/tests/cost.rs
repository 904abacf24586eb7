// SPDX-License-Identifier: GPL-2.0

//! What operations cost in the log: the reason for records that change in place.

use super::rig::*;
use crate::{
    format::{BLOCK_SIZE, ROOT_INO},
    volume::Volume,
};

/// Bytes that a commit of `f` writes.
fn cost(v: &mut Volume<Dev>, f: impl FnOnce(&mut Volume<Dev>)) -> u64 {
    v.sync().unwrap();
    let before = v.store().device().written();
    f(v);
    v.sync().unwrap();
    v.store().device().written() - before
}

#[test]
fn an_append_logs_a_few_hundred_bytes() {
    let mut v = mount(&format(16384));
    let f = file(&mut v, ROOT_INO, b"f");
    for i in 0..10 {
        write(&mut v, f, i, 1).unwrap();
    }
    let bytes = cost(&mut v, |v| write(v, f, 10, 1).unwrap());
    assert!(bytes <= 512, "{bytes}");
    // With its data, at most 5.5 KiB.
    assert!(bytes + BLOCK_SIZE as u64 <= 5632);
}

#[test]
fn a_new_file_logs_less_than_a_kilobyte() {
    let mut v = mount(&format(16384));
    let dir = mkdir(&mut v, ROOT_INO, b"dir");
    for i in 0..30 {
        file(&mut v, dir, format!("file {i:04}").as_bytes());
    }
    let bytes = cost(&mut v, |v| {
        let f = file(v, dir, b"file 9999");
        write(v, f, 0, 1).unwrap();
    });
    assert!(bytes <= 1024, "{bytes}");
    let many = cost(&mut v, |v| {
        for i in 0..100 {
            let f = file(v, dir, format!("more {i:04}").as_bytes());
            write(v, f, 0, 1).unwrap();
        }
    });
    assert!(many <= 100 * 1024, "{many}");
}
