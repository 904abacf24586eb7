// SPDX-License-Identifier: GPL-2.0

//! `permfs panic`: reads PermFS's breadcrumbs out of logs and tells what happened.
//!
//! The lines are `Documentation/panic-lines.md`'s. A line counts only if its CRC is right; what was
//! torn, cut or overwritten is counted and never believed.

mod human;
mod line;
mod model;
mod scan;
mod source;
#[cfg(test)]
mod tests;

use self::model::Report;
use anyhow::{Context, Result};
use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode, //
};

/// Where pstore shows what it kept, and where systemd moves that at boot.
const DEFAULT_PLACES: [&str; 2] = ["/sys/fs/pstore", "/var/lib/systemd/pstore"];

/// Exit status when nothing was found, and when that may be because a file could not be read.
const NONE_FOUND: u8 = 1;
const NOT_READ: u8 = 2;

/// Read the breadcrumbs of a panic from pstore, a console log or standard input.
///
/// Exits with 0 if a panic was found; with 1 if none was; with 2 if none was and something could not be
/// read, or if a place that was named could not.
#[derive(clap::Args, Debug)]
pub struct PanicArgs {
    /// Print JSON instead of a summary
    #[arg(long)]
    json: bool,
    /// Logs or folders of logs, "-" for standard input [default: pstore]
    #[arg(value_name = "FILE|DIR|-")]
    places: Vec<PathBuf>,
}

/// Runs the command.
pub fn run(args: &PanicArgs) -> Result<ExitCode> {
    let report = read(args)?;
    let text = if args.json {
        let mut text = serde_json::to_string_pretty(&report).context("cannot write JSON")?;
        text.push('\n');
        text
    } else {
        human::summary(&report)
    };
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {}
        other => other.context("cannot write to standard output")?,
    }
    Ok(ExitCode::from(status(&report)))
}

fn read(args: &PanicArgs) -> Result<Report> {
    let mut logs = source::Logs::default();
    if args.places.is_empty() {
        for place in DEFAULT_PLACES {
            logs.add_if_there(place.as_ref())?;
        }
    }
    for place in &args.places {
        logs.add(place)?;
    }
    Ok(model::Builder::read(logs))
}

fn status(report: &Report) -> u8 {
    match (report.panics.is_empty(), report.unreadable.is_empty()) {
        (false, _) => 0,
        (true, true) => NONE_FOUND,
        (true, false) => NOT_READ,
    }
}
