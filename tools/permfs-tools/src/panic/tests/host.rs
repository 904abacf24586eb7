// SPDX-License-Identifier: GPL-2.0

//! A kernel that panics, its log, and what a reader is to find in it.

use super::super::{
    model::{Builder, PanicRecord, Report},
    source::Logs,
};
use permfs_core::{
    alloc::{Event, EventKind},
    panic::{
        self, install_panic_hooks, After, Collected, Context, LaneOp, Origin, PanicDevices,
        PanicHalt, PanicLogger, PanicMachine, PanicReboot, PanicSettings, SlotGuard, Text,
        TASK_LEN,
    },
};
use std::sync::{Mutex, OnceLock};

#[derive(Default)]
pub(super) struct Host(pub(super) Mutex<Vec<String>>);

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
    fn host(&self, what: panic::Host) -> Text {
        text(match what {
            panic::Host::Release => "7.3.4+deb13-amd64",
            panic::Host::Machine => "",
            panic::Host::Node => "web\x1b7",
        })
    }
    fn origin(&self) -> Option<Origin> {
        Some(Origin {
            faulted: true,
            address: 0xffff_ffff_8123_4567,
            symbol: text("broken+0x4/0x10 [broken]"),
        })
    }
    fn panic_timeout(&self) -> i32 {
        -1
    }
    fn relax(&self) {}
}

fn text(text: &str) -> Text {
    std::array::from_fn(|i| text.as_bytes().get(i).copied().unwrap_or(0))
}

/// No volume here is told of a lane, so nobody may ask for one.
struct NoLanes;

impl PanicDevices for NoLanes {
    fn queues(&self, lane: u32) -> u32 {
        unreachable!("lane {lane}")
    }

    fn collect(&self, lane: u32) -> Collected {
        unreachable!("lane {lane}")
    }
    fn is_blocked(&self, lane: u32) -> bool {
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
pub(super) fn lines() -> &'static [String] {
    static LINES: OnceLock<Vec<String>> = OnceLock::new();
    LINES.get_or_init(|| {
        let host = Host::default();
        let settings = PanicSettings::DEFAULT;
        let hooks = install_panic_hooks(&host, &host, &host, &host, settings);
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
        hooks
            .in_panic(&NoLanes)
            .notify(b"Fatal exception in interrupt: \"x=1\"\x1b[2J");
        drop(idle);
        drop(hooks);
        host.0.into_inner().expect("one thread")
    })
}

pub(super) fn report(texts: &[&str]) -> Report {
    let mut logs = Logs::default();
    for (i, text) in texts.iter().enumerate() {
        logs.push(format!("log{i}"), text.as_bytes().to_vec());
    }
    Builder::read(&mut logs)
}

/// As dmesg and pstore show it.
pub(super) fn as_kernel_log() -> String {
    let lines = lines().iter().zip(100..);
    lines
        .map(|(l, us)| format!("<0>[   62.123{us}] {l}\n"))
        .collect()
}

pub(super) fn check(p: &PanicRecord) {
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
