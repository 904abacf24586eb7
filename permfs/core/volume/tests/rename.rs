// SPDX-License-Identifier: GPL-2.0

//! Every case of rename.

use super::rig::*;
use crate::{
    format::ROOT_INO,
    volume::{RenameFlags, Renamed, Unlinked, Volume},
};
use kernel::prelude::*;

const PLAIN: RenameFlags = RenameFlags {
    noreplace: false,
    exchange: false,
};
const NOREPLACE: RenameFlags = RenameFlags {
    noreplace: true,
    ..PLAIN
};
const EXCHANGE: RenameFlags = RenameFlags {
    exchange: true,
    ..PLAIN
};

/// `/a`, `/b`; in `a`: file `f`, empty `e`, full `d` with `d/x`; in `b`: file `g`, empty `h`, full `k`.
struct Tree {
    v: Volume<Dev>,
    a: u64,
    b: u64,
    f: u64,
    e: u64,
    d: u64,
    g: u64,
    h: u64,
    k: u64,
}

fn tree() -> Tree {
    let mut v = mount(&format(4096));
    let (a, b) = (mkdir(&mut v, ROOT_INO, b"a"), mkdir(&mut v, ROOT_INO, b"b"));
    let (f, g) = (file(&mut v, a, b"f"), file(&mut v, b, b"g"));
    let (e, h) = (mkdir(&mut v, a, b"e"), mkdir(&mut v, b, b"h"));
    let (d, k) = (mkdir(&mut v, a, b"d"), mkdir(&mut v, b, b"k"));
    file(&mut v, d, b"x");
    file(&mut v, k, b"y");
    Tree {
        v,
        a,
        b,
        f,
        e,
        d,
        g,
        h,
        k,
    }
}

impl Tree {
    fn rename(&mut self, old: &[u8], new: &[u8], flags: RenameFlags) -> Result<Renamed> {
        self.v.rename(self.a, old, self.b, new, flags, at(50))
    }

    fn nlinks(&mut self) -> (u32, u32) {
        let a = self.v.iget(self.a).unwrap().attr.nlink;
        (a, self.v.iget(self.b).unwrap().attr.nlink)
    }

    fn at(&mut self, dir: u64, name: &[u8]) -> Option<u64> {
        self.v.lookup(dir, name).unwrap()
    }

    /// Nothing is wrong, `orphans` inodes wait, and nothing was reported.
    fn done(mut self, orphans: u64) {
        assert_eq!(commit_and_check(&mut self.v), orphans);
        assert_eq!(self.v.take_report(), None);
        let v = crash(self.v);
        fsck_orphans(v);
    }
}

/// The next mount has freed every orphan.
fn fsck_orphans(mut v: Volume<Dev>) {
    assert_eq!(commit_and_check(&mut v), 0);
}

#[test]
fn to_a_free_name() {
    let mut t = tree();
    assert_eq!(t.rename(b"f", b"new", PLAIN), Ok(Renamed::default()));
    assert_eq!((t.at(t.a, b"f"), t.at(t.b, b"new")), (None, Some(t.f)));
    assert_eq!(t.rename(b"d", b"dir", NOREPLACE), Ok(Renamed::default()));
    assert_eq!(t.v.parent(t.d), Ok(t.b));
    assert_eq!(t.nlinks(), (3, 5));
    let attr = t.v.iget(t.a).unwrap().attr;
    assert_eq!((attr.mtime, attr.ctime), (at(50), at(50)));
    assert_eq!(t.v.iget(t.f).unwrap().attr.ctime, at(50));
    assert_eq!(t.v.iget(t.f).unwrap().attr.mtime, at(1));
    t.done(0);
}

#[test]
fn over_what_may_be_replaced() {
    let mut t = tree();
    let gone = |ino| {
        Ok(Renamed {
            replaced: Some(Unlinked { ino, nlink: 0 }),
        })
    };
    assert_eq!(t.rename(b"f", b"g", PLAIN), gone(t.g));
    assert_eq!(t.at(t.b, b"g"), Some(t.f));
    assert_eq!(t.rename(b"d", b"h", PLAIN), gone(t.h));
    assert_eq!(t.at(t.b, b"h"), Some(t.d));
    assert_eq!(t.v.parent(t.d), Ok(t.b));
    assert_eq!(t.nlinks(), (3, 4));
    assert_eq!(t.v.iget(t.h).unwrap().attr.nlink, 0);
    t.done(2);
}

#[test]
fn over_one_of_two_links() {
    let mut t = tree();
    t.v.link(t.g, t.a, b"g2", at(2)).unwrap();
    let replaced = Some(Unlinked { ino: t.g, nlink: 1 });
    assert_eq!(t.rename(b"f", b"g", PLAIN), Ok(Renamed { replaced }));
    assert_eq!(t.at(t.a, b"g2"), Some(t.g));
    t.done(0);
}

#[test]
fn what_may_not_be_replaced_stays() {
    let mut t = tree();
    for (old, new, flags, error) in [
        (&b"f"[..], &b"h"[..], PLAIN, EISDIR),
        (b"d", b"g", PLAIN, ENOTDIR),
        (b"e", b"k", PLAIN, ENOTEMPTY),
        (b"f", b"g", NOREPLACE, EEXIST),
        (b"f", b"none", EXCHANGE, ENOENT),
        (b"none", b"g", PLAIN, ENOENT),
        (
            b"f",
            b"g",
            RenameFlags {
                noreplace: true,
                exchange: true,
            },
            EINVAL,
        ),
    ] {
        let before = (list(&mut t.v, t.a), list(&mut t.v, t.b), t.nlinks());
        assert_eq!(t.rename(old, new, flags), Err(error), "{old:?} to {new:?}");
        assert_eq!(
            (list(&mut t.v, t.a), list(&mut t.v, t.b), t.nlinks()),
            before
        );
    }
    t.done(0);
}

