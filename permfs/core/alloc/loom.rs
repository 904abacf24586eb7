// SPDX-License-Identifier: GPL-2.0

//! Every interleaving of small scenarios: `RUSTFLAGS="--cfg loom" cargo test -p permfs-core loom`.
//!
//! loom creates an atomic at its first access, so the scenarios touch what they share before they
//! spawn threads.

use super::{
    space::KEPT_MIN,
    tests::{fresh, kinds, telemetry},
    *,
};
use ::loom::{model::Builder, thread};
use std::sync::Arc;

fn explore(scenario: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    // Bugs of lock-free code show with two or three preemptions; unbounded, the model explodes.
    builder.preemption_bound = Some(3);
    builder.check(scenario);
}

fn event(n: u64) -> Event {
    Event {
        seq: 0,
        time_ns: n,
        kind: EventKind::Pressure,
        cpu: n as u32,
        shard: n,
        arg: n,
    }
}

fn whole(e: &Event) -> bool {
    e.time_ns == e.arg && e.shard == e.arg && u64::from(e.cpu) == e.arg
}

/// A ring whose every atomic was touched: its entries hold the events 0 and 1.
fn used_ring() -> Arc<EventRing<2>> {
    let ring = EventRing::new();
    (0..2).for_each(|n| ring.push(event(n)));
    Arc::new(ring)
}

#[test]
fn two_writers_meet_in_an_entry_while_it_is_drained() {
    explore(|| {
        // One entry, so that every ticket falls on it.
        let ring = Arc::new(EventRing::<1>::new());
        ring.push(event(0));
        let writers: std::vec::Vec<_> = (1..3)
            .map(|n| {
                let ring = ring.clone();
                thread::spawn(move || ring.push(event(n)))
            })
            .collect();
        let mut out = [Event::EMPTY; 1];
        let drained = ring.drain_for_panic(&mut out);
        assert!(out[..drained.events].iter().all(whole));
        writers.into_iter().for_each(|w| w.join().unwrap());
        let drained = ring.drain_for_panic(&mut out);
        assert_eq!(drained.events as u64 + drained.torn + drained.lost, 3);
        assert_eq!(drained.torn, 0);
        assert!(out[..drained.events].iter().all(whole));
    });
}

#[test]
fn a_reader_sees_the_old_event_the_new_one_or_neither() {
    explore(|| {
        let ring = used_ring();
        let writer = {
            let ring = ring.clone();
            thread::spawn(move || ring.push(event(2)))
        };
        let mut out = [Event::EMPTY; 2];
        let drained = ring.drain_for_panic(&mut out);
        for e in &out[..drained.events] {
            assert!(whole(e));
            assert_eq!(e.seq, e.arg);
        }
        writer.join().unwrap();
        assert_eq!(ring.drain_for_panic(&mut out).events, 2);
        assert_eq!((out[0].arg, out[1].arg), (1, 2));
    });
}

/// A volume of two words with blocks `2..free_from` in use.
fn volume(free_from: u64) -> (Arc<Allocator>, Telemetry) {
    const TOTAL: u64 = 100;
    let t = telemetry();
    let a = fresh(TOTAL, t, Env::default());
    a.mark_used(2, (free_from - 2) as u32).unwrap();
    // Touches the rest.
    a.reserve(0).unwrap();
    a.unpromised();
    t.events.reset();
    a.panic_report(0);
    a.hint().load(Relaxed);
    (Arc::new(a), t)
}

/// What must hold when nobody is at work.
fn quiescent(a: &Allocator, t: Telemetry, free: u64) {
    let shard = a.shard(0).unwrap();
    let span = Span { start: 0, len: 100 };
    assert_eq!(u64::from(shard.map().unwrap().free_in(span).0), free);
    assert_eq!(u64::from(shard.free()), free);
    assert_eq!(a.free_blocks(), free);
    assert_eq!(a.available(), free.saturating_sub(KEPT_MIN));
    let pressure = t.counters.shards_with_pressure.load(Relaxed);
    assert_eq!(pressure, u64::from(shard.under_pressure()));
}

#[test]
fn two_race_for_the_last_block() {
    explore(|| {
        let (a, t) = volume(99);
        let other = {
            let a = a.clone();
            thread::spawn(move || a.alloc_meta(99, 1).is_ok())
        };
        let here = a.alloc_meta(99, 1).is_ok();
        assert!(here != other.join().unwrap(), "exactly one gets it");
        quiescent(&a, t, 0);
    });
}

#[test]
fn allocation_races_a_free_of_the_same_word() {
    explore(|| {
        let (a, t) = volume(98);
        let other = {
            let a = a.clone();
            thread::spawn(move || a.free(97, 1).unwrap())
        };
        let got = a.alloc_meta(97, 3).unwrap();
        assert!(got.start >= 97 && got.len <= 3);
        other.join().unwrap();
        quiescent(&a, t, 3 - u64::from(got.len));
    });
}

#[test]
fn two_free_the_same_block_and_one_is_told() {
    explore(|| {
        let (a, t) = volume(90);
        let other = {
            let a = a.clone();
            thread::spawn(move || a.free(89, 1).is_ok())
        };
        let here = a.free(89, 1).is_ok();
        assert!(here != other.join().unwrap(), "exactly one freed it");
        assert_eq!(t.counters.double_frees.load(Relaxed), 1);
        assert_eq!(kinds(t), [EventKind::DoubleFree]);
        quiescent(&a, t, 11);
    });
}

#[test]
fn crossing_the_pressure_threshold_both_ways_at_once_counts_right() {
    explore(|| {
        // 100 blocks: pressure below 4 free, gone from 8.
        let (a, t) = volume(96);
        let other = {
            let a = a.clone();
            thread::spawn(move || a.free(90, 6).unwrap())
        };
        a.mark_used(96, 1).unwrap();
        other.join().unwrap();
        quiescent(&a, t, 9);
    });
}

#[test]
fn a_promise_is_made_once() {
    explore(|| {
        // 100 blocks.
        let (a, t) = volume(99 - KEPT_MIN);
        let other = {
            let a = a.clone();
            thread::spawn(move || a.reserve(1).is_ok())
        };
        let here = a.reserve(1).is_ok();
        assert!(
            here != other.join().unwrap(),
            "one block beyond the metadata reserve"
        );
        assert_eq!(t.counters.reserved.load(Relaxed), 1);
    });
}
