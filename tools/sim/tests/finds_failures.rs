// SPDX-License-Identifier: GPL-2.0

//! A simulator that cannot fail shows nothing: with a disk that lies, or a module that forgets a step,
//! it must find failures; with neither, none.

use permfs_sim::{
    disk::Lie,
    driver::Fault,
    runner::{quiet_panics, replay, simulate, Outcome, Plan},
};

const SEED: u64 = 20;

fn try_out(lie: Lie, fault: Fault, states: u64) -> Outcome {
    try_seed(SEED, lie, fault, states)
}

fn try_seed(seed: u64, lie: Lie, fault: Fault, states: u64) -> Outcome {
    quiet_panics();
    let plan = Plan {
        seed,
        lie,
        fault,
        failures: 10,
    };
    simulate(&plan, states, 2, |_| (), |_| ())
}

/// Fails unless a crash state, and not only a workload by itself, was found wrong, for one of these reasons.
fn must_be_found(outcome: &Outcome, reasons: &[&str]) {
    let is_one = |why: &str| reasons.iter().any(|reason| why.contains(reason));
    let found = outcome
        .failures
        .iter()
        .find(|f| f.state.is_some() && is_one(&f.why));
    assert!(found.is_some(), "no state with {reasons:?} in {outcome:#?}");
}

#[test]
fn an_honest_disk_under_an_honest_module_survives() {
    let outcome = try_out(Lie::None, Fault::None, 1500);
    assert!(outcome.failures.is_empty(), "{:#?}", outcome.failures);
    assert!(outcome.states >= 1500);
}

#[test]
fn a_disk_that_ignores_flushes_is_found_out() {
    let outcome = try_out(Lie::Flush, Fault::None, 20_000);
    // A record is there and the one before it is not: the mount says so itself.
    must_be_found(
        &outcome,
        &["acknowledged changes are lost", "the log is damaged"],
    );
}

#[test]
fn a_disk_that_ignores_fua_is_found_out() {
    let outcome = try_out(Lie::Fua, Fault::None, 20_000);
    must_be_found(
        &outcome,
        &["acknowledged changes are lost", "the log is damaged"],
    );
}

#[test]
fn data_that_nobody_counts_for_the_next_flush_is_missed() {
    let outcome = try_out(Lie::None, Fault::DataNotCounted, 20_000);
    must_be_found(&outcome, &["not of write"]);
}

#[test]
fn a_failed_flush_that_is_forgotten_is_found_out() {
    // Few workloads have a flush fail that something depends on: this seed has one.
    let outcome = try_seed(33, Lie::None, Fault::FailedFlushForgotten, 20_000);
    must_be_found(&outcome, &["not of write"]);
}

#[test]
fn blocks_mapped_before_their_data_is_there_are_found() {
    let outcome = try_out(Lie::None, Fault::MapBeforeData, 20_000);
    must_be_found(&outcome, &["not of write"]);
}

#[test]
fn blocks_reused_before_the_epoch_that_freed_them_are_found() {
    let outcome = try_out(Lie::None, Fault::EarlyReuse, 60_000);
    must_be_found(&outcome, &["not of write"]);
}

#[test]
fn a_failing_seed_fails_again() {
    let plan = Plan {
        seed: SEED,
        lie: Lie::Flush,
        fault: Fault::None,
        failures: 10,
    };
    let outcome = try_out(plan.lie, plan.fault, 20_000);
    let failure = outcome.failures.iter().find(|f| f.state.is_some()).unwrap();
    let again = replay(&plan, failure.workload, failure.state).unwrap_err();
    assert!(
        again.ends_with(&failure.why),
        "{again}\nis not\n{}",
        failure.why
    );
}
