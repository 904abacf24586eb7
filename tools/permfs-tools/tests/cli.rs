// SPDX-License-Identifier: GPL-2.0

//! The programs as people use them: what they refuse, with which status and sentence, and what they make.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

const MKFS: &str = env!("CARGO_BIN_EXE_mkfs-permfs");
const FSCK: &str = env!("CARGO_BIN_EXE_fsck-permfs");
const PERMFS: &str = env!("CARGO_BIN_EXE_permfs");

fn run(program: &str, args: &[&str]) -> Output {
    let out = Command::new(program)
        .args(args)
        .output()
        .expect("the program is built");
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(!text.contains("panicked"), "{program} {args:?}: {text}");
    assert!(
        out.status.code().is_some(),
        "{program} {args:?} died: {:?}",
        out.status
    );
    out
}

fn stdout(out: &Output) -> String {
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// Runs a program that must fail with `status`, and returns its one line on standard error.
fn refused(program: &str, args: &[&str], status: i32) -> String {
    let out = run(program, args);
    let text = String::from_utf8_lossy(&out.stderr).trim_end().to_string();
    assert_eq!(out.status.code(), Some(status), "{args:?}: {text}");
    assert!(
        !text.is_empty() && text.lines().count() == 1,
        "{args:?}: {text}"
    );
    text
}

struct Images(TempDir);

impl Images {
    fn new() -> Self {
        Self(TempDir::new().expect("a folder for temporary files"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A sparse image of `bytes` zeros.
    fn empty(&self, name: &str, bytes: u64) -> String {
        let path = self.path(name);
        File::create(&path)
            .and_then(|f| f.set_len(bytes))
            .expect("room");
        path.to_str().expect("a plain path").into()
    }

    /// An image with a volume on it.
    fn volume(&self, name: &str, bytes: u64) -> String {
        let image = self.empty(name, bytes);
        let out = run(MKFS, &["-q", &image]);
        assert!(out.status.success() && out.stdout.is_empty(), "{out:?}");
        image
    }
}

const MIB: u64 = 1 << 20;

#[test]
fn a_volume_is_made_checked_and_shown() {
    let images = Images::new();
    let image = images.empty("disk", 300 * MIB);
    let uuid = "01234567-89ab-4def-8123-456789abcdef";
    let args = [
        "-L",
        "März",
        "-U",
        uuid,
        "-s",
        "256M",
        "-j",
        "4M",
        "--panic-slots",
        "4",
    ];
    let out = run(
        MKFS,
        &[&args[..], &["--panic-slot-size", "128K", &image]].concat(),
    );
    assert!(out.status.success(), "{out:?}");
    assert!(stdout(&out).contains(uuid));
    let out = run(FSCK, &["-n", &image]);
    assert_eq!(out.status.code(), Some(0));
    assert!(stdout(&out).contains("clean"));
    let info = run(PERMFS, &["info", "--json", &image]);
    let info: Value = serde_json::from_slice(&info.stdout).expect("JSON");
    assert_eq!(
        (&info["label"], &info["uuid"]),
        (&"März".into(), &uuid.into())
    );
    assert_eq!(info["blocks"], 65536);
    assert_eq!(info["journal_blocks"], 1024);
    assert_eq!(
        (&info["panic_slots"], &info["panic_slot_blocks"]),
        (&4.into(), &32.into())
    );
    assert_eq!(info["journal"]["clean"], true);
    assert_eq!(
        (&info["backups"], &info["backups_good"]),
        (&1.into(), &1.into())
    );
    let free = info["free_blocks"].as_u64().expect("a number");
    assert_eq!(free, 65536 - (3 + 1 + 2 + 1024 + 128) - 2 * 2 - 1);
    let shown = stdout(&run(PERMFS, &["info", &image]));
    assert!(shown.contains("März") && shown.contains("clean"));
}

#[test]
fn the_same_uuid_is_never_chosen_twice() {
    let images = Images::new();
    let uuid = |name| {
        let image = images.volume(name, 8 * MIB);
        let info = run(PERMFS, &["info", "--json", &image]);
        let info: Value = serde_json::from_slice(&info.stdout).expect("JSON");
        info["uuid"].as_str().expect("text").to_string()
    };
    assert_ne!(uuid("a"), uuid("b"));
}

#[test]
fn a_dry_run_writes_nothing() {
    let images = Images::new();
    let image = images.empty("disk", 64 * MIB);
    let out = run(MKFS, &["-n", &image]);
    assert!(out.status.success() && stdout(&out).starts_with("would make"));
    assert!(fs::read(&image).expect("readable").iter().all(|&b| b == 0));
}

#[test]
fn what_a_device_holds_is_not_overwritten_unasked() {
    let images = Images::new();
    let signatures: [(&str, u64, &[u8]); 4] = [
        ("ext", 0x438, b"\x53\xef"),
        ("XFS", 0, b"XFSB"),
        ("swap", 4086, b"SWAPSPACE2"),
        ("partition", 510, b"\x55\xaa"),
    ];
    for (name, offset, bytes) in signatures {
        let image = images.empty(name, 64 * MIB);
        let file = File::options().write(true).open(&image).expect("writable");
        file.write_all_at(bytes, offset).expect("room");
        let before = fs::read(&image).expect("readable");
        let text = refused(MKFS, &[&image], 1);
        assert!(
            text.contains("--force") && text.contains("holds a"),
            "{text}"
        );
        assert!(
            fs::read(&image).expect("readable") == before,
            "{name} was changed"
        );
        assert!(run(MKFS, &["-f", "-q", &image]).status.success());
        assert_eq!(run(FSCK, &["-n", &image]).status.code(), Some(0));
    }
    let image = images.volume("permfs", 64 * MIB);
    assert!(refused(MKFS, &[&image], 1).contains("--force"));
}

#[test]
fn mkfs_says_what_is_wrong() {
    let images = Images::new();
    let image = images.empty("disk", 300 * MIB);
    let long = "x".repeat(65);
    let cases: &[(&[&str], &str)] = &[
        (&["-s", "301M"], "were asked for"),
        (&["-j", "130M"], "fixed areas overlap"),
        (&["-s", "64M", "-j", "100M"], "too small"),
        (&["-j", "5G"], "journal must have"),
        (&["-j", "256K"], "journal must have"),
        (&["--panic-slots", "3"], "power of two"),
        (&["--panic-slot-size", "2M"], "must have 16 to 1024 KiB"),
        (&["--panic-slot-size", "4K"], "holds no record of a panic"),
        (&["--panic-slot-size", "12K"], "holds no record of a panic"),
        (&["-s", "600K"], "too small"),
    ];
    for (args, sentence) in cases {
        let text = refused(MKFS, &[args, &[image.as_str()][..]].concat(), 1);
        assert!(text.contains(sentence), "{args:?}: {text}");
    }
    for args in [
        ["-L", &long],
        ["-U", "nonsense"],
        ["-s", "12Q"],
        ["-s", "4097"],
        ["-j", "-1"],
    ] {
        let out = run(MKFS, &[&args[..], &[&image]].concat());
        assert_eq!(out.status.code(), Some(1), "{args:?}");
    }
    assert!(fs::read(&image).expect("readable").iter().all(|&b| b == 0));
    assert!(refused(MKFS, &["/dev/null"], 1).contains("neither a block device nor"));
    assert!(refused(MKFS, &[images.0.path().to_str().expect("plain")], 1).contains("neither"));
    let nowhere = images.path("nowhere");
    assert!(refused(MKFS, &[nowhere.to_str().expect("plain")], 1).contains("No such file"));
}

#[test]
fn tiny_devices_are_refused_by_all() {
    let images = Images::new();
    for bytes in [0, 1, 511, 512, 4095, 4096, 12288] {
        let image = images.empty(&bytes.to_string(), bytes);
        assert!(refused(MKFS, &[&image], 1).contains("too small"));
        assert!(refused(FSCK, &["-n", &image], 8).contains("no PermFS super block"));
        assert!(refused(PERMFS, &["info", &image], 2).contains("no PermFS super block"));
    }
}

#[test]
fn fsck_has_the_statuses_of_fsck_8() {
    let images = Images::new();
    let image = images.volume("disk", 300 * MIB);
    assert_eq!(run(FSCK, &[]).status.code(), Some(16));
    assert_eq!(run(FSCK, &["--unknown", &image]).status.code(), Some(16));
    assert_eq!(run(FSCK, &["--help"]).status.code(), Some(0));
    for switch in ["-a", "-p", "-y", "-f"] {
        let out = run(FSCK, &[switch, &image]);
        assert_eq!(out.status.code(), Some(0));
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(text.contains("repairing is not there yet"), "{text}");
    }
    // The backup in shard 1.
    let file = File::options()
        .read(true)
        .write(true)
        .open(&image)
        .expect("writable");
    file.write_all_at(&[0; 4096], 32256 * 4096).expect("room");
    let out = run(FSCK, &["-n", "--json", &image]);
    assert_eq!(out.status.code(), Some(4));
    let report: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert_eq!(report["clean"], false);
    assert_eq!(report["findings"][0]["problem"], "BackupSuper");
    assert_eq!(report["findings"][0]["block"], 32256);
    // The backup is gone; so is the primary: nothing is left to go by.
    file.write_all_at(&[0; 4096], 0).expect("room");
    assert!(refused(FSCK, &["-n", &image], 8).contains("no backup"));
}

#[test]
fn cut_off_images_are_a_sentence() {
    let images = Images::new();
    let image = images.volume("disk", 16 * MIB);
    let whole = fs::read(&image).expect("readable");
    for len in [
        512,
        4096,
        8192,
        12000,
        65536,
        1 << 20,
        whole.len() - 4096,
        whole.len() - 1,
    ] {
        let cut = images.path("cut");
        fs::write(&cut, &whole[..len]).expect("room");
        let cut = cut.to_str().expect("plain");
        let out = run(FSCK, &["-n", cut]);
        let (text, code) = (stdout(&out), out.status.code());
        let told = if len < 4096 {
            code == Some(8)
        } else {
            text.contains("smaller than the volume")
        };
        assert!(told, "{len}: {out:?}");
        let text = refused(PERMFS, &["info", cut], 2);
        assert!(
            text.contains("super block") || text.contains("the volume needs"),
            "{text}"
        );
    }
}

#[test]
fn flipped_bits_and_noise_never_panic() {
    let images = Images::new();
    let image = images.volume("disk", 8 * MIB);
    let whole = fs::read(&image).expect("readable");
    let used = whole
        .chunks(4096)
        .enumerate()
        .filter(|(_, b)| b.iter().any(|&b| b != 0));
    let used: Vec<usize> = used.map(|(i, _)| i).collect();
    let target = images.path("flipped");
    let name = target.to_str().expect("plain").to_string();
    for (n, block) in used.iter().cycle().take(6 * used.len()).enumerate() {
        let mut bytes = whole.clone();
        bytes[block * 4096 + n * 677 % 4096] ^= 1 << (n % 8);
        fs::write(&target, &bytes).expect("room");
        let code = run(FSCK, &["-n", &name]).status.code();
        assert!(matches!(code, Some(0 | 4 | 8)), "block {block}: {code:?}");
        let code = run(PERMFS, &["info", "--json", &name]).status.code();
        assert!(matches!(code, Some(0..=2)), "block {block}: {code:?}");
    }
    let noise: Vec<u8> = (0..MIB as u32)
        .map(|i| (i.wrapping_mul(2654435761) >> 13) as u8)
        .collect();
    fs::write(&target, noise).expect("room");
    refused(FSCK, &["-n", &name], 8);
    refused(PERMFS, &["info", &name], 2);
}

#[test]
fn man_pages_are_made_for_every_command() {
    let images = Images::new();
    let folder = images.path("man");
    let out = run(PERMFS, &["man", "--out", folder.to_str().expect("plain")]);
    assert!(out.status.success());
    for page in [
        "mkfs.permfs",
        "fsck.permfs",
        "permfs",
        "permfs-info",
        "permfs-panic",
    ] {
        let text = fs::read_to_string(folder.join(Path::new(&format!("{page}.8")))).expect(page);
        assert!(
            text.contains(".SH NAME") && text.contains("DESCRIPTION"),
            "{page}"
        );
    }
}
