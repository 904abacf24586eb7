// SPDX-License-Identifier: GPL-2.0

//! Entries whose names all have one hash, and areas of garbage.

use super::*;
use crate::{
    btree::mock::Mock,
    format::inode::InodeRecord,
    inode::{S_IFDIR, S_IFREG},
};

const BASE: u64 = hash::KEY_MIN;

fn record() -> Record {
    let mode = (S_IFDIR | 0o755).into();
    Record::new(
        20,
        InodeRecord {
            mode,
            parent: 2.into(),
            ..InodeRecord::default()
        },
    )
}

fn name(i: u64, len: usize) -> std::vec::Vec<u8> {
    format!("{i:x>len$}").into_bytes()
}

fn keys(m: &mut Mock, dir: &Record) -> std::vec::Vec<u64> {
    let mut keys = std::vec::Vec::new();
    read(m, dir, 0, |e| {
        keys.push(e.key);
        true
    })
    .unwrap();
    keys
}

/// With short names a few collide inline, with long ones most stand in a tree.
#[test]
fn names_that_collide_live_together() {
    for (len, count) in [(3, 40), (255, COLLISIONS), (30, COLLISIONS)] {
        let (mut m, mut dir) = (Mock::default(), record());
        for i in 0..count {
            insert(&mut m, &mut dir, BASE, &name(i, len), 100 + i, 8).unwrap();
            let again = insert(&mut m, &mut dir, BASE, &name(i, len), 1, 8);
            assert_eq!(again, Err(EEXIST));
        }
        if count == COLLISIONS {
            let more = insert(&mut m, &mut dir, BASE, b"one too many", 1, 8);
            assert_eq!(more, Err(ENOSPC));
        }
        // The one behind the hash is another hash's.
        insert(&mut m, &mut dir, BASE + COLLISIONS, &name(7, len), 7, 8).unwrap();
        assert_eq!(keys(&mut m, &dir).len() as u64, count + 1);
        for i in (0..count).step_by(2) {
            let found = find(&mut m, &dir, BASE, &name(i, len)).unwrap().unwrap();
            assert_eq!((found.ino, found.key), (100 + i, BASE + i));
            remove(&mut m, &mut dir, found.key, &name(i, len)).unwrap();
        }
        for i in 0..count {
            let found = find(&mut m, &dir, BASE, &name(i, len)).unwrap();
            assert_eq!(found.map(|f| f.ino), (i % 2 == 1).then_some(100 + i));
        }
        // A new name takes the first gap.
        insert(&mut m, &mut dir, BASE, b"new", 5, 4).unwrap();
        assert_eq!(find(&mut m, &dir, BASE, b"new").unwrap().unwrap().key, BASE);
        let e = Entry {
            key: BASE,
            ino: 6,
            kind: 8,
            name: b"new",
        };
        replace(&mut m, &mut dir, &e).unwrap();
        let found = find(&mut m, &dir, BASE, b"new").unwrap().unwrap();
        assert_eq!((found.ino, found.kind), (6, 8));
        let there: std::vec::Vec<_> = keys(&mut m, &dir);
        assert!(there.windows(2).all(|w| w[0] < w[1]));
        for i in (1..count).step_by(2) {
            remove(&mut m, &mut dir, BASE + i, &name(i, len)).unwrap();
        }
        remove(&mut m, &mut dir, BASE, b"new").unwrap();
        assert_eq!(remove(&mut m, &mut dir, BASE, b"new"), Err(ENOENT));
        assert!(!is_empty(&dir).unwrap());
        remove(&mut m, &mut dir, BASE + COLLISIONS, &name(7, len)).unwrap();
        assert!(is_empty(&dir).unwrap());
        assert_eq!(dir.head.size.get(), 0);
        assert!(m.blocks.is_empty(), "an empty directory keeps blocks");
    }
}

/// Whatever an area holds, reading and changing it ends in an answer or an error.
#[test]
fn garbage_in_an_area_is_an_error_at_most() {
    let mut seed = 9u64;
    let mut random = move || {
        seed = seed
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (seed >> 33) as u8
    };
    for round in 0..20_000 {
        let mut area = KVec::new();
        for _ in 0..random() {
            // Few values, so that heads and lengths often fit.
            let byte = random();
            area.push(if round % 2 == 0 { byte } else { byte & 0x13 }, GFP_KERNEL)
                .unwrap();
        }
        let _ = inline::entries(&area)
            .map(|e| e.map(|e| e.name.len()))
            .collect::<std::vec::Vec<_>>();
        let _ = inline::find(&area, BASE, b"x");
        let _ = inline::at_or_after(&area, 5000);
        let e = Entry {
            key: BASE,
            ino: 1,
            kind: 8,
            name: b"new",
        };
        let _ = inline::push(&mut area, 1024, &e);
        let _ = inline::remove(&mut area, BASE);
        let value: std::vec::Vec<u8> = (0..random() % 40).map(|_| random()).collect();
        let _ = tree_entry(BASE, &value);
    }
}

#[test]
fn a_name_from_the_device_is_checked() {
    for (name, good) in [
        (&b"ok"[..], true),
        (b"a/b", false),
        (b"a\0", false),
        (b"", false),
        (b"..", false),
    ] {
        let mut value = std::vec::Vec::from([9, 0, 0, 0, 0, 0, 0, 0, 8]);
        value.extend_from_slice(name);
        assert_eq!(tree_entry(BASE, &value).is_ok(), good);
        let mut area = KVec::new();
        let e = Entry {
            key: BASE,
            ino: 9,
            kind: 8,
            name,
        };
        inline::push(&mut area, 1024, &e).unwrap();
        assert_eq!(inline::entries(&area).next().map(|e| e.is_ok()), Some(good));
    }
    assert!(tree_entry(BASE, &[0, 0, 0, 0, 0, 0, 0, 0, 8, b'x']).is_err());
    assert!(tree_entry(5, &[9, 0, 0, 0, 0, 0, 0, 0, 8, b'x']).is_err());
    let file = Record::new(
        5,
        InodeRecord {
            mode: S_IFREG.into(),
            ..InodeRecord::default()
        },
    );
    assert_eq!(file.must_be_dir(), Err(ENOTDIR));
}