#[test]
fn exchange_of_every_two_types() {
    for (old, new, nlinks) in [
        (&b"f"[..], &b"g"[..], (4, 4)),
        (b"f", b"k", (5, 3)),
        (b"d", b"g", (3, 5)),
        (b"d", b"k", (4, 4)),
        (b"e", b"k", (4, 4)),
    ] {
        let mut t = tree();
        let (source, target) = (t.at(t.a, old).unwrap(), t.at(t.b, new).unwrap());
        assert_eq!(t.rename(old, new, EXCHANGE), Ok(Renamed::default()));
        assert_eq!(
            (t.at(t.a, old), t.at(t.b, new)),
            (Some(target), Some(source))
        );
        assert_eq!(t.nlinks(), nlinks);
        for (ino, parent) in [(source, t.b), (target, t.a)] {
            assert_eq!(t.v.iget(ino).unwrap().attr.ctime, at(50));
            if t.v.iget(ino).unwrap().is_dir() {
                assert_eq!(t.v.parent(ino), Ok(parent));
            }
        }
        t.done(0);
    }
}

#[test]
fn within_one_directory() {
    let mut t = tree();
    let (a, e, f) = (t.a, t.e, t.f);
    t.v.rename(a, b"f", a, b"f2", PLAIN, at(3)).unwrap();
    assert_eq!((t.at(a, b"f"), t.at(a, b"f2")), (None, Some(f)));
    t.v.rename(a, b"d", a, b"e", PLAIN, at(3)).unwrap();
    assert_eq!((t.at(a, b"d"), t.at(a, b"e")), (None, Some(t.d)));
    assert_eq!(t.nlinks(), (3, 4));
    t.v.rename(a, b"e", a, b"f2", EXCHANGE, at(3)).unwrap();
    assert_eq!((t.at(a, b"e"), t.at(a, b"f2")), (Some(f), Some(t.d)));
    assert_eq!(t.nlinks(), (3, 4));
    assert_eq!(t.v.parent(t.d), Ok(a));
    t.v.evict(e).unwrap();
    t.done(0);
}

#[test]
fn two_names_of_one_inode_both_stay() {
    let mut t = tree();
    t.v.link(t.f, t.b, b"f2", at(2)).unwrap();
    let before = t.v.iget(t.f).unwrap();
    assert_eq!(t.rename(b"f", b"f2", PLAIN), Ok(Renamed::default()));
    assert_eq!(t.rename(b"f", b"f2", EXCHANGE), Ok(Renamed::default()));
    assert_eq!(t.rename(b"f", b"f2", NOREPLACE), Err(EEXIST));
    assert_eq!(
        t.v.rename(t.a, b"e", t.a, b"e", PLAIN, at(9)),
        Ok(Renamed::default())
    );
    assert_eq!(t.v.iget(t.f).unwrap(), before);
    t.done(0);
}

#[test]
fn no_directory_gets_into_itself() {
    let mut t = tree();
    let (a, d) = (t.a, t.d);
    let deep = mkdir(&mut t.v, d, b"deep");
    for into in [a, d, deep] {
        assert_eq!(
            t.v.rename(ROOT_INO, b"a", into, b"n", PLAIN, at(3)),
            Err(EINVAL)
        );
    }
    assert_eq!(
        t.v.rename(ROOT_INO, b"a", d, b"deep", EXCHANGE, at(3)),
        Err(EINVAL)
    );
    assert_eq!(
        t.v.rename(d, b"deep", ROOT_INO, b"a", EXCHANGE, at(3)),
        Err(EINVAL)
    );
    assert_eq!(
        t.v.rename(d, b"deep", ROOT_INO, b"a", PLAIN, at(3)),
        Err(ENOTEMPTY)
    );
    t.done(0);
}

/// Directories whose `..` lead round in circles are damage, and no reason to go round for ever.
#[test]
fn a_loop_of_parents_is_found() {
    let mut t = tree();
    let mut at = t.d;
    for i in 0..9 {
        at = mkdir(&mut t.v, at, format!("deep {i}").as_bytes());
    }
    for back in [at, t.v.parent(at).unwrap(), t.d] {
        t.v.change(|view| {
            let mut rec = view.load(t.d)?;
            rec.head.parent.set(back);
            view.save(&mut rec)
        })
        .unwrap();
        assert_eq!(
            t.v.rename(t.b, b"h", at, b"h", PLAIN, super::rig::at(3)),
            Err(EFSCORRUPTED)
        );
        let report = t.v.take_report().map(|r| (r.ino, r.what));
        assert_eq!(report, Some((at, "path to the root")));
    }
}

#[test]
fn nothing_enters_a_removed_directory() {
    let mut t = tree();
    t.v.rmdir(t.b, b"h", at(3)).unwrap();
    assert_eq!(t.v.rename(t.a, b"f", t.h, b"f", PLAIN, at(4)), Err(ENOENT));
    assert_eq!(t.v.rename(t.h, b"f", t.a, b"g", PLAIN, at(4)), Err(ENOENT));
    assert_eq!(t.at(t.b, b"k"), Some(t.k));
    t.done(1);
}
