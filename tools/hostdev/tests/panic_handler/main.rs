// SPDX-License-Identifier: GPL-2.0

//! The panic handler over real volumes: it comes at any moment of a mount or a commit, tells what is true
//! then, allocates nothing, and leaves a volume that holds all that was durable and a record of the panic.

#[path = "../common/mod.rs"]
mod common;
mod world;

use common::{checked, params};
use kernel::prelude::*;
use permfs_core::format::*;
use world::*;

#[test]
fn at_any_write_of_a_commit_what_was_durable_stays_and_the_record_is_true() {
    let mut moments = 0;
    for call in 0.. {
        let dev = volume(4096);
        let world = World::new(&dev);
        let mut v = world.mount().unwrap();
        world.calls_left.set(Some(call));
        let (files, epoch) = work(&world, &mut v, 6);
        if !world.has_panicked() {
            break;
        }
        moments += 1;
        assert_eq!(world.field("vol", "state"), "mounted");
        assert_eq!(world.num("vol", "dur"), epoch, "call {call}");
        assert!(world.num("vol", "run") > epoch);
        let free = v.store().allocator().free_blocks();
        assert_eq!(world.num("alloc", "free"), free);
        assert_eq!(
            (
                world.num("drain", "drained"),
                world.num("drain", "inflight")
            ),
            (1, 0)
        );
        assert_eq!(
            (world.field("lane", "result"), world.field("end", "flush")),
            ("ok".into(), "ok".into())
        );
        world.check_record();
        drop(v);
        // What the next mount finds.
        assert_eq!(checked(&dev).1, []);
        let mut again = common::mount(&dev);
        for n in 0..files {
            let name = std::format!("file {n}");
            assert!(
                again.lookup(ROOT_INO, name.as_bytes()).is_ok(),
                "call {call}: {name}"
            );
        }
        let last = again.survey_panic_area().unwrap().last.unwrap();
        assert_eq!(last.message.unwrap()[..], *b"the handler came");
    }
    assert!(moments >= 12, "{moments}");
}

#[test]
fn the_true_pressure_and_the_last_events_are_told() {
    let dev = volume(2048);
    let world = World::new(&dev);
    let mut v = world.mount().unwrap();
    let ino = create(&mut v, "large").unwrap();
    let mut at = 0;
    let full = loop {
        match v.reserve_extent(ino, at, 64, false) {
            Ok((_, len)) => at += len,
            Err(e) => break e,
        }
    };
    assert_eq!(full, ENOSPC);
    let running = v.store().running_epoch();
    let truth = v.store().allocator().panic_report(running);
    assert!(truth.shards_with_pressure == 1 && truth.alloc_failed > 0);
    world.panic();
    assert_eq!(world.num("vol", "run"), running);
    assert_eq!(world.num("alloc", "shards"), truth.shards_total);
    assert_eq!(world.num("alloc", "pressure"), truth.shards_with_pressure);
    assert_eq!(world.num("alloc", "free"), truth.free_blocks);
    assert_eq!(world.num("alloc", "failed"), truth.alloc_failed);
    let newest = &truth.last_errors[truth.drained.events - 1];
    assert_eq!(world.num("event", "seq"), newest.seq);
    assert_eq!(world.field("event", "kind"), newest.kind.name());
    assert_eq!(world.num("event", "arg"), newest.arg);
    world.check_record();
}

#[test]
fn a_volume_that_is_half_mounted_is_told_of_as_far_as_it_came() {
    let dev = volume(4096);
    {
        // Something to replay.
        let world = World::new(&dev);
        let mut v = world.mount().unwrap();
        work(&world, &mut v, 3);
    }
    let mut moments = 0;
    for call in 0.. {
        let copy = dev.snapshot();
        let world = World::new(&copy);
        world.calls_left.set(Some(call));
        let outcome = world.mount();
        if !world.has_panicked() {
            assert!(outcome.is_ok());
            break;
        }
        moments += 1;
        // Without what is read last, the orphans, a mount goes on; but this machine does not.
        drop(outcome);
        let state = world.field("vol", "state");
        assert!(state == "mounting" || state == "mounted", "{state}");
        let uuid = world.field("vol", "uuid");
        let known: std::string::String = params()
            .uuid
            .iter()
            .map(|b| std::format!("{b:02x}"))
            .collect();
        // The super block is the first that is read.
        assert_eq!(uuid == known, call > 0, "call {call}: {uuid}");
        let refused = (world.field("lane", "result"), world.field("lane", "why"));
        assert_eq!(refused, ("refused".into(), "not-ready".into()));
        // Without a lane nothing is collected, and that is said.
        let in_flight = u64::from(world.lane.get().unwrap().pending.borrow().is_some());
        assert_eq!(world.num("drain", "inflight"), in_flight);
        assert_eq!(world.num("end", "drained"), 1 - in_flight);
        assert_eq!(checked(&copy).1, []);
    }
    assert!(moments >= 10, "{moments}");
}

#[test]
fn the_counting_allocator_counts() {
    IN_HANDLER.set(true);
    let memory = std::hint::black_box(std::vec![1u8; 100]);
    drop(memory);
    IN_HANDLER.set(false);
    assert_eq!(ALLOCATIONS.replace(0), 2);
}
