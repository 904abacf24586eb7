// SPDX-License-Identifier: GPL-2.0

//! `permfs`: looking at volumes and at what panics left.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use permfs_tools::{doctor, info, man, panic, quiesce};

/// Exit status of a failure, as clap's own for wrong usage.
const FAILED: u8 = 2;

/// Look at PermFS volumes and at what kernel panics left
#[derive(Parser, Debug)]
#[command(name = "permfs", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Doctor(doctor::DoctorArgs),
    Info(info::InfoArgs),
    Panic(panic::PanicArgs),
    Quiesce(quiesce::QuiesceArgs),
    #[command(hide = true)]
    Man(man::ManArgs),
}

fn main() -> ExitCode {
    let outcome = match Args::parse().command {
        Command::Doctor(args) => doctor::run(&args),
        Command::Info(args) => info::run(&args),
        Command::Panic(args) => panic::run(&args),
        Command::Quiesce(args) => quiesce::run(&args),
        Command::Man(args) => man::run(&args, Args::command()),
    };
    outcome.unwrap_or_else(|e| {
        eprintln!("permfs: {e:#}");
        ExitCode::from(FAILED)
    })
}
