// SPDX-License-Identifier: GPL-2.0

//! `permfs-sim`: tries crash states and fails if the core does not survive one.

#![forbid(unsafe_code)]

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use permfs_core::plant::{self, FAULTS};
use permfs_sim::{
    disk::Lie,
    driver::Fault,
    runner::{quiet_panics, replay, simulate, Failure, Plan},
};
use std::{process::ExitCode, time::Duration};

/// Crash simulator for PermFS: makes workloads, crashes them in every way, and checks what is left.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// States to try.
    #[arg(long, default_value_t = 200_000)]
    states: u64,
    /// Where workloads come from; a random one if not given.
    #[arg(long)]
    seed: Option<u64>,
    /// 20,000 states.
    #[arg(long)]
    quick: bool,
    /// One workload only, and what it does.
    #[arg(long, requires = "seed")]
    workload: Option<u64>,
    /// One state of that workload.
    #[arg(long, requires = "workload")]
    state: Option<u64>,
    /// Breaks an invariant of the core by name (`list` prints the names); in builds with `PERMFS_PLANTED=y`.
    #[arg(long)]
    plant: Option<String>,
    /// Failures that are enough.
    #[arg(long, default_value_t = 10)]
    failures: usize,
    /// Threads; all cores if not given.
    #[arg(long)]
    threads: Option<usize>,
}

/// Plants the fault of that name. Errors say what there is instead.
fn plant(name: &str) -> Result<(), String> {
    let found = FAULTS.iter().find(|(known, _)| *known == name);
    let &(_, fault) = found.ok_or_else(|| {
        let names: Vec<_> = FAULTS.iter().map(|(known, _)| *known).collect();
        names.join("\n")
    })?;
    match plant::plant(fault) {
        true => Ok(()),
        false => Err("no fault can be planted in this build: PERMFS_PLANTED=y".into()),
    }
}

fn random_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    // Keyed anew for every process. Short, so that it is easily typed.
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_u8(0);
    hasher.finish() % 1_000_000_000
}

fn tell(seed: u64, failure: &Failure) -> String {
    let state = failure
        .state
        .map_or(String::new(), |s| format!(" --state {s}"));
    format!(
        "FAIL: {}\n  again: cargo run --release --manifest-path tools/Cargo.toml -p permfs-sim -- \
         --seed {seed} --workload {}{state}",
        failure.why, failure.workload
    )
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(Err(told)) = args.plant.as_deref().map(plant) {
        println!("{told}");
        return ExitCode::from(2);
    }
    // A panic of the core is a failure like any other and told as such.
    quiet_panics();
    let seed = args.seed.unwrap_or_else(random_seed);
    let plan = Plan {
        seed,
        lie: Lie::None,
        fault: Fault::None,
        failures: args.failures,
    };
    if let Some(workload) = args.workload {
        return match replay(&plan, workload, args.state) {
            Ok(told) => {
                print!("{told}");
                println!("sim: workload {workload}: nothing wrong (seed {seed})");
                ExitCode::SUCCESS
            }
            Err(why) => {
                eprintln!("{why}");
                println!("sim: workload {workload}: FAILED (seed {seed})");
                ExitCode::FAILURE
            }
        };
    }
    let states = if args.quick { 20_000 } else { args.states };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let bar = ProgressBar::new(states);
    let style =
        ProgressStyle::with_template("sim: {bar:30} {pos}/{len} states, {per_sec}, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(500));
    let tick = |n| bar.inc(n);
    let show = |failure: &Failure| bar.suspend(|| eprintln!("{}", tell(seed, failure)));
    let outcome = simulate(&plan, states, args.threads.unwrap_or(cores), tick, show);
    bar.finish_and_clear();
    println!(
        "sim: {} states, {} workloads, {} failures (seed {seed})",
        outcome.states,
        outcome.workloads,
        outcome.failures.len()
    );
    if outcome.failures.is_empty() && outcome.states >= states {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
