// SPDX-License-Identifier: GPL-2.0

//! What the kernel says of itself.

use std::{fs, io, path::Path};

use anyhow::{bail, Result};
use serde::Serialize;

/// What was read. `None`: the kernel does not say.
#[derive(Debug, Default, Serialize)]
pub(super) struct Facts {
    /// The module is loaded.
    pub(super) loaded: bool,
    /// The module was made without its panic handler.
    pub(super) without_handler: bool,
    /// The module taints the kernel as one without a signature that it trusts.
    pub(super) unsigned: bool,
    /// The kernel loads signed modules only.
    pub(super) signatures_enforced: Option<bool>,
    /// The kernel's lockdown: `none`, `integrity` or `confidentiality`.
    pub(super) lockdown: Option<String>,
    /// A lane for each mounted volume; none if debugfs could not be read.
    pub(super) lanes: Vec<Lane>,
    /// Volumes that are mounted.
    pub(super) mounted: Vec<String>,
    /// The module's `panic_strategy`.
    pub(super) strategy: Option<String>,
    /// `kernel.panic`: seconds to the reboot; 0 halts.
    pub(super) timeout: Option<i64>,
    /// `kernel.panic_on_oops`.
    pub(super) panic_on_oops: Option<bool>,
    /// pstore's backend, if it has one.
    pub(super) pstore: Option<String>,
    /// Something is mounted on /sys/fs/pstore.
    pub(super) pstore_mounted: bool,
    /// A crash kernel is loaded.
    pub(super) crash_kernel: bool,
    /// `crash_kexec_post_notifiers` is on the kernel's command line or set since.
    pub(super) post_notifiers: bool,
    /// pvpanic devices, and whether a host may be told of panics.
    pub(super) pvpanic: bool,
    /// Watchdogs.
    pub(super) watchdogs: Vec<Watchdog>,
}

/// A volume's panic lane.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Lane {
    /// The volume.
    pub(super) volume: String,
    /// How it would write; `None`: it would not.
    pub(super) way: Option<String>,
    /// Why it would not.
    pub(super) why: Option<String>,
}

/// A watchdog.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Watchdog {
    pub(super) name: String,
    /// What the driver calls it.
    pub(super) identity: String,
    /// The kernel's own timer, which does not outlive a kernel that stands still.
    pub(super) software: bool,
    /// Somebody has opened it, so that it runs.
    pub(super) active: bool,
    /// Seconds.
    pub(super) timeout: Option<u64>,
}

impl Facts {
    /// Reads all below `root`.
    ///
    /// Errors: what keeps /proc from being read.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let at = |path: &str| text(&root.join(path));
        let Some(mounts) = at("proc/self/mounts") else {
            bail!("/proc/self/mounts cannot be read");
        };
        let command_line = at("proc/cmdline").unwrap_or_default();
        let module = root.join("sys/module/permfs");
        let loaded = module.exists();
        let parameter = |name: &str| text(&module.join("parameters").join(name));
        let strategy = parameter("panic_strategy");
        let lanes = at("sys/kernel/debug/permfs/lanes");
        Ok(Self {
            loaded,
            without_handler: loaded && strategy.is_none(),
            unsigned: text(&module.join("taint")).is_some_and(|taint| taint.contains('E')),
            signatures_enforced: at("sys/module/module/parameters/sig_enforce")
                .as_deref()
                .map(is_yes),
            lockdown: at("sys/kernel/security/lockdown").and_then(|list| chosen(&list)),
            lanes: lanes.as_deref().map(parse_lanes).unwrap_or_default(),
            mounted: mounted(&mounts),
            strategy,
            timeout: at("proc/sys/kernel/panic").and_then(|n| n.parse().ok()),
            panic_on_oops: at("proc/sys/kernel/panic_on_oops").map(|n| n != "0"),
            pstore: at("sys/module/pstore/parameters/backend")
                .filter(|name| !name.is_empty() && name != "(null)"),
            pstore_mounted: mounts
                .lines()
                .any(|line| line.split(' ').nth(1) == Some("/sys/fs/pstore")),
            crash_kernel: at("sys/kernel/kexec_crash_loaded")
                .as_deref()
                .is_some_and(is_yes),
            post_notifiers: post_notifiers(
                &command_line,
                at("sys/module/kernel/parameters/crash_kexec_post_notifiers").as_deref(),
            ),
            pvpanic: has_pvpanic(root),
            watchdogs: watchdogs(&root.join("sys/class/watchdog")),
        })
    }
}

fn text(path: &Path) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim().to_owned())
}

fn is_yes(value: &str) -> bool {
    matches!(value, "Y" | "1" | "y")
}

/// The word in brackets.
fn chosen(list: &str) -> Option<String> {
    let (_, rest) = list.split_once('[')?;
    Some(rest.split_once(']')?.0.to_owned())
}

/// The value that the kernel shows, or what the command line says.
fn post_notifiers(command_line: &str, parameter: Option<&str>) -> bool {
    let word = command_line.split_whitespace().any(|word| {
        let (name, value) = word.split_once('=').unwrap_or((word, "Y"));
        name.strip_prefix("kernel.").unwrap_or(name) == "crash_kexec_post_notifiers"
            && is_yes(value)
    });
    parameter.map_or(word, is_yes)
}

/// What PermFS volumes are mounted on.
fn mounted(mounts: &str) -> Vec<String> {
    let permfs = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (device, _, kind) = (words.next()?, words.next()?, words.next()?);
        (kind == "permfs").then(|| device.to_owned())
    });
    let mut devices: Vec<_> = permfs.collect();
    devices.sort();
    devices.dedup();
    devices
}

/// `vda panic_lane=virtio-shared collects=virtio-shared`, a line for each volume.
fn parse_lanes(text: &str) -> Vec<Lane> {
    let parse = |line: &str| {
        let (volume, rest) = line.split_once(" panic_lane=")?;
        let way = rest.split(' ').next()?;
        let why = way.strip_prefix("none:").map(str::to_owned);
        Some(Lane {
            volume: volume.to_owned(),
            way: why.is_none().then(|| way.to_owned()),
            why,
        })
    };
    text.lines().filter_map(parse).collect()
}

fn has_pvpanic(root: &Path) -> bool {
    let events = |bus: &str, driver: &str| {
        let Ok(devices) = fs::read_dir(root.join(format!("sys/bus/{bus}/drivers/{driver}"))) else {
            return false;
        };
        let tells =
            |events: String| u64::from_str_radix(events.trim_start_matches("0x"), 16) != Ok(0);
        devices
            .flatten()
            .any(|device| text(&device.path().join("events")).is_some_and(tells))
    };
    events("pci", "pvpanic-pci") || events("platform", "pvpanic-mmio")
}

fn watchdogs(class: &Path) -> Vec<Watchdog> {
    let Ok(entries) = fs::read_dir(class) else {
        return Vec::new();
    };
    let read = |entry: io::Result<fs::DirEntry>| {
        let path = entry.ok()?.path();
        let identity = text(&path.join("identity"))?;
        Some(Watchdog {
            name: path.file_name()?.to_string_lossy().into_owned(),
            software: identity == "Software Watchdog",
            active: text(&path.join("state")).as_deref() == Some("active"),
            timeout: text(&path.join("timeout")).and_then(|n| n.parse().ok()),
            identity,
        })
    };
    let mut found: Vec<_> = entries.filter_map(read).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}
