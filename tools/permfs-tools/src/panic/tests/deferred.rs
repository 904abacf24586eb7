// SPDX-License-Identifier: GPL-2.0

//! A record whose outcome was left until another pstore backend had its turn.

use super::super::human;
use super::host::{lines, report};
use permfs_core::crc::crc32c;

/// The handler's lines as they would be if another backend's record ended where the rest was deferred.
fn deferred_lines() -> Vec<String> {
    let early: Vec<&String> = lines()
        .iter()
        .take_while(|l| !l.contains("rec=drain"))
        .collect();
    let id = early[0]
        .split(" id=")
        .nth(1)
        .expect("an id")
        .split(' ')
        .next()
        .expect("an id");
    let n = early.len();
    let body = format!(
        "permfs-panic: v=1 rec=deferred id={id} i={n} lines={}",
        n + 1
    );
    let mut early: Vec<_> = early.into_iter().cloned().collect();
    early.push(format!("{body} crc={:08x}", crc32c(0, body.as_bytes())));
    early
}

#[test]
fn a_record_that_ends_where_the_rest_was_deferred_is_not_taken_for_one_that_was_cut() {
    let lines = deferred_lines();
    let of = |lines: &[String]| {
        let report = report(&[&lines.join("\n")]);
        assert_eq!((report.unknown_lines, report.damaged_lines), (0, 0));
        let text = human::summary(&report);
        (report.panics[0].clone(), text)
    };
    let (whole, text) = of(&lines);
    assert!(whole.outcome_deferred && !whole.complete);
    assert_eq!(whole.lines_until_deferral, Some(lines.len() as u32));
    assert!(
        text.contains("outcome   not in this source: it was deferred"),
        "{text}"
    );
    assert!(
        text.contains("complete as far as it was not deferred") && !text.contains("INCOMPLETE")
    );
    // Any line is lost, that one too.
    for lost in 0..lines.len() {
        let mut rest = lines.clone();
        rest.remove(lost);
        let (cut, text) = of(&rest);
        assert!(!cut.outcome_deferred && !cut.complete, "{lost}");
        assert!(text.contains("unknown: the last line is missing") && text.contains("INCOMPLETE"));
    }
    // What comes later is cut: the outcome was there.
    let body = format!(
        "permfs-panic: v=1 rec=lane id={} i={} slot=0",
        whole.id,
        lines.len()
    );
    let mut more = lines.clone();
    more.push(format!("{body} crc={:08x}", crc32c(0, body.as_bytes())));
    let (cut, text) = of(&more);
    assert!(!cut.outcome_deferred && text.contains("INCOMPLETE"));
}
