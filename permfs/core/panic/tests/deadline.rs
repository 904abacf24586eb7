// SPDX-License-Identifier: GPL-2.0

//! The deadline, and what is said at its end, whatever the devices do.

use super::super::{area::RecordState, *};
use super::disk::{Disk, Op};
use super::mock::{end, of, took, World, MS};
use proptest::prelude::*;

#[test]
fn the_deadline_holds_whatever_never_completes() {
    for hangs in [Op::Read, Op::Write, Op::Flush] {
        for deadline_ms in [1, 100, 2000] {
            let mut world = World::new();
            let disk = Disk {
                hangs: Some(hangs),
                collects: Some(0),
                ..Disk::new(4, 4)
            };
            let before = disk.bytes();
            let guard = world.mount_with("vda", disk.clone());
            guard.gate().enter().unwrap();
            let settings = PanicSettings {
                deadline_ms,
                ..PanicSettings::DEFAULT
            };
            world.hooks_with(settings).expect("once").panic(b"x");
            // Five eighths for the record, and half of the rest for the drain. There is neither a second flush
            // nor a tail.
            let limit = u64::from(deadline_ms) * MS / 16 * 13;
            assert!(
                (limit..limit + MS / 10).contains(&took(&world)),
                "{hangs:?} {} of {limit}",
                took(&world)
            );
            let records = world.records();
            let lane = of(&records, "lane")[0];
            assert_eq!(
                (lane.get("result"), lane.get("why")),
                ("timeout", "deadline")
            );
            let flush = if hangs == Op::Flush {
                "timeout"
            } else {
                "not-attempted"
            };
            assert_eq!(lane.get("flush"), flush);
            assert_eq!(end(&records).get("flush"), flush);
            // It was given up before the drain, whose line leaves it to the lane's all the same.
            assert_eq!(of(&records, "drain")[0].get("flush"), "pending");
            assert!(world.devices.lanes[0].abandoned.get());
            match hangs {
                Op::Flush => assert_eq!(disk.newest().1, None),
                _ => assert_eq!(disk.bytes(), before),
            }
        }
    }
}

#[test]
fn a_clock_that_stands_still_or_steps_back_ends_by_turns() {
    for tick in [0, -3] {
        let mut world = World::new();
        world.machine.tick = tick;
        world.devices.cost.set(0);
        let disk = Disk {
            hangs: Some(Op::Write),
            collects: Some(0),
            ..Disk::new(4, 4)
        };
        let guard = world.mount_with("vda", disk);
        guard.gate().enter().unwrap();
        let settings = PanicSettings {
            deadline_ms: 3,
            ..PanicSettings::DEFAULT
        };
        world.hooks_with(settings).expect("once").panic(b"x");
        // A thousand questions a millisecond: five eighths of three, and half of what that leaves, in
        // whole milliseconds.
        assert!((1_870..1_880).contains(&world.devices.lanes[0].polls.get()));
        assert_eq!(world.devices.lanes[0].rounds.get(), 1_001);
        assert_eq!(end(&world.records()).num("elapsed_ns"), 0);
    }
}

#[test]
fn dead_devices_do_not_starve_the_others() {
    let mut world = World::new();
    let mut disks = Vec::new();
    let mut guards = Vec::new();
    for n in 0..8 {
        let mut disk = Disk::new(4, 8);
        disk.latency = Some(200);
        match n % 4 {
            0 => disk.hangs = Some(Op::Read),
            1 => disk.collects = Some(0),
            2 => disk.hangs = Some(Op::Flush),
            _ => {}
        }
        let guard = world.mount_with(&format!("vd{n}"), disk.clone());
        guard.gate().enter().unwrap();
        disks.push(disk);
        guards.push(guard);
    }
    let records = world.panics(b"x");
    for (n, lane) in of(&records, "lane").iter().enumerate() {
        let expected = match n % 4 {
            0 => ("timeout", "not-attempted"),
            2 => ("timeout", "timeout"),
            _ => ("ok", "ok"),
        };
        assert_eq!(
            (lane.get("result"), lane.get("flush")),
            expected,
            "volume {n}"
        );
    }
    for (n, drain) in of(&records, "drain").iter().enumerate() {
        assert_eq!(drain.num("drained"), u64::from(n % 4 != 1), "volume {n}");
    }
    // All were asked equally often: three requests for the record, a flush behind the drain, two for the tail.
    let polls: Vec<_> = world.devices.lanes.iter().map(|l| l.polls.get()).collect();
    assert_eq!(polls[0], polls[4]);
    assert_eq!((polls[3], polls[7]), (1200, 1200));
    assert!(disks[3].newest().1.is_some() && disks[7].newest().1.is_some());
    assert_eq!(
        (end(&records).get("flush"), end(&records).num("inflight")),
        ("timeout", 2)
    );
    // Five eighths for those that hang, and half of the rest for what does not come.
    assert!((406 * MS..500 * MS).contains(&took(&world)));
}

