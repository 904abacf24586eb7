// SPDX-License-Identifier: GPL-2.0

//! Links, names and symbolic links.

use super::rig::*;
use crate::{
    format::{inode::LINK_MAX, ROOT_INO},
    inode::S_IFSOCK,
};
use kernel::prelude::*;

#[test]
fn links_are_counted() {
    let mut v = mount(&format(4096));
    let (d, f) = (mkdir(&mut v, ROOT_INO, b"d"), file(&mut v, ROOT_INO, b"f"));
    assert_eq!(v.iget(ROOT_INO).unwrap().attr.nlink, 3);
    assert_eq!(v.iget(d).unwrap().attr.nlink, 2);
    v.link(f, d, b"g", at(2)).unwrap();
    assert_eq!(v.link(f, d, b"g", at(2)), Err(EEXIST));
    assert_eq!(v.link(d, d, b"h", at(2)), Err(EPERM));
    assert_eq!(v.iget(f).unwrap().attr.nlink, 2);
    assert_eq!(v.iget(f).unwrap().attr.ctime, at(2));
    assert_eq!(v.rmdir(ROOT_INO, b"d", at(3)), Err(ENOTEMPTY));
    assert_eq!(v.rmdir(ROOT_INO, b"f", at(3)), Err(ENOTDIR));
    assert_eq!(v.unlink(ROOT_INO, b"d", at(3)), Err(EISDIR));
    assert_eq!(v.unlink(ROOT_INO, b"x", at(3)), Err(ENOENT));
    assert_eq!(v.unlink(d, b"g", at(3)).unwrap().nlink, 1);
    assert_eq!(v.rmdir(ROOT_INO, b"d", at(4)).unwrap().ino, d);
    assert_eq!(make(&mut v, d, b"late", S_IFSOCK), Err(ENOENT));
    assert_eq!(v.link(f, d, b"late", at(4)), Err(ENOENT));
    assert_eq!(v.iget(ROOT_INO).unwrap().attr.nlink, 2);
    assert_eq!(commit_and_check(&mut v), 1);
    v.evict(d).unwrap();
    assert_eq!(v.iget(d), Err(ESTALE));
    assert_eq!(v.evict(f), Err(EBUSY));
    assert_eq!(commit_and_check(&mut v), 0);
    assert_eq!(v.take_report(), None);
}

#[test]
fn the_limit_of_links_holds() {
    let mut v = mount(&format(4096));
    let (d, f) = (mkdir(&mut v, ROOT_INO, b"d"), file(&mut v, ROOT_INO, b"f"));
    let e = mkdir(&mut v, ROOT_INO, b"e");
    mkdir(&mut v, e, b"sub");
    for ino in [d, f] {
        v.change(|view| {
            let mut rec = view.load(ino)?;
            rec.head.nlink.set(LINK_MAX);
            view.save(&mut rec)
        })
        .unwrap();
    }
    let before = list(&mut v, d);
    assert_eq!(v.link(f, ROOT_INO, b"g", at(2)), Err(EMLINK));
    assert_eq!(make(&mut v, d, b"sub", crate::inode::S_IFDIR), Err(EMLINK));
    let flags = Default::default();
    assert_eq!(v.rename(e, b"sub", d, b"sub", flags, at(2)), Err(EMLINK));
    assert_eq!(list(&mut v, d), before);
    assert_eq!(v.lookup(e, b"sub").map(|i| i.is_some()), Ok(true));
    assert_eq!(v.lookup(ROOT_INO, b"g"), Ok(None));
}

