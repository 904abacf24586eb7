// SPDX-License-Identifier: GPL-2.0

//! The account first, then the risk: what is on the disk when the machine hangs later.

use super::super::{area::PstoreMeta, *};
use super::disk::Disk;
use super::mock::{end, lines, of, World};
use std::panic::{catch_unwind, AssertUnwindSafe};

#[test]
fn a_hang_in_what_others_have_in_flight_costs_nothing_that_was_said() {
    let mut world = World::new();
    let disk = Disk {
        hangs_in_collect: true,
        ..Disk::new(4, 8)
    };
    let guard = world.mount_with("vda", disk.clone());
    guard.gate().enter().unwrap();
    let hooks = world.hooks(PanicStrategy::Kernel).expect("once");
    hooks.notify(b"boom");
    assert_eq!(world.report.stage(), Stage::Recorded);
    let meta = PstoreMeta::default();
    assert_eq!(hooks.write_log(&meta, b"the kernel's log"), Ok(2));
    assert!(catch_unwind(AssertUnwindSafe(|| hooks.finish_deferred())).is_err());

    let printed = lines(&world);
    assert!(printed.last().unwrap().contains(" rec=deferred "));
    let records = disk.records();
    assert_eq!(records.len(), 2);
    let said = printed.iter().map(|l| format!("{l}\n")).collect::<String>();
    assert_eq!(records[0].data[..], *said.as_bytes());
    assert_eq!(records[1].data[..], *b"the kernel's log");
    // The record's, the log's and its tail's.
    assert_eq!(world.devices.lanes[0].flushes.get(), 3);
}

#[test]
fn the_flush_that_is_told_is_behind_the_drain() {
    for (in_flight, collects, flushes) in [(0, 1, 2), (3, 1, 3), (3, 0, 3)] {
        let mut world = World::new();
        let disk = Disk {
            collects: Some(collects),
            ..Disk::new(4, 8)
        };
        let guard = world.mount_with("vda", disk.clone());
        (0..in_flight).for_each(|_| guard.gate().enter().unwrap());
        let records = world.panics(b"x");
        assert_eq!(of(&records, "lane")[0].get("flush"), "ok");
        assert_eq!(world.devices.lanes[0].flushes.get(), flushes);
        assert!(disk.newest().1.is_some());
    }
}

#[test]
fn a_flush_that_fails_behind_the_drain_is_told_and_the_record_stands() {
    let mut world = World::new();
    let disk = Disk {
        flushes_well: Some(1),
        ..Disk::new(4, 8)
    };
    let guard = world.mount_with("vda", disk.clone());
    guard.gate().enter().unwrap();
    let records = world.panics(b"x");
    let lane = of(&records, "lane")[0];
    assert_eq!((lane.get("result"), lane.get("flush")), ("ok", "failed"));
    assert_eq!(end(&records).get("flush"), "failed");
    assert_eq!(disk.records().len(), 1);
}

#[test]
fn pieces_of_the_log_leave_the_record_its_tail() {
    let mut world = World::new();
    let disk = Disk::new(8, 8);
    let guard = world.mount_with("vda", disk.clone());
    guard.gate().enter().unwrap();
    let hooks = world.hooks(PanicStrategy::Kernel).expect("once");
    hooks.notify(b"boom");
    for (n, piece) in [&b"new"[..], b"older"].into_iter().enumerate() {
        let sequence = n as u64 + 2;
        assert_eq!(hooks.write_log(&PstoreMeta::default(), piece), Ok(sequence));
    }
    hooks.finish_deferred();
    let records = disk.records();
    let printed = lines(&world);
    let at = |kind: &str| printed.iter().position(|l| l.contains(kind)).unwrap();
    let joined = |lines: &[String]| lines.iter().map(|l| format!("{l}\n")).collect::<String>();
    assert_eq!(
        records[0].data[..],
        *joined(&printed[..at(" rec=drain ")]).as_bytes()
    );
    let tail = records[0].tail.as_deref().expect("the outcome");
    assert_eq!(*tail, *joined(&printed[at(" rec=drain ")..]).as_bytes());
    assert_eq!(of(&world.records(), "lane")[0].num("seq"), 1);
    assert_eq!(records.len(), 3);
}

#[test]
fn a_lane_that_was_lost_to_the_log_claims_no_flush_behind_the_drain() {
    let mut world = World::new();
    let disk = Disk {
        writes_well: Some(1),
        ..Disk::new(4, 8)
    };
    let guard = world.mount_with("vda", disk.clone());
    guard.gate().enter().unwrap();
    let hooks = world.hooks(PanicStrategy::Kernel).expect("once");
    hooks.notify(b"boom");
    assert!(hooks.write_log(&PstoreMeta::default(), b"log").is_err());
    hooks.finish_deferred();
    let records = world.records();
    let lane = of(&records, "lane")[0];
    assert_eq!(
        (lane.get("result"), lane.get("flush")),
        ("ok", "not-attempted")
    );
    assert_eq!(disk.newest().1, None);
}
