// SPDX-License-Identifier: GPL-2.0

//! Every place where power may fail, with what the device's cache may have let through.

use super::{
    device::{crashed, open_writes, Event, Image},
    rig::{check, device_model, mount, Random, Rig},
};
use crate::{
    format::{SECTORS_PER_BLOCK, STATE_BLOCK},
    journal::header::HEADER_BLOCKS,
    meta::MetaWrite,
    store::{HomeBatch, Sealed},
};
use kernel::prelude::*;
use std::{format, vec, vec::Vec};

/// What was acknowledged as durable when so many events had happened.
type Acks = Vec<(usize, u64)>;

/// What another thread has in its hands while operations go on.
#[derive(Default)]
struct Others {
    /// Actions since the last one sealed.
    age: usize,
    sealed: Option<(Sealed, Option<Result>)>,
    batch: Option<(HomeBatch, Option<Result>)>,
}

/// Something random that a mounted filesystem does.
fn act(rig: &mut Rig, others: &mut Others) {
    others.age += 1;
    if others.age == 10 {
        // Nor does a thread sleep for ever.
        if let Some((sealed, outcome)) = others.sealed.take() {
            let outcome = outcome.unwrap_or_else(|| sealed.write(&rig.dev));
            rig.store.complete(sealed, outcome).unwrap();
        }
    }
    match rig.random.below(24) {
        0 if others.sealed.is_none() => {
            others.age = 0;
            others.sealed = match rig.store.seal() {
                Ok(sealed) => sealed.map(|s| (s, None)),
                Err(e) => panic!("seal: {e:?}"),
            }
        }
        1 | 2 => {
            if let Some((sealed, outcome @ None)) = &mut others.sealed {
                *outcome = Some(sealed.write(&rig.dev));
            }
        }
        3 | 4 => {
            if let Some((sealed, Some(outcome))) = others.sealed.take_if(|s| s.1.is_some()) {
                rig.store.complete(sealed, outcome).unwrap();
            }
        }
        5 if others.batch.is_none() => {
            let batch = rig.store.begin_checkpoint_batch(16).unwrap();
            others.batch = batch.map(|b| (b, None));
        }
        6 => {
            if let Some((batch, outcome)) = &mut others.batch {
                *outcome = Some(batch.write(&rig.dev));
            }
        }
        7 => {
            if let Some((batch, Some(outcome))) = others.batch.take_if(|b| b.1.is_some()) {
                rig.store.finish_checkpoint_batch(batch, outcome).unwrap();
                rig.store.advance_tail().unwrap();
            }
        }
        8 => rig.store.commit().unwrap(),
        9 if rig.random.below(6) == 0 => rig.store.checkpoint().unwrap(),
        _ => rig.step(),
    }
}

/// Runs `steps` actions; returns the image at the start, the events, and the acknowledgements.
fn workload(rig: &mut Rig, steps: usize, alone: bool) -> (Image, Vec<Event>, Acks) {
    rig.dev.take_events();
    let base = rig.dev.image();
    let mut acks = vec![(0, rig.store.durable_epoch())];
    let mut others = Others::default();
    for _ in 0..steps {
        if alone && rig.random.below(5) == 0 {
            rig.store.commit().unwrap();
        } else if alone {
            rig.step();
        } else {
            act(rig, &mut others);
        }
        acks.push((rig.dev.event_count(), rig.store.durable_epoch()));
    }
    (base, rig.dev.take_events(), acks)
}

/// Mounts `image` read-only and read-write and checks both; then crashes in the middle of that mount too.
fn check_image(rig: &Rig, image: Image, acked: u64, random: &mut Random, what: &str) {
    let verify = |image: Image, read_only: bool| {
        let dev = rig.dev.with_image(image);
        let mut store = mount(&dev, &rig.sb, read_only).unwrap_or_else(|e| panic!("{what}: {e:?}"));
        let epoch = store.durable_epoch();
        assert!(
            epoch >= acked,
            "{what}: epoch {epoch}, acknowledged {acked}"
        );
        if let Err(why) = check(&mut store, &dev, rig.expected(epoch)) {
            panic!("{what}: epoch {epoch}, read-only {read_only}: {why}");
        }
        (dev, epoch)
    };
    let (dev, seen) = verify(image.clone(), true);
    assert_eq!(dev.event_count(), 0, "{what}: a read-only mount wrote");
    let (dev, epoch) = verify(image.clone(), false);
    assert_eq!(epoch, seen, "{what}");
    let events = dev.take_events();
    let cut = random.below(events.len() as u64 + 1) as usize;
    let again = crashed(&image, &events[..cut], |_, _| u128::from(random.next()));
    let (_, epoch) = verify(again, false);
    assert_eq!(epoch, seen, "{what}: replayed twice");
}

