// SPDX-License-Identifier: GPL-2.0

//! Where the answer goes: standard output, or a file that is replaced at once or not at all.

use anyhow::{Context, Result};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Writes `text` to `file`, or to standard output. A reader that went away is no error.
pub(super) fn put(text: &[u8], file: Option<&Path>) -> Result<()> {
    if let Some(file) = file {
        return replace(file, text, 0o644);
    }
    match io::stdout().lock().write_all(text) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write to standard output"),
    }
}

/// Replaces `file` by one with `bytes`: whoever reads it sees the old one or the new one whole, and so does
/// whoever reads it after a crash.
pub(super) fn replace(file: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let folder = match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    // Hidden, and of another suffix: collectors take every *.prom in a folder.
    let temp = folder.join(format!(".{name}.{}.tmp", std::process::id()));
    let written = write_new(&temp, bytes, mode)
        .and_then(|()| fs::rename(&temp, file))
        .and_then(|()| File::open(folder)?.sync_all());
    if written.is_err() {
        let _ = fs::remove_file(&temp);
    }
    written.with_context(|| format!("cannot write {}", file.display()))
}

fn write_new(path: &PathBuf, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
