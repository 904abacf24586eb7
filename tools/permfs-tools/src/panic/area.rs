// SPDX-License-Identifier: GPL-2.0

//! The panic area of a volume, read from its device or image, mounted or not.
//!
//! What a record holds is text like any other log's: panic lines, or a piece of the kernel's log. So
//! it goes where logs go, and what is told here is only what the area itself knows.

use super::{calendar::utc, source::Logs};
use crate::{open, uuid};
use anyhow::{anyhow, bail, Context, Result};
use flate2::read::DeflateDecoder;
use permfs_core::{
    device::BlockDevice,
    format::SECTORS_PER_BLOCK,
    geometry::{self, SuperError},
    panic::area::{self, Area, Found, Head, Record, RecordKind, SlotState},
};
use permfs_hostdev::{FileBlockDevice, OpenMode};
use serde::Serialize;
use std::{fs::File, io::Read, path::Path};

/// pstore inflates to at most three times its buffer, and a slot has 256 blocks at most.
const MAX_LOG: u64 = 16 << 20;
/// `enum kmsg_dump_reason` of include/linux/kmsg_dump.h.
const REASONS: [&str; 5] = ["undefined", "panic", "oops", "emergency", "shutdown"];

/// A panic area.
#[derive(Debug, Clone, Serialize)]
pub(super) struct AreaReport {
    /// The device or image.
    pub(super) device: String,
    /// UUID of the volume.
    pub(super) uuid: String,
    /// Block that the super block was read from: 0, or a backup's.
    pub(super) super_block: u64,
    /// Slots.
    pub(super) slots: u32,
    /// Bytes of data that a slot holds; 0: it is too small for records.
    pub(super) slot_capacity: usize,
    /// Slots that have never been used.
    pub(super) empty: u32,
    /// Records that are whole, torn, and marked as erased.
    pub(super) whole: u32,
    /// See `whole`.
    pub(super) torn: u32,
    /// See `whole`.
    pub(super) erased: u32,
    /// Slots whose head is damaged: what was in them is not known.
    pub(super) damaged: u32,
    /// Slots behind the end of an image that is cut off.
    pub(super) missing: u32,
    /// Slots without this volume's signature: the panic path leaves them alone.
    pub(super) unsigned: u32,
    /// The records, oldest first.
    pub(super) records: Vec<RecordInfo>,
}

impl AreaReport {
    /// How much of what is in it, in words.
    pub(super) fn counts(&self) -> String {
        let mut text = format!("{} slots, {} whole record(s)", self.slots, self.whole);
        for (n, what) in [
            (self.torn, "torn"),
            (self.erased, "erased"),
            (self.damaged, "slot(s) DAMAGED"),
            (
                self.missing,
                "slot(s) behind the end of the image, which is CUT OFF",
            ),
            (self.unsigned, "slot(s) without signature"),
        ] {
            if n > 0 {
                text += &format!(", {n} {what}");
            }
        }
        if self.slot_capacity == 0 {
            text += "; its slots are too small for records";
        }
        text
    }
}

/// How much of a record is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RecordState {
    /// All of it.
    Whole,
    /// Its write did not come to its end: only the lines in it that are whole.
    Torn,
    /// Nothing: somebody has read it and thrown it away.
    Erased,
}

/// A record.
#[derive(Debug, Clone, Serialize)]
pub(super) struct RecordInfo {
    /// Its slot.
    pub(super) slot: u32,
    /// Its place in the order of all records of the volume.
    pub(super) sequence: u64,
    /// `panic-lines` or `kernel-log`.
    pub(super) kind: &'static str,
    /// How much of it is believed.
    pub(super) state: RecordState,
    /// Its tail is there: the flush that made it durable had completed.
    pub(super) flushed: bool,
    /// Id of its panic; `null` for a log that was dumped for another reason.
    pub(super) panic: Option<String>,
    #[serde(skip)]
    pub(super) panic_id: Option<u32>,
    /// Bytes of data.
    pub(super) bytes: u32,
    /// Nanoseconds since 1970, and since boot.
    pub(super) wall_ns: Option<u64>,
    /// The former in UTC.
    pub(super) time: Option<String>,
    /// Nanoseconds since boot.
    pub(super) mono_ns: Option<u64>,
    /// Kernel log: why it was dumped.
    pub(super) reason: Option<String>,
    /// Kernel log: number of the piece; 1 is the newest.
    pub(super) part: Option<u32>,
    /// Kernel log: stored compressed.
    pub(super) compressed: bool,
    /// Why its text could not be used.
    pub(super) trouble: Option<String>,
}

/// Whether a file looks like a volume, or like one whose super block was lost.
pub(super) fn is_volume(path: &Path) -> bool {
    let mut magic = [0; 4];
    let first = File::open(path).and_then(|mut f| f.read_exact(&mut magic));
    if first.is_ok() && &magic == b"PmFS" {
        return true;
    }
    open(path, OpenMode::Read).is_ok_and(|dev| geometry::find_backup(&dev).is_some())
}

