// SPDX-License-Identifier: GPL-2.0

//! A full volume.

use super::rig::*;
use crate::{
    format::ROOT_INO,
    inode::S_IFREG,
    volume::{RenameFlags, Volume},
};
use kernel::prelude::*;

/// Writes single blocks, scattered, until there is no more; says how many.
fn fill(v: &mut Volume<Dev>, ino: u64) -> u32 {
    for i in 0.. {
        if let Err(e) = write(v, ino, i * 3, 1) {
            assert_eq!(e, ENOSPC);
            return i;
        }
    }
    0
}

#[test]
fn a_full_volume_stays_whole_and_can_be_emptied() {
    let mut v = mount(&format(1024));
    let f = file(&mut v, ROOT_INO, b"f");
    assert!(fill(&mut v, f) > 100);
    commit_and_check(&mut v);
    // Metadata has its reserve; when that is gone too, everything that needs a block fails cleanly.
    let mut made = 0;
    let outcome = loop {
        let name = format!("{:0200}", made);
        let outcome = if made % 3 == 0 {
            symlink(&mut v, ROOT_INO, name.as_bytes(), &[b't'; 4000])
        } else {
            make(&mut v, ROOT_INO, name.as_bytes(), S_IFREG)
        };
        match outcome {
            Ok(_) => made += 1,
            Err(e) => break e,
        }
        assert!(made < 5000, "the volume never gets full");
    };
    assert_eq!(outcome, ENOSPC);
    commit_and_check(&mut v);
    let before = list(&mut v, ROOT_INO);
    for name in ["g", "h", "i"] {
        let long = format!("{name:x>250}");
        let _ = symlink(&mut v, ROOT_INO, long.as_bytes(), &[b't'; 4000]);
    }
    assert_eq!(list(&mut v, ROOT_INO), before);
    v = crash(v);
    assert_eq!(list(&mut v, ROOT_INO), before);
    // Freeing works on a full volume.
    for (name, ..) in before {
        let gone = v.unlink(ROOT_INO, name.as_bytes(), at(9)).unwrap();
        v.evict(gone.ino).unwrap();
    }
    v.sync().unwrap();
    assert_eq!(commit_and_check(&mut v), 0);
    let g = file(&mut v, ROOT_INO, b"again");
    assert!(fill(&mut v, g) > 100);
    assert_eq!(v.take_report(), None);
}

#[test]
fn promises_are_kept_when_others_fill_the_volume() {
    let mut v = mount(&format(1024));
    let (f, g) = (file(&mut v, ROOT_INO, b"f"), file(&mut v, ROOT_INO, b"g"));
    v.reserve_space(50).unwrap();
    assert_eq!(v.reserve_space(100_000), Err(ENOSPC));
    fill(&mut v, f);
    // The next block may take a few more for the map.
    assert!(v.statfs().blocks_available < 8);
    let rest = v.statfs().blocks_available;
    v.reserve_space(rest).unwrap();
    assert_eq!(v.reserve_extent(g, 0, 50, false), Err(ENOSPC));
    let mut done = 0;
    while done < 50 {
        let (phys, len) = v.reserve_extent(g, done, 50 - done, true).unwrap();
        v.commit_extent(g, done, phys, len, None, None).unwrap();
        done += len;
    }
    assert_eq!(v.iget(g).unwrap().attr.blocks, 50);
    commit_and_check(&mut v);
}

#[test]
fn what_was_freed_can_be_promised_at_once() {
    let mut v = mount(&format(1024));
    let f = file(&mut v, ROOT_INO, b"f");
    let before = v.statfs().blocks_available;
    fill(&mut v, f);
    v.sync().unwrap();
    assert_eq!(v.reserve_space(8), Err(ENOSPC));
    v.truncate(f, 0, at(5)).unwrap();
    // All of it, but for what little the map of an empty file may still hold.
    v.reserve_space(before - 8).unwrap();
    v.unreserve_space(before - 8);
    fill(&mut v, f);
    v.sync().unwrap();
    let gone = v.unlink(ROOT_INO, b"f", at(6)).unwrap();
    v.evict(gone.ino).unwrap();
    v.reserve_space(before - 8).unwrap();
    commit_and_check(&mut v);
}

#[test]
fn a_full_volume_takes_renames_over_names() {
    let mut v = mount(&format(1024));
    let (d, e) = (mkdir(&mut v, ROOT_INO, b"d"), mkdir(&mut v, ROOT_INO, b"e"));
    for dir in [d, e] {
        for i in 0..20 {
            file(&mut v, dir, format!("{i:0200}").as_bytes());
        }
    }
    let f = file(&mut v, ROOT_INO, b"f");
    fill(&mut v, f);
    let mut i = 0;
    while symlink(&mut v, ROOT_INO, format!("{i}").as_bytes(), &[b't'; 4000]).is_ok() {
        i += 1;
    }
    let plain = RenameFlags::default();
    let long = format!("{:0200}", 0);
    let refused = v.rename(d, long.as_bytes(), e, b"new", plain, at(7));
    assert_eq!(refused.err(), Some(ENOSPC));
    let swap = RenameFlags {
        exchange: true,
        ..plain
    };
    v.rename(d, long.as_bytes(), ROOT_INO, b"0", swap, at(7))
        .unwrap();
    for i in 0..20 {
        let name = format!("{i:0200}");
        let gone = v
            .rename(d, name.as_bytes(), e, name.as_bytes(), plain, at(7))
            .unwrap();
        // Somebody has it open: nothing is given back meanwhile.
        assert!(gone.replaced.is_some());
    }
    v.rmdir(ROOT_INO, b"d", at(8)).unwrap();
    v.truncate(f, 5000, at(9)).unwrap();
    commit_and_check(&mut v);
}
