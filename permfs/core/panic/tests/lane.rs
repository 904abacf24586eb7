// SPDX-License-Identifier: GPL-2.0

//! Drain and panic lane: what is written, what is claimed, and that the deadline holds.

use super::super::{area::RecordState, *};
use super::disk::{capacity, Disk, Op};
use super::mock::{Record, World};
use crate::format::{BLOCK_SIZE, HEADER_SIZE};
use proptest::prelude::*;

const MS: u64 = 1_000_000;

fn of<'a>(records: &'a [Record], kind: &str) -> Vec<&'a Record> {
    records.iter().filter(|r| r.kind == kind).collect()
}

fn end(records: &[Record]) -> &Record {
    records.last().expect("end")
}

/// Lines printed, in the log's words.
fn lines(world: &World) -> Vec<String> {
    world.log.0.lock().unwrap().clone()
}

/// Nanoseconds that the handler took, by the mock's clock.
fn took(world: &World) -> u64 {
    world.machine.clock.get() - 1_000_000
}

#[test]
fn the_record_is_the_lines_and_the_tail_the_rest() {
    let mut world = World::new();
    let disk = Disk::new(16, 16);
    let guard = world.mount_with("vda", disk.clone());
    guard.set_epochs(12, 11);
    let records = world.panics(b"boom");
    let printed = lines(&world);
    let split = printed
        .iter()
        .position(|l| l.contains(" rec=lane "))
        .unwrap();
    let joined = |lines: &[String]| lines.iter().map(|l| format!("{l}\n")).collect::<String>();
    let (data, tail) = disk.newest();
    assert_eq!(data, joined(&printed[..split]));
    assert_eq!(tail, Some(joined(&printed[split..])));

    let drain = of(&records, "drain")[0];
    assert_eq!((drain.num("drained"), drain.num("lost")), (1, 0));
    assert_eq!(
        (drain.get("flush"), drain.get("way")),
        ("pending", "mock-collect")
    );
    let lane = of(&records, "lane")[0];
    assert_eq!((lane.get("result"), lane.get("way")), ("ok", "mock-write"));
    assert_eq!((lane.num("seq"), lane.num("slot")), (1, 0));
    assert_eq!(lane.get("flush"), "ok");
    assert!(!lane.has("why"));
    assert!(lane.num("write_us") > 0 && lane.num("flush_us") > 0);
    assert_eq!(end(&records).get("flush"), "ok");
    assert_eq!(of(&records, "begin")[0].num("deadline"), 500);
    // Record and tail.
    assert_eq!(world.devices.lanes[0].flushes.get(), 2);

    let found = disk.area.scan(&disk.image).unwrap().heads[0];
    assert_eq!(format!("{:08x}", found.head.id), records[0].get("id"));
    assert_eq!(found.head.wall_ns, records[0].num("wall"));
    assert_eq!(found.head.mono_ns, records[0].num("mono"));
    let last = disk.area.survey(&disk.image).unwrap().last.unwrap();
    assert_eq!(last.message.unwrap()[..], *b"boom");
}

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
            world.hooks_with(settings).expect("once").notify(b"x");
            // What is left is for tails, of which there is none.
            let limit = u64::from(deadline_ms) * MS / 8 * 7;
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
        world.hooks_with(settings).expect("once").notify(b"x");
        assert_eq!(world.devices.lanes[0].rounds.get(), 15_000);
        // Up to seven eighths, less one a request.
        assert!((11_000..11_300).contains(&world.devices.lanes[0].polls.get()));
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
    // All were asked equally often: three requests for the record, two for the tail.
    let polls: Vec<_> = world.devices.lanes.iter().map(|l| l.polls.get()).collect();
    assert_eq!(polls[0], polls[4]);
    assert_eq!((polls[3], polls[7]), (1000, 1000));
    assert!(disks[3].newest().1.is_some() && disks[7].newest().1.is_some());
    assert_eq!(
        (end(&records).get("flush"), end(&records).num("inflight")),
        ("timeout", 2)
    );
    assert!((437 * MS..500 * MS).contains(&took(&world)));
}

