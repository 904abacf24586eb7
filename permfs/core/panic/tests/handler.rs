// SPDX-License-Identifier: GPL-2.0

//! The handler: what it says, in which order, and how it stops.

use super::super::*;
use super::mock::{end, of, spins, Hook, Record, World};
use crate::alloc::{Event, EventKind};
use kernel::prelude::EBUSY;
use kernel::sync::atomic::Relaxed;

fn kinds(records: &[Record]) -> Vec<&str> {
    records.iter().map(|r| r.kind.as_str()).collect()
}

fn event(kind: EventKind, arg: u64) -> Event {
    Event {
        kind,
        arg,
        ..Event::EMPTY
    }
}

#[test]
fn without_a_volume_it_tells_of_the_panic() {
    let world = World::new();
    let records = world.panics(b"sysrq triggered crash");
    assert_eq!(kinds(&records), ["begin", "msg", "host", "origin", "end"]);
    let begin = &records[0];
    assert_eq!(begin.get("ctx"), "task");
    assert_eq!(begin.num("wall"), 1_795_000_000_123_456_789);
    assert_eq!(begin.num("mono"), 1_000_000);
    assert_eq!((begin.num("cpu"), begin.num("pid")), (1, 4711));
    assert_eq!(begin.text("comm"), b"sh");
    assert_eq!(begin.num("vols"), 0);
    assert_eq!(records[1].text("text"), b"sysrq triggered crash");
    let host = &records[2];
    assert_eq!((host.num("defer"), host.num("deadline")), (0, 500));
    assert_eq!(host.text("release"), b"7.3.4+test");
    assert_eq!(
        (host.text("machine"), host.text("node")),
        (vec![], b"mock".to_vec())
    );
    let origin = &records[3];
    assert_eq!(
        (origin.get("of"), origin.get("ip")),
        ("call", "ffffffff81234567")
    );
    assert_eq!(origin.text("at"), b"mock+0x1/0x2 [mock]");
    let end = end(&records);
    assert_eq!((end.num("drained"), end.num("inflight")), (1, 0));
    assert_eq!(end.get("flush"), "not-attempted");
    assert_eq!(end.num("elapsed_ns"), 1250);
    assert_eq!((end.get("next"), end.num("lines")), ("halt", 5));
    assert_eq!(world.report.stage(), Stage::Done);
}

#[test]
fn one_volume_with_everything_takes_eleven_lines() {
    let world = World::new();
    let guard = world.mount("vda");
    let slot = guard.slot().expect("free slots");
    guard.set_epochs(12, 11);
    slot.counters().shards_total.store(80, Relaxed);
    slot.counters().double_frees.store(1, Relaxed);
    for arg in 0..5 {
        slot.events().push(event(EventKind::DoubleFree, arg));
    }
    let io = guard.gate().begin().expect("open");
    let records = world.panics(b"boom");
    let order = [
        "begin", "msg", "host", "vol", "alloc", "event", "event", "origin", "drain", "lane", "end",
    ];
    assert_eq!(kinds(&records), order);
    for (i, record) in (0..).zip(&records) {
        assert_eq!(record.num("i"), i);
        assert_eq!(record.get("id"), records[0].get("id"));
        assert!(!record.has("cut"));
    }
    let vol = &records[3];
    assert_eq!(vol.get("state"), "mounted");
    assert_eq!(vol.get("uuid"), "ab".repeat(16));
    assert_eq!(vol.text("name"), b"vda");
    assert_eq!((vol.num("run"), vol.num("dur")), (12, 11));
    let alloc = &records[4];
    assert_eq!((alloc.num("shards"), alloc.num("dfree")), (80, 1));
    assert_eq!(alloc.num("events"), 5);
    // The newest first.
    let events = of(&records, "event");
    assert_eq!((events[0].num("seq"), events[0].num("arg")), (4, 4));
    assert_eq!(events[0].get("kind"), "double-free");
    assert_eq!(events[1].num("seq"), 3);
    let drain = of(&records, "drain")[0];
    assert_eq!((drain.num("drained"), drain.num("inflight")), (0, 1));
    assert_eq!(drain.get("flush"), "not-attempted");
    let lane = of(&records, "lane")[0];
    assert_eq!(
        (lane.get("result"), lane.get("why")),
        ("refused", "not-ready")
    );
    assert_eq!(end(&records).num("drained"), 0);
    drop(io);
}

#[test]
fn every_gate_is_closed_before_the_first_line() {
    let world = World::new();
    let (a, b) = (world.mount("a"), world.mount("b"));
    world.panics(b"x");
    assert!(a.gate().begin().is_err() && b.gate().begin().is_err());
    // A mount that comes too late finds its gate closed.
    let late = world.mount("late");
    assert!(late.gate().begin().is_err());
    assert!(world.table.overflow().begin().is_err());
}

