// SPDX-License-Identifier: GPL-2.0

//! The panic lane: a record into each volume's panic area, and the flush of its cache, inside a panic.
//!
//! # One volume
//!
//! ```text
//! room? refusal? -> read the head of the slot, check its signature -> write head, data and guard -> flush
//!                -> [pieces of the kernel's log; drain] -> flush -> write the tail -> flush
//! ```
//!
//! The second flush is behind what the drain has collected. Where nothing was in flight when the first was
//! submitted, that one is, and there is no second.
//!
//! Every arrow may lead out instead: nothing more is written once anything was odd. An error of the
//! record's write does not keep the flush from being tried, for that serves what was written before.
//!
//! # Several volumes
//!
//! Each lane has one request under way at most. [`Lanes::run`] asks all of them in turn, once a turn, so
//! that a device which does not answer takes no time from the others but the asking; and it ends when
//! all are at rest or the time is over. A lane whose record did not complete by then is abandoned: the
//! request may still be in the device, so nothing of the lane is ever touched again. Each part has a share of
//! the time, so that a dead device does not keep the outcome from the others' tails. A tail
//! that does not complete is left under way, for a piece of the kernel's log may come to wait for it.

use super::{
    area::{Area, PstoreMeta, RecordKind},
    deadline::FOR_ROOM,
    drain::micros,
    progress::{Progress, Step},
    Collected, Deadline, Flush, LaneOp, LaneResult, PanicDevices, PanicMachine, SlotState,
    VolumeSlot, VolumeTable,
};
use crate::format::{panic::*, *};
use kernel::prelude::*;

mod buffer;

const IO_ERROR: &[u8] = b"io-error";
const DEADLINE: &[u8] = b"deadline";
const SIGNATURE: &[u8] = b"signature";
const AREA_SMALL: &[u8] = b"area-small";
const BUFFER: &[u8] = b"buffer";
/// What stands before the reason in a way that is none.
const NONE: &[u8] = b"none:";
const NOT_READY: &[u8] = b"not-ready";
const NO_AREA: &[u8] = b"no-area";

/// Where lines go besides the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Into {
    /// Nowhere.
    Nothing,
    /// Into the data of the records that will be written.
    Record,
    /// Into the tails.
    Tail,
}

/// What the heads of all records of one round have in common.
pub(super) struct Stamp {
    pub(super) kind: RecordKind,
    pub(super) id: u32,
    pub(super) wall_ns: u64,
    pub(super) mono_ns: u64,
    pub(super) pstore: PstoreMeta,
}

/// All lanes.
pub(super) struct Lanes<'a, D, M> {
    pub(super) volumes: &'static VolumeTable,
    pub(super) devices: &'a D,
    pub(super) machine: &'a M,
    /// For pieces of the kernel's log, and not for the panic's record.
    pub(super) log: bool,
}

/// The lane of one volume that can write.
pub(super) struct Lane<'a, D, M> {
    slot: &'static VolumeSlot,
    progress: &'static Progress,
    number: u32,
    area: Area,
    devices: &'a D,
    machine: &'a M,
}

/// The number of a volume's lane and the area that it writes to, if it has one that writes and was not
/// abandoned.
pub(super) fn of(slot: &VolumeSlot) -> Option<(u32, Area)> {
    let number = slot.lane().filter(|_| writes(slot))?;
    let gone = |progress: &Progress| progress.step() == Step::Gone;
    if gone(slot.progress()) || gone(slot.log_progress()) {
        return None;
    }
    Some((number, slot.area()?))
}

/// Whether the volume has a lane that writes, abandoned or not.
pub(super) fn writes(slot: &VolumeSlot) -> bool {
    let claimed = slot.state() == SlotState::Claimed;
    slot.lane().is_some() && !slot.writes().starts_with(NONE) && !claimed
}