#[test]
fn a_tail_that_does_not_complete_is_left_under_way() {
    let mut world = World::new();
    let slow = Disk {
        latency: Some(280),
        ..Disk::new(4, 4)
    };
    let _guard = world.mount_with("vda", slow.clone());
    world.devices.cost.set(MS / 2);
    let hooks = world.hooks(PanicStrategy::Kernel).expect("once");
    hooks.notify(b"x");
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

#[test]
fn a_signature_that_is_not_there_keeps_all_from_being_written() {
    // Magic, kind, version, block number, UUID of the header.
    for at in [0, 4, 6, 16, 32] {
        let mut world = World::new();
        let disk = Disk::new(4, 4);
        let head = disk.area.head_block(1) as usize * BLOCK_SIZE;
        disk.image.0.borrow_mut()[head + at] ^= 1;
        let before = disk.bytes();
        let _guard = world.mount_with("vda", disk.clone());
        let records = world.panics(b"x");
        let lane = of(&records, "lane")[0];
        assert_eq!(
            (lane.get("result"), lane.get("why")),
            ("refused", "signature")
        );
        assert_eq!(lane.get("flush"), "not-attempted");
        assert_eq!(end(&records).get("flush"), "not-attempted");
        assert_eq!(disk.bytes(), before, "byte {at}");
        assert_eq!(world.devices.lanes[0].flushes.get(), 0);
    }
}

#[test]
fn a_torn_head_of_an_earlier_panic_does_not_disable_its_slot() {
    let mut world = World::new();
    let disk = Disk::new(4, 4);
    let head = disk.area.head_block(1) as usize * BLOCK_SIZE;
    disk.image.0.borrow_mut()[head + HEADER_SIZE..head + BLOCK_SIZE].fill(0x77);
    let _guard = world.mount_with("vda", disk.clone());
    world.panics(b"x");
    assert_eq!(disk.records().len(), 1);
    disk.newest();
}

#[test]
fn errors_of_the_device_are_told_and_the_flush_is_tried() {
    for (fails, flush, flushes) in [
        (Op::Read, "not-attempted", 0),
        (Op::Write, "ok", 1),
        (Op::Flush, "failed", 0),
    ] {
        let mut world = World::new();
        let disk = Disk {
            fails: Some(fails),
            ..Disk::new(4, 4)
        };
        let _guard = world.mount_with("vda", disk.clone());
        let records = world.panics(b"x");
        let lane = of(&records, "lane")[0];
        assert_eq!(
            (lane.get("result"), lane.get("why")),
            ("failed", "io-error")
        );
        assert_eq!(lane.get("flush"), flush, "{fails:?}");
        assert_eq!(end(&records).get("flush"), flush);
        assert_eq!(world.devices.lanes[0].flushes.get(), flushes);
        // Nobody may think that it is durable.
        assert!(disk.records().iter().all(|r| r.tail.is_none()));
    }
}

#[test]
fn refusals_are_told_with_their_reason() {
    for (op, flush, written) in [
        (None, "not-attempted", 0),
        (Some(Op::Read), "not-attempted", 0),
        (Some(Op::Write), "not-attempted", 0),
        (Some(Op::Flush), "refused", 1),
    ] {
        let mut world = World::new();
        let mut disk = Disk::new(4, 4);
        match op {
            None => disk.refusal = Some("in-block-layer"),
            Some(op) => disk.refuses = Some((op, "no-tag")),
        }
        let _guard = world.mount_with("vda", disk.clone());
        let records = world.panics(b"x");
        let lane = of(&records, "lane")[0];
        let why = if op.is_none() {
            "in-block-layer"
        } else {
            "no-tag"
        };
        assert_eq!((lane.get("result"), lane.get("why")), ("refused", why));
        assert_eq!(lane.get("flush"), flush);
        assert_eq!(end(&records).get("flush"), flush);
        assert_eq!(disk.records().len(), written);
        if op.is_none() {
            assert_eq!(world.devices.lanes[0].polls.get(), 0);
        }
    }
}

#[test]
fn a_volume_without_a_lane_says_why() {
    let mut world = World::new();
    let _with = world.mount_with("vda", Disk::new(4, 4));
    let none = world.mount("dm-0");
    none.set_lane(&LaneInfo {
        number: None,
        collects: "none:not-mq",
        writes: "none:not-mq",
    });
    let _early = world.mount("vdc");
    let records = world.panics(b"x");
    let lanes = of(&records, "lane");
    let said: Vec<_> = lanes
        .iter()
        .skip(1)
        .map(|l| (l.get("way"), l.get("why")))
        .collect();
    assert_eq!(said, [("none:not-mq", "not-mq"), ("none", "not-ready")]);
    assert_eq!(of(&records, "drain")[1].get("way"), "none:not-mq");
    // One flush completed, and that is not all of them.
    assert_eq!(lanes[0].get("flush"), "ok");
    assert_eq!(end(&records).get("flush"), "not-attempted");
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

#[test]
fn lines_that_do_not_fit_the_slot_are_left_out_whole() {
    let mut world = World::new();
    let disk = Disk::new(4, 4);
    let _guard = world.mount_with("vda", disk.clone());
    let more: Vec<_> = (0..9).map(|n| world.mount(&format!("v{n}"))).collect();
    for slot in world.table.slots() {
        for _ in 0..3 {
            slot.events().push(crate::alloc::Event::EMPTY);
        }
    }
    world.panics(&[b'm'; 300]);
    let (data, tail) = disk.newest();
    assert!(data.len() <= capacity(4));
    let printed = lines(&world);
    for line in data.lines().chain(tail.as_deref().unwrap_or("").lines()) {
        assert!(printed.iter().any(|l| l == line), "{line}");
    }
    drop(more);
}

#[test]
fn sequences_go_on_and_slots_come_round() {
    let disk = Disk::new(4, 4);
    for n in 1..=11u64 {
        let mut world = World::new();
        let _guard = world.mount_with("vda", disk.clone());
        let records = world.panics(format!("panic {n}").as_bytes());
        assert_eq!(of(&records, "lane")[0].num("seq"), n);
        let found: Vec<_> = disk.records().iter().map(|r| r.head.sequence).collect();
        let expected: Vec<_> = (n.saturating_sub(3).max(1)..=n).collect();
        assert_eq!(found, expected);
        for record in disk.records() {
            assert_eq!(record.state, RecordState::Whole);
            assert!(record.tail.is_some());
            let text = format!("panic {}", record.head.sequence);
            assert_eq!(record.message().unwrap().unwrap()[..], *text.as_bytes());
        }
    }
}

#[test]
fn the_rest_can_wait_for_another_backend() {
    let mut world = World::new();
    let disk = Disk::new(4, 8);
    let guard = world.mount_with("vda", disk.clone());
    guard.gate().enter().unwrap();
    let hooks = world.hooks(PanicStrategy::Kernel).expect("once");
    hooks.finish_deferred();
    assert!(lines(&world).is_empty(), "not in a panic");
    hooks.defer(true);
    hooks.notify(b"boom");
    let known: Vec<_> = world.records().iter().map(|r| r.kind.clone()).collect();
    assert_eq!(known, ["begin", "msg", "vol", "alloc", "deferred"]);
    assert_eq!(world.records()[4].num("lines"), 5);
    assert_eq!(world.records()[0].num("defer"), 1);
    assert_eq!(world.report.stage(), Stage::Deferred);
    assert!(guard.gate().is_closed());
    assert_eq!(world.devices.lanes[0].rounds.get(), 0);
    // Others took longer than the deadline.
    let clock = &world.machine.clock;
    clock.set(clock.get() + 3000 * MS);
    world.machine.cpu.set(0);
    hooks.finish_deferred();
    assert_eq!(world.report.stage(), Stage::Deferred, "another CPU");
    world.machine.cpu.set(1);
    hooks.finish_deferred();
    hooks.finish_deferred();
    let records = world.records();
    let rest: Vec<_> = records.iter().skip(5).map(|r| r.kind.as_str()).collect();
    assert_eq!(rest, ["drain", "lane", "end"]);
    assert_eq!(of(&records, "drain")[0].num("drained"), 1);
    assert_eq!(end(&records).get("flush"), "ok");
    assert_eq!(end(&records).num("lines"), records.len() as u64);
    assert!(disk.newest().0.starts_with("permfs-panic: v=1 rec=begin"));
    assert_eq!(world.report.stage(), Stage::Done);
}

#[test]
fn without_a_lane_nothing_is_left_for_later() {
    let world = World::new();
    let _guard = world.mount("vda");
    let hooks = world.hooks(PanicStrategy::Kernel).expect("once");
    hooks.defer(true);
    hooks.notify(b"x");
    let records = world.records();
    assert_eq!(records[0].num("defer"), 0);
    assert_eq!(end(&records).kind, "end");
    hooks.finish_deferred();
    assert_eq!(world.records().len(), records.len());
}

#[test]
fn a_panic_in_any_stage_is_told_and_leaves_the_lanes_alone() {
    for stage in [Stage::Gate, Stage::Drain, Stage::Lane, Stage::Outcome] {
        let mut world = World::new();
        let disk = Disk::new(4, 4);
        let guard = world.mount_with("vda", disk.clone());
        guard.gate().enter().unwrap();
        let hooks = world.hooks(PanicStrategy::Kernel).expect("once");
        world.machine.fails_in.set(Some(stage));
        let gone = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| hooks.notify(b"x")));
        assert!(gone.is_err());
        let polls = world.devices.lanes[0].polls.get();
        hooks.notify(b"nested");
        hooks.notify(b"nested");
        hooks.finish_deferred();
        let records = world.records();
        let nested = end(&records);
        assert_eq!(
            (nested.kind.as_str(), nested.get("stage")),
            ("nested", stage.name())
        );
        assert_eq!(of(&records, "nested").len(), 1);
        assert_eq!(world.devices.lanes[0].polls.get(), polls);
        assert!(disk.records().iter().all(|r| r.tail.is_none()));
    }
}

