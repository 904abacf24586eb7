// SPDX-License-Identifier: GPL-2.0

//! Devices that do what a test tells them: answer late, never, wrongly, or not at all.

use super::super::{
    area::{Area, Record, RecordState},
    *,
};
use crate::{
    device::{BlockDevice, WriteFlags},
    format::{panic::slot_capacity, *},
    store::block::{seal, stamp, Block},
};
use kernel::prelude::{Result as KResult, EIO};
use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc, //
};

/// The bytes of a device.
#[derive(Clone)]
pub(super) struct Image(pub(super) Rc<RefCell<Vec<u8>>>);

impl BlockDevice for Image {
    fn sectors(&self) -> u64 {
        (self.0.borrow().len() / SECTOR_SIZE) as u64
    }
    fn sector_size(&self) -> usize {
        SECTOR_SIZE
    }
    fn has_write_cache(&self) -> bool {
        false
    }
    fn has_fua(&self) -> bool {
        false
    }
    fn read_only(&self) -> bool {
        false
    }
    fn read(&self, sector: u64, buf: &mut [u8]) -> KResult {
        let at = sector as usize * SECTOR_SIZE;
        let bytes = self.0.borrow();
        buf.copy_from_slice(bytes.get(at..at + buf.len()).ok_or(EIO)?);
        Ok(())
    }
    fn write(&self, sector: u64, buf: &[u8], _: WriteFlags) -> KResult {
        let at = sector as usize * SECTOR_SIZE;
        let mut bytes = self.0.borrow_mut();
        let place = bytes.get_mut(at..at + buf.len()).ok_or(EIO)?;
        place.copy_from_slice(buf);
        Ok(())
    }
    fn write_blocks(&self, _: &[(u64, &[u8])]) -> KResult {
        Err(EIO)
    }
    fn needs_flush(&self) -> bool {
        false
    }
    fn flush(&self) -> KResult {
        Ok(())
    }
    fn discard(&self, _: u64, _: u64) -> KResult {
        Ok(())
    }
}

/// The kinds of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Read,
    Write,
    Flush,
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.borrow().len())
    }
}

/// How a device behaves.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    pub(super) area: Area,
    pub(super) image: Image,
    /// Polls until a request completes; `None`: it never does.
    pub(super) latency: Option<u32>,
    /// Requests of a kind that never complete, are refused, or end with an error.
    pub(super) hangs: Option<Op>,
    pub(super) refuses: Option<(Op, &'static str)>,
    pub(super) fails: Option<Op>,
    /// Why the lane must not write.
    pub(super) refusal: Option<&'static str>,
    /// In-flight requests that one round of collecting completes; `None`: there is no way.
    pub(super) collects: Option<u32>,
    /// In-flight requests that the driver does not have: they never complete.
    pub(super) not_in_driver: u32,
    /// Rounds of collecting until somebody else's requests are out of the lane's way.
    pub(super) blocked: u32,
    /// The queue that the lane submits to. With a request of another lane on it, one that was never asked
    /// for its refusal before must not write.
    pub(super) queue: Option<u32>,
    /// Hardware queues.
    pub(super) queues: u32,
    /// The machine hangs in its completions.
    pub(super) hangs_in_collect: bool,
    /// So many flushes end well, and so many writes; the next fails, or hangs.
    pub(super) flushes_well: Option<u32>,
    pub(super) writes_well: Option<u32>,
}

pub(super) const UUID: [u8; 16] = [0xab; 16];
const AREA_START: u64 = 1;

impl Disk {
    /// A device that works, with `slots` slots of `blocks` blocks, all empty.
    pub(super) fn new(slots: u32, blocks: u32) -> Self {
        let area = Area {
            start: AREA_START,
            slots,
            slot_blocks: blocks,
            uuid: UUID,
        };
        let total = AREA_START + u64::from(slots) * u64::from(blocks);
        let image = Image(Rc::new(RefCell::new(vec![0; total as usize * BLOCK_SIZE])));
        for slot in 0..slots {
            let at = area.head_block(slot);
            let mut block: Block = [0; BLOCK_SIZE];
            stamp(&mut block, Kind::PanicSlot, at, OWNER_VOLUME, &UUID);
            seal(&mut block, 0);
            let sector = at * SECTORS_PER_BLOCK;
            image.write(sector, &block, WriteFlags::default()).unwrap();
        }
        Self {
            area,
            image,
            latency: Some(1),
            hangs: None,
            refuses: None,
            fails: None,
            refusal: None,
            collects: Some(1),
            not_in_driver: 0,
            blocked: 0,
            queue: None,
            queues: 1,
            hangs_in_collect: false,
            flushes_well: None,
            writes_well: None,
        }
    }