#[test]
fn many_volumes_are_cut_and_the_rest_is_counted() {
    let world = World::new();
    let guards: Vec<_> = (0..SLOTS + 3)
        .map(|i| world.mount(&format!("vd{i}")))
        .collect();
    let io: Vec<_> = guards
        .iter()
        .map(|g| g.gate().begin().expect("open"))
        .collect();
    for slot in world.table.slots() {
        for _ in 0..9 {
            slot.events().push(event(EventKind::Pressure, 1));
        }
    }
    let records = world.panics(b"x");
    let count = |kind| records.iter().filter(|r| r.kind == kind).count();
    assert_eq!((count("vol"), count("alloc"), count("drain")), (8, 8, 8));
    assert_eq!(count("lane"), 8);
    assert_eq!(count("event"), 8);
    let omit = records.iter().find(|r| r.kind == "omit").expect("omit");
    assert_eq!((omit.num("vols"), omit.num("untracked")), (24, 3));
    assert_eq!(omit.num("inflight"), 27);
    let end = records.last().expect("end");
    assert_eq!((end.num("vols"), end.num("inflight")), (35, 35));
    assert_eq!(end.num("lines"), records.len() as u64);
    drop(io);
}

#[test]
fn volumes_that_come_and_go_are_told_with_their_state() {
    let world = World::new();
    let mounting = SlotGuard::claim_in(world.table, b"m", &[0; 16]);
    let leaving = world.mount("l");
    leaving.unmounting();
    let failed = world.mount("f");
    failed.failed();
    let retired = world.mount("r");
    retired.gate().enter().expect("open");
    drop(retired);
    // As a CPU leaves it that was stopped inside `claim`.
    let claimed = &world.table.slots()[4];
    claimed.set_state(SlotState::Claimed);
    let records = world.panics(b"x");
    let vols: Vec<_> = records.iter().filter(|r| r.kind == "vol").collect();
    let states: Vec<_> = vols.iter().map(|r| r.get("state")).collect();
    let expected = ["mounting", "unmounting", "failed", "retired", "claimed"];
    assert_eq!(states, expected);
    assert!(!vols[4].has("name") && !vols[4].has("uuid"));
    assert_eq!(records[0].num("vols"), 4);
    assert_eq!(records.last().expect("end").num("inflight"), 1);
    drop((mounting, leaving, failed));
}

#[test]
fn the_most_restricted_context_is_named() {
    for (bits, name) in [
        (0, "task"),
        (Context::SOFTIRQ, "softirq"),
        (Context::HARDIRQ | Context::SOFTIRQ, "hardirq"),
        (Context::NMI | Context::HARDIRQ, "nmi"),
    ] {
        let mut world = World::new();
        world.machine.context = Context(bits);
        assert_eq!(world.panics(b"x")[0].get("ctx"), name);
    }
}

#[test]
fn a_hostile_message_and_task_name_stay_inside_their_fields() {
    let mut world = World::new();
    world.machine.task = *b"\" x=\"\n\r\\\x01\xff crc=1";
    let message = b"\"\npermfs-panic: v=1 rec=end drained=1 crc=0".repeat(20);
    let records = world.panics(&message);
    assert_eq!(kinds(&records), ["begin", "msg", "host", "origin", "end"]);
    assert!(world.machine.task.starts_with(&records[0].text("comm")));
    assert_eq!(records[0].get("cut"), "1");
    assert!(message.starts_with(&records[1].text("text")));
    assert_eq!(records[1].get("cut"), "1");
}

#[test]
fn a_long_task_name_is_whole() {
    let mut world = World::new();
    world.machine.task = *b"kworker/u16:3-x\0";
    world.machine.context = Context(Context::HARDIRQ);
    world.machine.clock.set(31_536_000_000_000_000);
    let begin = &world.panics(b"x")[0];
    assert_eq!(begin.text("comm"), b"kworker/u16:3-x");
    assert!(!begin.has("cut"));
}

#[test]
fn a_clock_that_steps_back_takes_no_time() {
    let mut world = World::new();
    world.machine.tick = -500;
    let records = world.panics(b"x");
    assert_eq!(records.last().expect("end").num("elapsed_ns"), 0);
}

#[test]
fn the_kernels_timeout_says_what_comes_next() {
    for (timeout, next) in [(0, "halt"), (5, "reboot"), (-1, "reboot")] {
        let mut world = World::new();
        world.machine.timeout = timeout;
        let records = world.panics(b"x");
        assert_eq!(records[0].get("timeout"), timeout.to_string());
        assert_eq!(records.last().expect("end").get("next"), next);
        assert_eq!((world.halt.called.get(), world.reboot.called.get()), (0, 0));
    }
}

#[test]
fn a_strategy_that_the_kernel_carries_out_returns() {
    for (strategy, calls) in [
        (PanicStrategy::Halt, (1, 0)),
        (PanicStrategy::Reboot, (0, 1)),
    ] {
        let mut world = World::new();
        world.halt = Hook::new(After::Deferred);
        world.reboot = Hook::new(After::Deferred);
        let hooks = world.hooks(strategy).expect("installed once");
        assert_eq!((world.halt.chosen.get(), world.reboot.chosen.get()), calls);
        hooks.panic(b"x");
        assert_eq!((world.halt.called.get(), world.reboot.called.get()), calls);
        assert_eq!(world.report.stage(), Stage::Done);
        assert_eq!(end(&world.records()).get("next"), strategy.name());
    }
}

