// SPDX-License-Identifier: GPL-2.0

//! Who uses a device or an image file right now.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use rustix::fs::{major, minor};

/// Somebody who uses a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// It is mounted here; the flag says whether for writing.
    Mount(PathBuf, bool),
    /// It is swap space.
    Swap,
    /// It is the image behind this loop device.
    Loop(String),
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Holder::Mount(at, _) => write!(f, "is mounted on {}", at.display()),
            Holder::Swap => f.write_str("is in use as swap space"),
            Holder::Loop(name) => write!(f, "is attached to loop device /dev/{name}"),
        }
    }
}

/// Who holds `path`, if anybody does whom the kernel tells of.
pub fn of(path: &Path) -> Option<Holder> {
    let meta = fs::metadata(path).ok()?;
    if meta.file_type().is_block_device() {
        let number = format!("{}:{}", major(meta.rdev()), minor(meta.rdev()));
        return mount_of(&read("/proc/self/mountinfo"), &number).or_else(|| swap(meta.rdev()));
    }
    let path = fs::canonicalize(path).ok()?;
    loops()
        .into_iter()
        .find(|(_, image)| *image == path)
        .map(|(name, _)| Holder::Loop(name))
}

/// What `/proc` and `/sys` cannot tell, in a chroot say, counts as empty: O_EXCL is the real guard.
fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The mount of device `number` ("major:minor"), one for writing first.
fn mount_of(mountinfo: &str, number: &str) -> Option<Holder> {
    let mounts = mountinfo.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let device = fields.nth(2)?;
        let at = unescape(fields.nth(1)?);
        // The super block's options are behind the separator; the mount's own say less.
        let options = line.split(" - ").nth(1)?.split(' ').nth(2)?;
        let writable = options.split(',').any(|o| o == "rw");
        (device == number).then_some(Holder::Mount(at.into(), writable))
    });
    mounts.max_by_key(|holder| matches!(holder, Holder::Mount(_, true)))
}

/// Devices on which a filesystem of type `kind` is mounted here, each once.
pub fn mounted(kind: &str) -> Vec<PathBuf> {
    devices_of(&read("/proc/self/mountinfo"), kind)
}

fn devices_of(mountinfo: &str, kind: &str) -> Vec<PathBuf> {
    let mut devices: Vec<PathBuf> = Vec::new();
    for line in mountinfo.lines() {
        let Some((_, behind)) = line.split_once(" - ") else {
            continue;
        };
        let mut fields = behind.split(' ');
        let (Some(of), Some(device)) = (fields.next(), fields.next()) else {
            continue;
        };
        let device = PathBuf::from(unescape(device));
        if of == kind && !devices.contains(&device) {
            devices.push(device);
        }
    }
    devices
}

/// Octal escapes of spaces and the like.
fn unescape(text: &str) -> String {
    [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .iter()
    .fold(text.to_string(), |text, (from, to)| text.replace(from, to))
}

fn swap(rdev: u64) -> Option<Holder> {
    let list = read("/proc/swaps");
    let mut names = list
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next());
    let held = names.any(|name| fs::metadata(unescape(name)).is_ok_and(|m| m.rdev() == rdev));
    held.then_some(Holder::Swap)
}

fn loops() -> Vec<(String, PathBuf)> {
    let Ok(devices) = fs::read_dir("/sys/block") else {
        return Vec::new();
    };
    let names = devices
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter_map(|name| {
            let image = read(format!("/sys/block/{name}/loop/backing_file"));
            let image = image.strip_suffix('\n')?;
            Some((name, image.into()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,errors=remount-ro
23 22 254:16 / /mnt/a\\040b ro shared:2 master:1 - permfs /dev/vdb ro
24 22 254:16 / /mnt/c ro shared:2 - permfs /dev/vdb rw
";

    #[test]
    fn a_writable_mount_counts_more() {
        let found = mount_of(MOUNTINFO, "254:16");
        assert_eq!(found, Some(Holder::Mount("/mnt/c".into(), true)));
        assert_eq!(mount_of(MOUNTINFO, "254:1"), None);
        let only_ro: String = MOUNTINFO
            .lines()
            .take(2)
            .map(|l| format!("{l}\n"))
            .collect();
        let found = mount_of(&only_ro, "254:16");
        assert_eq!(found, Some(Holder::Mount("/mnt/a b".into(), false)));
    }

    #[test]
    fn every_volume_is_named_once() {
        assert_eq!(devices_of(MOUNTINFO, "permfs"), [Path::new("/dev/vdb")]);
        assert_eq!(devices_of(MOUNTINFO, "xfs"), Vec::<PathBuf>::new());
    }

    #[test]
    fn the_root_is_mounted() {
        let info = read("/proc/self/mountinfo");
        let number = info
            .lines()
            .next()
            .and_then(|l| l.split(' ').nth(2))
            .unwrap();
        assert!(mount_of(&info, number).is_some());
    }
}