#[test]
fn many_queues_take_no_more_time_when_the_clock_stands_still() {
    for (queues, polls) in [(1, 312_500), (128, 2_443)] {
        let mut world = World::new();
        world.machine.tick = 0;
        world.devices.cost.set(0);
        let disk = Disk {
            hangs: Some(Op::Write),
            queues,
            ..Disk::new(4, 4)
        };
        let _guard = world.mount_with("vda", disk);
        world.panics(b"x");
        let asked = world.devices.lanes[0].polls.get();
        assert!((polls - 5..polls + 5).contains(&asked), "{asked}");
    }
}

#[test]
fn the_disks_time_begins_with_its_work() {
    let mut world = World::new();
    let disk = Disk {
        latency: Some(200),
        ..Disk::new(4, 4)
    };
    let guard = world.mount_with("vda", disk.clone());
    guard.gate().enter().unwrap();
    // Lines on a slow console take longer than all of the deadline.
    world.machine.prints_ns = 3_000 * MS;
    let records = world.panics(b"x");
    assert_eq!(of(&records, "lane")[0].get("result"), "ok");
    assert!(disk.newest().1.is_some());
    assert!(end(&records).num("elapsed_ns") > 3_000 * MS);
}

#[test]
fn a_tail_that_does_not_complete_is_left_under_way() {
    let mut world = World::new();
    let slow = Disk {
        // 103 ms a request: three for the record, and one behind the drain.
        latency: Some(206),
        ..Disk::new(4, 4)
    };
    let guard = world.mount_with("vda", slow.clone());
    guard.gate().enter().unwrap();
    world.devices.cost.set(MS / 2);
    let hooks = world.hooks(PanicStrategy::Kernel).expect("once");
    hooks.panic(b"x");
    assert_eq!(of(&world.records(), "lane")[0].get("result"), "ok");
    assert_eq!(slow.newest().1, None);
    assert!((500 * MS..502 * MS).contains(&took(&world)));
    assert!(!world.devices.lanes[0].abandoned.get());
    // Who comes next waits for it first.
    world.devices.cost.set(1000);
    let meta = area::PstoreMeta::default();
    assert_eq!(hooks.write_log(&meta, b"log"), Ok(2));
    let tails = slow.records().into_iter().map(|r| r.tail.is_some());
    assert_eq!(tails.collect::<Vec<_>>(), [true, true]);
}

fn any_disk() -> impl Strategy<Value = Disk> {
    let op = || prop::sample::select(vec![Op::Read, Op::Write, Op::Flush]);
    (
        (0u32..4, 1u32..9),
        prop::option::weighted(0.9, 1u32..300),
        prop::option::weighted(0.2, op()),
        prop::option::weighted(0.2, op()),
        prop::option::weighted(0.2, op()),
        prop::option::weighted(0.1, Just("nmi")),
        prop::option::weighted(0.8, 0u32..4),
    )
        .prop_map(
            |((slots, blocks), latency, hangs, refuses, fails, refusal, collects)| Disk {
                latency,
                hangs,
                refuses: refuses.map(|op| (op, "no-tag")),
                fails,
                refusal,
                collects,
                ..Disk::new(1 << slots, blocks)
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever the devices do: the deadline holds, every count is right, and what is said of a record
    /// is what a reader finds.
    #[test]
    fn what_is_said_is_true(
        disks in prop::collection::vec((any_disk(), 0u32..5), 0..6),
        deadline_ms in 1u32..50,
    ) {
        let mut world = World::new();
        let mut all = Vec::new();
        for (disk, in_flight) in disks {
            let guard = world.mount_with("v", disk.clone());
            (0..in_flight).for_each(|_| guard.gate().enter().unwrap());
            all.push((disk, guard));
        }
        let settings = PanicSettings { deadline_ms, ..PanicSettings::DEFAULT };
        world.hooks_with(settings).expect("once").panic(b"x");
        prop_assert!(took(&world) < u64::from(deadline_ms) * MS + MS / 10);
        let records = world.records();
        let (drains, lanes) = (of(&records, "drain"), of(&records, "lane"));
        let mut left = 0;
        for (n, (disk, guard)) in all.iter().enumerate() {
            let in_flight = u64::from(guard.gate().in_flight());
            left += in_flight;
            prop_assert_eq!(drains[n].num("lost"), in_flight);
            prop_assert_eq!(drains[n].num("drained"), u64::from(in_flight == 0));
            let flushed = world.devices.lanes[n].flushes.get() > 0;
            prop_assert_eq!(lanes[n].get("flush") == "ok", flushed);
            let ok = lanes[n].get("result") == "ok";
            let stored = disk.records();
            prop_assert!(stored.iter().all(|r| r.state == RecordState::Whole));
            prop_assert!(!ok || (stored.len() == 1 && flushed));
            prop_assert!(stored.iter().all(|r| ok || r.tail.is_none()));
        }
        prop_assert_eq!(end(&records).num("inflight"), left);
        let every = lanes.iter().all(|l| l.get("flush") == "ok") && !lanes.is_empty();
        prop_assert_eq!(end(&records).get("flush") == "ok", every);
    }
}
