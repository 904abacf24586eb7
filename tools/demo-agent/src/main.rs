// SPDX-License-Identifier: GPL-2.0
//! `demo-agent`: writes real files to a filesystem until the kernel panics, and afterwards checks every promise made.

mod ack;
mod churn;
mod copy;
mod panicker;
mod rng;
mod sources;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Copies files with an fsync each, says so on the acknowledgement channel, then changes them until stopped
    Copy(CopyArgs),
    /// Checks a filesystem against what was acknowledged
    Verify(VerifyArgs),
}

/// The folders that are copied; each becomes a folder of its own name.
#[derive(Args)]
struct SourceArgs {
    /// Folders to copy first, their largest files before the others
    #[arg(long, required = true, num_args = 1..)]
    from: Vec<PathBuf>,
    /// Folders to copy when those are done
    #[arg(long, num_args = 1..)]
    then: Vec<PathBuf>,
}

#[derive(Args)]
struct CopyArgs {
    #[command(flatten)]
    sources: SourceArgs,
    /// Where to copy to
    #[arg(long)]
    to: PathBuf,
    /// File or device that takes the acknowledgements; must lie outside of --to's volume
    #[arg(long)]
    ack: PathBuf,
    /// Writers at work side by side
    #[arg(long, default_value_t = 4)]
    threads: usize,
    /// Seed of every random choice
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Copy in a random order, not the largest files first
    #[arg(long)]
    shuffle: bool,
    /// Change a copied file after every N files that a writer has copied [default: only when all are copied]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    change_every: u64,
    /// Stop after this many changes to copied files [default: never]
    #[arg(long)]
    changes: Option<u64>,
    #[command(flatten)]
    panic: PanicArgs,
}

/// When to make the kernel panic: at a random moment of a window that opens at a number of files and bytes.
#[derive(Args)]
struct PanicArgs {
    /// Make the kernel panic (sysrq-c) at a random moment of so many milliseconds after the other two conditions hold
    #[arg(long, value_name = "MS")]
    panic_within: Option<u64>,
    /// Not before so many files are acknowledged
    #[arg(long, default_value_t = 0, requires = "panic_within")]
    min_files: u64,
    /// Not before so many MiB are acknowledged
    #[arg(long, default_value_t = 0, requires = "panic_within")]
    min_mib: u64,
}

#[derive(Args)]
struct VerifyArgs {
    /// The filesystem to check
    #[arg(long)]
    root: PathBuf,
    /// The acknowledgements
    #[arg(long)]
    ack: PathBuf,
    /// What was not acknowledged must hold these files' bytes or nothing
    #[command(flatten)]
    sources: SourceArgs,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Copy(args) => copy::run(&args),
        Command::Verify(args) => verify::run(&args),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("demo-agent: {error:#}");
            ExitCode::from(2)
        }
    }
}
