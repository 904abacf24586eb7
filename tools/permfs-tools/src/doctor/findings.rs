// SPDX-License-Identifier: GPL-2.0

//! What the facts mean for a panic.

use serde::Serialize;

use super::facts::{Facts, Lane, Watchdog};

/// How good a finding is. Its number is the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Grade {
    /// As it should be.
    Good = 0,
    /// A panic leaves less than it could, or the machine stays down.
    Mend = 1,
    /// A panic leaves nothing, or nobody knows.
    Bad = 2,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    pub(super) about: &'static str,
    pub(super) grade: Grade,
    pub(super) text: String,
    /// What to do about it.
    pub(super) advice: Option<String>,
}

impl Finding {
    fn new(about: &'static str, grade: Grade, text: impl Into<String>) -> Self {
        Self {
            about,
            grade,
            text: text.into(),
            advice: None,
        }
    }

    fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

/// All findings, in the order in which a panic meets them.
pub(super) fn of(f: &Facts) -> Vec<Finding> {
    let mut all = vec![module(f)];
    all.extend(pvpanic(f));
    all.push(crash_kernel(f));
    all.extend(lanes(f));
    all.push(pstore(f));
    all.push(policy(f));
    all.push(watchdog(f));
    all
}

/// What a panic would leave, and what the machine would do then.
pub(super) fn leaves(f: &Facts) -> String {
    let mut kept = Vec::new();
    if f.crash_kernel && !f.post_notifiers {
        kept.push("the crash kernel's dump, and nothing of ours".to_owned());
    } else {
        let writing: Vec<_> = f.lanes.iter().filter(|lane| lane.way.is_some()).collect();
        if handler(f) && !writing.is_empty() {
            let names: Vec<_> = writing.iter().map(|lane| lane.volume.as_str()).collect();
            kept.push(format!("a record on {}", names.join(", ")));
        }
        if let Some(backend) = &f.pstore {
            kept.push(format!("the kernel's log in pstore ({backend})"));
        }
    }
    let kept = match &kept[..] {
        [] => "leaves nothing".to_owned(),
        kept => format!("leaves {}", kept.join(" and ")),
    };
    format!("{kept}; then the machine {}", next(f))
}

fn handler(f: &Facts) -> bool {
    f.loaded && !f.without_handler
}

fn next(f: &Facts) -> String {
    if f.crash_kernel {
        return "starts the crash kernel".into();
    }
    match (f.strategy.as_deref(), f.timeout) {
        (Some("halt"), _) | (_, Some(0)) => "stands still".into(),
        (Some("reboot"), _) => "reboots".into(),
        (_, Some(n)) if n < 0 => "reboots at once".into(),
        (_, Some(n)) => format!("reboots after {n} s"),
        (_, None) => "does nobody knows what".into(),
    }
}

fn module(f: &Facts) -> Finding {
    let grade = if f.pstore.is_some() {
        Grade::Mend
    } else {
        Grade::Bad
    };
    if !f.loaded {
        return Finding::new("module", grade, "permfs is not loaded")
            .advise("modprobe permfs, and mount a volume");
    }
    if f.without_handler {
        return Finding::new(
            "module",
            grade,
            "permfs was made without its panic handler (PANIC=n)",
        );
    }
    let signature = match (f.unsigned, f.signatures_enforced, f.lockdown.as_deref()) {
        (false, _, _) => "with a signature that the kernel trusts",
        (true, Some(true), _) | (true, _, Some("integrity" | "confidentiality")) => {
            "without a trusted signature, which this kernel would not load again"
        }
        (true, _, _) => "without a trusted signature, which this kernel does not ask for",
    };
    let grade = match signature.ends_with("again") {
        true => Grade::Mend,
        false => Grade::Good,
    };
    Finding::new("module", grade, format!("loaded, {signature}"))
}

fn pvpanic(f: &Facts) -> Option<Finding> {
    f.pvpanic.then(|| {
        let text = "the host is told of a panic first, and may stop the machine before the account is written";
        let advice = "see that the host lets the guest go on (QEMU: -action panic=none), or write 0 to the device's `events`";
        Finding::new("pvpanic", Grade::Mend, text).advise(advice)
    })
}

fn crash_kernel(f: &Facts) -> Finding {
    let (grade, text) = match (f.crash_kernel, f.post_notifiers) {
        (false, _) => (
            Grade::Good,
            "no crash kernel is loaded that would come first",
        ),
        (true, true) => (
            Grade::Good,
            "a crash kernel is loaded, and starts after the account (crash_kexec_post_notifiers)",
        ),
        (true, false) => (
            Grade::Mend,
            "a crash kernel is loaded and comes first: a panic leaves its dump, and no account",
        ),
    };
    let finding = Finding::new("kdump", grade, text);
    match grade {
        Grade::Good => finding,
        _ => finding.advise("add crash_kexec_post_notifiers to the kernel's command line"),
    }
}

fn lanes(f: &Facts) -> Vec<Finding> {
    if !handler(f) {
        return Vec::new();
    }
    let none = if f.pstore.is_some() {
        Grade::Mend
    } else {
        Grade::Bad
    };
    if f.mounted.is_empty() {
        let finding = Finding::new(
            "lanes",
            none,
            "no PermFS volume is mounted, so there is none to write to",
        );
        return vec![finding.advise("mount one; a small one beside another filesystem does")];
    }
    if f.lanes.is_empty() {
        let finding = Finding::new(
            "lanes",
            Grade::Bad,
            "not known: /sys/kernel/debug/permfs cannot be read",
        );
        return vec![finding.advise("run this as root, with debugfs mounted")];
    }
    let any = f.lanes.iter().any(|lane| lane.way.is_some());
    let worst = if any { Grade::Mend } else { none };
    f.lanes.iter().map(|lane| one_lane(lane, worst)).collect()
}

fn one_lane(lane: &Lane, worst: Grade) -> Finding {
    let name = &lane.volume;
    let Some(why) = lane.why.as_deref() else {
        let way = lane.way.as_deref().unwrap_or("?");
        return Finding::new(
            "lanes",
            Grade::Good,
            format!("{name} can be written in a panic ({way})"),
        );
    };
    let finding = Finding::new(
        "lanes",
        worst,
        format!("{name} cannot be written in a panic: {why}"),
    );
    match advice(why) {
        Some(advice) => finding.advise(advice),
        None => finding,
    }
}

/// What to do about a reason of `Documentation/panic-lane.md`.
fn advice(why: &str) -> Option<&'static str> {
    Some(match why {
        "queue-shared" => "give the device a queue for each CPU, or a poll queue (nvme.poll_queues=1)",
        "not-mq" | "driver" => "a volume on a plain NVMe, virtio-blk, virtio-scsi or AHCI disk can",
        "read-only" => "a volume that is mounted read-only is not written to",
        "off" => "panic_lane=off was given to the module",
        "no-area" | "area-small" => "make the volume anew with a panic area (mkfs.permfs --panic-slots)",
        "vectors" => "the device's interrupts are threads or are shared (threadirqs, use_threaded_interrupts)",
        _ => return None,
    })
}

