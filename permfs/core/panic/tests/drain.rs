// SPDX-License-Identifier: GPL-2.0

//! What is in flight: what is collected, counted, and given up.

use super::super::*;
use super::disk::Disk;
use super::mock::{end, of, took, World, MS};

#[test]
fn in_flight_requests_are_collected_and_counted() {
    let mut world = World::new();
    let disk = Disk {
        collects: Some(3),
        ..Disk::new(4, 4)
    };
    let guard = world.mount_with("vda", disk);
    (0..10).for_each(|_| guard.gate().enter().unwrap());
    let records = world.panics(b"x");
    assert_eq!(of(&records, "vol")[0].num("inflight"), 10);
    let drain = of(&records, "drain")[0];
    assert_eq!(
        (
            drain.num("drained"),
            drain.num("inflight"),
            drain.num("lost")
        ),
        (1, 0, 0)
    );
    assert!(drain.num("us") > 0);
    assert_eq!(drain.get("end"), "done");
    assert_eq!(world.devices.lanes[0].rounds.get(), 4);
    assert_eq!(
        (end(&records).num("drained"), end(&records).num("inflight")),
        (1, 0)
    );
}

#[test]
fn what_never_completes_is_lost_after_half_of_the_deadline() {
    let mut world = World::new();
    let disk = Disk {
        collects: Some(0),
        ..Disk::new(4, 4)
    };
    let guard = world.mount_with("vda", disk);
    (0..7).for_each(|_| guard.gate().enter().unwrap());
    let records = world.panics(b"x");
    let drain = of(&records, "drain")[0];
    assert_eq!(
        (
            drain.num("drained"),
            drain.num("inflight"),
            drain.num("lost")
        ),
        (0, 7, 7)
    );
    assert!((249_000..252_000).contains(&drain.num("us")), "{drain:?}");
    assert_eq!(drain.get("end"), "deadline");
    // The other half was enough for the record.
    assert_eq!(of(&records, "lane")[0].get("result"), "ok");
    assert_eq!(
        (end(&records).num("drained"), end(&records).num("inflight")),
        (0, 7)
    );
    assert!(took(&world) < 252 * MS);
}

#[test]
fn what_the_driver_does_not_have_is_not_waited_for() {
    let mut world = World::new();
    let disk = Disk {
        collects: Some(2),
        not_in_driver: 3,
        ..Disk::new(4, 4)
    };
    let guard = world.mount_with("vda", disk);
    (0..8).for_each(|_| guard.gate().enter().unwrap());
    let records = world.panics(b"x");
    let drain = of(&records, "drain")[0];
    assert_eq!(
        (drain.num("drained"), drain.num("lost"), drain.get("end")),
        (0, 3, "driver-empty")
    );
    // Five by twos.
    assert_eq!(world.devices.lanes[0].rounds.get(), 3);
    assert!(took(&world) < MS);
}

#[test]
fn without_a_way_to_collect_nothing_is_waited_for() {
    let mut world = World::new();
    let disk = Disk {
        collects: None,
        ..Disk::new(4, 4)
    };
    let guard = world.mount_with("vda", disk);
    guard.gate().enter().unwrap();
    let records = world.panics(b"x");
    let drain = of(&records, "drain")[0];
    assert_eq!((drain.num("lost"), drain.get("end")), (1, "no-way"));
    assert_eq!(world.devices.lanes[0].rounds.get(), 1);
    assert!(took(&world) < MS);
}

#[test]
fn a_lane_that_collects_and_cannot_write_drains() {
    let mut world = World::new();
    let guard = world.mount_with("vda", Disk::new(4, 4));
    guard.gate().enter().unwrap();
    guard.set_lane(&LaneInfo {
        number: Some(0),
        collects: "mock-collect",
        writes: "none:area-small",
    });
    let records = world.panics(b"x");
    let drain = of(&records, "drain")[0];
    assert_eq!(
        (drain.num("drained"), drain.get("flush")),
        (1, "not-attempted")
    );
    assert_eq!(of(&records, "lane")[0].get("why"), "area-small");
}
