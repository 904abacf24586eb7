// SPDX-License-Identifier: GPL-2.0

//! `permfs panic`: reads PermFS's breadcrumbs out of logs and panic areas and tells what happened.
//!
//! The lines are `Documentation/panic-lines.md`'s. A line counts only if its CRC is right; what was
//! torn, cut or overwritten is counted and never believed.

mod area;
mod calendar;
mod html;
mod human;
mod line;
mod model;
mod scan;
mod source;
#[cfg(test)]
mod tests;
mod text;

use self::{model::Report, source::Logs};
use anyhow::{Context, Result};
use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

/// Where pstore shows what it kept, where systemd moves that at boot, and where the archiving unit does.
const DEFAULT_PLACES: [&str; 3] = [
    source::PSTORE,
    "/var/lib/systemd/pstore",
    "/var/lib/permfs/panic",
];

/// Exit status when nothing was found, and when that may be because something could not be read.
const NONE_FOUND: u8 = 1;
const NOT_READ: u8 = 2;

/// Read the breadcrumbs of a panic from pstore, a volume, a console log or standard input.
///
/// A volume may be mounted; its device or image is only read. Lines of one panic that are in several
/// places are put together.
///
/// Exits with 0 if a panic was found; with 1 if none was; with 2 if none was and something could not be
/// read, or if a place that was named could not.
#[derive(clap::Args, Debug)]
pub struct PanicArgs {
    /// Print JSON (Documentation/panic.schema.json) instead of a summary
    #[arg(long, group = "form")]
    json: bool,
    /// Print a page for a browser, complete in itself
    #[arg(long, group = "form")]
    html: bool,
    /// Print the kernel's log that pstore or a panic area kept, oldest text first
    #[arg(long, group = "form")]
    log: bool,
    /// Volumes, logs or folders of logs, "-" for standard input [default: pstore, what systemd kept of
    /// it, /var/lib/permfs/panic, and the mounted volumes]
    #[arg(value_name = "FILE|DIR|DEVICE|-")]
    places: Vec<PathBuf>,
}

/// Runs the command.
pub fn run(args: &PanicArgs) -> Result<ExitCode> {
    let mut logs = collect(args)?;
    let report = model::Builder::read(&mut logs);
    let text = if args.json {
        let mut text = serde_json::to_vec_pretty(&report).context("cannot write JSON")?;
        text.push(b'\n');
        text
    } else if args.html {
        html::page(&report).into_bytes()
    } else if args.log {
        kernel_log(&logs).into_bytes()
    } else {
        human::summary(&report).into_bytes()
    };
    match io::stdout().lock().write_all(&text) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {}
        other => other.context("cannot write to standard output")?,
    }
    Ok(ExitCode::from(status(&report)))
}

fn collect(args: &PanicArgs) -> Result<Logs> {
    let mut logs = Logs::default();
    if args.places.is_empty() {
        for place in DEFAULT_PLACES {
            logs.add_if_there(place.as_ref());
        }
        logs.add_mounted();
    }
    for place in &args.places {
        logs.add(place)?;
    }
    Ok(logs)
}

/// The kernel's log, oldest text of each panic first, without what could drive a terminal.
fn kernel_log(logs: &Logs) -> String {
    let mut pieces: Vec<_> = logs.kernel_logs.iter().collect();
    pieces.sort_by(|a, b| (&a.panic, b.part).cmp(&(&b.panic, a.part)));
    let text = source::text_of(&pieces);
    let lines = String::from_utf8_lossy(&text);
    let lines = lines.lines().map(|line| text::plain(line) + "\n");
    lines.collect()
}

fn status(report: &Report) -> u8 {
    let lost = |a: &area::AreaReport| a.torn + a.damaged > 0;
    let unread = !report.unreadable.is_empty() || report.areas.iter().any(lost);
    match (report.panics.is_empty(), unread) {
        (false, _) => 0,
        (true, false) => NONE_FOUND,
        (true, true) => NOT_READ,
    }
}