/// Reads the area of the volume on `path` into `logs`.
pub(super) fn read(path: &Path, logs: &mut Logs) -> Result<()> {
    let dev = open(path, OpenMode::Read)?;
    let name = path.display().to_string();
    let (block, area) = find(&dev).with_context(|| format!("cannot read {name}"))?;
    let scan = area
        .scan(&dev)
        .map_err(|e| anyhow!("cannot read the panic area of {name}: {e:?}"))?;
    let count =
        |wanted: fn(&SlotState) -> bool| scan.states.iter().filter(|s| wanted(s)).count() as u32;
    let blocks = dev.sectors() / SECTORS_PER_BLOCK;
    let missing = (0..area.slots).filter(|&slot| area.head_block(slot) >= blocks);
    let missing = missing.count() as u32;
    let mut report = AreaReport {
        device: name,
        uuid: uuid::format(&area.uuid),
        super_block: block,
        slots: area.slots,
        slot_capacity: area.capacity(),
        empty: count(|s| *s == SlotState::Empty),
        whole: 0,
        torn: 0,
        erased: 0,
        damaged: count(|s| matches!(s, SlotState::Damaged | SlotState::Unreadable)) - missing,
        missing,
        unsigned: count(|s| *s == SlotState::Unsigned),
        records: Vec::new(),
    };
    for found in scan.heads.iter() {
        let info = one(&dev, &area, found, &report.device, logs);
        match info.state {
            RecordState::Whole => report.whole += 1,
            RecordState::Torn => report.torn += 1,
            RecordState::Erased => report.erased += 1,
        }
        report.records.push(info);
    }
    logs.areas.push(report);
    Ok(())
}

/// The area, by the super block or else by a backup: the block of that, and where it is. Of an image that is cut off, too.
fn find(dev: &FileBlockDevice) -> Result<(u64, Area)> {
    let why = match geometry::read_cut(dev, 0) {
        Ok((sb, g)) => return Ok((0, Area::of(&sb, &g))),
        Err(why) => why,
    };
    if let Some((block, sb, g)) = geometry::find_backup(dev) {
        return Ok((block, Area::of(&sb, &g)));
    }
    match why {
        SuperError::NotPermfs => bail!("no PermFS super block, and no backup of one"),
        why => bail!("{why}, and there is no backup of it"),
    }
}

fn one(
    dev: &FileBlockDevice,
    area: &Area,
    found: &Found,
    device: &str,
    logs: &mut Logs,
) -> RecordInfo {
    let mut info = RecordInfo::new(found.slot, &found.head);
    if info.state == RecordState::Erased {
        return info;
    }
    match area.read(dev, found) {
        Ok(record) => info.take(&record, device, logs),
        Err(e) => {
            info.state = RecordState::Torn;
            info.trouble = Some(format!("cannot be read: {e:?}"));
        }
    }
    info
}

impl RecordInfo {
    fn new(slot: u32, head: &Head) -> Self {
        let is_log = head.kind == RecordKind::Log;
        let clock = |ns: u64| Some(ns).filter(|&ns| ns > 0);
        let reason = || {
            REASONS
                .get(head.pstore.reason as usize)
                .copied()
                .unwrap_or("unknown")
        };
        let stamp = head.pstore.time_sec.saturating_mul(1_000_000_000);
        let stamp = stamp.saturating_add(head.pstore.time_nsec.into());
        let wall_ns = clock(head.wall_ns).or(clock(stamp));
        Self {
            slot,
            sequence: head.sequence,
            kind: if is_log { "kernel-log" } else { "panic-lines" },
            state: if head.erased {
                RecordState::Erased
            } else {
                RecordState::Whole
            },
            flushed: false,
            panic: (head.id != 0).then(|| format!("{:08x}", head.id)),
            panic_id: Some(head.id).filter(|&id| id != 0),
            bytes: head.len,
            wall_ns,
            time: wall_ns.map(utc),
            mono_ns: clock(head.mono_ns),
            reason: is_log.then(|| reason().into()),
            part: is_log.then_some(head.pstore.part),
            compressed: is_log && head.pstore.compressed,
            trouble: None,
        }
    }

    /// Whether it is whole, and its flush not known to have completed.
    pub(super) fn is_unflushed(&self) -> bool {
        self.state == RecordState::Whole && !self.flushed
    }

    /// Hands the record's text to `logs`. Lines have a CRC each, so what is whole in a torn record counts.
    fn take(&mut self, record: &Record, device: &str, logs: &mut Logs) {
        if record.state == area::RecordState::Torn {
            self.state = RecordState::Torn;
        }
        self.flushed = record.tail.is_some();
        let name = format!("{device}, record {}", self.sequence);
        let mut text = record.data.to_vec();
        if self.compressed {
            match inflate(&text) {
                Ok(inflated) => text = inflated,
                Err(e) => {
                    self.trouble = Some(format!("its text cannot be decompressed ({e})"));
                    text.clear();
                }
            }
        }
        if self.kind == "panic-lines" {
            text.extend_from_slice(record.tail.as_deref().unwrap_or_default());
        } else if !text.is_empty() {
            logs.push_kernel_log(&name, self, &text);
        }
        logs.push(name, text);
    }
}

/// What fs/pstore/platform.c compresses: raw deflate, without zlib's header.
fn inflate(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    DeflateDecoder::new(bytes)
        .take(MAX_LOG)
        .read_to_end(&mut text)?;
    Ok(text)
}
