// SPDX-License-Identifier: GPL-2.0

//! A check finds each kind of damage, names the inode or block, and finds nothing on a whole volume.

mod common;

use common::*;
use kernel::prelude::*;
use permfs_core::{
    btree::Tree,
    check::Problem,
    dir::{self, hash::NameHash},
    format::{inode::*, *},
    inode::{Record, S_IFREG},
    meta::{MetaRead, MetaWrite},
};
use permfs_hostdev::MemoryBlockDevice;

/// Makes one change and tells what a check then finds: problem and inode.
fn found(change: impl FnOnce(&mut Surgeon, &Inos)) -> std::vec::Vec<(Problem, u64)> {
    let (dev, inos) = populated();
    change(&mut Surgeon::new(&dev), &inos);
    let findings = checked(&dev).1;
    for finding in &findings {
        assert!(finding.to_string().len() > 20);
    }
    findings.iter().map(|f| (f.problem, f.ino)).collect()
}

fn inodes(s: &mut Surgeon) -> Tree {
    Tree::from_disk(&s.state().inodes, OWNER_INODES).unwrap()
}

fn record(s: &mut Surgeon, ino: u64) -> Record {
    inodes(s)
        .get(s, ino, |value| Record::decode(ino, value))
        .unwrap()
        .unwrap()
}

/// Changes an inode's record.
fn edit(s: &mut Surgeon, ino: u64, f: impl FnOnce(&mut Record)) {
    let mut rec = record(s, ino);
    f(&mut rec);
    let value = rec.encode().unwrap();
    inodes(s).update(s, ino, &value).unwrap();
}

/// Number of the inode that `name` in the tree directory `dir` stands for, and its key.
fn entry(s: &mut Surgeon, dir: u64, name: &str) -> dir::Found {
    let hash = NameHash::new(&params().hash_seed);
    let rec = record(s, dir);
    dir::find(s, &rec, hash.base(name.as_bytes()), name.as_bytes())
        .unwrap()
        .unwrap()
}

#[test]
fn a_whole_volume_is_clean() {
    let (dev, inos) = populated();
    let (summary, findings) = checked(&dev);
    assert_eq!(findings, []);
    assert_eq!(
        (summary.directories, summary.symlinks, summary.orphans),
        (3, 2, 1)
    );
    assert_eq!(summary.files, 300 + 4);
    assert_eq!(summary.data, 400 + 3 + 2);
    // The next mount frees the orphan.
    mount(&dev).unmount().unwrap();
    let (summary, findings) = checked(&dev);
    assert_eq!(findings, []);
    assert_eq!(
        (summary.files, summary.orphans, summary.data),
        (303, 0, 403)
    );
    assert!(inos.orphan > 0);
}

#[test]
fn a_volume_in_use_is_checked_as_the_next_mount_would_find_it() {
    let (dev, _) = populated();
    let mut v = mount(&dev);
    create(&mut v, 2, "committed", S_IFREG, None);
    v.sync().unwrap();
    create(&mut v, 2, "not committed", S_IFREG, None);
    let (summary, findings) = checked(&dev);
    assert_eq!(findings, []);
    assert_eq!(summary.files, 304);
}

#[test]
fn counts() {
    let changed = found(|s, i| edit(s, i.linked, |r| r.head.nlink.set(3)));
    assert_eq!(changed.len(), 1);
    assert_eq!(changed[0].0, Problem::LinkCount);
    let changed = found(|s, i| edit(s, i.big, |r| r.head.nlink.set(2)));
    assert_eq!(changed[0].0, Problem::LinkCount);
    let changed = found(|s, i| edit(s, i.fragmented, |r| r.head.blocks.set(1)));
    assert_eq!(changed[0].0, Problem::BlockCount);
    let changed = found(|s, i| edit(s, i.listed, |r| r.head.blocks.set(9)));
    assert_eq!(changed[0].0, Problem::BlockCount);
    let changed = found(|s, i| edit(s, i.sub, |r| r.head.size.set(1)));
    assert_eq!(changed[0].0, Problem::DirectorySize);
    let changed = found(|s, _| {
        let mut state = s.state();
        state.inode_count.set(5);
        s.set_state(&state);
    });
    assert_eq!(changed, [(Problem::InodeCount, 0)]);
    let changed = found(|s, _| {
        let mut state = s.state();
        state.next_ino.set(17);
        s.set_state(&state);
    });
    assert!(changed.len() > 300 && changed.iter().all(|c| c.0 == Problem::InodeNumber));
}

