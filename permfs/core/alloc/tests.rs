// SPDX-License-Identifier: GPL-2.0

//! The allocator against a plain model, under threads, and refusing what it must refuse.

use super::*;
use crate::format::PAYLOAD_SIZE;
use proptest::prelude::*;
use std::{boxed::Box, collections::BTreeSet, vec::Vec};

/// Blocks in use in a fresh shard: the two reserved ones.
fn fresh_bitmap(blocks: u32) -> Vec<u8> {
    bitmap_of(blocks, |b| u64::from(b) < SHARD_RESERVED)
}

/// On-disk bitmap of a shard of `blocks` blocks.
fn bitmap_of(blocks: u32, used: impl Fn(u32) -> bool) -> Vec<u8> {
    let mut bytes = vec![0u8; PAYLOAD_SIZE];
    for bit in 0..SHARD_BLOCKS as u32 {
        if bit >= blocks || used(bit) {
            bytes[bit as usize / 8] |= 1 << (bit % 8);
        }
    }
    bytes
}

pub(super) fn telemetry() -> Telemetry {
    Telemetry {
        counters: Box::leak(Box::new(AllocCounters::new())),
        events: Box::leak(Box::new(EventRing::new())),
    }
}

/// A volume of fresh shards, none loaded.
fn unloaded(total: u64, t: Telemetry, env: Env) -> Allocator {
    let free = |s| shard_len(total, s).saturating_sub(SHARD_RESERVED as u32);
    Allocator::new(total, free, Some(t), env).unwrap()
}

/// The same with every shard loaded.
pub(super) fn fresh(total: u64, t: Telemetry, env: Env) -> Allocator {
    let a = unloaded(total, t, env);
    for s in 0..total.div_ceil(SHARD_BLOCKS) {
        a.load(s, &fresh_bitmap(shard_len(total, s))).unwrap();
    }
    a
}

pub(super) fn kinds(t: Telemetry) -> Vec<EventKind> {
    let mut out = [Event::EMPTY; EVENTS];
    let drained = t.events.drain_for_panic(&mut out);
    out[..drained.events].iter().map(|e| e.kind).collect()
}

#[test]
fn sequential_wishes_extend_one_run() {
    let a = fresh(4096, telemetry(), Env::default());
    let mut run = a.alloc(1000, 8).unwrap();
    assert_eq!(
        run,
        Run {
            start: 1000,
            len: 8
        }
    );
    for _ in 0..20 {
        let next = a.alloc(run.start + u64::from(run.len), 100).unwrap();
        assert_eq!(next.start, run.start + u64::from(run.len));
        assert_eq!(next.len, 100);
        run = next;
    }
}

#[test]
fn a_taken_goal_gives_the_first_run_that_is_long_enough() {
    let a = fresh(4096, telemetry(), Env::default());
    a.mark_used(100, 50).unwrap();
    a.mark_used(160, 40).unwrap();
    assert_eq!(
        a.alloc(100, 10).unwrap(),
        Run {
            start: 150,
            len: 10
        }
    );
    assert_eq!(
        a.alloc(100, 64).unwrap(),
        Run {
            start: 200,
            len: 64
        }
    );
}

#[test]
fn fragments_give_the_longest_run() {
    let t = telemetry();
    let a = fresh(2048, t, Env::default());
    for at in (2..2048).step_by(16) {
        a.mark_used(at, 1).unwrap();
    }
    let run = a.alloc(18, 64).unwrap();
    assert_eq!(run, Run { start: 19, len: 15 });
}

#[test]
fn shards_are_loaded_only_when_needed_and_full_ones_never() {
    let total = SHARD_BLOCKS * 3;
    let t = telemetry();
    let free = |s| if s == 0 { 0 } else { SHARD_BLOCKS as u32 - 2 };
    let a = Allocator::new(total, free, Some(t), Env::default()).unwrap();
    assert_eq!(a.alloc(5, 1), Err(Refused::NeedShard(1)));
    assert_eq!(a.available(), a.free_blocks() - total / 64);
    a.load(1, &fresh_bitmap(SHARD_BLOCKS as u32)).unwrap();
    assert_eq!(a.alloc(5, 1).unwrap().start, SHARD_BLOCKS + 2);
    assert!(!a.is_loaded(0) && !a.is_loaded(2));
    assert_eq!(a.free(7, 1), Err(ENODATA));
    assert_eq!(a.alloc(2 * SHARD_BLOCKS + 9, 1), Err(Refused::NeedShard(2)));
}

