// SPDX-License-Identifier: GPL-2.0

//! Gates and slots, also with many threads.

use super::super::*;
use std::sync::{
    atomic::{AtomicBool, AtomicU64, Ordering},
    Barrier, //
};
use std::thread;

fn table() -> &'static VolumeTable {
    Box::leak(Box::new(VolumeTable::new()))
}

#[test]
fn a_closed_gate_refuses_and_counts_nothing() {
    let gate = Gate::new();
    let io = gate.begin().expect("open");
    assert_eq!(gate.close(), 1);
    assert!(gate.begin().is_err());
    assert_eq!(gate.in_flight(), 1);
    drop(io);
    assert_eq!((gate.in_flight(), gate.is_closed()), (0, true));
}

#[test]
fn a_gate_stays_closed() {
    let gate = Gate::new();
    assert_eq!((gate.close(), gate.close(), gate.closes()), (0, 0, 2));
    assert!(gate.begin().is_err() && gate.is_closed());
}

#[test]
fn a_slot_that_an_oops_has_closed_is_nobodys_again() {
    let table = table();
    for mounting in [true, false] {
        let guard = SlotGuard::claim_in(table, b"vda", &[0; 16]);
        let slot = guard.slot().expect("free slots");
        if !mounting {
            guard.mounted();
        }
        slot.gate().close();
        drop(guard);
        assert_eq!(slot.state(), SlotState::Retired);
        let next = SlotGuard::claim_in(table, b"vda", &[0; 16]);
        assert!(next.gate().begin().is_ok(), "open for whoever comes next");
    }
}

/// The law of the gate: after `close`, at most what it returned is ever submitted still.
#[test]
fn nothing_passes_a_gate_that_was_closed_before() {
    for _ in 0..200 {
        let (gate, submitted, completed) = (Gate::new(), AtomicU64::new(0), AtomicU64::new(0));
        let (start, stop) = (Barrier::new(4), AtomicBool::new(false));
        thread::scope(|s| {
            for _ in 0..3 {
                s.spawn(|| {
                    start.wait();
                    while !stop.load(Ordering::Relaxed) {
                        if let Ok(io) = gate.begin() {
                            submitted.fetch_add(1, Ordering::SeqCst);
                            completed.fetch_add(1, Ordering::SeqCst);
                            drop(io);
                        }
                    }
                });
            }
            start.wait();
            thread::yield_now();
            let in_flight = u64::from(gate.close());
            // Those that were in flight may still count themselves as submitted; nobody else may.
            let before = completed.load(Ordering::SeqCst);
            while gate.in_flight() != 0 {
                thread::yield_now();
            }
            let after = submitted.load(Ordering::SeqCst);
            assert!(after - before <= in_flight, "{after} {before} {in_flight}");
            for _ in 0..100 {
                assert_eq!(submitted.load(Ordering::SeqCst), after);
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert_eq!(gate.in_flight(), 0);
    }
}

#[test]
fn a_slot_goes_through_its_states() {
    let table = table();
    let guard = SlotGuard::claim_in(table, b"vda", &[0; 16]);
    let slot = guard.slot().expect("free slots");
    assert_eq!(slot.state(), SlotState::Mounting);
    guard.set_uuid(&[7; 16]);
    guard.set_epochs(9, 8);
    guard.mounted();
    assert_eq!(slot.state(), SlotState::Mounted);
    assert_eq!(&slot.name()[..4], b"vda\0");
    assert_eq!(slot.uuid(), [7; 16]);
    assert_eq!((slot.running_epoch(), slot.durable_epoch()), (9, 8));
    guard.failed();
    assert_eq!(slot.state(), SlotState::Failed);
    guard.unmounting();
    assert_eq!(slot.state(), SlotState::Unmounting);
    drop(guard);
    assert_eq!(slot.state(), SlotState::Free);
}

#[test]
fn a_new_volume_finds_nothing_of_the_last_one() {
    let table = table();
    let first = SlotGuard::claim_in(table, &[b'x'; 50], &[9; 16]);
    let slot = first.slot().expect("free slots");
    assert_eq!(slot.name(), [b'x'; NAME_LEN]);
    slot.events().push(crate::alloc::Event::EMPTY);
    let free = &slot.counters().free_blocks;
    free.store(5, kernel::sync::atomic::Relaxed);
    first.set_epochs(3, 2);
    drop(first);
    let second = SlotGuard::claim_in(table, b"b", &[0; 16]);
    let again = second.slot().expect("free slots");
    assert!(std::ptr::eq(slot, again));
    assert_eq!(&again.name()[..2], b"b\0");
    assert_eq!(again.uuid(), [0; 16]);
    assert_eq!((again.running_epoch(), again.events().pushed()), (0, 0));
    assert_eq!(free.load(kernel::sync::atomic::Relaxed), 0);
}

#[test]
fn a_slot_let_go_with_io_is_retired() {
    let table = table();
    let guard = SlotGuard::claim_in(table, b"vda", &[0; 16]);
    let slot = guard.slot().expect("free slots");
    slot.gate().enter().expect("open");
    drop(guard);
    assert_eq!(slot.state(), SlotState::Retired);
    let next = SlotGuard::claim_in(table, b"vdb", &[0; 16]);
    assert!(!std::ptr::eq(slot, next.slot().expect("free slots")));
    slot.gate().end();
    assert_eq!(slot.state(), SlotState::Retired);
}

#[test]
fn a_volume_without_a_slot_is_counted_and_gated() {
    let table = table();
    let guards: Vec<_> = (0..SLOTS + 2)
        .map(|_| SlotGuard::claim_in(table, b"v", &[0; 16]))
        .collect();
    assert_eq!(table.untracked(), 2);
    let last = &guards[SLOTS + 1];
    assert!(last.slot().is_none() && last.telemetry().is_none());
    let io = last.gate().begin().expect("open");
    assert_eq!(table.overflow().in_flight(), 1);
    drop(io);
    drop(guards);
    assert_eq!(table.untracked(), 0);
}

#[test]
fn threads_that_claim_at_once_get_different_slots() {
    let table = table();
    let start = Barrier::new(8);
    thread::scope(|s| {
        for _ in 0..8 {
            s.spawn(|| {
                for round in 0..500u32 {
                    if round == 0 {
                        start.wait();
                    }
                    let uuid = [round as u8; 16];
                    let guard = SlotGuard::claim_in(table, b"v", &uuid);
                    let slot = guard.slot().expect("fewer threads than slots");
                    guard.set_epochs(round.into(), 0);
                    assert_eq!((slot.uuid(), slot.running_epoch()), (uuid, round.into()));
                }
            });
        }
    });
    assert!(table.slots().iter().all(|s| s.state() == SlotState::Free));
}