/// A header is durable before anything else is written: what it gave free may be reused by that (TAIL FIRST).
fn headers_are_durable(rig: &Rig, events: &[Event]) {
    let start = rig.sb.journal_header.get() * SECTORS_PER_BLOCK;
    for (i, event) in events.iter().enumerate() {
        let Event::Write { sector, fua, .. } = event else {
            continue;
        };
        if (start..start + HEADER_BLOCKS * SECTORS_PER_BLOCK).contains(sector) {
            assert!(*fua || matches!(events.get(i + 1), Some(Event::Flush)));
        }
    }
}

/// Crashes after every event; returns the number of states tried.
fn crash_everywhere(rig: &Rig, base: &Image, events: &[Event], acks: &Acks, seed: u64) -> usize {
    headers_are_durable(rig, events);
    let mut random = Random(seed);
    let mut states = 0;
    for cut in 0..=events.len() {
        let events = &events[..cut];
        let acked = acks
            .iter()
            .filter(|a| a.0 <= cut)
            .map(|a| a.1)
            .max()
            .unwrap_or(0);
        let open = open_writes(events);
        // All subsets of whole writes where they are few, else some; and torn ones.
        let subsets = if open <= 3 { 1u64 << open } else { 6 };
        for n in 0..subsets + 2 {
            let what = format!("seed {seed} cut {cut} state {n}");
            let bits = if open <= 3 { n } else { random.next() };
            let torn = n >= subsets;
            let image = crashed(base, events, |i, _| match torn {
                true => u128::from(random.next()) << 64 | u128::from(random.next()),
                false if bits >> (i % 64) & 1 == 1 => u128::MAX,
                false => 0,
            });
            check_image(rig, image, acked, &mut random, &what);
            states += 1;
        }
    }
    states
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_half_there() {
    let mut states = 0;
    for (seed, journal, sector, fua) in [
        (1, 128, 512, false),
        (2, 512, 512, true),
        (3, 128, 4096, true),
        (4, 1024, 512, false),
    ] {
        let mut rig = Rig::new(device_model(sector, fua), journal, seed);
        for round in 0..2 {
            let (base, events, acks) = workload(&mut rig, 15, true);
            states += crash_everywhere(&rig, &base, &events, &acks, seed * 100 + round);
            // Further on in the ring, with older records in it.
            for _ in 0..60 {
                rig.step();
            }
        }
    }
    assert!(states > 1000, "{states}");
}

#[test]
fn commits_and_checkpoints_beside_operations_keep_the_order() {
    for seed in 10..15 {
        let journal = [128, 256, 640][seed as usize % 3];
        let mut rig = Rig::new(device_model(512, seed % 2 == 0), journal, seed);
        let (base, events, acks) = workload(&mut rig, 250, false);
        headers_are_durable(&rig, &events);
        // The end, and a sample of the rest: every state checks all that came before.
        let mut random = Random(seed);
        for n in 0..120 {
            let cut = random.below(events.len() as u64 + 1) as usize;
            let acked = acks
                .iter()
                .filter(|a| a.0 <= cut)
                .map(|a| a.1)
                .max()
                .unwrap_or(0);
            let torn = random.below(2) == 0;
            let image = crashed(&base, &events[..cut], |_, _| match torn {
                true => u128::from(random.next()) << 64 | u128::from(random.next()),
                false => (random.below(2) as u128).wrapping_neg(),
            });
            check_image(
                &rig,
                image,
                acked,
                &mut Random(n),
                &format!("seed {seed} cut {cut} n {n}"),
            );
        }
    }
}

#[test]
fn a_thread_that_never_comes_back_with_its_batch_stops_nobody() {
    for journal in [128, 256] {
        let mut rig = Rig::new(device_model(512, false), journal, 77);
        for _ in 0..100 {
            rig.step();
        }
        rig.store.commit().unwrap();
        let batch = rig.store.begin_checkpoint_batch(64).unwrap().unwrap();
        // Many times round the ring.
        let before = rig.store.ring.head;
        while rig.store.ring.head < before + 8 * rig.store.ring.sectors() {
            rig.step();
        }
        let outcome = batch.write(&rig.dev);
        rig.store.finish_checkpoint_batch(batch, outcome).unwrap();
        rig.store.commit().unwrap();
        let image = rig.dev.image();
        let acked = rig.store.durable_epoch();
        check_image(&rig, image, acked, &mut Random(1), "late batch");
    }
}

/// Changes one word and makes that durable, until the ring has come round `times` times.
fn round_the_ring(rig: &mut Rig, times: u64) -> Result {
    let end = rig.store.ring.head + times * rig.store.ring.sectors();
    while rig.store.ring.head < end {
        let n = rig.store.ring.head.to_le_bytes();
        rig.store.run(|op| op.write(STATE_BLOCK, 8, &n))?;
        rig.store.commit()?;
    }
    Ok(())
}

#[test]
fn a_record_whose_owner_sleeps_is_taken_over() {
    let mut rig = Rig::new(device_model(512, false), 128, 78);
    rig.step();
    rig.step();
    let sealed = rig.store.seal().unwrap().unwrap();
    round_the_ring(&mut rig, 3).unwrap();
    assert!(rig.store.durable_epoch() > sealed.epoch() + 10);
    // The owner wakes up: it must not write over what stands there now.
    let image = rig.dev.image();
    let outcome = sealed.write(&rig.dev);
    assert!(rig.dev.image() == image);
    assert_eq!(sealed.write(&rig.dev), Ok(()));
    assert_eq!(rig.store.complete(sealed, outcome), Ok(()));
    rig.step();
    rig.store.commit().unwrap();
    let acked = rig.store.durable_epoch();
    check_image(&rig, rig.dev.image(), acked, &mut Random(1), "taken over");
}

#[test]
fn a_record_that_its_owner_is_writing_is_waited_for_and_written_once() {
    let mut rig = Rig::new(device_model(512, false), 128, 79);
    rig.step();
    let sealed = rig.store.seal().unwrap().unwrap();
    let record = sealed.record().unwrap().clone();
    assert_eq!(record.begin_as_owner(), Ok(true));
    rig.dev.take_events();
    let (sector, ended) = (record.sector, std::sync::atomic::AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(50));
            ended.store(true, std::sync::atomic::Ordering::SeqCst);
            record.end_as_owner(Ok(()));
        });
        rig.step();
        rig.store.commit().unwrap();
        assert!(ended.load(std::sync::atomic::Ordering::SeqCst));
    });
    // It is the owner's to write, and here nobody has: an acknowledged record is not written again.
    let again = |event: &Event| matches!(event, Event::Write { sector: at, .. } if *at == sector);
    assert!(!rig.dev.take_events().iter().any(again));
    assert_eq!(sealed.write(&rig.dev), Err(EINVAL));
    assert_eq!(rig.store.complete(sealed, Ok(())), Ok(()));
}

