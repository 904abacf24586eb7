// SPDX-License-Identifier: GPL-2.0

//! `fsck.permfs`: checks a volume. It does not repair one yet, and says so.

use std::{io::IsTerminal, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{anyhow, bail, Result};
use clap::Parser;
use indicatif::ProgressBar;
use kernel::prelude::{EINVAL, EIO, ENOMEM};
use permfs_core::{
    check::{check, Finding, Summary},
    geometry,
};
use permfs_hostdev::OpenMode;
use serde::Serialize;

use crate::{
    holder::{self, Holder},
    open,
    size::human,
};

/// Exit statuses of fsck(8).
const CLEAN: u8 = 0;
const ERRORS_LEFT: u8 = 4;
const OPERATIONAL: u8 = 8;
const USAGE: u8 = 16;

/// Check a PermFS volume
///
/// The volume is only read: its journal is replayed in memory and everything that can be reached is
/// checked. Repairing is not there yet; without -n the check is the same, and says so.
///
/// A block that cannot be read is a finding, and everything else is checked all the same.
///
/// Exits with 0 if the volume is clean, 4 if errors were found, 8 if it could not be checked, 16 for
/// wrong usage: the statuses of fsck(8).
#[derive(Parser, Debug)]
#[command(name = "fsck.permfs", version)]
pub struct FsckArgs {
    /// Device or image file
    device: PathBuf,
    /// Check only, change nothing
    #[arg(short = 'n', long)]
    no: bool,
    /// Accepted for fsck(8): repair without questions
    #[arg(short = 'a', short_alias = 'p', short_alias = 'y')]
    automatic: bool,
    /// Accepted for fsck(8): check even if the volume was unmounted (always done)
    #[arg(short, long)]
    force: bool,
    /// Print JSON instead of sentences
    #[arg(long)]
    json: bool,
    /// Print nothing for a clean volume
    #[arg(short, long)]
    quiet: bool,
    /// Print at most this many findings
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,
}

#[derive(Serialize)]
struct Report {
    device: String,
    clean: bool,
    epoch: u64,
    /// Epochs that were found in the log.
    replayed: u64,
    inodes: u64,
    directories: u64,
    files: u64,
    symlinks: u64,
    orphans: u64,
    blocks: u64,
    used: u64,
    data: u64,
    found: u64,
    /// The first ones, up to the limit.
    findings: Vec<Item>,
}

#[derive(Serialize)]
struct Item {
    problem: String,
    #[serde(skip_serializing_if = "is_zero")]
    inode: u64,
    #[serde(skip_serializing_if = "is_zero")]
    block: u64,
    sentence: String,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Runs the command.
pub fn main() -> ExitCode {
    let args = match FsckArgs::try_parse() {
        Ok(args) => args,
        Err(e) => {
            let failed = e.use_stderr();
            let _ = e.print();
            return ExitCode::from(if failed { USAGE } else { CLEAN });
        }
    };
    match run(&args) {
        Ok(true) => ExitCode::from(CLEAN),
        Ok(false) => ExitCode::from(ERRORS_LEFT),
        Err(e) => {
            eprintln!("fsck.permfs: {e:#}");
            ExitCode::from(OPERATIONAL)
        }
    }
}

/// Whether the volume is clean.
fn run(args: &FsckArgs) -> Result<bool> {
    let path = &args.device;
    if let Some(holder) = holder::of(path).filter(|h| !matches!(h, Holder::Mount(_, false))) {
        bail!(
            "{} {holder}: a volume that changes cannot be checked",
            path.display()
        );
    }
    let dev = open(path, OpenMode::Read)?;
    if !args.no && !args.quiet && !args.json {
        eprintln!("fsck.permfs: repairing is not there yet: checking only, as with -n");
    }
    // What `check` says of a device without any super block is only an errno.
    let reason = geometry::read_super(&dev).err();
    let spinner = spinner(args);
    let mut findings = Vec::new();
    let mut found = 0;
    let outcome = check(dev, &mut |finding| {
        found += 1;
        if findings.len() < args.limit {
            findings.push(finding);
        }
    });
    spinner.finish_and_clear();
    let name = path.display();
    let summary = outcome.map_err(|e| match (e, reason) {
        (ENOMEM, _) => anyhow!("out of memory while checking {name}"),
        (EIO, _) => anyhow!("{name}: neither the super block nor a backup can be read"),
        (EINVAL, Some(reason)) => anyhow!("{name}: {reason}, and no backup of it"),
        (e, _) => anyhow!("cannot check {name}: {e:?}"),
    })?;
    if args.json {
        print_json(args, &summary, &findings)?;
    } else {
        print_text(args, &summary, &findings);
    }
    Ok(found == 0)
}

fn spinner(args: &FsckArgs) -> ProgressBar {
    if args.quiet || args.json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let spinner = ProgressBar::new_spinner().with_message("checking");
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}

fn print_text(args: &FsckArgs, s: &Summary, findings: &[Finding]) {
    for finding in findings {
        println!("{finding}");
    }
    let more = s.findings - findings.len() as u64;
    if more > 0 {
        println!("... and {more} more");
    }
    if args.quiet && s.findings == 0 {
        return;
    }
    let verdict = match s.findings {
        0 => "clean".to_string(),
        1 => "1 error".to_string(),
        n => format!("{n} errors"),
    };
    let replayed = match s.replayed {
        0 => String::new(),
        n => format!(" ({n} from the log)"),
    };
    println!(
        "{}: {verdict}, {} inodes ({} files, {} directories), {} of {} used, epoch {}{replayed}",
        args.device.display(),
        s.inodes,
        s.files,
        s.directories,
        human(s.used),
        human(s.blocks),
        s.epoch,
    );
}

fn print_json(args: &FsckArgs, s: &Summary, findings: &[Finding]) -> Result<()> {
    let item = |f: &Finding| Item {
        problem: format!("{:?}", f.problem),
        inode: f.ino,
        block: f.block,
        sentence: f.to_string(),
    };
    let report = Report {
        device: args.device.display().to_string(),
        clean: s.findings == 0,
        epoch: s.epoch,
        replayed: s.replayed,
        inodes: s.inodes,
        directories: s.directories,
        files: s.files,
        symlinks: s.symlinks,
        orphans: s.orphans,
        blocks: s.blocks,
        used: s.used,
        data: s.data,
        found: s.findings,
        findings: findings.iter().map(item).collect(),
    };
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(())
}
