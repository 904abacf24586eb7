// SPDX-License-Identifier: GPL-2.0

//! A platform that records, and a reader that believes only whole lines.

use super::super::*;
use super::disk::{Devices, Disk};
use crate::crc::crc32c;
use std::{
    cell::Cell,
    collections::BTreeMap,
    panic::{catch_unwind, resume_unwind, AssertUnwindSafe},
    rc::Rc,
    sync::Mutex, //
};

/// Nanoseconds of a millisecond.
pub(super) const MS: u64 = 1_000_000;

#[derive(Default)]
pub(super) struct Log(pub(super) Mutex<Vec<String>>);

impl PanicLogger for &Log {
    fn print_line(&self, line: &[u8]) {
        assert!(
            line.iter().all(|b| (b' '..=b'~').contains(b)),
            "not printable: {line:?}"
        );
        assert!(line.len() <= LINE_MAX, "{} bytes: {line:?}", line.len());
        let line = String::from_utf8(line.to_vec()).unwrap();
        self.0.lock().unwrap().push(line);
    }
}

/// A hook that counts its calls and answers `after`.
pub(super) struct Hook {
    pub(super) chosen: Cell<u32>,
    pub(super) called: Cell<u32>,
    pub(super) after: After,
}

impl Hook {
    pub(super) fn new(after: After) -> Self {
        Self {
            chosen: Cell::new(0),
            called: Cell::new(0),
            after,
        }
    }

    fn call(&self) -> After {
        self.called.set(self.called.get() + 1);
        self.after
    }
}

impl PanicHalt for &Hook {
    fn chosen(&self) {
        self.chosen.set(self.chosen.get() + 1);
    }
    fn halt(&self) -> After {
        self.call()
    }
}

impl PanicReboot for &Hook {
    fn chosen(&self) {
        self.chosen.set(self.chosen.get() + 1);
    }
    fn reboot(&self) -> After {
        self.call()
    }
}

pub(super) struct Machine {
    pub(super) clock: Rc<Cell<u64>>,
    /// Nanoseconds between two looks at the clock; negative: it steps back.
    pub(super) tick: i64,
    pub(super) cpu: Cell<u32>,
    pub(super) context: Context,
    pub(super) task: [u8; TASK_LEN],
    pub(super) timeout: i32,
    pub(super) origin: Option<&'static str>,
    /// What printing takes, in all.
    pub(super) prints_ns: u64,
    pub(super) turns: Cell<u32>,
    /// The stage in which the machine panics, at the first look at the clock or at the task.
    pub(super) fails_in: Cell<Option<Stage>>,
    report: &'static PanicReport,
}

impl Machine {
    fn new(report: &'static PanicReport) -> Self {
        Self {
            clock: Rc::new(Cell::new(1_000_000)),
            report,
            tick: 250,
            cpu: Cell::new(1),
            context: Context::default(),
            task: *b"sh\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            timeout: 0,
            origin: Some("mock+0x1/0x2 [mock]"),
            prints_ns: 0,
            turns: Cell::new(0),
            fails_in: Cell::new(None),
        }
    }
}

impl Machine {
    fn may_fail(&self) {
        if self.fails_in.get() == Some(self.report.stage()) {
            self.fails_in.set(None);
            resume_unwind(Box::new("the machine fails"));
        }
    }
}

fn padded(text: &str) -> Text {
    std::array::from_fn(|i| text.as_bytes().get(i).copied().unwrap_or(0))
}

/// What the machine panics with when a wait goes on and on.
pub(super) struct Spins;

