// SPDX-License-Identifier: GPL-2.0

//! Oopses, and panics that the kernel makes of them.

use super::super::{human, model::FailedVolume, status};
use super::host::{as_kernel_log, check, report, Host};
use permfs_core::{
    crc::crc32c,
    panic::{Oops, SlotGuard, VolumeTable},
};

/// What the kernel prints of an oops that fails two volumes.
fn oops_lines() -> Vec<String> {
    let host = Host::default();
    let table: &'static VolumeTable = Box::leak(Box::new(VolumeTable::new()));
    let guards = ["vda", "vdb"].map(|name| SlotGuard::claim_in(table, name.as_bytes(), &[7; 16]));
    guards[1].set_epochs(12, 11);
    let oops = Oops {
        message: b"Oops: invalid opcode: 0000 [#1]",
        failed: 0b11,
        held: 0b10,
    };
    oops.contain(&&host, &&host, table);
    host.0.into_inner().expect("one thread")
}

#[test]
fn an_oops_is_no_panic() {
    let lines = oops_lines();
    let alone = report(&[&lines.join("\n")]);
    assert_eq!((alone.damaged_lines, alone.unknown_lines), (0, 0));
    assert!(alone.panics.is_empty() && status(&alone) == 0);
    let [oops] = &alone.oopses[..] else {
        panic!("{:?}", alone.oopses)
    };
    assert!(oops.complete && oops.lines == 3 && oops.panic.is_none());
    assert_eq!(oops.volumes_failed, Some(2));
    assert_eq!(
        oops.scene.message.as_deref(),
        Some("Oops: invalid opcode: 0000 [#1]")
    );
    assert_eq!(oops.scene.time.as_deref(), Some("2026-11-22T22:46:09.123Z"));
    let told = |v: &FailedVolume| (v.slot, v.name.clone(), v.lock_held, v.running_epoch);
    let names = ["vda", "vdb"].map(|n| Some(n.to_owned()));
    let [a, b] = names;
    assert_eq!(told(&oops.volumes[0]), (0, a, Some(false), Some(0)));
    assert_eq!(told(&oops.volumes[1]), (1, b, Some(true), Some(12)));
    let text = human::summary(&alone);
    for part in [
        &format!("Oops {}", oops.id),
        "volumes   2 failed with it",
        "epoch 12 running, 11 durable; 0 I/O in flight; the task held a lock of it",
        "then      no panic is known to have come of it",
        "complete, 3 lines, from log0",
        "No PermFS panic record",
    ] {
        assert!(text.contains(part), "{part} not in\n{text}");
    }
    // One line is lost.
    let part = report(&[&lines[..2].join("\n")]);
    assert!(!part.oopses[0].complete);
    assert!(human::summary(&part).contains("INCOMPLETE, 2 of 3 lines"));
    let rest = report(&[&lines[1..].join("\n")]);
    assert!(!rest.oopses[0].complete && rest.panics.is_empty());
}

#[test]
fn a_panic_of_an_oops_is_told_apart_and_names_it() {
    let oops = |id: u32, pid: i32, wall: u64, mono: u64| {
        let body = format!(
            "permfs-panic: v=1 rec=oops id={id:08x} i=0 wall={wall} mono={mono} vols=0 pid={pid}"
        );
        format!("{body} crc={:08x}\n", crc32c(0, body.as_bytes()))
    };
    // The panic's: 62.123456789 s after boot, pid 0.
    let (wall, mono) = (1_795_387_569_123_456_789, 62_123_456_789);
    let second = 1_000_000_000;
    let of = |text: &str| {
        let report = report(&[&(text.to_owned() + &as_kernel_log())]);
        check(&report.panics[0]);
        assert_eq!((report.panics.len(), report.unknown_lines), (1, 0));
        report
    };
    let near = oops(1, 0, wall - second, mono - second);
    let linked = of(&near);
    assert_eq!(linked.panics[0].oops.as_deref(), Some("00000001"));
    assert_eq!(linked.oopses[0].panic, Some(linked.panics[0].id.clone()));
    let text = human::summary(&linked);
    assert!(
        text.contains("the kernel made this of oops 00000001"),
        "{text}"
    );
    let at = |what: &str| text.find(what).expect(what);
    assert!(at("Oops 00000001") < at("Panic "), "oldest first");
    for other in [
        oops(1, 5, wall - second, mono - second), // another task
        oops(1, 0, wall - 61 * second, mono - 61 * second), // long ago
        oops(1, 0, wall - second, mono - 9 * second), // another boot
        oops(1, 0, wall + second, mono + second), // later
    ] {
        let report = of(&other);
        assert_eq!(report.panics[0].oops, None, "{other}");
        assert_eq!(report.oopses[0].panic, None);
    }
    // Of two that could be it, it is the later.
    let both = of(&(near + &oops(2, 0, wall - 2 * second, mono - 2 * second)));
    assert_eq!(both.panics[0].oops.as_deref(), Some("00000001"));
}
