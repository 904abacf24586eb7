// SPDX-License-Identifier: GPL-2.0

//! What is left until another pstore backend has had its turn.

use super::super::*;
use super::disk::Disk;
use super::mock::{end, lines, of, World, MS};

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
    assert_eq!(
        known,
        ["begin", "msg", "host", "vol", "alloc", "origin", "deferred"]
    );
    assert_eq!(end(&world.records()).num("lines"), 7);
    assert_eq!(of(&world.records(), "host")[0].num("defer"), 1);
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
    let rest: Vec<_> = records.iter().skip(7).map(|r| r.kind.as_str()).collect();
    assert_eq!(rest, ["drain", "lane", "end"]);
    assert_eq!(of(&records, "drain")[0].num("drained"), 1);
    assert_eq!(end(&records).get("flush"), "ok");
    assert_eq!(end(&records).num("lines"), records.len() as u64);
    assert!(disk.newest().0.starts_with("permfs-panic: v=1 rec=begin"));
    assert_eq!(world.report.stage(), Stage::Done);
}

#[test]
fn another_backend_that_dies_does_not_cost_the_rest() {
    let mut world = World::new();
    let disk = Disk::new(4, 8);
    let _guard = world.mount_with("vda", disk.clone());
    let hooks = world.hooks(PanicStrategy::Kernel).expect("once");
    hooks.defer(true);
    hooks.notify(b"boom");
    // The oops of the other backend's write begins the panic again: its notifiers, then its dumpers.
    hooks.notify(b"an oops within the panic");
    assert_eq!(world.report.stage(), Stage::Deferred);
    hooks.finish_deferred();
    let records = world.records();
    assert!(of(&records, "nested").is_empty());
    assert_eq!(end(&records).get("flush"), "ok");
}

#[test]
fn without_a_lane_nothing_is_left_for_later() {
    let world = World::new();
    let _guard = world.mount("vda");
    let hooks = world.hooks(PanicStrategy::Kernel).expect("once");
    hooks.defer(true);
    hooks.notify(b"x");
    let records = world.records();
    assert_eq!(of(&records, "host")[0].num("defer"), 0);
    assert_eq!(end(&records).kind, "end");
    hooks.finish_deferred();
    assert_eq!(world.records().len(), records.len());
}