#[test]
fn a_bitmap_that_contradicts_the_summary_is_refused() {
    let a = unloaded(1000, telemetry(), Env::default());
    assert_eq!(a.load(0, &fresh_bitmap(999)), Err(EFSCORRUPTED));
    assert_eq!(a.load(0, &[0; 100]), Err(EINVAL));
    assert_eq!(a.load(1, &fresh_bitmap(1000)), Err(EINVAL));
    assert!(!a.is_loaded(0));
    let too_many = Allocator::new(1000, |_| 1001, None, Env::default());
    assert!(too_many.is_err_and(|e| e == EFSCORRUPTED));
}

#[test]
fn bits_past_the_end_are_never_given_out() {
    let a = unloaded(100, telemetry(), Env::default());
    // A bitmap that forgot to set them.
    let mut bitmap = vec![0u8; PAYLOAD_SIZE];
    bitmap[0] = 3;
    a.load(0, &bitmap).unwrap();
    let mut got = 0;
    while let Ok(run) = a.alloc_meta(0, 64) {
        assert!(run.start + u64::from(run.len) <= 100);
        got += run.len;
    }
    assert_eq!(got, 98);
}

#[test]
fn double_free_is_refused_counted_and_reported() {
    let t = telemetry();
    let a = fresh(4096, t, Env::default());
    let run = a.alloc(64, 70).unwrap();
    a.free(run.start, run.len).unwrap();
    let before = a.free_blocks();
    assert_eq!(a.free(run.start, run.len), Err(EFSCORRUPTED));
    assert_eq!(t.counters.double_frees.load(Relaxed), 70);
    // A run that is free in its middle only is refused as a whole.
    let run = a.alloc(64, 70).unwrap();
    a.free(run.start + 65, 1).unwrap();
    assert_eq!(a.free(run.start, run.len), Err(EFSCORRUPTED));
    assert_eq!(a.free_blocks(), before - 69);
    // Blocks of the format are not anybody's to free.
    assert_eq!(a.free(1, 3), Err(EFSCORRUPTED));
    assert_eq!(kinds(t), [EventKind::DoubleFree; 3]);
    let report = a.panic_report(9);
    assert_eq!((report.epoch, report.double_frees), (9, 72));
    assert_eq!(report.last_errors[1].arg, 129);
    assert_eq!(report.drained.events, 3);
}

#[test]
fn out_of_range_is_refused() {
    let a = fresh(1000, telemetry(), Env::default());
    for (start, len) in [(999, 2), (1000, 1), (u64::MAX, 1), (5, 0)] {
        assert_eq!(a.free(start, len), Err(EINVAL));
        assert_eq!(a.mark_used(start, len), Err(EINVAL));
    }
    // A goal beyond the end is no goal.
    assert!(a.alloc(u64::MAX, 1).is_ok());
}

#[test]
fn metadata_gets_what_data_must_leave() {
    let t = telemetry();
    let a = fresh(1000, t, Env::default());
    let mut data = 0;
    while let Ok(run) = a.alloc(0, 64) {
        data += run.len;
    }
    assert_eq!(data, 998 - 32);
    assert_eq!(a.available(), 0);
    assert_eq!(a.reserve(1), Err(ENOSPC));
    for _ in 0..32 {
        a.alloc_meta(0, 1).unwrap();
    }
    assert_eq!(a.alloc_meta(0, 1), Err(Refused::NoSpace));
    assert_eq!(a.free_blocks(), 0);
    // The data, the promise, the metadata.
    assert_eq!(t.counters.alloc_failed.load(Relaxed), 3);
    // What is freed fills the metadata reserve first.
    a.free(500, 32).unwrap();
    assert_eq!(a.alloc(0, 1), Err(Refused::NoSpace));
    a.free(532, 1).unwrap();
    assert_eq!(a.alloc(0, 1).unwrap().start, 500);
    // More is kept from now on, and less again.
    a.free(540, 10).unwrap();
    a.keep(20);
    assert_eq!((a.available(), a.unpromised()), (0, 42));
    a.keep(7);
    assert_eq!((a.available(), a.unpromised()), (3, 42));
}

#[test]
fn a_reservation_is_kept() {
    let t = telemetry();
    let a = fresh(1000, t, Env::default());
    a.reserve(900).unwrap();
    assert_eq!(a.reserve(100), Err(ENOSPC));
    assert_eq!(t.counters.alloc_failed.load(Relaxed), 1);
    assert_eq!(t.counters.reserved.load(Relaxed), 900);
    let mut others = 0;
    while let Ok(run) = a.alloc(0, 64) {
        others += run.len;
    }
    while a.alloc_meta(0, 1).is_ok() {
        others += 1;
    }
    assert_eq!(others, 98);
    let mut got = 0;
    while got < 900 {
        got += a.alloc_reserved(0, 900 - got).unwrap().len;
    }
    assert_eq!(t.counters.reserved.load(Relaxed), 0);
    assert_eq!(a.free_blocks(), 0);
}

