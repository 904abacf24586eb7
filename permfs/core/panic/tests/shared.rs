// SPDX-License-Identifier: GPL-2.0

//! Devices that others use too: another filesystem, or another volume.

use super::disk::Disk;
use super::mock::{of, World, MS};

#[test]
fn a_volume_at_rest_is_asked_once() {
    let mut world = World::new();
    let _guard = world.mount_with("vda", Disk::new(4, 4));
    let records = world.panics(b"x");
    let drain = of(&records, "drain")[0];
    assert_eq!((drain.num("drained"), drain.get("end")), (1, "done"));
    assert_eq!(world.devices.lanes[0].rounds.get(), 1);
}

#[test]
fn a_volume_at_rest_without_a_way_is_drained() {
    let mut world = World::new();
    let disk = Disk {
        collects: None,
        ..Disk::new(4, 4)
    };
    let _guard = world.mount_with("vda", disk);
    let records = world.panics(b"x");
    let drain = of(&records, "drain")[0];
    assert_eq!((drain.num("lost"), drain.get("end")), (0, "done"));
}

#[test]
fn what_is_in_the_lanes_way_is_collected_first() {
    let mut world = World::new();
    let disk = Disk {
        blocked: 5,
        ..Disk::new(4, 4)
    };
    let _guard = world.mount_with("nvme0n1p2", disk);
    let records = world.panics(b"x");
    // And once more, in the drain.
    assert_eq!(world.devices.lanes[0].rounds.get(), 6);
    assert_eq!(of(&records, "drain")[0].get("end"), "done");
    assert_eq!(of(&records, "lane")[0].get("result"), "ok");
}

#[test]
fn what_stays_in_the_lanes_way_costs_a_quarter_of_the_deadline() {
    let mut world = World::new();
    let disk = Disk {
        blocked: u32::MAX,
        ..Disk::new(4, 4)
    };
    let (_first, _second) = (
        world.mount_with("nvme0n1p2", disk),
        world.mount_with("vda", Disk::new(4, 4)),
    );
    let records = world.panics(b"x");
    // Its own are all there; the lane says what was in the way.
    let drain = of(&records, "drain")[0];
    assert_eq!((drain.num("drained"), drain.get("end")), (1, "done"));
    let lanes = of(&records, "lane");
    let results = lanes.iter().map(|lane| lane.get("result"));
    assert!(results.eq(["refused", "ok"]));
    assert_eq!(lanes[0].get("why"), "queue-shared");
    let elapsed = of(&records, "end")[0].num("elapsed_ns");
    assert!((125 * MS..130 * MS).contains(&elapsed), "{elapsed}");
}

#[test]
fn two_volumes_on_one_queue_both_have_records() {
    let mut world = World::new();
    let disk = || Disk {
        queue: Some(0),
        ..Disk::new(4, 4)
    };
    let (first, second) = (disk(), disk());
    let _guards = (
        world.mount_with("nvme0n1p1", first.clone()),
        world.mount_with("nvme0n1p2", second.clone()),
    );
    let records = world.panics(b"x");
    for lane in of(&records, "lane") {
        assert_eq!(lane.get("result"), "ok", "{lane:?}");
    }
    for disk in [first, second] {
        assert!(disk.newest().1.is_some(), "record and tail");
    }
}