impl PanicMachine for &Machine {
    fn now_ns(&self) -> u64 {
        self.may_fail();
        let now = self.clock.get();
        self.clock.set(now.wrapping_add_signed(self.tick));
        now
    }
    fn wall_ns(&self) -> u64 {
        1_795_000_000_123_456_789
    }
    fn cpu(&self) -> u32 {
        self.cpu.get()
    }
    fn context(&self) -> Context {
        self.context
    }
    fn task(&self, name: &mut [u8; TASK_LEN]) -> i32 {
        self.may_fail();
        *name = self.task;
        4711
    }
    fn host(&self, what: Host) -> Text {
        padded(match what {
            Host::Release => "7.3.4+test",
            Host::Machine => "",
            Host::Node => "mock",
        })
    }
    fn origin(&self) -> Option<Origin> {
        let symbol = self.origin?;
        Some(Origin {
            faulted: false,
            address: 0xffff_ffff_8123_4567,
            symbol: padded(symbol),
        })
    }
    fn panic_timeout(&self) -> i32 {
        if self.report.stage() == Stage::Known {
            self.clock.set(self.clock.get() + self.prints_ns);
        }
        self.timeout
    }
    fn relax(&self) {
        self.turns.set(self.turns.get() + 1);
        if self.turns.get() == 1000 && self.report.stage() == Stage::Stop {
            resume_unwind(Box::new(Spins));
        }
    }
}

/// A kernel of its own: table, report, platform.
pub(super) struct World {
    pub(super) table: &'static VolumeTable,
    pub(super) report: &'static PanicReport,
    pub(super) log: Log,
    pub(super) halt: Hook,
    pub(super) reboot: Hook,
    pub(super) machine: Machine,
    pub(super) devices: Devices,
}

/// The hooks, and the devices that they find in a panic.
pub(super) struct Hooks<'a> {
    hooks: PanicHooks<&'a Log, &'a Hook, &'a Hook, &'a Machine>,
    devices: &'a Devices,
}

impl Hooks<'_> {
    pub(super) fn notify(&self, message: &[u8]) {
        self.hooks.in_panic(&self.devices).notify(message);
    }

    /// What the kernel does: the notifiers, then the dumpers.
    pub(super) fn panic(&self, message: &[u8]) {
        self.notify(message);
        self.finish_deferred();
    }

    pub(super) fn finish_deferred(&self) {
        self.hooks.in_panic(&self.devices).finish_deferred();
    }

    pub(super) fn write_log(
        &self,
        meta: &area::PstoreMeta,
        data: &[u8],
    ) -> kernel::prelude::Result<u64> {
        self.hooks.in_panic(&self.devices).write_log(meta, data)
    }

    pub(super) fn log_capacity(&self) -> usize {
        self.hooks.log_capacity()
    }

    pub(super) fn defer(&self, deferred: bool) {
        self.hooks.defer(deferred);
    }
}

impl World {
    pub(super) fn new() -> Self {
        let table: &'static VolumeTable = Box::leak(Box::new(VolumeTable::new()));
        let report: &'static PanicReport = Box::leak(Box::new(PanicReport::new(table)));
        let machine = Machine::new(report);
        Self {
            table,
            report,
            log: Log::default(),
            halt: Hook::new(After::Failed),
            reboot: Hook::new(After::Failed),
            devices: Devices::new(machine.clock.clone()),
            machine,
        }
    }

    pub(super) fn hooks(&self, strategy: PanicStrategy) -> kernel::prelude::Result<Hooks<'_>> {
        self.hooks_with(PanicSettings {
            strategy,
            ..PanicSettings::DEFAULT
        })
    }

    pub(super) fn hooks_with(&self, settings: PanicSettings) -> kernel::prelude::Result<Hooks<'_>> {
        let (halt, reboot) = (&self.halt, &self.reboot);
        let parts = (&self.log, halt, reboot, &self.machine);
        Ok(Hooks {
            hooks: PanicHooks::install_in(self.report, parts, settings)?,
            devices: &self.devices,
        })
    }

    pub(super) fn mount(&self, name: &str) -> SlotGuard {
        let guard = SlotGuard::claim_in(self.table, name.as_bytes(), &[0xab; 16]);
        guard.mounted();
        guard
    }

    /// Mounts a volume with a lane to `disk`.
    pub(super) fn mount_with(&mut self, name: &str, disk: Disk) -> SlotGuard {
        let guard = self.mount(name);
        let survey = disk.area.survey(&disk.image).expect("memory");
        guard.set_area(&disk.area, &survey);
        let info = LaneInfo {
            number: Some(self.devices.lanes.len() as u32),
            collects: "mock-collect",
            writes: "mock-write",
        };
        self.devices.add(disk, guard.slot().expect("free slots"));
        guard.set_lane(&info);
        guard
    }

    /// Panics with the default strategy and returns the records.
    pub(super) fn panics(&self, message: &[u8]) -> Vec<Record> {
        let hooks = self.hooks(PanicStrategy::Kernel).expect("installed once");
        hooks.panic(message);
        self.records()
    }

    pub(super) fn records(&self) -> Vec<Record> {
        let lines = self.log.0.lock().unwrap();
        lines.iter().map(|l| Record::parse(l)).collect()
    }
}