#[test]
fn pressure_comes_and_goes_with_hysteresis() {
    let t = telemetry();
    let a = fresh(SHARD_BLOCKS, t, Env::default());
    let pressure = || t.counters.shards_with_pressure.load(Relaxed);
    a.mark_used(2, SHARD_BLOCKS as u32 - 2 - 1009).unwrap();
    assert_eq!(pressure(), 0);
    a.mark_used(SHARD_BLOCKS - 1, 1).unwrap();
    assert_eq!(pressure(), 1);
    for _ in 0..10 {
        a.free(2, 500).unwrap();
        a.mark_used(2, 500).unwrap();
    }
    assert_eq!(pressure(), 1);
    assert_eq!(kinds(t), [EventKind::Pressure]);
    a.free(2, 1010).unwrap();
    assert_eq!(pressure(), 0);
}

#[test]
fn a_run_may_be_freed_across_shards() {
    let a = fresh(SHARD_BLOCKS * 2, telemetry(), Env::default());
    a.mark_used(SHARD_BLOCKS - 5, 10).unwrap();
    // Its middle is the second shard's own two blocks.
    assert_eq!(a.free(SHARD_BLOCKS - 5, 10), Err(EFSCORRUPTED));
    a.free(SHARD_BLOCKS - 5, 5).unwrap();
    a.free(SHARD_BLOCKS + 2, 3).unwrap();
}

std::thread_local! {
    static CPU: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

#[test]
fn threads_never_get_the_same_block_and_counters_end_exact() {
    use std::sync::Mutex;
    const TOTAL: u64 = SHARD_BLOCKS + 4000;
    let t = telemetry();
    let env = Env {
        cpu: || CPU.get(),
        now_ns: || 1,
    };
    let a = fresh(TOTAL, t, env);
    let start = a.free_blocks();
    // Who owns a block; an owner that finds another's mark has been given the block twice.
    let owner: Vec<_> = (0..TOTAL).map(|_| Mutex::new(0u32)).collect();
    std::thread::scope(|scope| {
        for cpu in 1..=4u32 {
            let (a, owner) = (&a, &owner);
            scope.spawn(move || {
                CPU.set(cpu);
                let mut mine: Vec<Run> = Vec::new();
                let give = |run: Run| {
                    for b in run.start..run.start + u64::from(run.len) {
                        *owner[b as usize].lock().unwrap() = 0;
                    }
                    a.free(run.start, run.len).unwrap();
                };
                let mut x = u64::from(cpu).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                for _ in 0..60_000 {
                    x ^= x << 13;
                    x ^= x >> 7;
                    x ^= x << 17;
                    // Near one place, so that the threads do meet.
                    let goal = if x & 1 == 0 {
                        0
                    } else {
                        SHARD_BLOCKS - 64 + x % 512
                    };
                    if x & 4 == 0 || mine.len() < 8 {
                        let want = (x >> 8) as u32 % 100 + 1;
                        let Ok(run) = a.alloc(goal, want) else {
                            continue;
                        };
                        for b in run.start..run.start + u64::from(run.len) {
                            let old =
                                std::mem::replace(&mut *owner[b as usize].lock().unwrap(), cpu);
                            assert_eq!(old, 0, "block {b} given out twice");
                        }
                        mine.push(run);
                    } else {
                        let run = mine.swap_remove((x >> 20) as usize % mine.len());
                        give(run);
                    }
                }
                mine.drain(..).for_each(give);
            });
        }
    });
    assert_eq!(a.free_blocks(), start);
    assert_eq!(a.available(), start - TOTAL / 64);
    assert_eq!(t.counters.double_frees.load(Relaxed), 0);
    let pressure = a.shards.iter().filter(|s| s.under_pressure()).count() as u64;
    assert_eq!(t.counters.shards_with_pressure.load(Relaxed), pressure);
    for (s, shard) in (0..).zip(a.shards.iter()) {
        let span = Span {
            start: 0,
            len: shard_len(TOTAL, s),
        };
        assert_eq!(shard.map().unwrap().free_in(span).0, shard.free());
    }
}

#[derive(Clone, Debug)]
enum Step {
    Alloc(u64, u32),
    Meta(u64),
    Reserve(u64),
    AllocReserved(u64),
    Unreserve,
    Free(usize),
    FreeAny(u64, u32),
}

fn step(total: u64) -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..total + 10, 1..300u32).prop_map(|(g, w)| Step::Alloc(g, w)),
        1 => (0..total).prop_map(Step::Meta),
        1 => (1..total / 2).prop_map(Step::Reserve),
        1 => (0..total).prop_map(Step::AllocReserved),
        1 => Just(Step::Unreserve),
        3 => any::<usize>().prop_map(Step::Free),
        1 => (0..total + 5, 0..5u32).prop_map(|(b, n)| Step::FreeAny(b, n)),
    ]
}