#[test]
fn names() {
    let moved = found(|s, i| edit(s, i.sub, |r| r.head.parent.set(ROOT_INO)));
    assert_eq!(moved.len(), 1);
    assert_eq!(moved[0].0, Problem::Parent);
    let fifo_as_file = found(|s, i| {
        edit(s, i.listed, |r| {
            // A FIFO has no fork: take the extents too, whose blocks then are nobody's.
            r.head.mode.set(0o10644);
            r.head.fork = ForkKind::Inline as u8;
            r.head.size.set(0);
            r.fork.clear();
        })
    });
    assert!(fifo_as_file.contains(&(Problem::EntryType, ROOT_INO)));
    assert!(fifo_as_file.iter().any(|f| f.0 == Problem::Leaked));
    let name = "a file with a name of some length, number 7";
    let lost = found(|s, i| {
        let e = entry(s, i.big, name);
        let mut tree = record(s, i.big).tree();
        tree.remove(s, e.key).unwrap();
    });
    let kinds: std::vec::Vec<_> = lost.iter().map(|f| f.0).collect();
    assert_eq!(kinds, [Problem::DirectorySize, Problem::Unreachable]);
    let dangling = found(|s, i| {
        let e = entry(s, i.big, name);
        let mut rec = record(s, i.big);
        let to = dir::Entry {
            key: e.key,
            ino: 1 << 40,
            kind: e.kind,
            name: name.as_bytes(),
        };
        dir::replace(s, &mut rec, &to).unwrap();
    });
    assert!(dangling.iter().any(|f| f.0 == Problem::DanglingEntry));
    let misplaced = found(|s, i| {
        let e = entry(s, i.big, name);
        let mut rec = record(s, i.big);
        let to = dir::Entry {
            key: e.key,
            ino: e.ino,
            kind: e.kind,
            name: b"another name",
        };
        dir::replace(s, &mut rec, &to).unwrap();
    });
    assert!(misplaced.iter().any(|f| f.0 == Problem::EntryHash));
}

#[test]
fn directories_that_do_not_hang_on_the_root() {
    let twice = found(|s, i| {
        let (big, first) = (i.big, entry(s, i.sub, "first"));
        let mut rec = record(s, i.sub);
        let to = dir::Entry {
            key: first.key,
            ino: big,
            kind: 4,
            name: b"first",
        };
        dir::replace(s, &mut rec, &to).unwrap();
        let value = rec.encode().unwrap();
        inodes(s).update(s, i.sub, &value).unwrap();
    });
    assert!(twice.iter().any(|f| f.0 == Problem::DirectoryTwice));
    let ring = found(|s, i| {
        // big hangs on sub, which hangs on big; the root's entry goes.
        let first = entry(s, i.sub, "first");
        let mut rec = record(s, i.sub);
        let to = dir::Entry {
            key: first.key,
            ino: i.big,
            kind: 4,
            name: b"first",
        };
        dir::replace(s, &mut rec, &to).unwrap();
        let value = rec.encode().unwrap();
        inodes(s).update(s, i.sub, &value).unwrap();
        let (sub, e) = (i.sub, entry(s, ROOT_INO, "big"));
        edit(s, i.big, |r| r.head.parent.set(sub));
        let mut root = record(s, ROOT_INO);
        dir::remove(s, &mut root, e.key, b"big").unwrap();
        let value = root.encode().unwrap();
        inodes(s).update(s, ROOT_INO, &value).unwrap();
    });
    assert!(ring.iter().any(|f| f.0 == Problem::Cycle), "{ring:?}");
}

