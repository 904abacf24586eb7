// SPDX-License-Identifier: GPL-2.0

//! Volumes that fail with an oops.

use super::super::*;
use super::mock::World;

fn contain(world: &World, failed: u32, held: u32) {
    let oops = Oops {
        message: b"Oops: invalid opcode",
        failed,
        held,
    };
    oops.contain(&&world.log, &&world.machine, world.table);
}

#[test]
fn the_volumes_named_fail_and_the_others_go_on() {
    let world = World::new();
    let (first, second) = (world.mount("vda"), world.mount("vdb"));
    assert_eq!((first.number(), second.number()), (Some(0), Some(1)));
    assert_eq!(slots_in_use(world.table), 0b11);
    let io = second.gate().begin().expect("open");
    second.set_epochs(12, 11);
    contain(&world, 0b10, 0b10);
    assert!(!first.gate().is_closed());
    assert!(second.gate().is_closed());
    let state = |guard: &SlotGuard| guard.slot().expect("has one").state();
    assert_eq!(state(&first), SlotState::Mounted);
    assert_eq!(state(&second), SlotState::Failed);

    let records = world.records();
    assert_eq!(records.len(), 2);
    assert_eq!(records[0].kind, "oops");
    assert_eq!(records[0].text("text"), b"Oops: invalid opcode");
    assert_eq!((records[0].num("vols"), records[0].num("pid")), (1, 4711));
    assert_eq!(records[1].kind, "failed");
    let numbers = ["slot", "held", "inflight", "run", "dur"].map(|key| records[1].num(key));
    assert_eq!(numbers, [1, 1, 1, 12, 11]);
    assert_eq!(records[1].text("name"), b"vdb");
    drop(io);
}

#[test]
fn a_second_oops_closes_no_gate_twice() {
    let world = World::new();
    let guard = world.mount("vda");
    contain(&world, 1, 0);
    assert_eq!(slots_in_use(world.table), 0, "nothing is left to fail");
    contain(&world, 1, 1);
    assert_eq!(guard.gate().closes(), 1);
}

#[test]
fn all_thirty_two_have_a_line() {
    let world = World::new();
    let guards: Vec<_> = (0..SLOTS).map(|_| world.mount("vda")).collect();
    assert_eq!(slots_in_use(world.table), u32::MAX);
    contain(&world, u32::MAX, 0);
    assert_eq!(world.records().len(), 33);
    assert!(guards.iter().all(|guard| guard.gate().is_closed()));
    assert_eq!(
        (slot_bit(31), slot_bit(32), slot_bit(u32::MAX)),
        (1 << 31, 0, 0)
    );
}