/// Runs what waits for ever, and says whether it did.
pub(super) fn spins(f: impl FnOnce()) -> bool {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(()) => false,
        Err(e) if e.is::<Spins>() => true,
        Err(e) => resume_unwind(e),
    }
}

#[derive(Debug)]
pub(super) struct Record {
    pub(super) kind: String,
    fields: BTreeMap<String, String>,
}

impl Record {
    /// The line without its CRC, if that is right.
    pub(super) fn intact(line: &str) -> Option<&str> {
        let (body, crc) = line.rsplit_once(" crc=")?;
        let sum = format!("{:08x}", crc32c(0, body.as_bytes()));
        (crc == sum).then_some(body)
    }

    /// A reader written from the grammar alone.
    pub(super) fn parse(line: &str) -> Self {
        let body = Self::intact(line).expect("a CRC that is right");
        let mut rest = body.strip_prefix("permfs-panic:").expect("prefix");
        let mut fields = BTreeMap::new();
        while let Some(r) = rest.strip_prefix(' ') {
            let (key, r) = r.split_once('=').expect("key");
            let (value, r) = match r.strip_prefix('"') {
                Some(r) => r.split_once('"').expect("closing quote"),
                None => r.split_at(r.find(' ').unwrap_or(r.len())),
            };
            assert!(fields.insert(key.into(), value.into()).is_none(), "twice");
            rest = r;
        }
        assert_eq!(rest, "", "in {line}");
        assert_eq!(fields.remove("v").as_deref(), Some("1"));
        let kind = fields.remove("rec").expect("rec");
        Self { kind, fields }
    }

    pub(super) fn get(&self, key: &str) -> &str {
        match self.fields.get(key) {
            Some(v) => v,
            None => panic!("no {key} in {self:?}"),
        }
    }

    pub(super) fn num(&self, key: &str) -> u64 {
        self.get(key).parse().expect("a number")
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.fields.contains_key(key)
    }

    /// The bytes that a quoted value stands for.
    pub(super) fn text(&self, key: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = self.get(key).as_bytes();
        while let [b, tail @ ..] = rest {
            rest = tail;
            if *b != b'\\' {
                out.push(*b);
                continue;
            }
            let [b'x', hi, lo, tail @ ..] = rest else {
                panic!("escape in {self:?}")
            };
            let digits = [*hi, *lo];
            let digits = std::str::from_utf8(&digits).unwrap();
            out.push(u8::from_str_radix(digits, 16).unwrap());
            rest = tail;
        }
        out
    }
}

/// The records of a kind.
pub(super) fn of<'a>(records: &'a [Record], kind: &str) -> Vec<&'a Record> {
    records.iter().filter(|r| r.kind == kind).collect()
}

/// The last record.
pub(super) fn end(records: &[Record]) -> &Record {
    records.last().expect("end")
}

/// Lines printed, in the log's words.
pub(super) fn lines(world: &World) -> Vec<String> {
    world.log.0.lock().unwrap().clone()
}

/// Nanoseconds that the handler took, by the mock's clock.
pub(super) fn took(world: &World) -> u64 {
    world.machine.clock.get() - 1_000_000
}
