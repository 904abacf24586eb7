// SPDX-License-Identifier: GPL-2.0

//! `permfs-oracle`: judges every state that a power cut could have left of a disk that the real module has written.

#![forbid(unsafe_code)]

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use permfs_sim::{
    disk::Caps,
    runner::quiet_panics,
    syscalls::{history::History, journal, judge::Trial, log::Log},
};
use std::{path::PathBuf, process::ExitCode};

/// Failures that are told.
const TOLD: usize = 5;

/// Judges what power cuts could have left of a disk, by the log of its writes and the journal of the calls that were made.
///
/// Every flush and every FUA write is a moment to cut at, with all and with nothing of what was not durable; then --states more, by
/// chance. Exits with 1 if a state is not what the calls allow.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Log of the disk, in the form of dm-log-writes.
    #[arg(long)]
    log: PathBuf,
    /// Log of the same writes from below --log, in the order in which they were done: dm-log-writes has another.
    #[arg(long)]
    order: Option<PathBuf>,
    /// Journal of the calls.
    #[arg(long)]
    journal: PathBuf,
    /// The program's name in the journal.
    #[arg(long)]
    label: String,
    /// Size of the volume in MiB.
    #[arg(long, default_value_t = 16)]
    volume: u64,
    /// The disk has no cache: what is written is durable.
    #[arg(long)]
    uncached: bool,
    /// Bytes that the disk writes as a whole.
    #[arg(long, default_value_t = 512)]
    sector: usize,
    /// States by chance.
    #[arg(long, default_value_t = 1000)]
    states: u64,
    /// Where they come from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One state only, and what led to it.
    #[arg(long)]
    state: Option<u64>,
}

impl Args {
    fn trial(&self) -> Result<Trial, String> {
        let text = std::fs::read_to_string(&self.journal);
        let text = text.map_err(|e| format!("{}: {e}", self.journal.display()))?;
        let blocks = self.volume << 8;
        let mut log = Log::read(&self.log, blocks, !self.uncached)?;
        if let Some(order) = &self.order {
            log.untangle(&Log::read(order, blocks, true)?)?;
        }
        let history = History::follow(journal::read(&text, &self.label)?)?;
        let (calls, marks) = (history.calls.len(), log.marks.len());
        if calls != marks {
            return Err(format!("{calls} calls, and {marks} marks in the log"));
        }
        let caps = Caps {
            cache: !self.uncached,
            fua: true,
            sector_size: self.sector,
        };
        Ok(Trial {
            history,
            log,
            caps,
            blocks,
        })
    }

    fn again(&self, state: u64) -> String {
        let mut again = format!(
            "build/bin/permfs-oracle --log {} --journal {} --label {} --volume {} --sector {} --states {} --seed {}",
            self.log.display(),
            self.journal.display(),
            self.label,
            self.volume,
            self.sector,
            self.states,
            self.seed
        );
        if self.uncached {
            again += " --uncached";
        }
        if let Some(order) = &self.order {
            again += &format!(" --order {}", order.display());
        }
        format!("{again} --state {state}")
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    // A panic of the core is a failure like any other.
    quiet_panics();
    let label = &args.label;
    let trial = match args.trial() {
        Ok(trial) => trial,
        Err(why) => {
            eprintln!("oracle: {label}: {why}");
            return ExitCode::from(2);
        }
    };
    let bar = ProgressBar::new(args.states);
    let style =
        ProgressStyle::with_template("oracle: {msg}: {bar:30} {pos}/{len} states, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(label.clone());
    let tick = |all| {
        bar.set_length(all);
        bar.inc(1);
    };
    let outcome = trial.run(args.seed, args.states, args.state, tick);
    bar.finish_and_clear();
    for (state, _, why) in outcome.failures.iter().take(TOLD) {
        println!(
            "FAIL: {label}: state {state}: {why}\n  again: {}",
            args.again(*state)
        );
    }
    let first = outcome.failures.first();
    let first = first.map_or(String::new(), |f| {
        format!(", the first after {} states", f.1)
    });
    println!(
        "oracle: {label}: {} states of {} calls, {} of them at flushes and FUA writes, {} cut again in the mount: \
         {} failures{first} (seed {})",
        outcome.states,
        trial.history.calls.len(),
        outcome.boundaries,
        outcome.again,
        outcome.failures.len(),
        args.seed
    );
    match (outcome.failures.len(), outcome.states) {
        (0, 1..) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
