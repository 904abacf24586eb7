// SPDX-License-Identifier: GPL-2.0

//! Records that are written while the machine lives.

use super::super::{
    area::{Head, PstoreMeta, RecordKind, RecordState},
    *,
};
use super::disk::Disk;
use super::mock::World;
use kernel::prelude::{EFBIG, EUCLEAN};

fn head(sequence: u64) -> Head {
    Head {
        kind: RecordKind::Log,
        erased: false,
        sequence,
        id: 0,
        len: 0,
        crc: 0,
        wall_ns: 7,
        mono_ns: 3,
        pstore: PstoreMeta {
            reason: 2,
            part: 1,
            count: 1,
            ..PstoreMeta::default()
        },
    }
}

#[test]
fn a_record_is_what_was_stored_and_a_panic_takes_the_next_slot() {
    let mut world = World::new();
    let disk = Disk::new(4, 8);
    let guard = world.mount_with("vda", disk.clone());
    let slot = guard.slot().expect("free slots");
    let area = slot.takes_records().expect("mounted, with a lane");
    let data: std::vec::Vec<u8> = (0..5000u32).map(|n| n as u8).collect();
    let first = head(slot.take_sequence());
    area.store(&disk.image, &first, &data).expect("room");

    let hooks = world.hooks(PanicStrategy::Kernel).expect("once");
    hooks.notify(b"boom");
    let scan = area.scan(&disk.image).expect("memory");
    assert_eq!(scan.heads.len(), 2);
    let kept = area.read(&disk.image, &scan.heads[0]).expect("memory");
    assert_eq!(
        (kept.state, &kept.data[..]),
        (RecordState::Whole, &data[..])
    );
    assert_eq!(kept.head.pstore, first.pstore);
    assert_eq!(
        (kept.head.id, kept.head.wall_ns, kept.head.mono_ns),
        (0, 7, 3)
    );
    assert_eq!(kept.tail.as_deref(), Some(&b""[..]), "it was flushed");
    assert_eq!(scan.heads[1].head.kind, RecordKind::Breadcrumbs);
    assert_eq!(scan.heads[1].head.sequence, first.sequence + 1);
}

#[test]
fn nothing_is_stored_where_a_panic_would_not_write() {
    let mut world = World::new();
    let disk = Disk::new(4, 8);
    let guard = world.mount_with("vda", disk.clone());
    let slot = guard.slot().expect("free slots");
    let area = slot.takes_records().expect("mounted, with a lane");
    let too_long = vec![0; area.capacity() + 1];
    assert_eq!(area.store(&disk.image, &head(1), &too_long), Err(EFBIG));
    let at = area.head_block(area.slot_of(1)) as usize * crate::format::BLOCK_SIZE;
    disk.image.0.borrow_mut()[at] ^= 1;
    assert_eq!(area.store(&disk.image, &head(1), b"x"), Err(EUCLEAN));
    disk.image.0.borrow_mut()[at] ^= 1;
    area.store(&disk.image, &head(1), b"x").expect("signed");

    guard.set_lane(&LaneInfo {
        number: None,
        collects: "none:read-only",
        writes: "none:read-only",
    });
    assert!(slot.takes_records().is_none());
    let oops = Oops {
        message: b"x",
        failed: !0,
        held: 0,
    };
    let other = world.mount_with("vdb", Disk::new(4, 8));
    let slot = other.slot().expect("free slots");
    assert!(slot.takes_records().is_some());
    oops.contain(&&world.log, &&world.machine, world.table);
    assert!(slot.takes_records().is_none(), "an oops has failed it");
}