#[test]
fn a_reboot_that_returns_spins() {
    for strategy in [PanicStrategy::Halt, PanicStrategy::Reboot] {
        let world = World::new();
        let hooks = world.hooks(strategy).expect("installed once");
        assert!(spins(|| hooks.panic(b"x")));
        assert_eq!(world.machine.turns.get(), 1000);
        assert_eq!(world.report.stage(), Stage::Stop);
        // All was said before.
        assert_eq!(world.records().last().expect("end").kind, "end");
    }
}

#[test]
fn a_panic_in_the_handler_is_told_once_with_its_stage() {
    for (stage, told) in [(Stage::Gate, 0), (Stage::Outcome, 4)] {
        let world = World::new();
        let hooks = world.hooks(PanicStrategy::Kernel).expect("installed once");
        let _guard = world.mount("vda");
        world.machine.fails_in.set(Some(stage));
        let gone = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| hooks.panic(b"x")));
        assert!(gone.is_err());
        for _ in 0..3 {
            hooks.notify(b"nested");
        }
        let records = world.records();
        let nested = records.last().expect("nested");
        assert_eq!(
            (nested.kind.as_str(), nested.get("stage")),
            ("nested", stage.name())
        );
        assert_eq!(records.iter().filter(|r| r.kind == "nested").count(), 1);
        assert_ne!(nested.get("id"), "00000000");
        assert_eq!(nested.get("id"), records[0].get("id"));
        assert!(records.len() > told);
        assert_eq!(world.report.reentries(), 3);
    }
}

#[test]
fn a_handler_that_died_still_follows_the_strategy() {
    for (strategy, stage) in [
        (PanicStrategy::Halt, Stage::Known),
        (PanicStrategy::Reboot, Stage::Outcome),
    ] {
        let mut world = World::new();
        world.halt.after = After::Deferred;
        world.reboot.after = After::Deferred;
        let hooks = world.hooks(strategy).expect("installed once");
        world.machine.fails_in.set(Some(stage));
        let gone = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| hooks.notify(b"x")));
        assert!(gone.is_err());
        hooks.notify(b"nested");
        let (halts, reboots) = (world.halt.called.get(), world.reboot.called.get());
        let is_halt = strategy == PanicStrategy::Halt;
        assert_eq!((halts, reboots), (is_halt.into(), (!is_halt).into()));
    }
}

#[test]
fn what_dies_around_the_handler_is_not_told_as_its_own() {
    let world = World::new();
    let hooks = world.hooks(PanicStrategy::Kernel).expect("installed once");
    hooks.notify(b"x");
    let told = world.records().len();
    hooks.notify(b"another notifier");
    assert_eq!(world.records().len(), told);
}

#[test]
fn stages_are_found_by_the_names_that_are_printed() {
    for n in 0..16 {
        let stage = Stage::from_u32(n);
        assert_eq!(Stage::by_name(stage.name()), Some(stage));
    }
    assert_eq!(Stage::by_name("nowhere"), None);
}

#[test]
fn panics_in_the_handler_of_different_boots_have_ids_of_their_own() {
    // The clock itself fails, and the handler after it has read the clock.
    let ids: Vec<_> = [Stage::Gate, Stage::Known, Stage::Gate, Stage::Known]
        .into_iter()
        .zip([1_000_000, 1_000_000, 1_002_000, 1_002_000])
        .map(|(stage, clock)| {
            let world = World::new();
            world.machine.clock.set(clock);
            world.machine.fails_in.set(Some(stage));
            let hooks = world.hooks(PanicStrategy::Kernel).expect("installed once");
            let gone = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| hooks.panic(b"x")));
            assert!(gone.is_err());
            hooks.notify(b"nested");
            let records = world.records();
            assert_eq!(kinds(&records), ["nested"]);
            assert_eq!(records[0].get("stage"), stage.name());
            records[0].get("id").to_owned()
        })
        .collect();
    assert!(ids.iter().all(|id| id != "00000000"), "{ids:?}");
    assert_ne!(ids[0], ids[2]);
    assert_ne!(ids[1], ids[3]);
}

#[test]
fn another_cpu_stays_out() {
    let world = World::new();
    let hooks = world.hooks(PanicStrategy::Kernel).expect("installed once");
    hooks.notify(b"first");
    let lines = world.records().len();
    world.machine.cpu.set(0);
    hooks.notify(b"second");
    world.machine.cpu.set(1);
    hooks.notify(b"third");
    assert_eq!(world.records().len(), lines);
    assert_eq!(world.report.reentries(), 2);
}

#[test]
fn hooks_are_installed_once_and_again_after_they_went() {
    let world = World::new();
    let hooks = world.hooks(PanicStrategy::Kernel).expect("installed once");
    assert_eq!(world.hooks(PanicStrategy::Kernel).err(), Some(EBUSY));
    drop(hooks);
    assert!(world.hooks(PanicStrategy::Kernel).is_ok());
}