#[test]
fn bad_names_are_refused() {
    let mut v = mount(&format(4096));
    for name in [&b""[..], b".", b"..", b"a/b", b"a\0b"] {
        assert_eq!(make(&mut v, ROOT_INO, name, S_IFSOCK), Err(EINVAL));
        assert_eq!(v.lookup(ROOT_INO, name), Err(EINVAL));
    }
    let long = [b'n'; 256];
    assert_eq!(v.lookup(ROOT_INO, &long), Err(ENAMETOOLONG));
    assert_eq!(make(&mut v, ROOT_INO, &long, S_IFSOCK), Err(ENAMETOOLONG));
    make(&mut v, ROOT_INO, &long[..255], S_IFSOCK).unwrap();
    assert_eq!(make(&mut v, ROOT_INO, &long[..255], S_IFSOCK), Err(EEXIST));
    let f = file(&mut v, ROOT_INO, b"f");
    assert_eq!(v.lookup(f, b"x"), Err(ENOTDIR));
    assert_eq!(make(&mut v, f, b"x", S_IFSOCK), Err(ENOTDIR));
    assert_eq!(v.lookup(9999, b"x"), Err(ESTALE));
    commit_and_check(&mut v);
}

#[test]
fn targets_of_every_length_come_back() {
    let mut v = mount(&format(8192));
    let target: std::vec::Vec<u8> = (0..4096u32).map(|i| b'a' + (i % 23) as u8).collect();
    let lengths = [1, 60, 1023, 1024, 1025, 4015, 4016, 4017, 4094, 4095];
    let free = v.statfs().blocks_free;
    for len in lengths {
        symlink(
            &mut v,
            ROOT_INO,
            format!("l{len}").as_bytes(),
            &target[..len],
        )
        .unwrap();
    }
    assert_eq!(symlink(&mut v, ROOT_INO, b"x", &target), Err(ENAMETOOLONG));
    assert_eq!(symlink(&mut v, ROOT_INO, b"x", b""), Err(EINVAL));
    assert_eq!(symlink(&mut v, ROOT_INO, b"x", b"a\0"), Err(EINVAL));
    v = crash(v);
    for len in lengths {
        let name = format!("l{len}");
        let ino = v.lookup(ROOT_INO, name.as_bytes()).unwrap().unwrap();
        let mut buf = KVec::new();
        buf.push(b'>', GFP_KERNEL).unwrap();
        v.readlink(ino, &mut buf).unwrap();
        assert_eq!(buf[1..], target[..len]);
        assert_eq!(v.iget(ino).unwrap().attr.size, len as u64);
    }
    assert_eq!(v.readlink(ROOT_INO, &mut KVec::new()), Err(EINVAL));
    for len in lengths {
        let gone = v
            .unlink(ROOT_INO, format!("l{len}").as_bytes(), at(3))
            .unwrap();
        v.evict(gone.ino).unwrap();
    }
    v = remount(v);
    // The inode tree may keep one leaf more than it began with, no more.
    assert!(
        v.statfs().blocks_free + 2 >= free,
        "blocks of long targets were lost"
    );
    assert_eq!(commit_and_check(&mut v), 0);
}

#[test]
fn attributes_stay_and_the_volumes_own_are_guarded() {
    let mut v = mount(&format(4096));
    let f = file(&mut v, ROOT_INO, b"f");
    let mut attr = v.iget(f).unwrap().attr;
    attr.mode = (attr.mode & 0o170000) | 0o4755;
    (attr.uid, attr.gid, attr.flags) = (1 << 31, 77, 16);
    (attr.atime, attr.mtime, attr.ctime) = (at(10), at(11), at(12));
    attr.size = 5000;
    v.set_attr(f, &attr).unwrap();
    let (nlink, blocks) = (attr.nlink, attr.blocks);
    (attr.nlink, attr.blocks) = (9, 9);
    v.set_attr(f, &attr).unwrap();
    (attr.nlink, attr.blocks) = (nlink, blocks);
    v = crash(v);
    assert_eq!(v.iget(f).unwrap().attr, attr);
    attr.mode ^= 0o040000;
    assert_eq!(v.set_attr(f, &attr), Err(EINVAL));
    assert_eq!(v.set_attr(12345, &attr), Err(ESTALE));
    assert_eq!(v.take_report(), None);
}
