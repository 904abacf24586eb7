// SPDX-License-Identifier: GPL-2.0

//! The archive: a folder with three files for each panic or oops, kept when pstore and the panic area are reused.
//!
//! `TIME-ID.txt` has the lines, `TIME-ID.json` the report, and `TIME-ID.log` the kernel's log, where
//! one was read; of an oops they are `TIME-oops-ID.…`. Each is known by its id: what is in the archive is
//! written again only if more of it was read than is there.

use super::{
    model::{OopsRecord, PanicRecord, Report, Scene},
    output,
    source::{text_of, KernelLog, PSTORE},
};
use anyhow::{Context, Result};
use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// What was done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) panics: Counts,
    pub(super) oopses: Counts,
    /// Files of pstore that were removed.
    pub(super) erased: usize,
}

/// What was done with those of one kind.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Those that were not in the archive.
    pub(super) new: usize,
    /// Those of which more was read than was in it.
    pub(super) more: usize,
    /// Those that were in it.
    pub(super) known: usize,
}

/// One panic or oops, to be kept.
struct Item<'a> {
    /// The end of its files' names, without suffix.
    end: String,
    scene: &'a Scene,
    lines: &'a [String],
    pieces: Vec<&'a KernelLog>,
    report: Report,
}

/// Writes what `report` has and `folder` has not. With `erase`, removes from pstore what is then in it.
pub(super) fn add(folder: &Path, report: &Report, logs: &[KernelLog], erase: bool) -> Result<Done> {
    // Logs of a kernel are not for everybody.
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("cannot make {}", folder.display()))?;
    let mut done = Done::default();
    // A file may be of an oops and of the panic after it.
    let mut kept = BTreeSet::new();
    for panic in &report.panics {
        let item = Item::of_panic(panic, report, logs);
        item.keep(folder, &mut done.panics)?;
        kept.extend(item.pieces.iter().map(|piece| piece.name.as_str()));
    }
    for oops in &report.oopses {
        let item = Item::of_oops(oops, report, logs, &kept);
        item.keep(folder, &mut done.oopses)?;
        kept.extend(item.pieces.iter().map(|piece| piece.name.as_str()));
    }
    if erase {
        done.erased = erase_pstore(&kept)?;
    }
    Ok(done)
}

impl<'a> Item<'a> {
    fn of_panic(panic: &'a PanicRecord, report: &Report, logs: &'a [KernelLog]) -> Self {
        let oops = |o: &&OopsRecord| panic.oops.as_ref() == Some(&o.id);
        Self {
            end: format!("-{}", panic.id),
            scene: &panic.scene,
            lines: &panic.raw_lines,
            pieces: pieces(logs, |log| {
                log.panic.as_ref() == Some(&panic.id) || panic.sources.contains(&log.name)
            }),
            report: Report {
                panics: vec![panic.clone()],
                oopses: report.oopses.iter().filter(oops).cloned().collect(),
                ..report.clone()
            },
        }
    }

    /// The log of a panic that came later has the oops too, and is kept with the panic.
    fn of_oops(
        oops: &'a OopsRecord,
        report: &Report,
        logs: &'a [KernelLog],
        kept: &BTreeSet<&str>,
    ) -> Self {
        Self {
            end: format!("-oops-{}", oops.id),
            scene: &oops.scene,
            lines: &oops.raw_lines,
            pieces: pieces(logs, |log| {
                oops.sources.contains(&log.name) && !kept.contains(log.name.as_str())
            }),
            report: Report {
                panics: Vec::new(),
                oopses: vec![oops.clone()],
                ..report.clone()
            },
        }
    }

    fn keep(&self, folder: &Path, counts: &mut Counts) -> Result<()> {
        let old = find(folder, &self.end)?;
        let base = old.clone().unwrap_or_else(|| folder.join(self.name()));
        let mut wrote = false;
        let lines: String = self.lines.iter().map(|l| format!("{l}\n")).collect();
        // The report is written behind the lines, so a folder with both has them of one reading.
        wrote |= grow(&base.with_extension("txt"), lines.as_bytes())?;
        if !self.pieces.is_empty() {
            wrote |= grow(&base.with_extension("log"), &text_of(&self.pieces))?;
        }
        let json = base.with_extension("json");
        if wrote || !json.exists() {
            let mut text = serde_json::to_vec_pretty(&self.report).context("cannot write JSON")?;
            text.push(b'\n');
            output::replace(&json, &text, 0o600)?;
        }
        match (old, wrote) {
            (None, _) => counts.new += 1,
            (Some(_), true) => counts.more += 1,
            (Some(_), false) => counts.known += 1,
        }
        Ok(())
    }

    /// `20261122T224609Z-a4d59c90`, which sorts by time.
    fn name(&self) -> String {
        let time = self.scene.time.as_deref().and_then(|t| t.split('.').next());
        let time = time.map_or_else(
            || "unknown-time".to_owned(),
            |t| format!("{}Z", t.replace(['-', ':'], "")),
        );
        time + &self.end
    }
}

/// The archive's name for what ends so, without suffix.
fn find(folder: &Path, end: &str) -> Result<Option<PathBuf>> {
    let cannot = || format!("cannot read {}", folder.display());
    // A panic's end is not the end of an oops's name: one word stands before it.
    let is_it = |name: &str| {
        let time = name.strip_suffix(".txt").and_then(|n| n.strip_suffix(end));
        time.is_some_and(|time| !time.starts_with('.') && !time.ends_with("-oops"))
    };
    for entry in fs::read_dir(folder).with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        if is_it(&path.file_name().unwrap_or_default().to_string_lossy()) {
            return Ok(Some(path.with_extension("")));
        }
    }
    Ok(None)
}

/// The pieces of the kernel's log that are wanted, oldest text first.
fn pieces(logs: &[KernelLog], wanted: impl Fn(&KernelLog) -> bool) -> Vec<&KernelLog> {
    let mut pieces: Vec<_> = logs.iter().filter(|log| wanted(log)).collect();
    pieces.sort_by_key(|log| std::cmp::Reverse(log.part));
    pieces
}

/// Writes the file unless one of the same length or longer is there. Whether it did.
fn grow(path: &Path, bytes: &[u8]) -> Result<bool> {
    match fs::metadata(path) {
        Ok(meta) if meta.len() >= bytes.len() as u64 => return Ok(false),
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            return Err(e).with_context(|| format!("cannot read {}", path.display()))
        }
        _ => {}
    }
    output::replace(path, bytes, 0o600)?;
    Ok(true)
}

/// Removes those files that are pstore's. Removing there erases the record in the firmware or disk.
fn erase_pstore(files: &BTreeSet<&str>) -> Result<usize> {
    let mut erased = 0;
    for name in files {
        let path = Path::new(name);
        if path.starts_with(PSTORE) {
            fs::remove_file(path).with_context(|| format!("cannot erase {name}"))?;
            erased += 1;
        }
    }
    Ok(erased)
}

#[cfg(test)]
mod tests;
