// SPDX-License-Identifier: GPL-2.0

use super::{
    super::{model::Builder, source::Logs},
    *,
};
use permfs_core::crc::crc32c;
use std::os::unix::fs::PermissionsExt;

fn line(rec: &str, i: u32, rest: &str) -> String {
    let body = format!("permfs-panic: v=1 rec={rec} id=0000abcd i={i} {rest}");
    format!("{body} crc={:08x}\n", crc32c(0, body.as_bytes()))
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder)
        .expect("a folder")
        .map(|e| e.expect("an entry").file_name());
    let mut names: Vec<_> = entries.map(|n| n.into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

#[test]
fn a_panic_is_archived_once_and_again_when_more_of_it_is_found() {
    let temp = tempfile::tempdir().expect("a temporary folder");
    let folder = temp.path().join("a/b");
    let begin = line("begin", 0, "wall=1795387569123456789 mono=3 vols=0");
    let end = line(
        "end",
        1,
        "vols=0 drained=1 inflight=0 flush=ok elapsed_ns=5 next=halt lines=2",
    );
    let archive = |texts: &[&str]| {
        let mut logs = Logs::default();
        for text in texts {
            logs.push("log".into(), text.as_bytes().to_vec());
        }
        let report = Builder::read(&mut logs);
        add(&folder, &report, &logs.kernel_logs, false).expect("room")
    };
    let done = |new, more, known| Done {
        panics: Counts { new, more, known },
        ..Done::default()
    };
    assert_eq!(archive(&[&begin]), done(1, 0, 0));
    assert_eq!(
        files(&folder),
        [
            "20261122T224609Z-0000abcd.json",
            "20261122T224609Z-0000abcd.txt"
        ]
    );
    assert_eq!(archive(&[&begin]), done(0, 0, 1));
    assert_eq!(archive(&[&end, &begin]), done(0, 1, 0));
    let text =
        || fs::read_to_string(folder.join("20261122T224609Z-0000abcd.txt")).expect("the lines");
    assert_eq!(text(), format!("{begin}{end}"));
    // Less was read: what is there stays.
    assert_eq!(archive(&[&end]), done(0, 0, 1));
    assert_eq!(text(), format!("{begin}{end}"));
    let json = fs::read(folder.join("20261122T224609Z-0000abcd.json")).expect("the report");
    let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!(json["panics"][0]["complete"], true);
    let mode = fs::metadata(&folder)
        .expect("a folder")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    // The archive is a place to read from, and what it has is then known to it.
    let mut logs = Logs::default();
    logs.add(&folder).expect("readable");
    let report = Builder::read(&mut logs);
    assert_eq!((report.panics.len(), report.damaged_lines), (1, 0));
    assert!(report.panics[0].complete);
}

#[test]
fn an_oops_is_kept_by_itself_and_with_its_panic() {
    let temp = tempfile::tempdir().expect("a temporary folder");
    let folder = temp.path().join("archive");
    let store = temp.path().join("pstore");
    fs::create_dir(&store).expect("room");
    let oops = line("oops", 0, "wall=2000000005 mono=3 vols=1 pid=7")
        + &line("failed", 1, "slot=0 held=1 run=5");
    let panic = line("begin", 0, "wall=2000000009 mono=7 vols=1 pid=7");
    let piece = |n: u32, what: &str, text: &str| {
        let text = format!("{what} Part1\n{text}");
        fs::write(store.join(format!("dmesg-erst-{n}")), text).expect("room");
    };
    let archive = || {
        let mut logs = Logs::default();
        logs.add(&store).expect("readable");
        let report = Builder::read(&mut logs);
        add(&folder, &report, &logs.kernel_logs, false).expect("room")
    };
    piece(1, "Oops#1", &format!("only then\n{oops}"));
    let one = |new, known| Counts {
        new,
        known,
        ..Counts::default()
    };
    let done = archive();
    assert_eq!((done.panics, done.oopses), (one(0, 0), one(1, 0)));
    // The same number: a panic is another thing all the same.
    piece(2, "Panic#2", &format!("later\n{oops}{panic}"));
    let done = archive();
    assert_eq!((done.panics, done.oopses), (one(1, 0), one(0, 1)));
    let base = "19700101T000002Z";
    let names: Vec<_> = ["", "-oops"]
        .iter()
        .flat_map(|kind| {
            ["json", "log", "txt"].map(|suffix| format!("{base}{kind}-0000abcd.{suffix}"))
        })
        .collect();
    assert_eq!(files(&folder), names);
    let read = |name: &String| fs::read_to_string(folder.join(name)).expect("there");
    assert!(read(&names[1]).contains("later") && !read(&names[1]).contains("only then"));
    assert!(read(&names[4]).contains("only then") && !read(&names[4]).contains("later"));
    let json = |name| serde_json::from_str::<serde_json::Value>(&read(name)).expect("JSON");
    let (panic, oops) = (json(&names[0]), json(&names[3]));
    assert_eq!(panic["panics"][0]["oops"], "0000abcd");
    assert_eq!(panic["oopses"][0]["complete"], true);
    assert_eq!(oops["panics"], serde_json::json!([]));
    // What is read from the archive is not counted twice.
    let mut logs = Logs::default();
    logs.add(&folder).expect("readable");
    let report = Builder::read(&mut logs);
    assert_eq!((report.panics.len(), report.oopses.len()), (1, 1));
}

#[test]
fn the_kernel_s_log_is_kept_oldest_text_first() {
    let temp = tempfile::tempdir().expect("a temporary folder");
    let begin = line("begin", 0, "wall=5 mono=3 vols=0");
    let mut logs = Logs::default();
    let store = temp.path().join("pstore");
    fs::create_dir(&store).expect("room");
    let piece = |n: u32, text: &str| {
        let text = format!("Panic#1 Part{n}\n{text}");
        fs::write(store.join(format!("dmesg-erst-{n}")), text).expect("room");
    };
    piece(1, &format!("the newest\n{begin}"));
    piece(2, &format!("older\n{begin}"));
    piece(3, "of something else\n");
    logs.add(&store).expect("readable");
    let report = Builder::read(&mut logs);
    let folder = temp.path().join("archive");
    add(&folder, &report, &logs.kernel_logs, true).expect("room");
    let log = fs::read_to_string(folder.join("19700101T000000Z-0000abcd.log")).expect("a log");
    let (older, newest) = (
        log.find("older").expect("there"),
        log.find("the newest").expect("there"),
    );
    assert!(older < newest && !log.contains("something else"), "{log}");
    // That was not the kernel's pstore, so nothing was erased there.
    assert_eq!(files(&store).len(), 3);
}
