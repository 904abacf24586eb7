// SPDX-License-Identifier: GPL-2.0

//! The reader against the handler: what one writes, the other understands, or does not believe.

use super::{
    human,
    model::{Builder, FailedVolume, PanicRecord, Report},
    scan::scan,
    source::Logs,
};
use permfs_core::{
    alloc::{Event, EventKind},
    crc::crc32c,
    panic::{
        install_panic_hooks, After, Collected, Context, LaneOp, Oops, PanicDevices, PanicHalt,
        PanicLogger, PanicMachine, PanicReboot, PanicSettings, SlotGuard, VolumeTable, TASK_LEN,
    },
};
use proptest::prelude::*;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock}, //
};

#[derive(Default)]
struct Host(Mutex<Vec<String>>);

impl PanicLogger for &Host {
    fn print_line(&self, line: &[u8]) {
        let line = String::from_utf8(line.to_vec()).expect("ASCII");
        self.0.lock().expect("one thread").push(line);
    }
}

impl PanicHalt for &Host {
    fn chosen(&self) {}
    fn halt(&self) -> After {
        After::Deferred
    }
}

impl PanicReboot for &Host {
    fn chosen(&self) {}
    fn reboot(&self) -> After {
        After::Deferred
    }
}

impl PanicMachine for &Host {
    fn now_ns(&self) -> u64 {
        62_123_456_789
    }
    fn wall_ns(&self) -> u64 {
        1_795_387_569_123_456_789
    }
    fn cpu(&self) -> u32 {
        3
    }
    fn context(&self) -> Context {
        Context(Context::HARDIRQ)
    }
    fn task(&self, name: &mut [u8; TASK_LEN]) -> i32 {
        *name = *b"swapper/3\0\0\0\0\0\0\0";
        0
    }
    fn panic_timeout(&self) -> i32 {
        -1
    }
    fn relax(&self) {}
}

/// No volume here is told of a lane, so nobody may ask for one.
struct NoLanes;

impl PanicDevices for NoLanes {
    fn collect(&self, lane: u32) -> Collected {
        unreachable!("lane {lane}")
    }
    fn refusal(&self, lane: u32) -> Option<&'static str> {
        unreachable!("lane {lane}")
    }
    fn stage(&self, lane: u32, _: usize, _: &[u8]) -> bool {
        unreachable!("lane {lane}")
    }
    fn peek(&self, lane: u32, _: usize, _: &mut [u8]) -> bool {
        unreachable!("lane {lane}")
    }
    fn submit(&self, lane: u32, _: LaneOp) -> Result<(), &'static str> {
        unreachable!("lane {lane}")
    }
    fn poll(&self, lane: u32) -> Option<Result<(), i32>> {
        unreachable!("lane {lane}")
    }
    fn abandon(&self, lane: u32) {
        unreachable!("lane {lane}")
    }
}

/// The lines of the one panic that a process can have.
fn lines() -> &'static [String] {
    static LINES: OnceLock<Vec<String>> = OnceLock::new();
    LINES.get_or_init(|| {
        let host = Host::default();
        let settings = PanicSettings::DEFAULT;
        let hooks = install_panic_hooks(&host, &host, &host, &host, NoLanes, settings);
        let hooks = hooks.expect("first");
        let busy = SlotGuard::claim(b"vda", &[0x5a; 16]);
        busy.mounted();
        busy.set_epochs(42, 41);
        let slot = busy.slot().expect("free slots");
        slot.events().push(Event {
            kind: EventKind::DoubleFree,
            time_ns: 1_500_000,
            cpu: 2,
            shard: 7,
            arg: 99,
            ..Event::EMPTY
        });
        let _io = busy.gate().begin().expect("open");
        let idle = SlotGuard::claim(b"nvme0n1p2", &[1; 16]);
        hooks.notify(b"Fatal exception in interrupt: \"x=1\"\x1b[2J");
        drop(idle);
        drop(hooks);
        host.0.into_inner().expect("one thread")
    })
}

fn report(texts: &[&str]) -> Report {
    let mut logs = Logs::default();
    for (i, text) in texts.iter().enumerate() {
        logs.push(format!("log{i}"), text.as_bytes().to_vec());
    }
    Builder::read(&mut logs)
}

/// As dmesg and pstore show it.
fn as_kernel_log() -> String {
    let lines = lines().iter().zip(100..);
    lines
        .map(|(l, us)| format!("<0>[   62.123{us}] {l}\n"))
        .collect()
}