#[test]
fn a_record_that_its_owner_could_not_write_fails_who_waits() {
    let mut rig = Rig::new(device_model(512, false), 128, 80);
    rig.step();
    let sealed = rig.store.seal().unwrap().unwrap();
    let record = sealed.record().unwrap();
    assert_eq!(record.begin_as_owner(), Ok(true));
    record.end_as_owner(Err(EIO));
    assert_eq!(rig.store.commit(), Err(EIO));
    assert!(rig.store.failed());
    assert_eq!(rig.store.complete(sealed, Err(EIO)), Err(EIO));
}

#[test]
fn what_is_not_durable_does_not_go_home() {
    let mut rig = Rig::new(device_model(512, false), 256, 79);
    for _ in 0..30 {
        rig.step();
    }
    rig.store.commit().unwrap();
    let acked = rig.store.durable_epoch();
    for _ in 0..4 {
        rig.step();
    }
    let sealed = rig.store.seal().unwrap().unwrap();
    rig.step();
    // All that may go home goes home, and the power fails before the record is written.
    while let Some(batch) = rig.store.begin_checkpoint_batch(64).unwrap() {
        let outcome = batch.write(&rig.dev);
        rig.store.finish_checkpoint_batch(batch, outcome).unwrap();
    }
    rig.store.advance_tail().unwrap();
    check_image(&rig, rig.dev.image(), acked, &mut Random(1), "not durable");
    let outcome = sealed.write(&rig.dev);
    rig.store.complete(sealed, outcome).unwrap();
    let acked = rig.store.durable_epoch();
    check_image(&rig, rig.dev.image(), acked, &mut Random(1), "durable");
}