impl<'a, D: PanicDevices, M: PanicMachine> Lanes<'a, D, M> {
    /// The lane of a volume, if it has one that writes and was not abandoned.
    pub(super) fn lane(&self, slot: &'static VolumeSlot) -> Option<Lane<'a, D, M>> {
        let (number, area) = of(slot)?;
        Some(Lane {
            slot,
            progress: if self.log {
                slot.log_progress()
            } else {
                slot.progress()
            },
            number,
            area,
            devices: self.devices,
            machine: self.machine,
        })
    }

    pub(super) fn all(&self) -> impl Iterator<Item = Lane<'a, D, M>> + '_ {
        let slots = self.volumes.slots().iter();
        slots.filter_map(|slot| self.lane(slot))
    }

    /// Adds a line to what every lane is to write.
    pub(super) fn stage_line(&self, into: Into, line: &[u8]) {
        if into != Into::Nothing {
            for lane in self.all() {
                lane.stage_line(into, line);
            }
        }
    }

    /// Collects, for the lanes that somebody else's requests keep from writing, until none is, or it takes too
    /// long. No end of anybody's is run in that ([`PanicDevices::collect`]).
    pub(super) fn make_room(&self, deadline: &mut Deadline) {
        loop {
            let mut questions = 0u32;
            for lane in self.all() {
                if self.devices.is_blocked(lane.number)
                    && self.devices.collect(lane.number) != Collected::NoWay
                    && self.devices.is_blocked(lane.number)
                {
                    questions = questions.saturating_add(self.devices.queues(lane.number));
                }
            }
            if questions == 0 || !deadline.turn(self.machine.now_ns(), questions, FOR_ROOM) {
                return;
            }
            self.machine.relax();
        }
    }

    /// Begins the records of all volumes; those without a lane say why.
    ///
    /// All are asked whether they may before the first one submits: to another lane on the same queue that
    /// request would be somebody else's.
    pub(super) fn begin(&self) {
        for slot in self.volumes.slots() {
            match self.lane(slot) {
                Some(lane) => lane.ask(),
                None => refuse(slot),
            }
        }
        for lane in self.all() {
            lane.read_head();
        }
    }

    /// Begins the flushes of all caches whose first one was not behind all that has completed since.
    /// A lane that cannot any more leaves them untried.
    pub(super) fn begin_flushes(&self) {
        for slot in self.volumes.slots() {
            let progress = slot.progress();
            let flushed = matches!(progress.flush(), Flush::Ok | Flush::Failed);
            if !flushed || progress.is_behind_all() {
                continue;
            }
            progress.set_flush(Flush::NotAttempted);
            if let Some(lane) = self.lane(slot) {
                lane.begin_flush();
            }
        }
    }

    /// Begins the tails of all volumes whose records are durable.
    pub(super) fn begin_tails(&self) {
        for lane in self.all() {
            lane.begin_tail();
        }
    }

    /// Goes on with whatever was begun, until all is at rest, which it returns, or so many eighths of the
    /// deadline are over.
    pub(super) fn run(&self, stamp: &Stamp, deadline: &mut Deadline, eighths: u32) -> bool {
        loop {
            let mut questions = 0u32;
            for lane in self.all() {
                if lane.advance(stamp) {
                    questions = questions.saturating_add(self.devices.queues(lane.number));
                }
            }
            if questions == 0 {
                return true;
            }
            if !deadline.turn(self.machine.now_ns(), questions, eighths) {
                return false;
            }
            self.machine.relax();
        }
    }

    /// Goes on like [`Lanes::run`], and abandons what is not at rest then.
    pub(super) fn run_or_give_up(&self, stamp: &Stamp, deadline: &mut Deadline, eighths: u32) {
        if !self.run(stamp, deadline, eighths) {
            for lane in self.all() {
                lane.give_up();
            }
        }
    }
}

impl<D: PanicDevices, M: PanicMachine> Lane<'_, D, M> {
    fn progress(&self) -> &'static Progress {
        self.progress
    }

    /// Bytes of data that its records hold.
    pub(super) fn capacity(&self) -> usize {
        self.area.capacity()
    }

    /// Whether it is fit for another record: nothing is under way, and nothing went wrong.
    pub(super) fn is_fit(&self) -> bool {
        let fit = |progress: &Progress| {
            progress.step() == Step::Rest
                && matches!(progress.result(), LaneResult::None | LaneResult::Ok)
        };
        fit(self.slot.progress()) && fit(self.slot.log_progress())
    }

    /// Puts together another record.
    pub(super) fn restart(&self) {
        self.progress().restart();
    }

    pub(super) fn result(&self) -> LaneResult {
        self.progress().result()
    }

    pub(super) fn sequence(&self) -> u64 {
        self.progress().sequence()
    }

    /// Begins another record.
    pub(super) fn begin(&self) {
        self.ask();
        self.read_head();
    }

    /// Whether a record may be written; if not, that is its result.
    fn ask(&self) {
        if self.area.capacity() == 0 {
            self.progress().set_result(LaneResult::Refused, AREA_SMALL);
        } else if let Some(why) = self.devices.refusal(self.number) {
            self.progress()
                .set_result(LaneResult::Refused, why.as_bytes());
        }
    }

    /// Begins the record, if it may be written, with the head of the slot.
    fn read_head(&self) {
        let progress = self.progress();
        if progress.result() != LaneResult::None {
            return;
        }
        progress.set_sequence(self.slot.take_sequence());
        let read = LaneOp::Read {
            sector: sector(self.head_block()),
            at: 0,
            len: BLOCK_SIZE,
        };
        self.submit(Step::ReadHead, read);
    }

    /// Flushes again what was flushed, or was to be, before all had completed that was in flight.
    fn begin_flush(&self) {
        if self.progress().step() == Step::Rest {
            self.submit(Step::FlushDrained, LaneOp::Flush);
        }
    }

    /// Begins the tail, if the record is durable.
    pub(super) fn begin_tail(&self) {
        let progress = self.progress();
        let Some(block) = self.area.tail_block(self.slot_number()) else {
            return;
        };
        if progress.step() != Step::Rest || progress.result() != LaneResult::Ok {
            return;
        }
        let sequence = progress.sequence();
        let text = progress.staged();
        let tail = PanicTail {
            sequence: sequence.into(),
            len: text.into(),
            reserved: [0; 52],
        };
        let at = self.tail_at();
        if self.put_block(at, block, sequence, tail.as_bytes(), text as usize) {
            let write = LaneOp::Write {
                sector: sector(block),
                at,
                len: BLOCK_SIZE,
            };
            self.submit(Step::WriteTail, write);
        }
    }

    fn slot_number(&self) -> u32 {
        self.area.slot_of(self.progress().sequence())
    }

    fn head_block(&self) -> u64 {
        self.area.head_block(self.slot_number())
    }

    /// Begins a request. One that is not taken ends the lane's work on this record.
    fn submit(&self, step: Step, op: LaneOp) {
        let progress = self.progress();
        match self.devices.submit(self.number, op) {
            Ok(()) => {
                progress.set_since(self.machine.now_ns());
                progress.set_step(step);
            }
            Err(why) => {
                progress.set_step(Step::Rest);
                if matches!(step, Step::FlushRecord | Step::FlushDrained) {
                    progress.set_flush(Flush::Refused);
                }
                // The tail's fate does not change the record's.
                if progress.result() == LaneResult::None {
                    progress.set_result(LaneResult::Refused, why.as_bytes());
                }
            }
        }
    }

    /// One turn: looks for the completion, and goes on. Whether a request is under way.
    fn advance(&self, stamp: &Stamp) -> bool {
        let progress = self.progress();
        let step = progress.step();
        if matches!(step, Step::Rest | Step::Gone) {
            return false;
        }
        let Some(outcome) = self.devices.poll(self.number) else {
            return true;
        };
        let took = micros(progress.since(), self.machine.now_ns());
        progress.set_step(Step::Rest);
        let of_record = matches!(step, Step::ReadHead | Step::WriteRecord | Step::FlushRecord);
        if outcome.is_err() && of_record {
            progress.set_result(LaneResult::Failed, IO_ERROR);
        }
        match (step, outcome.is_ok()) {
            (Step::ReadHead, true) => self.write_record(stamp),
            (Step::WriteRecord, _) => {
                progress.set_write_us(took);
                progress.set_behind_all(self.slot.gate().in_flight() == 0);
                self.submit(Step::FlushRecord, LaneOp::Flush);
            }
            (Step::FlushRecord, ok) => {
                progress.set_flush_us(took);
                progress.set_flush(if ok { Flush::Ok } else { Flush::Failed });
                if progress.result() == LaneResult::None {
                    progress.set_result(LaneResult::Ok, b"");
                }
                // What is staged from now on is the tail's.
                progress.set_staged(0);
                progress.set_crc(0);
            }
            (Step::FlushDrained, ok) => {
                progress.set_flush_us(progress.flush_us().saturating_add(took));
                progress.set_flush(if ok { Flush::Ok } else { Flush::Failed });
            }
            (Step::WriteTail, true) => self.submit(Step::FlushTail, LaneOp::Flush),
            (Step::FlushTail, true) => progress.set_tail(true),
            _ => {}
        }
        progress.step() != Step::Rest
    }

    /// The deadline is over.
    fn give_up(&self) {
        let progress = self.progress();
        let step = progress.step();
        if matches!(step, Step::Rest | Step::Gone) {
            return;
        }
        self.devices.abandon(self.number);
        progress.set_step(Step::Gone);
        if matches!(step, Step::FlushRecord | Step::FlushDrained) {
            progress.set_flush(Flush::Timeout);
        }
        if progress.result() == LaneResult::None {
            progress.set_result(LaneResult::Timeout, DEADLINE);
        }
    }

    /// The head was read: is it the signature? If so, the record takes its place.
    fn write_record(&self, stamp: &Stamp) {
        let progress = self.progress();
        let mut header = [0; HEADER_SIZE];
        let read = self.devices.peek(self.number, 0, &mut header);
        let block = self.head_block();
        let signed = BlockHeader::read_from_bytes(&header[..])
            .is_ok_and(|header| self.area.signed(&header, block));
        if !read || !signed {
            return progress.set_result(LaneResult::Refused, SIGNATURE);
        }
        let Some(len) = self.compose(stamp, block) else {
            return progress.set_result(LaneResult::Refused, BUFFER);
        };
        let write = LaneOp::Write {
            sector: sector(block),
            at: 0,
            len,
        };
        self.submit(Step::WriteRecord, write);
    }
}

/// Says why a volume has no lane.
fn refuse(slot: &VolumeSlot) {
    let writes = slot.writes();
    let why = match writes.strip_prefix(NONE) {
        Some(reason) => reason,
        None if slot.lane().is_none() => NOT_READY,
        None => NO_AREA,
    };
    slot.progress().set_result(LaneResult::Refused, why);
}

const fn sector(block: u64) -> u64 {
    block.wrapping_mul(SECTORS_PER_BLOCK)
}
