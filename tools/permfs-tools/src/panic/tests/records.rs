// SPDX-License-Identifier: GPL-2.0

//! Panics found in logs of all kinds: whole, split, cut, forged, flipped.

use super::super::{human, scan::scan};
use super::host::{as_kernel_log, check, lines, report};
use permfs_core::crc::crc32c;
use proptest::prelude::*;

#[test]
fn every_kind_of_log_gives_the_same_record() {
    let plain = lines().join("\n");
    let dmesg = as_kernel_log();
    let caller = dmesg.replace("] ", "][   C3] ").replace("<0>", "");
    let serial = dmesg.replace("<0>", "").replace('\n', "\r\n");
    let journal = plain.replace(
        "permfs-panic:",
        "Nov 22 22:46:09 host kernel: permfs-panic:",
    );
    let shared_console = serial.replace("[   62", "login: root\u{7}[   62");
    let glued = lines().join("[   62.5] ");
    for text in [plain, dmesg, caller, serial, journal, shared_console, glued] {
        let report = report(&[&text]);
        assert_eq!(
            (report.damaged_lines, report.unknown_lines),
            (0, 0),
            "{text}"
        );
        let [panic] = &report.panics[..] else {
            panic!("{text}")
        };
        check(panic);
    }
}

#[test]
fn a_record_split_over_files_in_any_order_is_one() {
    let log = as_kernel_log();
    let (first, second) = log.split_at(log.match_indices('\n').nth(3).expect("lines").0 + 1);
    let report = report(&[second, first, &log]);
    assert_eq!((report.panics.len(), report.damaged_lines), (1, 0));
    check(&report.panics[0]);
    assert_eq!(report.panics[0].sources.len(), 3);
}

#[test]
fn a_line_cut_by_a_record_boundary_is_damaged_and_not_believed() {
    let log = as_kernel_log();
    let cut = log.find("rec=end").expect("end") + 30;
    let report = report(&[&log[..cut], &log[cut..]]);
    assert_eq!(report.damaged_lines, 1);
    let panic = &report.panics[0];
    assert!(!panic.complete && panic.outcome.is_none());
    assert!(human::summary(&report).contains("INCOMPLETE"));
}

#[test]
fn a_forged_line_inside_a_message_is_not_a_line() {
    let body = "permfs-panic: v=1 rec=end id=00000001 i=0 drained=1";
    let forged = format!("{body} crc={:08x}", crc32c(0, body.as_bytes()));
    assert_eq!(scan(forged.as_bytes()).lines.len(), 1);
    let quoted = format!("<0>[    1.000000] Kernel panic - not syncing: {forged}\n");
    assert_eq!(scan(quoted.as_bytes()).lines.len(), 0);
}

#[test]
fn another_panic_in_the_same_log_is_another() {
    let body = "permfs-panic: v=1 rec=begin id=00000001 i=0 wall=5 mono=3";
    let other = format!("{body} crc={:08x}\n", crc32c(0, body.as_bytes()));
    let report = report(&[&format!("{}{other}", as_kernel_log())]);
    assert_eq!(report.panics.len(), 2);
    assert_eq!(report.panics[0].id, "00000001");
    check(&report.panics[1]);
}

#[test]
fn a_later_version_and_a_later_kind_are_counted() {
    let mut text = String::new();
    for body in [
        "permfs-panic: v=2 rec=begin id=00000001 i=0",
        "permfs-panic: v=1 rec=later id=00000001 i=1",
    ] {
        text += &format!("{body} crc={:08x}\n", crc32c(0, body.as_bytes()));
    }
    let report = report(&[&text]);
    assert_eq!((report.unknown_lines, report.damaged_lines), (2, 0));
    // What is not understood is not taken for a panic.
    assert_eq!((report.panics.len(), report.oopses.len()), (0, 0));
}

proptest! {
    #[test]
    fn any_bytes_whatever_are_read(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert_eq!(scan(&bytes).lines.len(), 0);
    }

    /// A flipped bit may cost the line that it is in (or a line and its neighbour, if it joined or
    /// split them); what is still believed is what was written.
    #[test]
    fn a_flipped_bit_is_never_believed(at: prop::sample::Index, bit in 0u8..8) {
        let log = as_kernel_log();
        let whole = scan(log.as_bytes()).lines;
        let mut bytes = log.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let found = scan(&bytes);
        prop_assert!(found.lines.iter().all(|l| whole.contains(l)));
        prop_assert!(found.lines.len() + 1 >= whole.len());
        prop_assert_eq!(found.unknown, 0);
    }
}
