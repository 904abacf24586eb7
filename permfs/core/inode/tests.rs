// SPDX-License-Identifier: GPL-2.0

//! Records there and back, and records that are none.

use super::*;
use crate::extent::Fork;

fn head(mode: u16) -> InodeRecord {
    let fork = if mode & S_IFMT == S_IFREG {
        ForkKind::List
    } else {
        ForkKind::Inline
    };
    InodeRecord {
        mode: mode.into(),
        fork: fork as u8,
        nlink: 1.into(),
        parent: 2.into(),
        ..InodeRecord::default()
    }
}

fn encoded(head: InodeRecord, fork: &[u8]) -> KVec<u8> {
    let mut rec = Record::new(77, head);
    rec.fork.extend_from_slice(fork, GFP_KERNEL).unwrap();
    rec.encode().unwrap()
}

fn decodes(head: InodeRecord, fork: &[u8]) -> bool {
    match Record::decode(77, &encoded(head, fork)) {
        Ok(_) => true,
        Err(e) => {
            assert_eq!(e, EFSCORRUPTED);
            false
        }
    }
}

#[test]
fn what_is_encoded_is_decoded() {
    let mut h = head(S_IFREG | 0o640);
    h.size.set(1 << 40);
    h.mtime = Time {
        sec: -5,
        nsec: 999_999_999,
    }
    .into();
    h.generation.set(9);
    let mut rec = Record::new(77, h);
    rec.set_extents(&Fork::empty()).unwrap();
    let value = rec.encode().unwrap();
    let back = Record::decode(77, &value).unwrap();
    assert_eq!(back.inode(), rec.inode());
    assert_eq!(
        back.inode().attr.mtime,
        Time {
            sec: -5,
            nsec: 999_999_999
        }
    );
    assert!(matches!(back.extents(), Ok(Fork::List(list)) if list.is_empty()));
    // Later attributes must survive a change by this version.
    let mut with_xattr = KVec::new();
    with_xattr.extend_from_slice(&value, GFP_KERNEL).unwrap();
    let at = core::mem::offset_of!(InodeRecord, xattr_len);
    with_xattr[at] = 3;
    with_xattr.extend_from_slice(b"abc", GFP_KERNEL).unwrap();
    let mut kept = Record::decode(77, &with_xattr).unwrap();
    assert_eq!(kept.inline_room(), INLINE_MAX - 3);
    assert_eq!(kept.encode().unwrap()[..], with_xattr[..]);
}

/// The format does not change by accident.
#[test]
fn a_record_is_these_bytes() {
    let time = |n: i64| Time {
        sec: n << 32 | 1,
        nsec: n as u32,
    };
    let h = InodeRecord {
        mode: (S_IFREG | 0o755).into(),
        fork: ForkKind::List as u8,
        fork_level: 2,
        uid: 0x1111_1110.into(),
        gid: 0x2222_2220.into(),
        nlink: 0x3333_3330.into(),
        size: 0x0444_4444_4440.into(),
        blocks: 0x5555_5555_5555_5550.into(),
        mtime: time(6).into(),
        ctime: time(7).into(),
        atime: time(8).into(),
        btime: time(9).into(),
        generation: 0xaaaa_aaa0.into(),
        flags: 0xbbbb_bbb0.into(),
        rdev: 0xcccc_cccc_cccc_ccc0.into(),
        parent: 0xdddd_dddd_dddd_ddd0.into(),
        project: 0xeeee_eee0.into(),
        home: 0xffff_fff0.into(),
        fork_root: 0x1212_1212_1212_1210.into(),
        xattr_root: 0x1313_1313_1313_1310.into(),
        xattr_level: 3,
        ..InodeRecord::default()
    };
    let text: String = encoded(h, b"fork")
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let golden = [
        "ed810102",
        "10111111",
        "20222222",
        "30333333",
        "4044444444040000",
        "5055555555555555",
        "0100000006000000",
        "06000000",
        "0100000007000000",
        "07000000",
        "0100000008000000",
        "08000000",
        "0100000009000000",
        "09000000",
        "a0aaaaaa",
        "b0bbbbbb",
        "c0cccccccccccccc",
        "d0dddddddddddddd",
        "e0eeeeee",
        "f0ffffff",
        "1012121212121212",
        "1013131313131313",
        "0400",
        "0000",
        "03",
        "000000000000000000000000000000000000000000000000000000",
        "666f726b",
    ];
    assert_eq!(text, golden.concat());
}

