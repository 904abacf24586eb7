// SPDX-License-Identifier: GPL-2.0

//! Where logs come from: a file, a folder such as pstore's, a volume, standard input.

use crate::holder;

use super::area::{self, AreaReport, RecordInfo};
use anyhow::{Context, Result};
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

/// Where the kernel shows what pstore kept.
pub(super) const PSTORE: &str = "/sys/fs/pstore";

/// A log's text.
pub(super) struct Log {
    pub(super) name: String,
    pub(super) text: Vec<u8>,
}

/// A piece of a kernel's log, with its text.
pub(super) struct KernelLog {
    /// The record or file that it was in.
    pub(super) name: String,
    /// Id of the panic that it is of, where the record knows.
    pub(super) panic: Option<String>,
    /// Number of the piece; 1 is the newest.
    pub(super) part: Option<u32>,
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
    pub(super) kernel_logs: Vec<KernelLog>,
    pub(super) areas: Vec<AreaReport>,
    pub(super) unreadable: Vec<Unreadable>,
    pub(super) places: Vec<String>,
}

impl Logs {
    /// Adds a file, a folder, a volume (its device or image) or standard input ("-").
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
        if kind.is_block_device() || kind.is_file() && area::is_volume(place) {
            return area::read(place, self);
        }
        if kind.is_dir() {
            return self.add_folder(place, 0);
        }
        let text = read_file(place).with_context(|| format!("cannot read {}", place.display()))?;
        self.add_text(place, text);
        Ok(())
    }

    /// Adds a place that nobody has named: it need not exist, and one that cannot be read is told of.
    pub(super) fn add_if_there(&mut self, place: &Path) {
        match fs::metadata(place) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.places.push(place.display().to_string());
            }
            _ => {
                if let Err(e) = self.add(place) {
                    self.cannot(place, format!("{:#}", e.root_cause()));
                }
            }
        }
    }

    /// Adds the volumes that are mounted, as far as they can be read.
    pub(super) fn add_mounted(&mut self) {
        for device in holder::mounted("permfs") {
            self.places.push(device.display().to_string());
            if let Err(e) = area::read(&device, self) {
                self.cannot(&device, format!("{e:#}"));
            }
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
            return;
        }
        let name = path.display().to_string();
        if path.file_name().is_some_and(is_dmesg) {
            self.kernel_logs.push(KernelLog {
                name: name.clone(),
                panic: None,
                part: part_of(&text),
                text: text.clone(),
            });
        }
        self.push(name, text);
    }

    pub(super) fn push(&mut self, name: String, text: Vec<u8>) {
        self.logs.push(Log { name, text });
    }

    pub(super) fn push_kernel_log(&mut self, name: &str, record: &RecordInfo, text: &[u8]) {
        self.kernel_logs.push(KernelLog {
            name: name.to_owned(),
            panic: record.panic.clone(),
            part: record.part,
            text: text.to_vec(),
        });
    }

    fn cannot(&mut self, path: &Path, reason: String) {
        self.unreadable.push(Unreadable {
            file: path.display().to_string(),
            reason,
        });
    }
}

/// The pieces one after the other, each under its name.
pub(super) fn text_of(pieces: &[&KernelLog]) -> Vec<u8> {
    let mut text = Vec::new();
    for piece in pieces {
        text.extend_from_slice(format!("==> {} <==\n", piece.name).as_bytes());
        text.extend_from_slice(&piece.text);
        if !piece.text.ends_with(b"\n") {
            text.push(b'\n');
        }
    }
    text
}

/// Whether it is pstore's name for a piece of the kernel's log, `dmesg-BACKEND-NUMBER`.
fn is_dmesg(name: &std::ffi::OsStr) -> bool {
    name.to_string_lossy().starts_with("dmesg-")
}

/// The number in pstore's first line, `Panic#2 Part1`.
fn part_of(text: &[u8]) -> Option<u32> {
    let first = text.split(|&b| b == b'\n').next()?;
    let first = std::str::from_utf8(first).ok()?;
    first.split_once(" Part")?.1.trim().parse().ok()
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