#[test]
fn the_breaker_halts_what_would_reboot_for_ever() {
    const S: u64 = 1_000_000_000;
    let now = 1_795_000_000_123_456_789;
    let settings = PanicSettings {
        strategy: PanicStrategy::Reboot,
        breaker_count: 3,
        breaker_secs: 600,
        ..PanicSettings::DEFAULT
    };
    let cases: [(&[u64], Option<u64>); 5] = [
        (&[], None),
        (&[now - S, now - 2 * S], None),
        (&[now - S, now - 2 * S, now - 600 * S], Some(4)),
        (&[now - S, now - 2 * S, now - 601 * S, now + 900 * S], None),
        (&[now - S, now + 2 * S, now + 600 * S, now - 3 * S], Some(5)),
    ];
    for (times, breaks) in cases {
        let mut world = World::new();
        world.halt.after = After::Deferred;
        world.reboot.after = After::Deferred;
        let disk = Disk::new(4, 4);
        let guard = world.mount_with("vda", disk.clone());
        let mut survey = disk.area.survey(&disk.image).unwrap();
        survey.recent[..times.len()].copy_from_slice(times);
        guard.set_area(&disk.area, &survey);
        let _other = world.mount("vdb");
        let hooks = world.hooks_with(settings).expect("once");
        hooks.notify(b"x");
        let records = world.records();
        let breaker = of(&records, "breaker");
        assert_eq!(breaker.first().map(|b| b.num("n")), breaks, "{times:?}");
        assert_eq!(of(&records, "begin")[0].get("strategy"), "reboot");
        let (halts, next) = match breaks {
            Some(_) => ((1, 0), "halt"),
            None => ((0, 1), "reboot"),
        };
        assert_eq!((world.halt.called.get(), world.reboot.called.get()), halts);
        assert_eq!(end(&records).get("next"), next);
        if breaks.is_some() {
            assert_eq!(breaker[0].num("secs"), 600);
            assert!(disk.newest().0.contains(" rec=breaker "));
        }
    }
}