#[test]
fn orphans() {
    let named = found(|s, i| edit(s, i.orphan, |r| r.head.nlink.set(1)));
    assert!(named.iter().any(|f| f.0 == Problem::Orphan));
    let forgotten = found(|s, _| {
        let mut state = s.state();
        state.orphans = TreeRoot::default();
        s.set_state(&state);
    });
    assert!(forgotten.iter().any(|f| f.0 == Problem::Orphan));
    assert!(forgotten.iter().any(|f| f.0 == Problem::Leaked));
}

/// The first extent of a file with a list.
fn first_extent(r: &mut Record) -> &mut Extent {
    Extent::mut_from_prefix(&mut r.fork[..]).unwrap().0
}

#[test]
fn extents_out_of_place() {
    let beyond = found(|s, i| edit(s, i.listed, |r| first_extent(r).phys.set(1 << 40)));
    assert!(beyond.iter().any(|f| f.0 == Problem::OutOfRange));
    let metadata = found(|s, i| edit(s, i.listed, |r| first_extent(r).phys.set(STATE_BLOCK)));
    assert!(metadata.iter().any(|f| f.0 == Problem::OutOfRange));
    let overlap = found(|s, i| edit(s, i.listed, |r| first_extent(r).len.set(3)));
    assert!(overlap.iter().any(|f| f.0 == Problem::Extent));
    let twice = found(|s, i| {
        let other = first_extent(&mut record(s, i.listed)).phys.get();
        edit(s, i.orphan, |r| first_extent(r).phys.set(other));
    });
    assert!(twice.iter().any(|f| f.0 == Problem::ClaimedTwice));
    assert!(twice.iter().any(|f| f.0 == Problem::Leaked));
}

#[test]
fn symbolic_links_and_attributes() {
    let cut = found(|s, i| edit(s, i.long_link, |r| r.head.size.set(4000)));
    assert!(cut.iter().any(|f| f.0 == Problem::Symlink));
    let nul = found(|s, _| {
        let short = entry(s, ROOT_INO, "short").ino;
        edit(s, short, |r| r.fork[3] = 0);
    });
    assert!(nul.len() == 1 && nul[0].0 == Problem::Symlink);
    let attributes = found(|s, i| edit(s, i.listed, |r| r.head.xattr_root.set(9999)));
    assert!(attributes.len() == 1 && attributes[0].0 == Problem::InodeRecord);
    let endless = found(|s, i| {
        let block = record(s, i.long_link).head.fork_root.get();
        s.write(block, 0, &block.to_le_bytes()).unwrap();
    });
    assert!(endless.iter().any(|f| f.0 == Problem::Symlink));
}

/// Flips a bit of the bitmap of shard 0.
fn flip(s: &mut Surgeon, block: u64) {
    let payload = s.read(SHARD_BITMAP, Kind::Bitmap, OWNER_VOLUME).unwrap();
    let byte = payload[block as usize / 8] ^ 1 << (block % 8);
    s.write(SHARD_BITMAP, block as usize / 8, &[byte]).unwrap();
}

#[test]
fn bitmaps() {
    let leaked = found(|s, _| flip(s, 16383));
    assert_eq!(leaked, [(Problem::Leaked, 0), (Problem::FreeCount, 0)]);
    let freed = found(|s, i| {
        let block = first_extent(&mut record(s, i.listed)).phys.get();
        flip(s, block);
    });
    assert_eq!(freed, [(Problem::FreeInUse, 0), (Problem::FreeCount, 0)]);
    let past_the_end = found(|s, _| flip(s, 16384));
    assert!(past_the_end.iter().any(|f| f.0 == Problem::FreeInUse));
    let summary = found(|s, _| s.write(SUMMARY_START, 0, &5u32.to_le_bytes()).unwrap());
    assert_eq!(summary, [(Problem::FreeCount, 0)]);
}

/// Every metadata block that the volume uses, by its own header.
fn metadata(dev: &MemoryBlockDevice) -> std::vec::Vec<u64> {
    let uuid = params().uuid;
    let is_ours = |&b: &u64| permfs_core::store::block::verify(&dev.block(b), b, &uuid).is_ok();
    dev.used_blocks().into_iter().filter(is_ours).collect()
}

