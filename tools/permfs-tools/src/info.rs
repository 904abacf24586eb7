// SPDX-License-Identifier: GPL-2.0

//! `permfs info`: what a volume is, without mounting it.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{anyhow, Context, Result};
use permfs_core::{
    alloc::Env,
    format::{SuperBlock, BLOCK_SIZE, SHARD_BLOCKS},
    geometry::{self, Geometry},
    journal::header::JournalHeader,
    panic::SlotGuard,
    store::Store,
};
use permfs_hostdev::{FileBlockDevice, OpenMode};
use serde::Serialize;

use crate::{holder, open, size::human, uuid};

/// Show super block, layout, journal and free space of a volume.
///
/// The volume is only read. A mounted volume may have changed since its last commit.
#[derive(clap::Args, Debug)]
pub struct InfoArgs {
    /// Device or image file
    device: PathBuf,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// All sizes are in blocks of 4 KiB, all places are block numbers.
#[derive(Serialize)]
struct Info {
    device: String,
    in_use: Option<String>,
    label: String,
    uuid: String,
    /// Seconds since 1970.
    created: u64,
    /// Block that the super block was read from: 0, or a backup's.
    super_block: u64,
    backups_good: u64,
    backups: u64,
    feature_compat: u64,
    feature_ro_compat: u64,
    feature_incompat: u64,
    block_size: usize,
    blocks: u64,
    free_blocks: Option<u64>,
    shards: u64,
    shard_blocks: u64,
    summary_start: u64,
    summary_blocks: u64,
    journal: Option<Journal>,
    journal_header: u64,
    journal_start: u64,
    journal_blocks: u64,
    panic_start: u64,
    panic_slots: u32,
    panic_slot_blocks: u32,
    /// Why journal or free space are not known, or not all of it.
    trouble: Option<String>,
}

#[derive(Serialize)]
struct Journal {
    /// Whether the volume was unmounted.
    clean: bool,
    /// 512-byte sectors since mkfs at which replay starts.
    tail_lsn: u64,
    tail_epoch: u64,
    generation: u64,
}

/// Runs the command.
pub fn run(args: &InfoArgs) -> Result<ExitCode> {
    let info = read(args)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&info)?);
    } else {
        print!("{}", table(&info));
    }
    Ok(ExitCode::from(u8::from(info.trouble.is_some())))
}

fn read(args: &InfoArgs) -> Result<Info> {
    let dev = open(&args.device, OpenMode::Read)?;
    let name = args.device.display().to_string();
    let (block, sb, g) = match geometry::read_super(&dev) {
        Ok((sb, g)) => (0, sb, g),
        Err(e) => geometry::find_backup(&dev).ok_or_else(|| anyhow!("{name}: {e}"))?,
    };
    let copies: Vec<u64> = geometry::copies(g.shards)
        .skip(1)
        .map(|s| s * SHARD_BLOCKS)
        .collect();
    let is_good = |&&at: &&u64| geometry::read_at(&dev, at).is_ok_and(|(c, _)| c.uuid == sb.uuid);
    let backups_good = copies.iter().filter(is_good).count() as u64;
    let journal = JournalHeader::read(&dev, &sb).map(|header| Journal {
        clean: header.head.clean,
        tail_lsn: header.head.tail.lsn,
        tail_epoch: header.head.tail.epoch,
        generation: header.head.generation,
    });
    let free = free_blocks(dev, &sb);
    let trouble = match (&journal, &free) {
        (Err(e), _) => Some(format!("the journal's header is unusable: {e:?}")),
        (_, Err(e)) => Some(format!("the journal is unusable: {e:#}")),
        (_, Ok((_, lost @ 1..))) => Some(format!(
            "the summary of {lost} shards is unusable: their free blocks are not counted"
        )),
        _ => None,
    };
    Ok(Info {
        in_use: holder::of(&args.device).map(|h| h.to_string()),
        device: name,
        label: label(&sb),
        uuid: uuid::format(&sb.uuid),
        created: sb.created.get(),
        super_block: block,
        backups_good,
        backups: copies.len() as u64,
        feature_compat: sb.feature_compat.get(),
        feature_ro_compat: sb.feature_ro_compat.get(),
        feature_incompat: sb.feature_incompat.get(),
        block_size: BLOCK_SIZE,
        free_blocks: free.ok().map(|(free, _)| free),
        journal: journal.ok(),
        trouble,
        ..Info::layout(&g)
    })
}