    /// The records on it, oldest first.
    pub(super) fn records(&self) -> Vec<Record> {
        let scan = self.area.scan(&self.image).expect("memory");
        let read = |found| self.area.read(&self.image, found).expect("memory");
        scan.heads.iter().map(read).collect()
    }

    /// Text of the newest record, which is whole.
    pub(super) fn newest(&self) -> (String, Option<String>) {
        let mut records = self.records();
        let record = records.pop().expect("a record");
        assert_eq!(record.state, RecordState::Whole);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("ASCII");
        (text(&record.data), record.tail.map(|tail| text(&tail)))
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.image.0.borrow().clone()
    }
}

struct Request {
    op: LaneOp,
    polls_left: Option<u32>,
}

pub(super) struct MockLane {
    pub(super) disk: Disk,
    slot: &'static VolumeSlot,
    buffer: RefCell<Vec<u8>>,
    request: RefCell<Option<Request>>,
    granted: Cell<bool>,
    pub(super) polls: Cell<u32>,
    pub(super) rounds: Cell<u32>,
    pub(super) flushes: Cell<u32>,
    writes: Cell<u32>,
    pub(super) abandoned: Cell<bool>,
}

/// All devices of a [`super::mock::World`]. Asking one takes a microsecond.
pub(super) struct Devices {
    pub(super) lanes: Vec<MockLane>,
    clock: Rc<Cell<u64>>,
    /// Nanoseconds that each question takes.
    pub(super) cost: Cell<u64>,
}

impl Devices {
    pub(super) fn new(clock: Rc<Cell<u64>>) -> Self {
        Self {
            lanes: Vec::new(),
            clock,
            cost: Cell::new(1000),
        }
    }

    pub(super) fn add(&mut self, disk: Disk, slot: &'static VolumeSlot) {
        let slot_bytes = disk.area.slot_blocks as usize * BLOCK_SIZE;
        self.lanes.push(MockLane {
            disk,
            slot,
            // Not zero, as a lane's buffer need not be.
            buffer: RefCell::new(vec![0x5a; slot_bytes]),
            request: RefCell::new(None),
            granted: Cell::new(false),
            polls: Cell::new(0),
            rounds: Cell::new(0),
            flushes: Cell::new(0),
            writes: Cell::new(0),
            abandoned: Cell::new(false),
        });
    }

    fn lane(&self, lane: u32) -> &MockLane {
        let lane = &self.lanes[lane as usize];
        assert!(!lane.abandoned.get(), "used after it was abandoned");
        lane
    }

    fn pass(&self) {
        self.clock.set(self.clock.get() + self.cost.get());
    }
}

const fn kind(op: &LaneOp) -> Op {
    match op {
        LaneOp::Read { .. } => Op::Read,
        LaneOp::Write { .. } => Op::Write,
        LaneOp::Flush => Op::Flush,
    }
}

impl MockLane {
    /// Does what the request asks for, inside the area and the buffer or not at all.
    fn perform(&self, op: &LaneOp) {
        let area = &self.disk.area;
        let first = area.start * SECTORS_PER_BLOCK;
        let end = first + u64::from(area.slots) * u64::from(area.slot_blocks) * SECTORS_PER_BLOCK;
        let check = |sector: u64, len: usize| {
            assert!(len % BLOCK_SIZE == 0 && len > 0);
            assert!(sector >= first && sector + (len / SECTOR_SIZE) as u64 <= end);
        };
        let mut buffer = self.buffer.borrow_mut();
        match *op {
            LaneOp::Read { sector, at, len } => {
                check(sector, len);
                let place = &mut buffer[at..at + len];
                self.disk.image.read(sector, place).unwrap();
            }
            LaneOp::Write { sector, at, len } => {
                check(sector, len);
                let bytes = &buffer[at..at + len];
                let image = &self.disk.image;
                image.write(sector, bytes, WriteFlags::default()).unwrap();
            }
            LaneOp::Flush => self.flushes.set(self.flushes.get() + 1),
        }
    }
}