/// A block that the device does not give is a finding, whatever it holds, and what else is wrong is found all
/// the same.
#[test]
fn unreadable_blocks_are_findings() {
    let (dev, inos) = populated();
    edit(&mut Surgeon::new(&dev), inos.linked, |r| {
        r.head.nlink.set(9)
    });
    assert_eq!(checked(&dev).1.len(), 1);
    let journal = mount(&dev.snapshot()).geometry().journal_header;
    // So small a volume has no backup of its super block.
    for block in metadata(&dev).into_iter().filter(|&block| block != 0) {
        let bad = dev.snapshot();
        bad.make_unreadable(block);
        let findings = checked(&bad).1;
        let has = |problem| findings.iter().any(|f| f.problem == problem);
        let bars = [(STATE_BLOCK, Problem::State), (journal, Problem::Journal)];
        if let Some((_, problem)) = bars.iter().find(|(at, _)| *at == block) {
            assert!(has(*problem), "block {block}: {findings:?}");
            continue;
        }
        let named =
            |f: &permfs_core::check::Finding| f.problem == Problem::Unreadable && f.block == block;
        assert!(findings.iter().any(named), "block {block}: {findings:?}");
        // Unless the count stands in what cannot be read.
        let tree = Tree::from_disk(&Surgeon::new(&dev).state().inodes, OWNER_INODES).unwrap();
        let mut nodes = std::vec::Vec::new();
        let mut s = Surgeon::new(&dev);
        tree.blocks(&mut s, |b| {
            nodes.push(b);
            Ok(())
        })
        .unwrap();
        assert!(
            nodes.contains(&block) || has(Problem::LinkCount),
            "block {block}"
        );
    }
}

#[test]
fn garbage_with_a_right_checksum_never_panics() {
    let (dev, _) = populated();
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let (mut silent, mut tried) = (0, 0);
    for block in metadata(&dev) {
        let whole = dev.block(block);
        for _ in 0..40 {
            let mut bytes = whole;
            for _ in 0..1 + random() % 4 {
                let at = HEADER_SIZE + random() as usize % PAYLOAD_SIZE;
                bytes[at] = random() as u8;
            }
            permfs_core::store::block::seal(&mut bytes, 0);
            dev.set_block(block, bytes);
            let outcome = permfs_core::check::check(dev.read_only_view(), &mut |_| ());
            tried += 1;
            silent += u32::from(outcome.is_ok_and(|s| s.findings == 0));
        }
        dev.set_block(block, whole);
    }
    assert!(tried > 1000);
    // Times, owners and unused bytes may hold anything; what says where things are may not.
    assert!(silent < tried * 2 / 3, "{silent} of {tried}");
    assert_eq!(checked(&dev).1, []);
}

#[test]
fn damaged_volumes_never_panic_a_mount() {
    use permfs_core::{
        alloc::Env,
        panic::SlotGuard,
        volume::{MountOptions, Volume},
    };
    let (dev, inos) = populated();
    for block in metadata(&dev) {
        for bit in [64 * 8, 72 * 8 + 3, 100 * 8, 2000 * 8 + 1, 4095 * 8] {
            let copy = dev.snapshot();
            let mut bytes = copy.block(block);
            bytes[bit / 8] ^= 1 << (bit % 8);
            permfs_core::store::block::seal(&mut bytes, 0);
            copy.set_block(block, bytes);
            let slot = SlotGuard::claim(b"test", &[0; 16]);
            let options = MountOptions {
                read_only: false,
                rescue: false,
                slot,
                env: Env::default(),
            };
            let Ok(mut v) = Volume::mount(copy.clone(), options) else {
                continue;
            };
            for dir in [ROOT_INO, inos.big, inos.sub] {
                let _ = v.readdir(dir, 0, |_, _, _, _| true);
            }
            let _ = v.readlink(inos.long_link, &mut KVec::new());
            let _ = v.map(inos.fragmented, 3, 100);
            let _ = v.truncate(inos.fragmented, 0, NOW);
            let _ = v.unlink(inos.sub, b"first", NOW);
            let _ = v.unmount();
        }
    }
}