/// Free blocks as the next mount would count them, and shards of which it cannot.
fn free_blocks(dev: FileBlockDevice, sb: &SuperBlock) -> Result<(u64, u64)> {
    let slot = SlotGuard::claim(b"info", &sb.uuid);
    let store = Store::mount(dev, *sb, true, slot, Env::default()).map_err(|e| anyhow!("{e:?}"));
    let store = store.context("replay in memory failed")?;
    let allocator = store.allocator();
    Ok((allocator.free_blocks(), allocator.lost_shards()))
}

fn label(sb: &SuperBlock) -> String {
    let text = sb.label.split(|&b| b == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

impl Info {
    /// The fixed areas, nothing else.
    fn layout(g: &Geometry) -> Self {
        Self {
            device: String::new(),
            in_use: None,
            label: String::new(),
            uuid: String::new(),
            created: 0,
            super_block: 0,
            backups_good: 0,
            backups: 0,
            feature_compat: 0,
            feature_ro_compat: 0,
            feature_incompat: 0,
            block_size: 0,
            blocks: g.blocks,
            free_blocks: None,
            shards: g.shards,
            shard_blocks: SHARD_BLOCKS,
            summary_start: permfs_core::format::SUMMARY_START,
            summary_blocks: g.summary_blocks,
            journal: None,
            journal_header: g.journal_header,
            journal_start: g.journal_start,
            journal_blocks: g.journal_blocks,
            panic_start: g.panic_start,
            panic_slots: g.panic_slots,
            panic_slot_blocks: g.panic_slot_blocks,
            trouble: None,
        }
    }
}

fn table(i: &Info) -> String {
    let mut text = String::new();
    let mut row = |key: &str, value: String| text.push_str(&format!("{key:<12}{value}\n"));
    row("device", i.device.clone());
    if let Some(holder) = &i.in_use {
        row("in use", format!("it {holder}"));
    }
    row(
        "label",
        if i.label.is_empty() {
            "(none)".into()
        } else {
            i.label.clone()
        },
    );
    row("uuid", i.uuid.clone());
    row("created", format!("{} (seconds since 1970)", i.created));
    let from = match i.super_block {
        0 => "block 0".to_string(),
        block => format!("UNUSABLE, read from the backup in block {block}"),
    };
    row(
        "super block",
        format!("{from}, {} of {} backups good", i.backups_good, i.backups),
    );
    let features = [i.feature_compat, i.feature_ro_compat, i.feature_incompat];
    row(
        "features",
        features.map(|bits| format!("{bits:#x}")).join(" "),
    );
    row("size", format!("{}, {} blocks", human(i.blocks), i.blocks));
    if let Some(free) = i.free_blocks {
        row("free", format!("{}, {free} blocks", human(free)));
    }
    row(
        "shards",
        format!("{} of {}", i.shards, human(i.shard_blocks)),
    );
    let place = |start, blocks| format!("blocks {start} to {}", start + blocks - 1);
    row("summary", place(i.summary_start, i.summary_blocks));
    let journal = format!(
        "{}, {}",
        human(i.journal_blocks),
        place(i.journal_start, i.journal_blocks)
    );
    row(
        "journal",
        format!("{journal}, header in block {}", i.journal_header),
    );
    if let Some(j) = &i.journal {
        let state = if j.clean { "clean" } else { "needs replay" };
        let tail = format!("tail at LSN {}, epoch {}", j.tail_lsn, j.tail_epoch);
        row(
            "",
            format!("{state}, {tail}, generation {:#x}", j.generation),
        );
    }
    let (slots, size) = (u64::from(i.panic_slots), u64::from(i.panic_slot_blocks));
    let area = place(i.panic_start, slots * size);
    row(
        "panic area",
        format!("{slots} slots of {}, {area}", human(size)),
    );
    if let Some(trouble) = &i.trouble {
        row("trouble", trouble.clone());
    }
    text
}