#[test]
fn lengths_must_agree() {
    let value = encoded(head(S_IFDIR), &[0; 64]);
    assert!(Record::decode(77, &value).is_ok());
    assert!(Record::decode(77, &value[..value.len() - 1]).is_err());
    assert!(Record::decode(77, &value[..HEAD_SIZE - 1]).is_err());
    assert!(Record::decode(77, &[]).is_err());
    let mut longer = KVec::new();
    longer.extend_from_slice(&value, GFP_KERNEL).unwrap();
    longer.push(0, GFP_KERNEL).unwrap();
    assert!(Record::decode(77, &longer).is_err());
}

#[test]
fn contradictions_are_found() {
    for mode in [S_IFSOCK, S_IFBLK, S_IFDIR, S_IFCHR, S_IFIFO, S_IFREG] {
        assert!(decodes(head(mode | 0o777), &[]), "{mode:o}");
    }
    for mode in [0, 0o030000, 0o170000] {
        assert!(!decodes(head(mode), &[]), "{mode:o}");
    }
    let with = |mode, change: &dyn Fn(&mut InodeRecord)| {
        let mut h = head(mode);
        change(&mut h);
        h
    };
    let bad: [(InodeRecord, &[u8]); 10] = [
        (with(S_IFREG, &|h| h.fork = ForkKind::Inline as u8), &[]),
        (with(S_IFREG, &|h| h.fork = 9), &[]),
        (with(S_IFREG, &|h| h.size.set(FILE_SIZE_MAX + 1)), &[]),
        (with(S_IFREG, &|h| h.nlink.set(u32::MAX)), &[]),
        (with(S_IFREG, &|h| h.ctime.nsec.set(1_000_000_000)), &[]),
        (with(S_IFDIR, &|h| h.parent.set(0)), &[]),
        (with(S_IFDIR, &|h| h.fork = ForkKind::Chain as u8), &[]),
        (with(S_IFDIR, &|h| h.fork = ForkKind::Tree as u8), b"x"),
        (with(S_IFLNK, &|h| h.size.set(2)), b"x"),
        (with(S_IFLNK, &|h| h.fork = ForkKind::Chain as u8), &[]),
    ];
    for (i, (h, fork)) in bad.into_iter().enumerate() {
        assert!(!decodes(h, fork), "case {i}");
    }
    assert!(decodes(with(S_IFLNK, &|h| h.size.set(1)), b"x"));
}

#[test]
fn a_list_grows_in_powers_of_two() {
    let mut rec = Record::new(77, head(S_IFREG));
    let mut m = crate::btree::mock::Mock::default();
    let mut fork = Fork::empty();
    for i in 0..20u32 {
        fork.insert(&mut m, 77, i * 2, 1000 + u64::from(i) * 5, 1)
            .unwrap();
        rec.set_extents(&fork).unwrap();
        let slots = rec.fork.len() / 16;
        let used = i as usize + 1;
        let want = if used > 16 {
            0
        } else {
            used.next_power_of_two()
        };
        assert_eq!(slots, want, "{used} extents");
        let back = Record::decode(77, &rec.encode().unwrap()).unwrap();
        let again = back.extents().unwrap();
        let mut runs = 0;
        again
            .for_each(&mut m, 0, |_| {
                runs += 1;
                Ok(true)
            })
            .unwrap();
        assert_eq!(runs, used);
    }
}