fn pstore(f: &Facts) -> Finding {
    let writes = f.lanes.iter().any(|lane| lane.way.is_some());
    match (f.pstore.as_deref(), f.pstore_mounted) {
        (None, _) if writes => Finding::new(
            "pstore",
            Grade::Mend,
            "has no backend: the kernel's log is kept nowhere",
        )
        .advise("load permfs without pstore=off"),
        (None, _) => Finding::new(
            "pstore",
            Grade::Bad,
            "has no backend: the kernel's log is kept nowhere",
        ),
        (Some(owner), false) => Finding::new(
            "pstore",
            Grade::Mend,
            format!("{owner} is the backend, but /sys/fs/pstore is not mounted"),
        )
        .advise("mount -t pstore pstore /sys/fs/pstore"),
        (Some("permfs"), true) => Finding::new(
            "pstore",
            Grade::Good,
            "permfs is the backend: the kernel's log goes to a volume",
        ),
        (Some(owner), true) => Finding::new(
            "pstore",
            Grade::Good,
            format!("{owner} is the backend; volumes are written after it"),
        ),
    }
}

fn policy(f: &Facts) -> Finding {
    let oops = match f.panic_on_oops {
        Some(true) => "an oops is a panic",
        _ => "an oops kills its task only (kernel.panic_on_oops=0)",
    };
    let next = next(f);
    let text = format!("after a panic the machine {next}; {oops}");
    if next != "stands still" {
        return Finding::new("policy", Grade::Good, text);
    }
    let advice = match f.strategy.as_deref() {
        Some("halt") => "panic_strategy=halt was given to the module",
        _ => "sysctl kernel.panic=10, if it is to come up by itself",
    };
    Finding::new("policy", Grade::Mend, text).advise(advice)
}

fn watchdog(f: &Facts) -> Finding {
    let hard = |w: &&Watchdog| !w.software;
    let running = f.watchdogs.iter().filter(hard).find(|w| w.active);
    let seconds = |w: &Watchdog| w.timeout.map_or(String::new(), |s| format!(", {s} s"));
    if let Some(w) = running {
        let text = format!(
            "{} ({}{}) resets a machine that hangs",
            w.name,
            w.identity,
            seconds(w)
        );
        return Finding::new("watchdog", Grade::Good, text);
    }
    if let Some(w) = f.watchdogs.iter().find(hard) {
        let text = format!(
            "{} ({}) is there, and nobody has started it",
            w.name, w.identity
        );
        return Finding::new("watchdog", Grade::Mend, text)
            .advise("RuntimeWatchdogSec= in systemd's system.conf starts it");
    }
    let text = match f.watchdogs.is_empty() {
        true => "none: a machine that hangs, in a panic or before it, stays so",
        false => "only the kernel's own (softdog), which hangs with it",
    };
    Finding::new("watchdog", Grade::Mend, text).advise(
        "load the driver of the machine's own (iTCO_wdt, sp5100_tco, i6300esb, ipmi_watchdog, ...)",
    )
}
