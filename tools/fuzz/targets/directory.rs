// SPDX-License-Identifier: GPL-2.0

//! Names in a directory against a map, in the record and in a tree; and records of any bytes.

#![no_main]

use std::{collections::BTreeMap, vec::Vec};

use kernel::prelude::*;
use libfuzzer_sys::fuzz_target;
use permfs_core::{
    dir::{self, hash::NameHash, inline},
    format::*,
    inode::{Record, S_IFREG},
    volume::RenameFlags,
};
use permfs_fuzz::{
    blocks::Blocks,
    image::{create, empty, mount, NOW},
    plan::Plan,
};

/// Operations in one run at most.
const STEPS: usize = 400;

/// A few hundred names, so that they meet: from one byte to the longest.
fn name(plan: &mut Plan<'_>) -> Vec<u8> {
    let n = plan.byte();
    let len = match n % 8 {
        0 => 1,
        7 => NAME_MAX,
        _ => 1 + usize::from(plan.byte() % 40),
    };
    vec![b'a' + n % 26; len]
}

fn names(plan: &mut Plan<'_>) {
    let (dev, _) = empty();
    let mut v = mount(&dev, false).expect("a new volume");
    let mut model = BTreeMap::new();
    for _ in 0..STEPS {
        if plan.is_over() {
            break;
        }
        let (op, one) = (plan.byte(), name(plan));
        match op % 8 {
            0..4 => {
                let made = create(&mut v, ROOT_INO, &one, S_IFREG, None);
                match made {
                    Ok(ino) => assert!(model.insert(one, ino).is_none()),
                    Err(e) => assert!(e == EEXIST && model.contains_key(&one), "{e:?}"),
                }
            }
            4..6 => {
                let gone = v.unlink(ROOT_INO, &one, NOW);
                assert_eq!(gone.map(|u| u.ino).ok(), model.remove(&one));
                if let Ok(unlinked) = gone {
                    v.evict(unlinked.ino).expect("a file that nobody has open");
                }
            }
            6 => {
                let to = name(plan);
                let flags = RenameFlags::default();
                let done = v.rename(ROOT_INO, &one, ROOT_INO, &to, flags, NOW);
                assert_eq!(done.is_ok(), model.contains_key(&one));
                if let (Ok(renamed), Some(ino)) = (done, model.get(&one).copied()) {
                    if one != to {
                        model.remove(&one);
                        let replaced = model.insert(to, ino);
                        assert_eq!(renamed.replaced.map(|u| u.ino), replaced);
                        if let Some(ino) = replaced {
                            v.evict(ino).expect("a file that nobody has open");
                        }
                    }
                }
            }
            _ => {
                let found = v.lookup(ROOT_INO, &one).expect("a whole directory");
                assert_eq!(found, model.get(&one).copied());
            }
        }
    }
    let mut listed = BTreeMap::new();
    v.readdir(ROOT_INO, 0, |name, ino, _, _| {
        listed.insert(name.to_vec(), ino);
        true
    })
    .expect("a whole directory");
    assert_eq!(listed, model);
    v.sync().expect("a device that works");
    let mut findings = 0;
    let checked = permfs_core::check::check(dev.read_only_view(), &mut |_| findings += 1);
    assert!(checked.is_ok() && findings == 0);
}

/// A record that is nobody's: whatever it says, it ends.
fn record(bytes: &[u8]) {
    let hash = NameHash::new(b"fuzzed hash seed");
    for entry in inline::entries(bytes) {
        let _ = entry.map(|e| (e.key, e.ino, e.name.len()));
    }
    let _ = inline::at_or_after(bytes, 0);
    let Ok(mut rec) = Record::decode(20, bytes) else {
        return;
    };
    let mut blocks = Blocks::default();
    let _ = dir::read(&mut blocks, &rec, 0, |_| true);
    let _ = dir::is_empty(&rec);
    for name in [&b"a"[..], &[b'b'; NAME_MAX]] {
        let key = hash.base(name);
        let _ = dir::find(&mut blocks, &rec, key, name);
        let _ = dir::remove(&mut blocks, &mut rec, key, name);
    }
    let _ = rec.extents();
    let _ = rec.inode();
    let _ = rec.encode();
}

fuzz_target!(|data: &[u8]| {
    match data.split_first() {
        Some((0..64, rest)) => record(rest),
        Some((_, rest)) => names(&mut Plan(rest)),
        None => {}
    }
});