fn check(p: &PanicRecord) {
    assert!(p.complete);
    assert_eq!(p.lines as usize, lines().len());
    assert_eq!(p.scene.time.as_deref(), Some("2026-11-22T22:46:09.123Z"));
    assert_eq!(
        p.scene.message.as_deref(),
        Some("Fatal exception in interrupt: \"x=1\"\u{1b}[2J")
    );
    assert_eq!(
        (p.scene.cpu, p.scene.pid, p.timeout),
        (Some(3), Some(0), Some(-1))
    );
    assert_eq!(p.scene.context.as_deref(), Some("hardirq"));
    assert_eq!(p.scene.task.as_deref(), Some("swapper/3"));
    let [a, b] = &p.volumes[..] else {
        panic!("{:?}", p.volumes)
    };
    assert_eq!(
        (a.name.as_deref(), a.state.as_deref()),
        (Some("vda"), Some("mounted"))
    );
    assert_eq!(
        a.uuid.as_deref(),
        Some("5a5a5a5a-5a5a-5a5a-5a5a-5a5a5a5a5a5a")
    );
    assert_eq!((a.running_epoch, a.durable_epoch), (Some(42), Some(41)));
    assert_eq!(a.events.len(), 1);
    assert_eq!(a.events[0].kind.as_deref(), Some("double-free"));
    assert_eq!((a.events[0].shard, a.events[0].arg), (Some(7), Some(99)));
    let drain = a.drain.as_ref().expect("drain");
    assert_eq!((drain.drained, drain.in_flight), (Some(false), Some(1)));
    assert_eq!(b.state.as_deref(), Some("mounting"));
    assert_eq!(b.drain.as_ref().expect("drain").drained, Some(true));
    let outcome = p.outcome.as_ref().expect("outcome");
    assert_eq!(outcome.flush.as_deref(), Some("not-attempted"));
    assert_eq!(outcome.next.as_deref(), Some("reboot"));
}

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
    assert!(alone.panics.is_empty() && super::status(&alone) == 0);
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

#[test]
fn the_summary_says_what_matters_and_drives_no_terminal() {
    let text = human::summary(&report(&[&as_kernel_log()]));
    for part in [
        "Fatal exception in interrupt: \"x=1\"\\u{1b}[2J",
        "2026-11-22T22:46:09.123Z, 62.123 s after boot",
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
}

/// A folder that goes when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let id = std::process::id();
        let path = std::env::temp_dir().join(format!("permfs-panic-{id}-{name}"));
        fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_pstore_folder_is_read_whole() {
    let folder = Folder::new("pstore");
    let log = as_kernel_log();
    let cut = log.match_indices('\n').nth(4).expect("lines").0 + 1;
    let write = |name: &str, text: String| fs::write(folder.0.join(name), text).expect("write");
    // Part 1 is the newest.
    write("dmesg-erst-2", format!("Panic#1 Part1\n{}", &log[cut..]));
    write("dmesg-erst-1", format!("Panic#1 Part2\n{}", &log[..cut]));
    write("dmesg-erst-3.enc.z", "\u{1}\u{2}".into());
    let moved = folder.0.join("202611222246");
    fs::create_dir_all(&moved).expect("a folder");
    fs::write(moved.join("dmesg.txt"), &log).expect("write");
    let mut logs = Logs::default();
    logs.add(&folder.0).expect("readable");
    let report = Builder::read(&mut logs);
    check(&report.panics[0]);
    assert_eq!(report.panics[0].sources.len(), 3);
    assert_eq!(report.unreadable.len(), 1);
    assert!(human::summary(&report).contains("dmesg-erst-3.enc.z: compressed"));
}

#[test]
fn a_place_that_is_not_there_is_an_error_unless_it_is_a_default() {
    let mut logs = Logs::default();
    let nowhere = Path::new("/nonexistent/pstore");
    assert!(logs.add(nowhere).is_err());
    logs.add_if_there(nowhere);
    assert!(logs.unreadable.is_empty());
    let text = human::summary(&Builder::read(&mut logs));
    assert!(text.starts_with("No PermFS panic record in"));
}

#[test]
fn a_record_that_cannot_be_read_is_not_taken_for_none() {
    let folder = Folder::new("unreadable");
    let status = || {
        let mut logs = Logs::default();
        logs.add(&folder.0).expect("readable");
        super::status(&Builder::read(&mut logs))
    };
    assert_eq!(status(), 1);
    fs::write(folder.0.join("dmesg-efi-1.enc.z"), "x").expect("write");
    assert_eq!(status(), 2);
    fs::write(folder.0.join("dmesg-efi-2"), as_kernel_log()).expect("write");
    assert_eq!(status(), 0);
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
