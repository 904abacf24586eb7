// SPDX-License-Identifier: GPL-2.0

//! A machine with one volume that panics at a call of the volume's device, and an allocator that counts.

use super::common::{params, NOW};
use kernel::prelude::*;
use permfs_core::{
    alloc::Env,
    device::{BlockDevice, WriteFlags},
    format::*,
    inode::S_IFREG,
    mkfs,
    panic::{area::RecordState, *},
    volume::{MountError, MountOptions, NewInode, Volume},
};
use permfs_hostdev::MemoryBlockDevice;
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::{Cell, OnceCell, RefCell},
    rc::Rc,
    sync::{Mutex, OnceLock},
};

/// The system's allocator, which counts the allocations of a thread that is in the handler.
struct Counting;

thread_local! {
    pub static IN_HANDLER: Cell<bool> = const { Cell::new(false) };
    pub static ALLOCATIONS: Cell<u32> = const { Cell::new(0) };
}

fn count() {
    if IN_HANDLER.get() {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
    }
}

// SAFETY: Every call is handed on as it is; counting touches constant thread-locals, which need no memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: By the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
        // SAFETY: By the caller's contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: By the caller's contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The log, with room for all lines of a panic.
struct Log(Mutex<Vec<u8>>);

impl PanicLogger for &Log {
    fn print_line(&self, line: &[u8]) {
        let mut text = self.0.lock().unwrap();
        assert!(text.capacity() - text.len() > line.len());
        text.extend_from_slice(line);
        text.push(b'\n');
    }
}

struct Machine(Cell<u64>);

impl PanicMachine for &Machine {
    fn now_ns(&self) -> u64 {
        self.0.set(self.0.get() + 1000);
        self.0.get()
    }
    fn wall_ns(&self) -> u64 {
        1_795_000_000_000_000_000
    }
    fn cpu(&self) -> u32 {
        0
    }
    fn context(&self) -> Context {
        Context::default()
    }
    fn task(&self, _: &mut [u8; TASK_LEN]) -> i32 {
        1
    }
    fn host(&self, _: Host) -> Text {
        [b'h'; TEXT_LEN]
    }
    fn origin(&self) -> Option<Origin> {
        Some(Origin {
            faulted: false,
            address: 0,
            symbol: [b's'; TEXT_LEN],
        })
    }
    fn panic_timeout(&self) -> i32 {
        -1
    }
    fn relax(&self) {}
}

struct Never;

impl PanicHalt for Never {
    fn chosen(&self) {}
    fn halt(&self) -> After {
        After::Deferred
    }
}

impl PanicReboot for Never {
    fn chosen(&self) {}
    fn reboot(&self) -> After {
        After::Deferred
    }
}

/// A write that was submitted and has not completed.
pub struct Pending {
    sector: u64,
    bytes: Vec<u8>,
}

type Vec<T> = std::vec::Vec<T>;
type Hooks = PanicHooks<&'static Log, Never, Never, &'static Machine>;

/// A lane to one device, without a queue: requests are done when they are asked for.
pub struct Lane {
    dev: MemoryBlockDevice,
    gate: &'static Gate,
    pub pending: RefCell<Option<Pending>>,
    buffer: RefCell<Vec<u8>>,
    flushes: Cell<u32>,
}

impl PanicDevices for &Lane {
    fn queues(&self, _: u32) -> u32 {
        1
    }

    fn collect(&self, _: u32) -> Collected {
        let pending = self.pending.borrow();
        let Some(pending) = pending.as_ref() else {
            return Collected::DriverEmpty;
        };
        // The device had it all the time.
        let flags = WriteFlags::default();
        self.dev
            .write(pending.sector, &pending.bytes, flags)
            .unwrap();
        self.gate.end();
        Collected::DriverEmpty
    }
    fn is_blocked(&self, _: u32) -> bool {
        false
    }
    fn refusal(&self, _: u32) -> Option<&'static str> {
        None
    }
    fn stage(&self, _: u32, at: usize, bytes: &[u8]) -> bool {
        self.buffer.borrow_mut()[at..at + bytes.len()].copy_from_slice(bytes);
        true
    }
    fn peek(&self, _: u32, at: usize, out: &mut [u8]) -> bool {
        out.copy_from_slice(&self.buffer.borrow()[at..at + out.len()]);
        true
    }
    fn submit(&self, _: u32, op: LaneOp) -> Result<(), &'static str> {
        let mut buffer = self.buffer.borrow_mut();
        match op {
            LaneOp::Read { sector, at, len } => {
                self.dev.read(sector, &mut buffer[at..at + len]).unwrap();
            }
            LaneOp::Write { sector, at, len } => {
                let flags = WriteFlags::default();
                self.dev
                    .write(sector, &buffer[at..at + len], flags)
                    .unwrap();
            }
            LaneOp::Flush => self.flushes.set(self.flushes.get() + 1),
        }
        Ok(())
    }
    fn poll(&self, _: u32) -> Option<Result<(), i32>> {
        Some(Ok(()))
    }
    fn abandon(&self, _: u32) {}
}

