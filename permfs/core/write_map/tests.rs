// SPDX-License-Identifier: GPL-2.0

//! The map against an array of blocks.

use super::*;
use proptest::prelude::*;
use std::vec::Vec;

const BLOCKS: u64 = 64;

#[derive(Clone, Debug)]
enum Step {
    Delay(u64, u64),
    Choose(u64, u64),
    Take(u64, u64),
    Undelay(u64, u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let range = (0..BLOCKS, 1..16u64).prop_map(|(a, n)| (a, n.min(BLOCKS - a)));
    let step = (0..4, range).prop_map(|(kind, (a, n))| match kind {
        0 => Step::Delay(a, n),
        1 => Step::Choose(a, n),
        2 => Step::Take(a, n),
        _ => Step::Undelay(a, n),
    });
    proptest::collection::vec(step, 1..60)
}

fn blocks_of(map: &WriteMap) -> Vec<Option<State>> {
    let mut out = vec![None; BLOCKS as usize];
    let mut at = 0;
    while let Some(run) = map.at_or_after(at) {
        assert!(run.len > 0);
        for i in 0..run.len {
            let cell = &mut out[(run.logical + i) as usize];
            assert!(cell.is_none(), "DISJOINT");
            *cell = Some(run.state.advanced(i));
        }
        at = run.end();
    }
    out
}

proptest! {
    #[test]
    fn behaves_like_an_array(steps in steps()) {
        let mut map = WriteMap::new();
        let mut model: Vec<Option<State>> = vec![None; BLOCKS as usize];
        let mut next_phys = 1000;
        for step in steps {
            match step {
                Step::Delay(a, n) => {
                    let mut fresh = 0;
                    for cell in &mut model[a as usize..(a + n) as usize] {
                        if cell.is_none() {
                            *cell = Some(State::Delayed);
                            fresh += 1;
                        }
                    }
                    prop_assert_eq!(map.delay(a, n).unwrap(), fresh);
                }
                Step::Choose(a, n) => {
                    let cells = &mut model[a as usize..(a + n) as usize];
                    if cells.iter().any(|c| matches!(c, Some(State::Chosen(_)))) {
                        continue;
                    }
                    let delayed = cells.iter().filter(|c| c.is_some()).count() as u64;
                    for (i, cell) in cells.iter_mut().enumerate() {
                        *cell = Some(State::Chosen(next_phys + i as u64));
                    }
                    prop_assert_eq!(map.choose(a, n, next_phys).unwrap(), delayed);
                    next_phys += 100;
                }
                Step::Undelay(a, n) => {
                    let mut dropped = 0;
                    for cell in &mut model[a as usize..(a + n) as usize] {
                        if *cell == Some(State::Delayed) {
                            *cell = None;
                            dropped += 1;
                        }
                    }
                    let mut told = 0;
                    map.take_delayed(a, n, |run| told += run.len).unwrap();
                    prop_assert_eq!(told, dropped);
                }
                Step::Take(a, n) => {
                    let mut told = vec![None; BLOCKS as usize];
                    map.take(a, n, |run| {
                        for i in 0..run.len {
                            told[(run.logical + i) as usize] = Some(run.state.advanced(i));
                        }
                    }).unwrap();
                    for (i, cell) in model.iter_mut().enumerate() {
                        let inside = (a..a + n).contains(&(i as u64));
                        let expected = if inside { cell.take() } else { None };
                        prop_assert_eq!(told[i], expected);
                    }
                }
            }
            prop_assert_eq!(&blocks_of(&map), &model);
            let delayed = model.iter().filter(|c| **c == Some(State::Delayed)).count() as u64;
            prop_assert_eq!(map.delayed(), delayed);
            let used = |c: &Option<State>| c.is_some();
            prop_assert_eq!(map.blocks, model.iter().filter(|c| used(c)).count() as u64);
            let begins = |i: &usize| used(&model[*i]) && (*i == 0 || !used(&model[i - 1]));
            prop_assert_eq!(map.groups, (0..model.len()).filter(begins).count() as u64);
            let mut chosen = vec![None; BLOCKS as usize];
            map.chosen(8, 40, |run| {
                for i in 0..run.len {
                    chosen[(run.logical + i) as usize] = Some(run.state.advanced(i));
                }
                Ok(())
            }).unwrap();
            for (i, cell) in model.iter().enumerate() {
                let want = cell.filter(|c| *c != State::Delayed && (8..48).contains(&i));
                prop_assert_eq!(chosen[i], want);
            }
        }
    }

    #[test]
    fn without_memory_a_change_happens_wholly_or_not_at_all(steps in steps()) {
        let mut map = WriteMap::new();
        for (i, step) in steps.into_iter().enumerate() {
            let before = (blocks_of(&map), map.delayed());
            let cells = |a: u64, n: u64| before.0[a as usize..(a + n) as usize].iter();
            let chosen = |cell: &Option<State>| matches!(cell, Some(State::Chosen(_)));
            let change = |map: &mut WriteMap| match step {
                Step::Delay(a, n) => map.delay(a, n).map(drop),
                Step::Choose(a, n) => map.choose(a, n, 1000 + 100 * i as u64).map(drop),
                Step::Take(a, n) => map.take(a, n, drop),
                Step::Undelay(a, n) => map.take_delayed(a, n, drop),
            };
            if matches!(step, Step::Choose(a, n) if cells(a, n).any(chosen)) {
                continue;
            }
            for allowed in 0.. {
                let outcome = {
                    let _guard = kernel::alloc::fail_after(allowed);
                    change(&mut map)
                };
                match outcome {
                    Ok(()) => break,
                    Err(e) => prop_assert_eq!(e, ENOMEM),
                }
                prop_assert_eq!(&(blocks_of(&map), map.delayed()), &before);
            }
        }
    }

    #[test]
    fn sequential_writing_keeps_one_run(pieces in proptest::collection::vec(1..9u64, 1..40)) {
        let mut map = WriteMap::new();
        let mut at = 0;
        for n in pieces {
            prop_assert_eq!(map.delay(at, n).unwrap(), n);
            at += n;
        }
        prop_assert_eq!(map.at_or_after(0), Some(Run { logical: 0, len: at, state: State::Delayed }));
    }
}
