// SPDX-License-Identifier: GPL-2.0

//! The ring: order, wrap, what a stopped writer costs, and readers among writers.

use super::*;
use std::sync::atomic::{AtomicBool, Ordering};

fn event(n: u64) -> Event {
    // Every word tells the same number, so that a mix of two events shows.
    Event {
        seq: 0,
        time_ns: n,
        kind: EventKind::DoubleFree,
        cpu: n as u32,
        shard: n,
        arg: n,
    }
}

fn whole(e: &Event) -> bool {
    e.time_ns == e.arg && e.shard == e.arg && e.cpu == e.arg as u32
}

#[test]
fn an_empty_ring_drains_nothing() {
    let ring = EventRing::<8>::new();
    assert_eq!(
        ring.drain_for_panic(&mut [Event::EMPTY; 8]),
        Drained::default()
    );
    assert_eq!(ring.drain_for_panic(&mut []), Drained::default());
}

#[test]
fn the_newest_events_come_oldest_first_and_stay() {
    let ring = EventRing::<8>::new();
    (0..21).for_each(|n| ring.push(event(n)));
    for _ in 0..2 {
        let mut out = [Event::EMPTY; 16];
        let drained = ring.drain_for_panic(&mut out);
        assert_eq!((drained.events, drained.torn, drained.lost), (8, 0, 13));
        let seqs: Vec<u64> = out[..8].iter().map(|e| e.seq).collect();
        assert_eq!(seqs, (13..21).collect::<Vec<_>>());
        assert!(out[..8].iter().all(|e| whole(e) && e.arg == e.seq));
    }
    let mut two = [Event::EMPTY; 2];
    assert_eq!(ring.drain_for_panic(&mut two).lost, 19);
    assert_eq!((two[0].seq, two[1].seq), (19, 20));
}

#[test]
fn a_writer_that_stopped_half_way_costs_its_entry_only() {
    let ring = EventRing::<4>::new();
    (0..6).for_each(|n| ring.push(event(n)));
    // What a CPU leaves that was stopped with ticket 6 in its hand.
    let ticket = ring.head.fetch_add(1u64, Relaxed);
    ring.entries[2].stamp.store(2 * ticket + 1, Relaxed);
    ring.entries[2].words[0].store(77, Relaxed);
    let mut out = [Event::EMPTY; 4];
    let drained = ring.drain_for_panic(&mut out);
    assert_eq!((drained.events, drained.torn, drained.lost), (3, 1, 3));
    assert_eq!([out[0].seq, out[1].seq, out[2].seq], [3, 4, 5]);
    // The entry stays with its writer; the others go on.
    (7..15).for_each(|n| ring.push(event(n)));
    let drained = ring.drain_for_panic(&mut out);
    assert_eq!((drained.events, drained.torn), (3, 1));
    assert_eq!(drained.lost, 15 - 4);
}

#[test]
fn a_late_writer_does_not_overwrite_a_newer_event() {
    let ring = EventRing::<2>::new();
    let late = ring.head.fetch_add(1u64, Relaxed);
    (1..5).for_each(|n| ring.push(event(n)));
    ring.entries[0].write(late, &event(99));
    let mut out = [Event::EMPTY; 2];
    assert_eq!(ring.drain_for_panic(&mut out).events, 2);
    assert_eq!((out[0].arg, out[1].arg), (3, 4));
}

#[test]
fn reset_forgets() {
    let ring = EventRing::<4>::new();
    (0..6).for_each(|n| ring.push(event(n)));
    ring.reset();
    assert_eq!(
        ring.drain_for_panic(&mut [Event::EMPTY; 4]),
        Drained::default()
    );
    ring.push(event(1));
    assert_eq!(ring.drain_for_panic(&mut [Event::EMPTY; 4]).events, 1);
}

#[test]
fn kinds_survive_their_numbers() {
    for n in 0..10 {
        let kind = EventKind::from_u32(n);
        assert!(kind.as_u32() == n || kind == EventKind::None);
        assert!(!kind.name().is_empty());
    }
}

#[test]
fn a_reader_among_writers_never_sees_a_mix() {
    let ring = EventRing::<4>::new();
    let stop = AtomicBool::new(false);
    std::thread::scope(|s| {
        let writers: Vec<_> = (0..3u64)
            .map(|w| {
                let ring = &ring;
                s.spawn(move || (0..200_000).for_each(|n| ring.push(event(n << 2 | w))))
            })
            .collect();
        let (ring, stop) = (&ring, &stop);
        s.spawn(move || {
            let mut out = [Event::EMPTY; 4];
            while !stop.load(Ordering::Relaxed) {
                let drained = ring.drain_for_panic(&mut out);
                let got = &out[..drained.events];
                assert!(got.iter().all(whole));
                assert!(got.windows(2).all(|w| w[0].seq < w[1].seq));
            }
        });
        writers.into_iter().for_each(|w| w.join().unwrap());
        stop.store(true, Ordering::Relaxed);
    });
    let mut out = [Event::EMPTY; 4];
    let drained = ring.drain_for_panic(&mut out);
    assert_eq!(drained.events as u64 + drained.torn + drained.lost, 600_000);
}
