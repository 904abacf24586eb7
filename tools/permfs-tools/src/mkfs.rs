// SPDX-License-Identifier: GPL-2.0

//! `mkfs.permfs`: makes a volume.

use std::{
    io::IsTerminal,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{anyhow, bail, Context, Result};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use permfs_core::{
    device::BlockDevice,
    format::{SECTORS_PER_BLOCK, SHARD_BLOCKS},
    geometry::{Geometry, Wishes},
    inode::Time,
    mkfs::{format, plan, MkfsParams},
};
use permfs_hostdev::OpenMode;

use crate::{
    holder, open, signature,
    size::{human, parse_blocks},
    uuid,
};

/// Exit status of a failure, as mke2fs and mkfs.xfs have it.
const FAILED: u8 = 1;
/// Blocks discarded in one call, so that progress shows: 1 GiB.
const DISCARD_BLOCKS: usize = 1 << 18;
/// Bytes of a label.
const LABEL_MAX: usize = 64;

/// Make a PermFS filesystem on a device or an image file
///
/// Refuses a device that is mounted, and one that holds something else, unless --force is given.
/// Nothing that was on the device can be had back.
#[derive(Parser, Debug)]
#[command(name = "mkfs.permfs", version)]
pub struct MkfsArgs {
    /// Device or image file
    device: PathBuf,
    /// Name of the volume, at most 64 bytes
    #[arg(short = 'L', long, value_parser = parse_label, default_value = "")]
    label: String,
    /// UUID of the volume [default: random]
    #[arg(short = 'U', long, value_parser = uuid::parse)]
    uuid: Option<[u8; 16]>,
    /// Size of the volume, such as 10G [default: all of the device]
    #[arg(short, long, value_name = "SIZE", value_parser = parse_blocks)]
    size: Option<u64>,
    /// Size of the journal [default: a 16th of the volume, 512K to 32M; 64M from 16G on]
    #[arg(short, long, value_name = "SIZE", value_parser = parse_blocks)]
    journal_size: Option<u64>,
    /// Slots of the panic area, a power of two [default: up to 16]
    #[arg(long, value_name = "N")]
    panic_slots: Option<u32>,
    /// Size of a slot of the panic area [default: 64K]
    #[arg(long, value_name = "SIZE", value_parser = parse_blocks)]
    panic_slot_size: Option<u64>,
    /// Owner of the root directory
    #[arg(long, value_name = "UID:GID", value_parser = parse_owner, default_value = "0:0")]
    root_owner: (u32, u32),
    /// Show what would be done, write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Do not tell the device that its old contents are not needed
    #[arg(short = 'K', long)]
    no_discard: bool,
    /// Overwrite what the device holds (a mounted device is refused all the same)
    #[arg(short, long)]
    force: bool,
    /// Print errors only
    #[arg(short, long)]
    quiet: bool,
}

fn parse_label(text: &str) -> Result<String, String> {
    if text.len() > LABEL_MAX {
        return Err(format!(
            "a label has {LABEL_MAX} bytes at most, this one has {}",
            text.len()
        ));
    }
    if text.chars().any(char::is_control) {
        return Err("a label has no control characters".into());
    }
    Ok(text.into())
}

fn parse_owner(text: &str) -> Result<(u32, u32), String> {
    let pair = text
        .split_once(':')
        .and_then(|(u, g)| Some((u.parse().ok()?, g.parse().ok()?)));
    pair.ok_or_else(|| format!("{text} is not a pair of numbers such as 0:0"))
}

/// Runs the command.
pub fn main() -> ExitCode {
    let args = match MkfsArgs::try_parse() {
        Ok(args) => args,
        Err(e) => {
            // Help and version go to standard output and are no failure.
            let failed = e.use_stderr();
            let _ = e.print();
            return ExitCode::from(if failed { FAILED } else { 0 });
        }
    };
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("mkfs.permfs: {e:#}");
            ExitCode::from(FAILED)
        }
    }
}

