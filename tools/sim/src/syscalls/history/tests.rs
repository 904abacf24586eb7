// SPDX-License-Identifier: GPL-2.0

//! After which calls the names may be, case by case.

use super::*;
use crate::syscalls::journal;

/// The oldest call after which names may be when the last of these calls has returned. A volume mounted with `options`.
fn floor(options: &str, calls: &[&str]) -> u64 {
    let mut text = format!("test 0 mount {options} alone = ok\n");
    for (n, call) in calls.iter().enumerate() {
        text += &format!("test {} {call} = ok\n", n + 1);
    }
    // It may not be the last: that one may be under way.
    text += &format!("test {} idle = ok\n", calls.len() + 1);
    let history = History::follow(journal::read(&text, "test").unwrap()).unwrap();
    let returned = calls.len() as u64;
    let floors = history.floors.iter().filter(|f| f.0 <= returned);
    let floor = floors.map(|f| f.1).max().unwrap_or(0);
    // What changes nothing of names is no moment of its own.
    let candidates = history.candidates(returned);
    assert!(candidates.iter().all(|&k| k >= floor));
    floor
}

const MADE: &str = "open 0 a create";

#[test]
fn nothing_is_promised_by_making_a_name() {
    assert_eq!(floor("defaults", &[MADE, "mkdir d", "link a b"]), 0);
}

#[test]
fn fsync_of_a_file_promises_its_names() {
    assert_eq!(floor("defaults", &[MADE, "fsync 0"]), 1);
    assert_eq!(
        floor(
            "defaults",
            &[MADE, "mkdir d", "rename a d/a 0", "mkdir e", "fsync 0"]
        ),
        3
    );
    assert_eq!(
        floor(
            "defaults",
            &[MADE, "link a b", "unlink a", "mkdir e", "fsync 0"]
        ),
        3
    );
    assert_eq!(
        floor(
            "defaults",
            &[MADE, "mkdir d", "chmod a 7", "mkdir e", "fsync 0"]
        ),
        3
    );
}

#[test]
fn fdatasync_promises_existence_and_size() {
    assert_eq!(
        floor("defaults", &[MADE, "mkdir d", "chmod a 7", "fdatasync 0"]),
        1
    );
    assert_eq!(
        floor(
            "defaults",
            &[MADE, "truncate 0 9", "mkdir d", "fdatasync 0"]
        ),
        2
    );
    assert_eq!(floor("defaults", &["open 0 a create,dsync", "mkdir d"]), 0);
}

#[test]
fn fsync_of_a_folder_promises_what_was_done_in_it() {
    let calls = ["mkdir d", "open 0 d/a create", "mkdir e", "fsyncdir d"];
    assert_eq!(floor("defaults", &calls), 2);
    assert_eq!(floor("defaults", &["mkdir d", "mkdir e", "fsyncdir d"]), 1);
    assert_eq!(floor("defaults", &["mkdir d", "mkdir e", "fsyncdir ."]), 2);
}

#[test]
fn some_calls_and_some_mounts_promise_everything() {
    for call in ["sync", "syncfs 0", "freeze"] {
        assert_eq!(floor("defaults", &[MADE, "mkdir d", call]), 3);
    }
    assert_eq!(floor("dirsync", &[MADE, "mkdir d", "chmod a 7"]), 2);
    assert_eq!(floor("sync", &[MADE, "mkdir d", "chmod a 7"]), 3);
}

#[test]
fn a_call_that_the_model_cannot_follow_is_told() {
    let calls = journal::read(
        "test 0 mount defaults alone = ok\ntest 1 unlink a = ok\n",
        "test",
    );
    assert!(History::follow(calls.unwrap()).is_err());
}
