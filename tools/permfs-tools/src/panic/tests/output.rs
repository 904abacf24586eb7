// SPDX-License-Identifier: GPL-2.0

//! The summary and the JSON.

use super::super::human;
use super::host::{as_kernel_log, report};

#[test]
fn the_summary_says_what_matters_and_drives_no_terminal() {
    let text = human::summary(&report(&[&as_kernel_log()]));
    for part in [
        "Fatal exception in interrupt: \"x=1\"\\u{1b}[2J",
        "2026-11-22T22:46:09.123Z, 62.123 s after boot",
        "the instruction at broken+0x4/0x10 [broken], 0xffffffff81234567",
        "web\\u{1b}7, kernel 7.3.4+deb13-amd64",
        "CPU 3, hardirq context, task swapper/3 (pid 0)",
        "vda 5a5a5a5a-5a5a-5a5a-5a5a-5a5a5a5a5a5a  mounted, epoch 42 running, 41 durable",
        "NOT drained, 1 in flight; cache flush not attempted",
        "#0 double-free at 1.500 ms on CPU 2: shard 7, block 99",
        "then the machine was to reboot (kernel.panic=-1)",
        "complete",
    ] {
        assert!(text.contains(part), "{part} not in\n{text}");
    }
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn json_has_the_documented_names() {
    let json = serde_json::to_value(report(&[&as_kernel_log()])).expect("JSON");
    assert_eq!(json["version"], 1);
    let panic = &json["panics"][0];
    assert_eq!(panic["complete"], true);
    assert_eq!(panic["volumes"][0]["drain"]["in_flight"], 1);
    assert_eq!(panic["volumes"][0]["allocator"]["double_frees"], 0);
    assert_eq!(panic["outcome"]["flush"], "not-attempted");
    assert_eq!(panic["outcome"]["drained"], false);
    assert!(panic["omitted"].is_null());
    assert_eq!(panic["host"]["kernel"], "7.3.4+deb13-amd64");
    assert!(panic["host"]["machine"].is_null());
    assert_eq!(panic["origin"]["faulted"], true);
}