/// A machine with one volume that panics at one of its device's calls.
pub struct World {
    dev: MemoryBlockDevice,
    table: &'static VolumeTable,
    log: &'static Log,
    pub lane: OnceCell<&'static Lane>,
    hooks: OnceLock<Hooks>,
    /// Calls that pass before the panic.
    pub calls_left: Cell<Option<u32>>,
}

impl World {
    pub fn new(dev: &MemoryBlockDevice) -> Rc<Self> {
        let table: &'static VolumeTable = std::boxed::Box::leak(std::boxed::Box::default());
        let log = Log(Mutex::new(Vec::with_capacity(1 << 16)));
        Rc::new(Self {
            dev: dev.clone(),
            table,
            log: std::boxed::Box::leak(std::boxed::Box::new(log)),
            lane: OnceCell::new(),
            hooks: OnceLock::new(),
            calls_left: Cell::new(None),
        })
    }

    /// Installs the handler and mounts the volume, with its gate in front of every call.
    pub fn mount(self: &Rc<Self>) -> Result<Volume<Trap>, MountError> {
        let slot = SlotGuard::claim_in(self.table, b"vda", &[0; 16]);
        let lane: &'static Lane = std::boxed::Box::leak(std::boxed::Box::new(Lane {
            dev: self.dev.clone(),
            gate: slot.gate(),
            pending: RefCell::new(None),
            buffer: RefCell::new(std::vec![0; 16 * BLOCK_SIZE]),
            flushes: Cell::new(0),
        }));
        let report = std::boxed::Box::leak(std::boxed::Box::new(PanicReport::new(self.table)));
        let machine = std::boxed::Box::leak(std::boxed::Box::new(Machine(Cell::new(1))));
        let parts = (self.log, Never, Never, &*machine);
        let hooks = PanicHooks::install_in(report, parts, PanicSettings::DEFAULT);
        assert!(self.lane.set(lane).is_ok() && self.hooks.set(hooks.unwrap()).is_ok());
        let options = MountOptions {
            read_only: false,
            rescue: false,
            slot,
            env: Env::default(),
        };
        let mut volume = Volume::mount(Trap(self.clone()), options)?;
        volume.survey_panic_area().map_err(MountError::Store)?;
        volume.store().slot().set_lane(&LaneInfo {
            number: Some(0),
            collects: "mock",
            writes: "mock",
        });
        Ok(volume)
    }

    /// The machine panics. Nothing in the handler may allocate or free.
    pub fn panic(&self) {
        // The memory of the device is its own business: the area's blocks are there beforehand.
        let geometry = permfs_core::geometry::read_super(&self.dev).unwrap().1;
        for n in 0..geometry.panic_blocks() {
            let block = geometry.panic_start + n;
            self.dev.set_block(block, self.dev.block(block));
        }
        IN_HANDLER.set(true);
        let handler = self.hooks.get().unwrap().in_panic(self.lane.get().unwrap());
        handler.notify(b"the handler came");
        let meta = area::PstoreMeta::default();
        let _ = handler.write_log(&meta, b"<0>the kernel's log");
        handler.finish_deferred();
        IN_HANDLER.set(false);
        assert_eq!(ALLOCATIONS.get(), 0, "the handler has allocated");
    }

    pub fn has_panicked(&self) -> bool {
        !self.log.0.lock().unwrap().is_empty()
    }

    /// The field `key` of the line of kind `kind`.
    pub fn field(&self, kind: &str, key: &str) -> std::string::String {
        let text = std::string::String::from_utf8(self.log.0.lock().unwrap().clone()).unwrap();
        let line = text
            .lines()
            .find(|l| l.contains(&std::format!(" rec={kind} ")));
        let line = line.unwrap_or_else(|| panic!("no {kind} in {text}"));
        let mut fields = line.split(' ').filter_map(|f| f.split_once('='));
        let (_, value) = fields
            .find(|(k, _)| *k == key)
            .unwrap_or_else(|| panic!("no {key} in {line}"));
        value.into()
    }

    pub fn num(&self, kind: &str, key: &str) -> u64 {
        self.field(kind, key).parse().unwrap()
    }

    /// The record on the volume is what was said, and the log's piece follows it.
    pub fn check_record(&self) {
        let (sb, geometry) = permfs_core::geometry::read_super(&self.dev).unwrap();
        let area = area::Area::of(&sb, &geometry);
        let scan = area.scan(&self.dev).unwrap();
        let records: Vec<_> = scan
            .heads
            .iter()
            .map(|f| area.read(&self.dev, f).unwrap())
            .collect();
        assert_eq!(records.len(), 2);
        assert!(records.iter().all(|r| r.state == RecordState::Whole));
        let mut text = records[0].data.to_vec();
        text.extend_from_slice(records[0].tail.as_ref().unwrap());
        assert_eq!(text, *self.log.0.lock().unwrap());
        assert_eq!(records[1].data[..], *b"<0>the kernel's log");
        // Each record and each tail, and once more behind what was in flight.
        let lane = self.lane.get().unwrap();
        let again = u32::from(lane.pending.borrow().is_some());
        assert_eq!(lane.flushes.get(), 4 + again);
    }
}

