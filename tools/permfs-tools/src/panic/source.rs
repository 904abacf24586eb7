// SPDX-License-Identifier: GPL-2.0

//! Where logs come from: a file, a folder such as pstore's, standard input.

use anyhow::{bail, Context, Result};
use serde::Serialize;
use std::{
    fs,
    io::{self, Read},
    os::unix::fs::FileTypeExt,
    path::Path, //
};

/// A log is kept in memory whole; nobody has one as large as this.
const MAX_LOG: u64 = 1 << 30;
/// Folders in folders: systemd has one for each boot.
const MAX_DEPTH: u32 = 4;

/// A log's text.
pub(super) struct Log {
    pub(super) name: String,
    pub(super) text: Vec<u8>,
}

/// A file that may hold a panic and cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Unreadable {
    /// The file.
    pub(super) file: String,
    /// Why.
    pub(super) reason: String,
}

/// Everything that was found.
#[derive(Default)]
pub(super) struct Logs {
    pub(super) logs: Vec<Log>,
    pub(super) unreadable: Vec<Unreadable>,
    pub(super) places: Vec<String>,
}

impl Logs {
    /// Adds a file, a folder or standard input ("-").
    pub(super) fn add(&mut self, place: &Path) -> Result<()> {
        self.places.push(place.display().to_string());
        if place.as_os_str() == "-" {
            let text = read_all(io::stdin().lock()).context("cannot read standard input")?;
            self.push("standard input".into(), text);
            return Ok(());
        }
        let kind = fs::metadata(place)
            .with_context(|| format!("cannot read {}", place.display()))?
            .file_type();
        if kind.is_block_device() {
            bail!(
                "{} is a device: this version reads logs, not yet a volume's panic area",
                place.display()
            );
        }
        if kind.is_dir() {
            return self.add_folder(place, 0);
        }
        let text = read_file(place).with_context(|| format!("cannot read {}", place.display()))?;
        self.add_text(place, text);
        Ok(())
    }

    /// Adds a place that need not exist.
    pub(super) fn add_if_there(&mut self, place: &Path) -> Result<()> {
        match fs::metadata(place) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.places.push(place.display().to_string());
                Ok(())
            }
            _ => self.add(place),
        }
    }

    fn add_folder(&mut self, folder: &Path, depth: u32) -> Result<()> {
        let cannot = || format!("cannot read {}", folder.display());
        let mut paths = fs::read_dir(folder)
            .with_context(cannot)?
            .map(|entry| entry.map(|e| e.path()))
            .collect::<io::Result<Vec<_>>>()
            .with_context(cannot)?;
        paths.sort();
        for path in paths {
            let kind = match fs::symlink_metadata(&path) {
                Ok(meta) => meta.file_type(),
                Err(e) => {
                    self.cannot(&path, e.to_string());
                    continue;
                }
            };
            if kind.is_dir() && depth < MAX_DEPTH {
                self.add_folder(&path, depth + 1)?;
            } else if kind.is_file() {
                match read_file(&path) {
                    Ok(text) => self.add_text(&path, text),
                    Err(e) => self.cannot(&path, e.to_string()),
                }
            }
        }
        Ok(())
    }

    fn add_text(&mut self, path: &Path, text: Vec<u8>) {
        // pstore's name for a record that it could not decompress.
        if path.to_string_lossy().ends_with(".enc.z") {
            self.cannot(path, "compressed, and the kernel could not read it".into());
        } else {
            self.push(path.display().to_string(), text);
        }
    }

    pub(super) fn push(&mut self, name: String, text: Vec<u8>) {
        self.logs.push(Log { name, text });
    }

    fn cannot(&mut self, path: &Path, reason: String) {
        self.unreadable.push(Unreadable {
            file: path.display().to_string(),
            reason,
        });
    }
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    read_all(fs::File::open(path)?)
}

fn read_all(from: impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    from.take(MAX_LOG + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_LOG {
        return Err(io::Error::other("larger than 1 GiB, which is no log"));
    }
    Ok(text)
}
