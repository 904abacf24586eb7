// SPDX-License-Identifier: GPL-2.0

//! Runs workloads on all cores, tries their crash states, and reports.

use crate::{
    crash::{Crash, Walk},
    disk::Lie,
    driver::Fault,
    rng::Rng,
    verify::{Depth, Judge},
    workload::{self, Run},
};
use std::{
    cell::RefCell,
    collections::HashMap,
    panic::{catch_unwind, AssertUnwindSafe},
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        Mutex,
    },
};

/// States of a short workload at most; they are few enough that this is seldom reached.
const SHORT_MAX: usize = 3000;
/// States of a long workload.
const LONG: usize = 240;

/// What to simulate.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Everything follows from it.
    pub seed: u64,
    /// How the disk lies.
    pub lie: Lie,
    /// What the module does wrong.
    pub fault: Fault,
    /// Failures that are enough.
    pub failures: usize,
}

/// Something is wrong.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Workload.
    pub workload: u64,
    /// State of it; `None`: it failed without a crash.
    pub state: Option<u64>,
    /// What.
    pub why: String,
}

/// What was tried.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Different states.
    pub states: u64,
    /// Workloads.
    pub workloads: u64,
    /// What was wrong.
    pub failures: Vec<Failure>,
}

thread_local! {
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// From now on a panic is kept for `guarded` and not printed.
pub fn quiet_panics() {
    std::panic::set_hook(Box::new(|info| {
        let backtrace = std::backtrace::Backtrace::capture();
        PANIC.set(format!("{info}\n{backtrace}"));
    }));
}

/// Calls `f`, and makes a panic of the core an error.
pub fn guarded<T>(f: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|_| Err(PANIC.take()))
}

/// The crashes of a workload, in an order that follows from its seed; `f` is called with each one's
/// number until it says false.
fn crashes(
    run: &Run,
    plan: &Plan,
    workload: u64,
    mut f: impl FnMut(u64, &Walk<'_>, &Crash) -> bool,
) {
    let mut rng = Rng::part(plan.seed ^ 0x5a5a_5a5a, workload);
    let mut walk = Walk::new(run.base.clone(), &run.log, run.caps, plan.lie);
    let points = run.log.len() + 1;
    let mut number = 0;
    let mut acked = 0;
    loop {
        let now_acked = run.oracle.acked(walk.point());
        let found = if run.style.is_short() {
            // What was acknowledged since makes old states worth another look.
            walk.systematic(&mut rng, now_acked == acked)
        } else {
            let some = (LONG / points) as u64 + u64::from(rng.index(points) < LONG % points);
            walk.random(&mut rng, some as usize)
        };
        acked = now_acked;
        for crash in &found {
            if !f(number, &walk, crash) {
                return;
            }
            number += 1;
        }
        if !walk.advance() {
            return;
        }
    }
}

/// Which states are looked at more closely; each costs as much as several others.
fn depth(state: u64) -> Depth {
    Depth {
        crash_again: state % 4 == 1,
        go_on: state % 16 == 3,
        read_only: state % 16 == 7,
    }
}

fn judge(
    run: &Run,
    walk: &Walk<'_>,
    crash: &Crash,
    plan: &Plan,
    id: (u64, u64),
) -> Result<(), String> {
    let judge = Judge {
        oracle: &run.oracle,
        caps: run.caps,
        point: crash.point,
    };
    let mut rng = Rng::part(plan.seed ^ id.0 << 32, id.1);
    guarded(|| judge.judge(&walk.image(crash), depth(id.1), &mut rng))
}

/// Tries the states of one workload, until `stop` says so. Stops at its first failure.
pub fn one_workload(
    plan: &Plan,
    workload: u64,
    stop: impl Fn(u64) -> bool,
) -> (u64, Option<Failure>) {
    let fail = |state, why| {
        Some(Failure {
            workload,
            state,
            why,
        })
    };
    let run = match guarded(|| workload::run(plan.seed, workload, plan.lie, plan.fault)) {
        Ok(run) => run,
        Err(why) => return (0, fail(None, why)),
    };
    let (mut tried, mut failure) = (0, None);
    // States seen, by contents, with what had been acknowledged then: the more, the stricter.
    let mut seen: HashMap<u64, usize> = HashMap::new();
    crashes(&run, plan, workload, |number, walk, crash| {
        let acked = run.oracle.acked(crash.point);
        let print = walk.image(crash).fingerprint(&run.base);
        if seen.get(&print).is_some_and(|&a| a >= acked) {
            return true;
        }
        seen.insert(print, acked);
        tried += 1;
        if let Err(why) = judge(&run, walk, crash, plan, (workload, number)) {
            failure = fail(Some(number), why);
            return false;
        }
        let most = if run.style.is_short() {
            SHORT_MAX
        } else {
            LONG
        };
        tried < most as u64 && !stop(1)
    });
    (tried, failure)
}

/// Tries at least `states` states on `threads` threads. `tick` is told of every state, `tell` of every
/// failure.
pub fn simulate(
    plan: &Plan,
    states: u64,
    threads: usize,
    tick: impl Fn(u64) + Sync,
    tell: impl Fn(&Failure) + Sync,
) -> Outcome {
    let next = AtomicU64::new(0);
    let tried = AtomicU64::new(0);
    let enough = AtomicBool::new(false);
    let outcome = Mutex::new(Outcome::default());
    let work = || {
        while !enough.load(Ordering::Relaxed) {
            let workload = next.fetch_add(1, Ordering::Relaxed);
            let (count, failure) = one_workload(plan, workload, |n| {
                tick(n);
                tried.fetch_add(n, Ordering::Relaxed) + n >= states
            });
            failure.iter().for_each(&tell);
            let Ok(mut sum) = outcome.lock() else { return };
            sum.states += count;
            sum.workloads += 1;
            sum.failures.extend(failure);
            if tried.load(Ordering::Relaxed) >= states || sum.failures.len() >= plan.failures {
                enough.store(true, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let mut outcome = outcome.into_inner().unwrap_or_default();
    outcome.failures.sort_by_key(|f| (f.workload, f.state));
    outcome
}

/// Tries one state, or the workload alone, and tells what it was.
pub fn replay(plan: &Plan, workload: u64, state: Option<u64>) -> Result<String, String> {
    let run = guarded(|| workload::run(plan.seed, workload, plan.lie, plan.fault))?;
    let steps = run.oracle.steps.iter().enumerate();
    let steps = steps.map(|(n, s)| {
        let (first, last) = s.epochs;
        format!(
            "  step {n}, event {}, epoch {first}-{last}: {}\n",
            s.events, s.what
        )
    });
    let mut told: String = steps.collect();
    told += &format!(
        "  {:?}, {:?}, {} events\n",
        run.style,
        run.caps,
        run.log.len()
    );
    let mut result = Ok(());
    let Some(state) = state else { return Ok(told) };
    crashes(&run, plan, workload, |number, walk, crash| {
        if number == state {
            let acked = run.oracle.acked(crash.point);
            for (n, event) in run
                .log
                .iter()
                .enumerate()
                .take(crash.point + 1)
                .skip(crash.point.saturating_sub(12))
            {
                told += &format!("  event {n}: {event:?}\n");
            }
            told += &format!("  {acked} steps acknowledged; {crash:?}\n");
            result = judge(&run, walk, crash, plan, (workload, number));
        }
        number < state
    });
    match result {
        Ok(()) => Ok(told),
        Err(why) => Err(format!("{told}{why}")),
    }
}
