// SPDX-License-Identifier: GPL-2.0

//! The places where logs are looked for.

use super::super::{human, model::Builder, source::Logs, status};
use super::host::{as_kernel_log, check};
use std::{
    fs,
    path::{Path, PathBuf}, //
};

/// A folder that goes when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let id = std::process::id();
        let path = std::env::temp_dir().join(format!("permfs-panic-{id}-{name}"));
        fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_pstore_folder_is_read_whole() {
    let folder = Folder::new("pstore");
    let log = as_kernel_log();
    let cut = log.match_indices('\n').nth(4).expect("lines").0 + 1;
    let write = |name: &str, text: String| fs::write(folder.0.join(name), text).expect("write");
    // Part 1 is the newest.
    write("dmesg-erst-2", format!("Panic#1 Part1\n{}", &log[cut..]));
    write("dmesg-erst-1", format!("Panic#1 Part2\n{}", &log[..cut]));
    write("dmesg-erst-3.enc.z", "\u{1}\u{2}".into());
    let moved = folder.0.join("202611222246");
    fs::create_dir_all(&moved).expect("a folder");
    fs::write(moved.join("dmesg.txt"), &log).expect("write");
    let mut logs = Logs::default();
    logs.add(&folder.0).expect("readable");
    let report = Builder::read(&mut logs);
    check(&report.panics[0]);
    assert_eq!(report.panics[0].sources.len(), 3);
    assert_eq!(report.unreadable.len(), 1);
    assert!(human::summary(&report).contains("dmesg-erst-3.enc.z: compressed"));
}

#[test]
fn a_place_that_is_not_there_is_an_error_unless_it_is_a_default() {
    let mut logs = Logs::default();
    let nowhere = Path::new("/nonexistent/pstore");
    assert!(logs.add(nowhere).is_err());
    logs.add_if_there(nowhere);
    assert!(logs.unreadable.is_empty());
    let text = human::summary(&Builder::read(&mut logs));
    assert!(text.starts_with("No PermFS panic record in"));
}

#[test]
fn a_record_that_cannot_be_read_is_not_taken_for_none() {
    let folder = Folder::new("unreadable");
    let status = || {
        let mut logs = Logs::default();
        logs.add(&folder.0).expect("readable");
        status(&Builder::read(&mut logs))
    };
    assert_eq!(status(), 1);
    fs::write(folder.0.join("dmesg-efi-1.enc.z"), "x").expect("write");
    assert_eq!(status(), 2);
    fs::write(folder.0.join("dmesg-efi-2"), as_kernel_log()).expect("write");
    assert_eq!(status(), 0);
}
