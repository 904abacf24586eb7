// SPDX-License-Identifier: GPL-2.0

//! The code has the format that `Documentation/format.md` tells, to the byte.

use std::{collections::BTreeMap, mem::size_of};

use permfs_core::{
    btree::node::NodeHeader,
    extent::ExtentValue,
    format::{inode::*, panic::*, *},
    journal::{header::Slot, record},
};

/// (offset, bytes, name) of every field, and the size of the whole.
type Layout = (std::vec::Vec<(usize, usize, &'static str)>, usize);

/// Layouts of structures by the name that the documentation uses.
macro_rules! layouts {
    ($($name:literal $ty:ty { $($field:ident),+ $(,)? })+) => {
        BTreeMap::from([$(($name, {
            let value: $ty = zerocopy::FromZeros::new_zeroed();
            let fields = vec![$((
                std::mem::offset_of!($ty, $field),
                std::mem::size_of_val(&value.$field),
                stringify!($field),
            )),+];
            (fields, size_of::<$ty>())
        })),+])
    };
}

fn code() -> BTreeMap<&'static str, Layout> {
    layouts! {
        "BlockHeader" BlockHeader { magic, kind, version, crc, flags, block, lsn, uuid, owner, reserved }
        "SuperBlock" SuperBlock {
            uuid, label, feature_compat, feature_ro_compat, feature_incompat, blocks, block_size,
            shard_blocks, shards, summary_blocks, journal_header, journal_start, journal_blocks,
            panic_start, panic_slots, panic_slot_blocks, hash_seed, created, reserved,
        }
        "SummaryEntry" SummaryEntry { free, flags, reserved }
        "State" State { inodes, orphans, next_ino, inode_count, reserved }
        "TreeRoot" TreeRoot { root, level, reserved }
        "NodeHeader" NodeHeader { level, reserved, count, heap, garbage }
        "InodeRecord" InodeRecord {
            mode, fork, fork_level, uid, gid, nlink, size, blocks, mtime, ctime, atime, btime,
            generation, flags, rdev, parent, project, home, fork_root, xattr_root, fork_len,
            xattr_len, xattr_level, reserved,
        }
        "DiskTime" DiskTime { sec, nsec }
        "Extent" Extent { logical, len, phys }
        "ExtentValue" ExtentValue { len, phys }
        "InlineEntry" InlineEntry { key, ino, kind, name_len }
        "TreeEntry" TreeEntry { ino, kind }
        "SymlinkHead" SymlinkHead { next, len, reserved }
        "OrphanRecord" OrphanRecord { kind, reserved, size }
        "Slot" Slot { header, sequence, generation, tail_lsn, tail_epoch, flags, reserved }
        "RecordHeader" record::RecordHeader { header, epoch, generation, sectors, entries, used, reserved }
        "PanicHead" PanicHead {
            record, flags, sequence, id, len, crc, part, wall_ns, mono_ns, pstore_type, reason, count,
            compressed, time_sec, time_nsec, reserved,
        }
        "PanicGuard" PanicGuard { magic, len, sequence }
        "PanicTail" PanicTail { sequence, len, reserved }
        "Entry" record::Entry { block, kind, reserved, offset, len }
    }
}

const DOCUMENT: &str = include_str!("../../../Documentation/format.md");

/// The tables of the document: `#### `Name`, N bytes` and rows of offset, bytes, field.
fn documented() -> BTreeMap<&'static str, Layout> {
    let sections = DOCUMENT.split("\n#### `").skip(1);
    sections
        .map(|section| {
            let (name, rest) = section.split_once("`, ").expect("a name and a size");
            let size = rest
                .split(' ')
                .next()
                .and_then(|n| n.parse().ok())
                .expect("a size");
            let rows = rest
                .lines()
                .filter(|line| line.starts_with("| ") && line.contains("| `"));
            let table = rows.take_while(|line| line.as_bytes()[2].is_ascii_digit());
            let fields = table.map(|line| {
                let mut cells = line.split('|').map(str::trim).skip(1);
                let mut number = || cells.next().and_then(|n| n.parse().ok()).expect("a number");
                let (offset, bytes) = (number(), number());
                (
                    offset,
                    bytes,
                    cells.next().expect("a field").trim_matches('`'),
                )
            });
            (name, (fields.collect(), size))
        })
        .collect()
}

#[test]
fn the_document_has_every_structure_to_the_byte() {
    let (code, documented) = (code(), documented());
    let names =
        |m: &BTreeMap<&'static str, Layout>| m.keys().copied().collect::<std::vec::Vec<_>>();
    assert_eq!(names(&documented), names(&code));
    for (name, layout) in &code {
        assert_eq!(&documented[name], layout, "{name}");
    }
}

#[test]
fn no_structure_has_a_gap() {
    for (name, (fields, size)) in code() {
        let end = fields.iter().fold(0, |end, &(offset, bytes, field)| {
            assert_eq!(offset, end, "{name}.{field}");
            end + bytes
        });
        assert_eq!(end, size, "{name}");
    }
}

#[test]
fn constants_are_the_documents() {
    assert_eq!(MAGIC.to_le_bytes(), [0x50, 0x6d, 0x46, 0x53]);
    assert_eq!(
        (BLOCK_SIZE, SECTOR_SIZE, HEADER_SIZE, PAYLOAD_SIZE),
        (4096, 512, 64, 4032)
    );
    assert_eq!((SHARD_BLOCKS, SUMMARY_PER_BLOCK), (32256, 252));
    assert_eq!(
        (SHARD_SUPER, SHARD_BITMAP, STATE_BLOCK, SUMMARY_START),
        (0, 1, 2, 3)
    );
    assert_eq!(
        (ROOT_INO, FIRST_INO, NAME_MAX, SYMLINK_MAX),
        (2, 16, 255, 4095)
    );
    assert_eq!((OWNER_VOLUME, OWNER_INODES, OWNER_ORPHANS), (0, 1, 3));
    assert_eq!(
        (INLINE_MAX, INLINE_EXTENTS, FILE_BLOCKS_MAX),
        (1024, 16, 1 << 32)
    );
    assert_eq!(
        (permfs_core::btree::MAX_VALUE, permfs_core::btree::MAX_LEVEL),
        (1280, 7)
    );
    assert_eq!(
        (record::IMAGE, record::DELTA, record::DATA, record::REVOKE),
        (1, 2, 3, 4)
    );
    assert_eq!((ORPHAN_DELETE, ORPHAN_TRUNCATE, SUMMARY_UNINIT), (1, 2, 1));
    let kinds = [
        Kind::Super,
        Kind::State,
        Kind::Summary,
        Kind::Bitmap,
        Kind::Node,
        Kind::Symlink,
        Kind::JournalHeader,
        Kind::JournalRecord,
        Kind::PanicSlot,
    ];
    assert_eq!(kinds.map(|k| k as u16), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(GUARD_MAGIC.to_le_bytes(), *b"PmFE");
    assert_eq!(
        (RECORD_EMPTY, RECORD_BREADCRUMBS, RECORD_LOG, PANIC_ERASED),
        (0, 1, 2, 1)
    );
    assert_eq!((SLOT_BLOCKS_MIN, TAIL_TEXT_MAX), (4, 3968));
    let forks = [
        ForkKind::Inline,
        ForkKind::List,
        ForkKind::Tree,
        ForkKind::Chain,
    ];
    assert_eq!(forks.map(|f| f as u8), [0, 1, 2, 3]);
}