/// The volume's device.
pub struct Trap(Rc<World>);

impl Trap {
    /// Whether this call is the one in which the machine panics. What is under way then is in flight.
    fn springs(&self) -> bool {
        let Some(left) = self.0.calls_left.get() else {
            return false;
        };
        self.0.calls_left.set(left.checked_sub(1));
        left == 0
    }

    fn gated(&self, pending: Option<Pending>, io: impl FnOnce() -> Result) -> Result {
        let lane = self.0.lane.get().unwrap();
        lane.gate.enter()?;
        if self.springs() {
            match pending {
                Some(pending) => *lane.pending.borrow_mut() = Some(pending),
                // A read or a flush is nothing that a drain could complete here.
                None => lane.gate.end(),
            }
            self.0.panic();
            // A machine that has panicked does not come back; what does here gets no further.
            return Err(EIO);
        }
        let outcome = io();
        lane.gate.end();
        outcome
    }
}

impl BlockDevice for Trap {
    fn sectors(&self) -> u64 {
        self.0.dev.sectors()
    }
    fn sector_size(&self) -> usize {
        self.0.dev.sector_size()
    }
    fn has_write_cache(&self) -> bool {
        true
    }
    fn has_fua(&self) -> bool {
        false
    }
    fn read_only(&self) -> bool {
        false
    }
    fn read(&self, sector: u64, buf: &mut [u8]) -> Result {
        self.gated(None, || self.0.dev.read(sector, buf))
    }
    fn write(&self, sector: u64, buf: &[u8], flags: WriteFlags) -> Result {
        let bytes = buf.to_vec();
        self.gated(Some(Pending { sector, bytes }), || {
            self.0.dev.write(sector, buf, flags)
        })
    }
    fn write_blocks(&self, batch: &[(u64, &[u8])]) -> Result {
        for &(block, bytes) in batch {
            self.write(block * SECTORS_PER_BLOCK, bytes, WriteFlags::default())?;
        }
        Ok(())
    }
    fn needs_flush(&self) -> bool {
        self.0.dev.needs_flush()
    }
    fn flush(&self) -> Result {
        self.gated(None, || self.0.dev.flush())
    }
    fn discard(&self, _: u64, _: u64) -> Result {
        Ok(())
    }
}

pub fn volume(blocks: u64) -> MemoryBlockDevice {
    let dev = MemoryBlockDevice::new(blocks);
    mkfs::format(&dev, &params()).unwrap();
    dev
}

pub fn create(v: &mut Volume<Trap>, name: &str) -> Result<u64> {
    let new = NewInode {
        ino: v.allocate_ino(),
        mode: S_IFREG | 0o644,
        uid: 0,
        gid: 0,
        rdev: 0,
        symlink: None,
        now: NOW,
        generation: 1,
    };
    Ok(v.create(ROOT_INO, name.as_bytes(), &new)?.ino)
}

/// Makes files, one durable after the other, until the machine panics or `files` are made. Returns how many
/// are durable, and the epoch of the last of them.
pub fn work(world: &Rc<World>, v: &mut Volume<Trap>, files: u32) -> (u32, u64) {
    let mut durable = (0, v.store().durable_epoch());
    for n in 0..files {
        let done = create(v, &std::format!("file {n}")).and_then(|_| v.sync());
        if world.has_panicked() {
            assert!(done.is_err());
            break;
        }
        done.unwrap();
        durable = (n + 1, v.store().durable_epoch());
    }
    durable
}
