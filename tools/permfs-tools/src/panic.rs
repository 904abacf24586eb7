// SPDX-License-Identifier: GPL-2.0

//! `permfs panic`: reads PermFS's breadcrumbs out of logs and panic areas and tells what happened.
//!
//! The lines are `Documentation/panic-lines.md`'s. A line counts only if its CRC is right; what was
//! torn, cut or overwritten is counted and never believed.

mod archive;
mod area;
mod backtrace;
mod calendar;
mod html;
mod human;
mod line;
mod model;
mod output;
mod prometheus;
mod scan;
mod source;
#[cfg(test)]
mod tests;
mod text;

use self::{model::Report, source::Logs};
use anyhow::{Context, Result};
use std::{
    path::{Path, PathBuf},
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
/// Exits with 0 if a panic or an oops was found; with 1 if none was; with 2 if none was and something could not be
/// read, or if a place that was named could not. With --archive or --prometheus, having found none is 0
/// too, unless a file or device could not be read.
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
    /// Print metrics for Prometheus' textfile collector
    #[arg(long, group = "form")]
    prometheus: bool,
    /// Keep every panic and oops in a folder, as text, JSON and kernel log; what is there is not written again
    #[arg(long, group = "form", value_name = "DIR")]
    archive: Option<PathBuf>,
    /// Then remove from /sys/fs/pstore the files that are in the archive
    #[arg(long, requires = "archive")]
    erase_pstore: bool,
    /// Write to a file, which is replaced at once or not at all
    #[arg(long, short, value_name = "FILE", conflicts_with = "archive")]
    out: Option<PathBuf>,
    /// Volumes, logs or folders of logs, "-" for standard input [default: pstore, what systemd kept of
    /// it, /var/lib/permfs/panic, and the mounted volumes]
    #[arg(value_name = "FILE|DIR|DEVICE|-")]
    places: Vec<PathBuf>,
}

/// Runs the command.
pub fn run(args: &PanicArgs) -> Result<ExitCode> {
    let mut logs = collect(args)?;
    let report = model::Builder::read(&mut logs);
    let text = if let Some(folder) = &args.archive {
        archived(folder, args, &report, &logs)?.into_bytes()
    } else if args.json {
        let mut text = serde_json::to_vec_pretty(&report).context("cannot write JSON")?;
        text.push(b'\n');
        text
    } else if args.html {
        html::page(&report).into_bytes()
    } else if args.prometheus {
        prometheus::metrics(&report).into_bytes()
    } else if args.log {
        kernel_log(&logs).into_bytes()
    } else {
        human::summary(&report).into_bytes()
    };
    output::put(&text, args.out.as_deref())?;
    let serves_programs = args.archive.is_some() || args.prometheus;
    Ok(ExitCode::from(match status(&report) {
        // That there was no panic is no failure, nor is a slot that has been damaged for long.
        _ if serves_programs && report.unreadable.is_empty() => 0,
        status => status,
    }))
}

/// What is told of a log's text: the summary, and the kernel's log. For the fuzzer.
#[doc(hidden)]
pub fn told_of(text: Vec<u8>) -> [String; 2] {
    let mut logs = Logs::default();
    logs.push("a log".into(), text);
    let report = model::Builder::read(&mut logs);
    // JSON escapes by itself; that it can be made is what is looked at.
    serde_json::to_vec(&report).expect("a report is JSON");
    html::page(&report);
    prometheus::metrics(&report);
    [human::summary(&report), kernel_log(&logs)]
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

/// Adds to the archive; what was done, and what could not be read.
fn archived(folder: &Path, args: &PanicArgs, report: &Report, logs: &Logs) -> Result<String> {
    let done = archive::add(folder, report, &logs.kernel_logs, args.erase_pstore)?;
    let counts = |kind, n: &archive::Counts| {
        format!(
            "{} {kind} added, {} completed, {} there already",
            n.new, n.more, n.known
        )
    };
    let panics = counts("panic(s)", &done.panics);
    let mut text = format!("{}: {panics}", folder.display());
    if done.oopses != archive::Counts::default() {
        text += &format!("; {}", counts("oops(es)", &done.oopses));
    }
    if args.erase_pstore {
        text += &format!("; {} file(s) removed from pstore", done.erased);
    }
    text.push('\n');
    for file in &report.unreadable {
        text += &format!("Not read: {}: {}.\n", text::plain(&file.file), file.reason);
    }
    Ok(text)
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
    let none = report.panics.is_empty() && report.oopses.is_empty();
    match (none, unread) {
        (false, _) => 0,
        (true, false) => NONE_FOUND,
        (true, true) => NOT_READ,
    }
}