fn run(args: &MkfsArgs) -> Result<()> {
    let path = &args.device;
    if let Some(holder) = holder::of(path) {
        bail!("{} {holder}; it was left alone", path.display());
    }
    let mode = if args.dry_run {
        OpenMode::Read
    } else {
        OpenMode::Exclusive
    };
    let dev = open(path, mode)?;
    if !args.force {
        if let Some(what) = signature::probe(&dev, path) {
            bail!("{} holds a {what}; --force overwrites it", path.display());
        }
    }
    let params = params(args)?;
    let planned = plan(&dev, &params).map_err(|e| explain(&dev, path, &e))?;
    if !args.dry_run {
        if !args.no_discard {
            discard(&dev, args.quiet);
        }
        let spinner = spinner(args.quiet);
        let outcome = format(&dev, &params);
        spinner.finish_and_clear();
        outcome.map_err(|e| explain(&dev, path, &e))?;
    }
    if !args.quiet {
        print!("{}", describe(args, &params, &planned));
    }
    Ok(())
}

/// Whether somebody is there to watch.
fn shows_progress(quiet: bool) -> bool {
    !quiet && std::io::stderr().is_terminal()
}

/// Discards the whole device, so that a thin volume or a flash drive starts empty. Stops without a word
/// at the first error: most often the device cannot.
fn discard<D: BlockDevice>(dev: &D, quiet: bool) {
    let blocks = dev.sectors() / SECTORS_PER_BLOCK;
    let bar = if shows_progress(quiet) {
        ProgressBar::new(blocks)
    } else {
        ProgressBar::hidden()
    };
    let bar = bar.with_message("discarding");
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {percent}% {eta}") {
        bar.set_style(style);
    }
    for start in (0..blocks).step_by(DISCARD_BLOCKS) {
        let count = (blocks - start).min(DISCARD_BLOCKS as u64);
        if dev.discard(start, count).is_err() {
            break;
        }
        bar.inc(count);
    }
    bar.finish_and_clear();
}

fn spinner(quiet: bool) -> ProgressBar {
    if !shows_progress(quiet) {
        return ProgressBar::hidden();
    }
    let spinner = ProgressBar::new_spinner().with_message("writing the volume");
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}

fn explain<D: BlockDevice>(
    dev: &D,
    path: &std::path::Path,
    e: &permfs_core::mkfs::MkfsError,
) -> anyhow::Error {
    let blocks = dev.sectors() / SECTORS_PER_BLOCK;
    anyhow!(
        "cannot make a volume on {} ({}): {e}",
        path.display(),
        human(blocks)
    )
}

fn params(args: &MkfsArgs) -> Result<MkfsParams> {
    let mut label = [0; LABEL_MAX];
    label[..args.label.len()].copy_from_slice(args.label.as_bytes());
    let slot = args.panic_slot_size.map(u32::try_from).transpose();
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock is before 1970")?;
    Ok(MkfsParams {
        label,
        uuid: args.uuid.map_or_else(uuid::new, Ok)?,
        blocks: args.size,
        wishes: Wishes {
            journal_blocks: args.journal_size,
            panic_slots: args.panic_slots,
            panic_slot_blocks: slot.context("the size of a panic slot is too large")?,
        },
        hash_seed: uuid::random()?,
        generation: u64::from_le_bytes(uuid::random()?),
        now: Time {
            sec: i64::try_from(since.as_secs())?,
            nsec: since.subsec_nanos(),
        },
        root_owner: args.root_owner,
    })
}

fn describe(args: &MkfsArgs, params: &MkfsParams, g: &Geometry) -> String {
    let heading = if args.dry_run { "would make" } else { "made" };
    let slots = format!(
        "{} slots of {}",
        g.panic_slots,
        human(g.panic_slot_blocks.into())
    );
    format!(
        "{heading} a PermFS volume on {}\n  \
         label     {}\n  \
         uuid      {}\n  \
         size      {} ({} blocks of 4 KiB)\n  \
         shards    {} of {}\n  \
         journal   {}\n  \
         panic     {slots}\n",
        args.device.display(),
        if args.label.is_empty() {
            "(none)"
        } else {
            &args.label
        },
        uuid::format(&params.uuid),
        human(g.blocks),
        g.blocks,
        g.shards,
        human(SHARD_BLOCKS),
        human(g.journal_blocks),
    )
}