/// The model: a set of used blocks and two numbers.
struct Model {
    total: u64,
    used: BTreeSet<u64>,
    reserved: u64,
    runs: Vec<Run>,
}

impl Model {
    fn free(&self) -> u64 {
        self.total - self.used.len() as u64
    }

    fn took(&mut self, run: Run, want: u32) {
        assert!(run.len >= 1 && run.len <= want);
        for b in run.start..run.start + u64::from(run.len) {
            assert!(b < self.total);
            assert!(self.used.insert(b), "block {b} was in use");
        }
        self.runs.push(run);
    }

    fn range_free(&self, start: u64, len: u32) -> u64 {
        let all = start..start + u64::from(len);
        all.filter(|b| !self.used.contains(b)).count() as u64
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn follows_the_model(
        total in prop_oneof![100u64..3000, SHARD_BLOCKS + 3..SHARD_BLOCKS + 500],
        steps in proptest::collection::vec(step(2600), 1..120),
    ) {
        let t = telemetry();
        let a = fresh(total, t, Env::default());
        let reserve = (total / 64).clamp(32, 2048);
        let mut m = Model { total, used: BTreeSet::new(), reserved: 0, runs: Vec::new() };
        for s in 0..total.div_ceil(SHARD_BLOCKS) {
            m.used.extend([s * SHARD_BLOCKS, s * SHARD_BLOCKS + 1].iter().filter(|&&b| b < total));
        }
        for step in steps {
            let room = m.free().saturating_sub(m.reserved + reserve);
            match step {
                Step::Alloc(goal, want) => match a.alloc(goal, want) {
                    Ok(run) => {
                        prop_assert!(u64::from(run.len) <= room);
                        // At its goal if that was free.
                        if goal > 0 && goal < total && !m.used.contains(&goal) {
                            prop_assert_eq!(run.start, goal);
                        }
                        m.took(run, want);
                    }
                    Err(e) => {
                        prop_assert_eq!(e, Refused::NoSpace);
                        prop_assert_eq!(room, 0);
                    }
                },
                Step::Meta(goal) => match a.alloc_meta(goal, 1) {
                    Ok(run) => m.took(run, 1),
                    Err(_) => prop_assert_eq!(m.free(), m.reserved),
                },
                Step::Reserve(n) => {
                    prop_assert_eq!(a.reserve(n).is_ok(), n <= room);
                    if n <= room {
                        m.reserved += n;
                    }
                }
                Step::AllocReserved(goal) if m.reserved > 0 => {
                    let want = m.reserved.min(200) as u32;
                    let run = a.alloc_reserved(goal, want).unwrap();
                    m.reserved -= u64::from(run.len);
                    m.took(run, want);
                }
                Step::AllocReserved(_) => {}
                Step::Unreserve => {
                    a.unreserve(m.reserved);
                    m.reserved = 0;
                }
                Step::Free(i) if !m.runs.is_empty() => {
                    let run = m.runs.swap_remove(i % m.runs.len());
                    prop_assert_eq!(a.free(run.start, run.len), Ok(()));
                    for b in run.start..run.start + u64::from(run.len) {
                        m.used.remove(&b);
                    }
                }
                Step::Free(_) => {}
                Step::FreeAny(start, len) => {
                    let outside = len == 0 || start + u64::from(len) > total;
                    let free = m.range_free(start, len);
                    if outside {
                        prop_assert_eq!(a.free(start, len), Err(EINVAL));
                    } else if free > 0 {
                        prop_assert_eq!(a.free(start, len), Err(EFSCORRUPTED));
                    }
                }
            }
            prop_assert_eq!(a.free_blocks(), m.free());
            prop_assert_eq!(t.counters.reserved.load(Relaxed), m.reserved);
            let room = m.free().saturating_sub(m.reserved + reserve);
            prop_assert_eq!(a.available(), room);
        }
    }
}