#[test]
fn the_breaker_counts_what_is_on_the_volume() {
    let disk = Disk::new(8, 4);
    for n in 1..=4 {
        let mut world = World::new();
        world.halt.after = After::Deferred;
        world.reboot.after = After::Deferred;
        let _guard = world.mount_with("vda", disk.clone());
        let settings = PanicSettings {
            strategy: PanicStrategy::Reboot,
            breaker_count: 3,
            ..PanicSettings::DEFAULT
        };
        world.hooks_with(settings).expect("once").notify(b"x");
        assert_eq!(world.halt.called.get(), u32::from(n > 3), "panic {n}");
    }
    for (strategy, breaker_count) in [(PanicStrategy::Kernel, 3), (PanicStrategy::Reboot, 0)] {
        let mut world = World::new();
        world.reboot.after = After::Deferred;
        let _guard = world.mount_with("vda", disk.clone());
        let settings = PanicSettings {
            strategy,
            breaker_count,
            ..PanicSettings::DEFAULT
        };
        world.hooks_with(settings).expect("once").notify(b"x");
        assert_eq!(world.halt.called.get(), 0);
        assert!(of(&world.records(), "breaker").is_empty());
    }
}

#[test]
fn settings_are_brought_into_range() {
    let wild = PanicSettings {
        deadline_ms: 0,
        breaker_count: 99,
        ..PanicSettings::DEFAULT
    };
    assert_eq!(
        (wild.clamped().deadline_ms, wild.clamped().breaker_count),
        (1, 16)
    );
    let long = PanicSettings {
        deadline_ms: 9999,
        ..wild
    };
    assert_eq!(long.clamped().deadline_ms, 2000);
    assert_eq!(PanicSettings::DEFAULT.clamped(), PanicSettings::DEFAULT);
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
        world.hooks_with(settings).expect("once").notify(b"x");
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
