// SPDX-License-Identifier: GPL-2.0

//! The kernel's log, written for pstore.

use super::super::{
    area::{PstoreMeta, RecordKind},
    *,
};
use super::disk::{capacity, Disk, Op};
use super::mock::World;
use kernel::prelude::{EBUSY, EFBIG, ENODEV};

const META: PstoreMeta = PstoreMeta {
    kind: 0,
    reason: 1,
    part: 3,
    count: 2,
    compressed: true,
    time_sec: 1_795_000_000,
    time_nsec: 7,
};

#[test]
fn pieces_of_the_log_follow_the_breadcrumbs() {
    let mut world = World::new();
    let disk = Disk::new(4, 4);
    let _guard = world.mount_with("vda", disk.clone());
    let hooks = world.hooks(PanicStrategy::Kernel).expect("once");
    assert_eq!(hooks.log_capacity(), capacity(4));
    assert_eq!(hooks.write_log(&META, b"too early").err(), Some(EBUSY));
    hooks.panic(b"boom");
    assert_eq!(hooks.write_log(&META, &[1; 3000]), Ok(2));
    let whole = vec![0xa5; capacity(4)];
    assert_eq!(hooks.write_log(&META, &whole), Ok(3));
    assert_eq!(hooks.write_log(&META, b""), Ok(4));
    assert_eq!(
        hooks.write_log(&META, &vec![0; capacity(4) + 1]).err(),
        Some(EFBIG)
    );
    let records = disk.records();
    let id = u32::from_str_radix(world.records()[0].get("id"), 16).unwrap();
    for (record, data) in records.iter().skip(1).zip([&[1; 3000][..], &whole, b""]) {
        assert_eq!(
            (record.head.kind, record.head.pstore),
            (RecordKind::Log, META)
        );
        assert_eq!((record.head.id, &record.data[..]), (id, data));
        assert_eq!(record.state, area::RecordState::Whole);
        assert_eq!(record.tail.as_deref(), Some(&[][..]));
    }
    assert_eq!(records[0].head.kind, RecordKind::Breadcrumbs);
    assert_eq!(world.report.stage(), Stage::Done);
}

#[test]
fn the_first_lane_that_works_takes_it() {
    let mut world = World::new();
    let dead = Disk {
        hangs: Some(Op::Write),
        ..Disk::new(4, 4)
    };
    let failing = Disk {
        fails: Some(Op::Flush),
        ..Disk::new(4, 4)
    };
    let small = Disk::new(4, 4);
    let good = Disk::new(4, 16);
    let disks = [dead, failing, small, good.clone()];
    let guards: Vec<_> = disks
        .into_iter()
        .map(|d| world.mount_with("v", d))
        .collect();
    let hooks = world.hooks(PanicStrategy::Kernel).expect("once");
    hooks.panic(b"boom");
    assert_eq!(hooks.write_log(&META, &[7; 20_000]), Ok(2));
    assert_eq!(good.newest().0.len(), 20_000);
    assert_eq!(world.devices.lanes[2].disk.records().len(), 1);
    assert_eq!(hooks.log_capacity(), capacity(16));
    drop(guards);
}

#[test]
fn without_a_lane_that_works_there_is_an_error() {
    let world = World::new();
    let hooks = world.hooks(PanicStrategy::Kernel).expect("once");
    hooks.panic(b"boom");
    assert_eq!(hooks.log_capacity(), 0);
    assert_eq!(hooks.write_log(&META, b"x").err(), Some(ENODEV));

    let mut world = World::new();
    let disk = Disk {
        refuses: Some((Op::Flush, "no-tag")),
        ..Disk::new(4, 4)
    };
    let _guard = world.mount_with("vda", disk);
    let hooks = world.hooks(PanicStrategy::Kernel).expect("once");
    hooks.panic(b"boom");
    assert_eq!(hooks.write_log(&META, b"x").err(), Some(ENODEV));
}

#[test]
fn all_pieces_share_what_is_left_of_the_deadline_or_a_reserve() {
    let mut world = World::new();
    let disk = Disk::new(4, 4);
    let _guard = world.mount_with("vda", disk);
    let hooks = world.hooks(PanicStrategy::Kernel).expect("once");
    hooks.panic(b"boom");
    let clock = &world.machine.clock;
    clock.set(clock.get() + 10_000_000_000);
    let begin = clock.get();
    assert_eq!(hooks.write_log(&META, b"in the reserve"), Ok(2));
    world.devices.cost.set(30_000_000);
    let mut written = 1;
    while hooks.write_log(&META, b"more").is_ok() {
        written += 1;
        assert!(written < 20);
    }
    assert!((1..8).contains(&written));
    assert!(clock.get() - begin < 260_000_000);
    // The lane was abandoned.
    assert_eq!(hooks.write_log(&META, b"x").err(), Some(ENODEV));
    assert_eq!(hooks.log_capacity(), 0);
}

#[test]
fn nothing_is_written_after_the_lanes_were_left_in_the_middle() {
    for (stage, written) in [(Stage::Lane, 0), (Stage::Drain, 1), (Stage::Flush, 1)] {
        let mut world = World::new();
        let disk = Disk::new(4, 4);
        let guard = world.mount_with("vda", disk.clone());
        guard.gate().enter().unwrap();
        let hooks = world.hooks(PanicStrategy::Kernel).expect("once");
        world.machine.fails_in.set(Some(stage));
        let gone = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| hooks.panic(b"x")));
        assert!(gone.is_err());
        assert_eq!(hooks.write_log(&META, b"x").err(), Some(EBUSY));
        // The account comes first; the lanes' work that was broken off is all that is missing.
        assert_eq!(disk.records().len(), written);
        assert!(disk.records().iter().all(|r| r.tail.is_none()));
    }
}

#[test]
fn a_panic_while_the_log_is_written_is_told() {
    let mut world = World::new();
    let disk = Disk::new(4, 4);
    let _guard = world.mount_with("vda", disk);
    let hooks = world.hooks(PanicStrategy::Kernel).expect("once");
    hooks.panic(b"x");
    world.machine.fails_in.set(Some(Stage::Log));
    let write = || hooks.write_log(&META, b"x");
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(write)).is_err());
    hooks.notify(b"nested");
    let records = world.records();
    let nested = records.last().expect("nested");
    assert_eq!(
        (nested.kind.as_str(), nested.get("stage")),
        ("nested", "log")
    );
    assert_eq!(hooks.write_log(&META, b"x").err(), Some(EBUSY));
}

#[test]
fn another_cpu_writes_nothing_and_no_other_lane_but_one_that_failed_is_left_out() {
    let mut world = World::new();
    let disk = Disk {
        fails: Some(Op::Write),
        ..Disk::new(4, 4)
    };
    let _guard = world.mount_with("vda", disk);
    let hooks = world.hooks(PanicStrategy::Kernel).expect("once");
    hooks.panic(b"x");
    world.machine.cpu.set(0);
    assert_eq!(hooks.write_log(&META, b"x").err(), Some(EBUSY));
    world.machine.cpu.set(1);
    assert_eq!(hooks.write_log(&META, b"x").err(), Some(ENODEV));
}
