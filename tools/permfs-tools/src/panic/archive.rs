// SPDX-License-Identifier: GPL-2.0

//! The archive: a folder with three files for each panic, kept when pstore and the panic area are reused.
//!
//! `TIME-ID.txt` has the panic lines, `TIME-ID.json` the report, and `TIME-ID.log` the kernel's log, where
//! one was read. A panic is known by its id: what is in the archive is written again only if more of it
//! was read than is there.

use super::{
    model::{PanicRecord, Report},
    output,
    source::{text_of, KernelLog, PSTORE},
};
use anyhow::{Context, Result};
use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// What was done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Done {
    /// Panics that were not in the archive.
    pub(super) new: usize,
    /// Panics of which more was read than was in it.
    pub(super) more: usize,
    /// Panics that were in it.
    pub(super) known: usize,
    /// Files of pstore that were removed.
    pub(super) erased: usize,
}

/// Writes what `report` has and `folder` has not. With `erase`, removes from pstore what is then in it.
pub(super) fn add(folder: &Path, report: &Report, logs: &[KernelLog], erase: bool) -> Result<Done> {
    // Logs of a kernel are not for everybody.
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("cannot make {}", folder.display()))?;
    let mut done = Done::default();
    for panic in &report.panics {
        let pieces = pieces(panic, logs);
        let old = find(folder, &panic.id)?;
        let base = old.clone().unwrap_or_else(|| folder.join(name(panic)));
        let mut wrote = false;
        let lines: String = panic.raw_lines.iter().map(|l| format!("{l}\n")).collect();
        // The report is written behind the lines, so a folder with both has them of one reading.
        wrote |= grow(&base.with_extension("txt"), lines.as_bytes())?;
        if !pieces.is_empty() {
            wrote |= grow(&base.with_extension("log"), &text_of(&pieces))?;
        }
        let json = base.with_extension("json");
        if wrote || !json.exists() {
            output::replace(&json, &one_report(report, panic)?, 0o600)?;
        }
        match (old, wrote) {
            (None, _) => done.new += 1,
            (Some(_), true) => done.more += 1,
            (Some(_), false) => done.known += 1,
        }
        if erase {
            done.erased += erase_pstore(&pieces)?;
        }
    }
    Ok(done)
}

/// `20261122T224609Z-a4d59c90`, which sorts by time.
fn name(panic: &PanicRecord) -> String {
    let time = panic.time.as_deref().and_then(|t| t.split('.').next());
    let time = time.map_or_else(
        || "unknown-time".to_owned(),
        |t| format!("{}Z", t.replace(['-', ':'], "")),
    );
    format!("{time}-{}", panic.id)
}

/// The archive's name for the panic, without suffix.
fn find(folder: &Path, id: &str) -> Result<Option<PathBuf>> {
    let cannot = || format!("cannot read {}", folder.display());
    let end = format!("-{id}.txt");
    for entry in fs::read_dir(folder).with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(&end) && !name.starts_with('.') {
            return Ok(Some(path.with_extension("")));
        }
    }
    Ok(None)
}

/// The pieces of the kernel's log that belong to the panic, oldest text first.
fn pieces<'a>(panic: &PanicRecord, logs: &'a [KernelLog]) -> Vec<&'a KernelLog> {
    let mut pieces: Vec<_> = logs
        .iter()
        .filter(|log| log.panic.as_ref() == Some(&panic.id) || panic.sources.contains(&log.name))
        .collect();
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

/// The report with one panic alone.
fn one_report(report: &Report, panic: &PanicRecord) -> Result<Vec<u8>> {
    let one = Report {
        panics: vec![panic.clone()],
        ..report.clone()
    };
    let mut json = serde_json::to_vec_pretty(&one).context("cannot write JSON")?;
    json.push(b'\n');
    Ok(json)
}

/// Removes the pieces that are pstore's files. Removing there erases the record in the firmware or disk.
fn erase_pstore(pieces: &[&KernelLog]) -> Result<usize> {
    let mut erased = 0;
    for piece in pieces {
        let path = Path::new(&piece.name);
        if path.starts_with(PSTORE) {
            fs::remove_file(path).with_context(|| format!("cannot erase {}", piece.name))?;
            erased += 1;
        }
    }
    Ok(erased)
}

#[cfg(test)]
mod tests;
