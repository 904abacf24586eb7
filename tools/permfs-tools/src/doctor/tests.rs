// SPDX-License-Identifier: GPL-2.0

//! Machines made of files.

use std::{fs, path::Path};

use super::{facts::Facts, findings::Grade, Report};

/// A machine where all is as it should be.
const GOOD: [(&str, &str); 13] = [
    ("proc/self/mounts", "pstore /sys/fs/pstore pstore rw 0 0\n/dev/vda /srv permfs rw 0 0\n/dev/vda /srv/a permfs rw 0 0\n"),
    ("proc/cmdline", "root=/dev/vdb ro quiet"),
    ("proc/sys/kernel/panic", "10\n"),
    ("proc/sys/kernel/panic_on_oops", "1\n"),
    ("sys/module/permfs/taint", "O\n"),
    ("sys/module/permfs/parameters/panic_strategy", "kernel\n"),
    ("sys/module/pstore/parameters/backend", "permfs\n"),
    ("sys/kernel/debug/permfs/lanes", "vda panic_lane=virtio-shared collects=virtio-shared\n"),
    ("sys/kernel/kexec_crash_loaded", "0\n"),
    ("sys/kernel/security/lockdown", "[none] integrity confidentiality\n"),
    ("sys/class/watchdog/watchdog0/identity", "i6300ESB timer\n"),
    ("sys/class/watchdog/watchdog0/state", "active\n"),
    ("sys/class/watchdog/watchdog0/timeout", "30\n"),
];

/// The report of [`GOOD`] with files added, replaced, or (where there is no text) taken away.
fn of(changes: &[(&str, &str)]) -> Report {
    let root = tempfile::tempdir().expect("a folder");
    for (path, text) in GOOD.iter().chain(changes) {
        let path = root.path().join(path);
        match text.is_empty() {
            true => fs::remove_file(&path).expect("there before"),
            false => put(&path, text),
        }
    }
    Report::of(Facts::read(root.path()).expect("a machine"))
}

fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, text).expect("written");
}

fn said(report: &Report, about: &str) -> (Grade, String) {
    let finding = report.findings.iter().find(|f| f.about == about);
    let finding = finding.unwrap_or_else(|| panic!("nothing about {about}"));
    (finding.grade, finding.text.clone())
}

#[test]
fn a_machine_that_is_well() {
    let report = of(&[]);
    assert_eq!(report.grade, Grade::Good, "{}", report.text());
    let leaves = "leaves a record on vda and the kernel's log in pstore (permfs); then the machine reboots after 10 s";
    assert_eq!(report.leaves, leaves);
    assert_eq!(report.facts.mounted, ["/dev/vda"]);
}

/// What the finding is about, the changes that make it, its grade and words in it.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Grade, &'a str);

#[test]
fn each_thing_that_is_not() {
    let cases: [Case; 12] = [
        (
            "module",
            &[
                ("sys/module/permfs/taint", "OE"),
                ("sys/module/module/parameters/sig_enforce", "Y"),
            ],
            Grade::Mend,
            "would not load",
        ),
        (
            "module",
            &[("sys/module/permfs/parameters/panic_strategy", "")],
            Grade::Mend,
            "PANIC=n",
        ),
        (
            "kdump",
            &[("sys/kernel/kexec_crash_loaded", "1")],
            Grade::Mend,
            "comes first",
        ),
        (
            "pstore",
            &[("sys/module/pstore/parameters/backend", "(null)")],
            Grade::Mend,
            "no backend",
        ),
        (
            "pstore",
            &[("proc/self/mounts", "/dev/vda / permfs rw 0 0")],
            Grade::Mend,
            "not mounted",
        ),
        (
            "policy",
            &[("proc/sys/kernel/panic", "0")],
            Grade::Mend,
            "stands still",
        ),
        (
            "policy",
            &[("sys/module/permfs/parameters/panic_strategy", "halt")],
            Grade::Mend,
            "stands still",
        ),
        (
            "watchdog",
            &[("sys/class/watchdog/watchdog0/state", "inactive")],
            Grade::Mend,
            "nobody has started",
        ),
        (
            "watchdog",
            &[("sys/class/watchdog/watchdog0/identity", "Software Watchdog")],
            Grade::Mend,
            "softdog",
        ),
        (
            "lanes",
            &[(
                "sys/kernel/debug/permfs/lanes",
                "dm-0 panic_lane=none:not-mq collects=none:not-mq",
            )],
            Grade::Mend,
            "dm-0 cannot",
        ),
        (
            "lanes",
            &[("proc/self/mounts", "pstore /sys/fs/pstore pstore rw 0 0")],
            Grade::Mend,
            "no PermFS volume",
        ),
        (
            "pvpanic",
            &[("sys/bus/pci/drivers/pvpanic-pci/0000:00:03.0/events", "3")],
            Grade::Mend,
            "host",
        ),
    ];
    for (about, changes, grade, words) in cases {
        let report = of(changes);
        let (is, text) = said(&report, about);
        assert!(
            is == grade && text.contains(words),
            "{about}: {is:?} {text}"
        );
        assert_eq!(report.grade, grade, "{}", report.text());
    }
}

#[test]
fn what_leaves_nothing() {
    let no_pstore = ("sys/module/pstore/parameters/backend", "(null)");
    let no_lane = (
        "sys/kernel/debug/permfs/lanes",
        "vda panic_lane=none:driver collects=none:driver",
    );
    let report = of(&[no_pstore, no_lane]);
    assert_eq!(report.grade, Grade::Bad);
    assert!(
        report.leaves.starts_with("leaves nothing;"),
        "{}",
        report.leaves
    );
    // Another volume's lane is enough, and is told.
    let two = "vda panic_lane=none:driver collects=none:driver\nnvme0n1 panic_lane=nvme-reap collects=nvme-reap";
    let report = of(&[("sys/kernel/debug/permfs/lanes", two)]);
    assert_eq!(report.grade, Grade::Mend);
    assert!(
        report.leaves.starts_with("leaves a record on nvme0n1 and"),
        "{}",
        report.leaves
    );
}

#[test]
fn a_crash_kernel_that_comes_after_the_account() {
    let loaded = ("sys/kernel/kexec_crash_loaded", "1");
    for after in [
        ("proc/cmdline", "quiet crash_kexec_post_notifiers"),
        ("proc/cmdline", "crash_kexec_post_notifiers=1 quiet"),
        (
            "sys/module/kernel/parameters/crash_kexec_post_notifiers",
            "Y",
        ),
    ] {
        let report = of(&[loaded, after]);
        assert_eq!(report.grade, Grade::Good, "{}", report.text());
        assert!(report
            .leaves
            .ends_with("then the machine starts the crash kernel"));
    }
    let not = of(&[
        loaded,
        (
            "sys/module/kernel/parameters/crash_kexec_post_notifiers",
            "N",
        ),
        ("proc/cmdline", "xcrash_kexec_post_notifiers"),
    ]);
    assert_eq!(not.grade, Grade::Mend);
}

#[test]
fn what_cannot_be_read_is_not_believed() {
    let report = of(&[("sys/kernel/debug/permfs/lanes", "")]);
    assert_eq!(report.grade, Grade::Bad);
    assert!(said(&report, "lanes").1.starts_with("not known"));
    let root = tempfile::tempdir().expect("a folder");
    assert!(Facts::read(root.path()).is_err());
}
