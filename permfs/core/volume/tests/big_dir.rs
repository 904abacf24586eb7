// SPDX-License-Identifier: GPL-2.0

//! Large directories, and readdir while they change.

use super::rig::*;
use crate::{format::ROOT_INO, inode::S_IFIFO};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Reads a directory in batches of `batch`, calling `between` after each.
fn read_in_batches(
    v: &mut crate::volume::Volume<Dev>,
    dir: u64,
    batch: usize,
    mut between: impl FnMut(&mut crate::volume::Volume<Dev>),
) -> HashMap<String, u32> {
    let mut seen = HashMap::new();
    let mut cookie = 2;
    loop {
        let mut got = 0;
        v.readdir(dir, cookie, |name, _, _, next| {
            *seen
                .entry(String::from_utf8_lossy(name).into_owned())
                .or_default() += 1;
            cookie = next;
            got += 1;
            got < batch
        })
        .unwrap();
        if got == 0 {
            return seen;
        }
        between(v);
    }
}

#[test]
fn readdir_sees_what_stays_exactly_once() {
    const ENTRIES: u64 = 20_000;
    let mut v = mount(&format(32768));
    let dir = mkdir(&mut v, ROOT_INO, b"big");
    for i in 0..ENTRIES {
        make(
            &mut v,
            dir,
            format!("entry number {i:05}").as_bytes(),
            S_IFIFO,
        )
        .unwrap();
    }
    v = crash(v);
    assert_eq!(list(&mut v, dir).len() as u64, ENTRIES);
    let mut rng = Rng(42);
    let mut removed = BTreeSet::new();
    let mut added = 0;
    let seen = read_in_batches(&mut v, dir, 100, |v| {
        for _ in 0..60 {
            let i = rng.below(ENTRIES);
            if removed.insert(i) {
                let name = format!("entry number {i:05}");
                let gone = v.unlink(dir, name.as_bytes(), at(9)).unwrap();
                v.evict(gone.ino).unwrap();
            }
        }
        make(v, dir, format!("new {added}").as_bytes(), S_IFIFO).unwrap();
        added += 1;
    });
    for i in 0..ENTRIES {
        let count = seen
            .get(&format!("entry number {i:05}"))
            .copied()
            .unwrap_or(0);
        if removed.contains(&i) {
            assert!(count <= 1);
        } else {
            assert_eq!(count, 1, "entry {i}");
        }
    }
    assert!(seen.values().all(|&n| n == 1));
    commit_and_check(&mut v);
    for (name, ..) in list(&mut v, dir) {
        let gone = v.unlink(dir, name.as_bytes(), at(9)).unwrap();
        v.evict(gone.ino).unwrap();
    }
    assert_eq!(v.iget(dir).unwrap().attr.size, 0);
    v.rmdir(ROOT_INO, b"big", at(10)).unwrap();
    v.evict(dir).unwrap();
    v = remount(v);
    assert_eq!(commit_and_check(&mut v), 0);
}

#[test]
fn cookies_survive_the_conversion_to_a_tree() {
    let mut v = mount(&format(8192));
    let mut cookies: BTreeMap<String, u64> = BTreeMap::new();
    for i in 0..200u32 {
        file(&mut v, ROOT_INO, format!("name {i}").as_bytes());
        let listed = list(&mut v, ROOT_INO);
        assert!(
            listed.windows(2).all(|w| w[0].3 < w[1].3),
            "not in order of cookies"
        );
        let now: BTreeMap<_, _> = listed.into_iter().map(|e| (e.0, e.3)).collect();
        assert_eq!(now.len() as u32, i + 1);
        assert!(cookies
            .iter()
            .all(|(name, cookie)| now.get(name) == Some(cookie)));
        cookies = now;
    }
    assert!(cookies.values().all(|&c| c > 4096 && c <= i64::MAX as u64));
    commit_and_check(&mut v);
}

#[test]
fn small_directories_are_read_in_pieces_too() {
    let mut v = mount(&format(4096));
    for i in 0..20 {
        file(&mut v, ROOT_INO, format!("f{i}").as_bytes());
    }
    let mut turn = 0;
    let seen = read_in_batches(&mut v, ROOT_INO, 3, |v| {
        file(
            v,
            ROOT_INO,
            format!("late {turn} and rather long a name").as_bytes(),
        );
        turn += 1;
    });
    assert!((0..20).all(|i| seen.get(&format!("f{i}")) == Some(&1)));
    assert!(seen.values().all(|&n| n == 1));
}