impl PanicDevices for &Devices {
    fn queues(&self, lane: u32) -> u32 {
        self.lanes[lane as usize].disk.queues
    }

    fn collect(&self, lane: u32) -> Collected {
        self.pass();
        // Others' requests are collected even if the lane's own was given up.
        let lane = &self.lanes[lane as usize];
        lane.rounds.set(lane.rounds.get() + 1);
        if lane.disk.hangs_in_collect {
            std::panic::resume_unwind(Box::new("a hang"));
        }
        let Some(n) = lane.disk.collects else {
            return Collected::NoWay;
        };
        let in_driver = (lane.slot.gate().in_flight()).saturating_sub(lane.disk.not_in_driver);
        (0..n.min(in_driver)).for_each(|_| lane.slot.gate().end());
        if in_driver <= n && lane.rounds.get() >= lane.disk.blocked {
            Collected::DriverEmpty
        } else {
            Collected::More
        }
    }

    fn is_blocked(&self, lane: u32) -> bool {
        let lane = self.lane(lane);
        lane.rounds.get() < lane.disk.blocked
    }

    fn refusal(&self, number: u32) -> Option<&'static str> {
        let lane = self.lane(number);
        let on_queue =
            |other: &&MockLane| other.disk.queue.is_some_and(|q| Some(q) == lane.disk.queue);
        let mut others = self.lanes.iter().filter(on_queue);
        let shared = others.any(|other| other.request.borrow().is_some()) && !lane.granted.get();
        let refused = lane.disk.refusal;
        let refused = refused.or((shared || self.is_blocked(number)).then_some("queue-shared"));
        lane.granted.set(refused.is_none());
        refused
    }

    fn stage(&self, lane: u32, at: usize, bytes: &[u8]) -> bool {
        let mut buffer = self.lane(lane).buffer.borrow_mut();
        let place = buffer.get_mut(at..at + bytes.len());
        place.map(|place| place.copy_from_slice(bytes)).is_some()
    }

    fn peek(&self, lane: u32, at: usize, out: &mut [u8]) -> bool {
        let buffer = self.lane(lane).buffer.borrow();
        let place = buffer.get(at..at + out.len());
        place.map(|place| out.copy_from_slice(place)).is_some()
    }

    fn submit(&self, lane: u32, op: LaneOp) -> Result<(), &'static str> {
        let lane = self.lane(lane);
        assert!(lane.request.borrow().is_none(), "two requests at once");
        assert!(lane.granted.get(), "not asked for its refusal");
        if let Some((refused, why)) = lane.disk.refuses {
            if refused == kind(&op) {
                return Err(why);
            }
        }
        let mut hangs = lane.disk.hangs == Some(kind(&op));
        if kind(&op) == Op::Write {
            lane.writes.set(lane.writes.get() + 1);
            hangs |= lane.disk.writes_well.is_some_and(|n| lane.writes.get() > n);
        }
        let polls_left = lane.disk.latency.filter(|_| !hangs);
        *lane.request.borrow_mut() = Some(Request { op, polls_left });
        Ok(())
    }

    fn poll(&self, lane: u32) -> Option<Result<(), i32>> {
        self.pass();
        let lane = self.lane(lane);
        lane.polls.set(lane.polls.get() + 1);
        let mut slot = lane.request.borrow_mut();
        let request = slot.as_mut().expect("a request");
        let left = request.polls_left.as_mut()?;
        *left = left.saturating_sub(1);
        if *left > 0 {
            return None;
        }
        let op = request.op;
        *slot = None;
        let flushed = lane.disk.flushes_well == Some(lane.flushes.get());
        if lane.disk.fails == Some(kind(&op)) || kind(&op) == Op::Flush && flushed {
            return Some(Err(-5));
        }
        lane.perform(&op);
        Some(Ok(()))
    }

    fn abandon(&self, lane: u32) {
        let lane = self.lane(lane);
        assert!(lane.request.borrow().is_some(), "nothing to abandon");
        lane.abandoned.set(true);
    }
}

/// Bytes of data that a slot of `blocks` blocks takes.
pub(super) fn capacity(blocks: u32) -> usize {
    slot_capacity(blocks)
}
