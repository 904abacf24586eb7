// SPDX-License-Identifier: GPL-2.0

//! Records of the panic area: finding, reading and erasing them.

use super::Area;
use crate::{
    crc::crc32c,
    device::{BlockDevice, WriteFlags},
    format::{panic::*, *},
    store::block::{seal, Block},
};
use core::cmp::Ordering;
use kernel::prelude::*;

/// Blocks of an erased record that are overwritten by one request.
const OVERWRITTEN_AT_ONCE: usize = 16;

/// What a record is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// Panic lines, each ended by a newline.
    Breadcrumbs,
    /// A piece of the kernel's log, from pstore.
    Log,
}

impl RecordKind {
    pub(super) const fn of(number: u32) -> Option<Self> {
        match number {
            RECORD_BREADCRUMBS => Some(Self::Breadcrumbs),
            RECORD_LOG => Some(Self::Log),
            _ => None,
        }
    }

    /// [`PanicHead::record`].
    pub const fn as_u32(self) -> u32 {
        match self {
            Self::Breadcrumbs => RECORD_BREADCRUMBS,
            Self::Log => RECORD_LOG,
        }
    }
}

/// A head that is whole: [`PanicHead`] in the machine's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What the record is of.
    pub kind: RecordKind,
    /// Whether somebody has erased it.
    pub erased: bool,
    /// Place in the order of records, from 1.
    pub sequence: u64,
    /// Id of the panic.
    pub id: u32,
    /// Bytes of data.
    pub len: u32,
    /// CRC32C of the data.
    pub crc: u32,
    /// Nanoseconds since 1970 at the panic.
    pub wall_ns: u64,
    /// Nanoseconds since boot at the panic.
    pub mono_ns: u64,
    /// What pstore wants to know again; zero in breadcrumbs.
    pub pstore: PstoreMeta,
}

/// What pstore knows of a record (`struct pstore_record`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PstoreMeta {
    /// `type`.
    pub kind: u32,
    /// `reason`, an `enum kmsg_dump_reason`.
    pub reason: u32,
    /// `part`.
    pub part: u32,
    /// `count`.
    pub count: u32,
    /// `compressed`.
    pub compressed: bool,
    /// `time`, seconds since 1970.
    pub time_sec: u64,
    /// Nanoseconds of that time.
    pub time_nsec: u32,
}

impl Head {
    pub(super) fn new(kind: RecordKind, head: &PanicHead) -> Self {
        Self {
            kind,
            erased: head.flags.get() & PANIC_ERASED != 0,
            sequence: head.sequence.get(),
            id: head.id.get(),
            len: head.len.get(),
            crc: head.crc.get(),
            wall_ns: head.wall_ns.get(),
            mono_ns: head.mono_ns.get(),
            pstore: PstoreMeta {
                kind: head.pstore_type.get(),
                reason: head.reason.get(),
                part: head.part.get(),
                count: head.count.get(),
                compressed: head.compressed.get() != 0,
                time_sec: head.time_sec.get(),
                time_nsec: head.time_nsec.get(),
            },
        }
    }

    /// The head as it stands on disk.
    pub fn to_disk(&self) -> PanicHead {
        PanicHead {
            record: self.kind.as_u32().into(),
            flags: if self.erased { PANIC_ERASED } else { 0 }.into(),
            sequence: self.sequence.into(),
            id: self.id.into(),
            len: self.len.into(),
            crc: self.crc.into(),
            part: self.pstore.part.into(),
            wall_ns: self.wall_ns.into(),
            mono_ns: self.mono_ns.into(),
            pstore_type: self.pstore.kind.into(),
            reason: self.pstore.reason.into(),
            count: self.pstore.count.into(),
            compressed: u32::from(self.pstore.compressed).into(),
            time_sec: self.pstore.time_sec.into(),
            time_nsec: self.pstore.time_nsec.into(),
            reserved: [0; 20],
        }
    }
}

/// What a slot's head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotState {
    /// Not a slot of this volume: the panic path leaves it alone.
    Unsigned,
    /// The signature is right and the rest is not: no record, but one may be written there.
    Damaged,
    /// The device does not give the head. The panic path will not get it either.
    Unreadable,
    /// Never used.
    Empty,
    /// There is a record.
    Record(Head),
}

/// A record that a scan has found: whose head is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its slot.
    pub slot: u32,
    /// Its head.
    pub head: Head,
}

impl PartialOrd for Found {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.head.sequence.partial_cmp(&other.head.sequence)
    }
}

/// The heads of an area.
pub struct Scan {
    /// State of every slot.
    pub states: KVVec<SlotState>,
    /// The records, oldest first, erased ones too.
    pub heads: KVVec<Found>,
}

impl Scan {
    /// The sequence that the next record gets.
    pub fn next_sequence(&self) -> u64 {
        self.heads
            .last()
            .map_or(1, |newest| newest.head.sequence.saturating_add(1))
    }
}

/// How much of a record is to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordState {
    /// Guard and CRC are right: the data is what was written.
    Whole,
    /// They are not: the write did not come to its end, or a later one did not.
    Torn,
}

impl RecordState {
    /// The state in a word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Torn => "torn",
        }
    }
}

/// A record.
pub struct Record {
    /// Its slot.
    pub slot: u32,
    /// Its head, which also says whether it is erased.
    pub head: Head,
    /// Its data, [`Head::len`] bytes, whatever its state.
    pub data: KVVec<u8>,
    /// Whether the data is what was written.
    pub state: RecordState,
    /// Text of the tail, if that is whole and belongs to this record. A tail is written after the flush
    /// that made the record durable, so without one that flush is not known to have completed.
    pub tail: Option<KVec<u8>>,
}

impl Area {
    /// Reads a record that [`Area::scan`] has found. Errors: `ENOMEM`; damage is a state, and what cannot be
    /// read of the data is zero.
    pub fn read<D: BlockDevice>(&self, dev: &D, found: &Found) -> Result<Record> {
        let Found { slot, head } = *found;
        let len = head.len as usize;
        let mut data = self.read_data(dev, slot, len)?;
        let guard = data
            .get(len..)
            .and_then(|behind| PanicGuard::read_from_prefix(behind).ok());
        let guarded = guard.is_some_and(|(guard, _)| {
            guard.magic.get() == GUARD_MAGIC
                && guard.len.get() == head.len
                && guard.sequence.get() == head.sequence
        });
        data.truncate(len);
        let state = if guarded && crc32c(0, &data) == head.crc {
            RecordState::Whole
        } else {
            RecordState::Torn
        };
        Ok(Record {
            slot,
            head,
            data,
            state,
            tail: self.read_tail(dev, slot, head.sequence)?,
        })
    }

    /// Data and guard, and what follows up to the end of the block.
    fn read_data<D: BlockDevice>(&self, dev: &D, slot: u32, len: usize) -> Result<KVVec<u8>> {
        if len > self.capacity() {
            return Err(EINVAL);
        }
        let bytes = (len + size_of::<PanicGuard>()).next_multiple_of(BLOCK_SIZE);
        let mut data = KVVec::zeroed(bytes, GFP_KERNEL)?;
        let first = self.head_block(slot) + 1;
        match dev.read(first * SECTORS_PER_BLOCK, &mut data) {
            Err(e) if e == ENOMEM => return Err(e),
            Err(_) => {
                // Block by block: what is left is worth having, for panic lines carry a CRC each.
                for (block, piece) in (first..).zip(data.chunks_mut(BLOCK_SIZE)) {
                    if dev.read(block * SECTORS_PER_BLOCK, piece).is_err() {
                        piece.fill(0);
                    }
                }
            }
            Ok(()) => {}
        }
        Ok(data)
    }

    fn read_tail<D: BlockDevice>(
        &self,
        dev: &D,
        slot: u32,
        sequence: u64,
    ) -> Result<Option<KVec<u8>>> {
        let Some(at) = self.tail_block(slot) else {
            return Ok(None);
        };
        let mut image = KBox::<Block>::zeroed(GFP_KERNEL)?;
        match dev.read(at * SECTORS_PER_BLOCK, &mut image[..]) {
            Err(e) if e == ENOMEM => return Err(e),
            Err(_) => return Ok(None),
            Ok(()) => {}
        }
        let Some(payload) = self.whole(&image, at) else {
            return Ok(None);
        };
        let Ok((tail, text)) = PanicTail::read_from_prefix(payload) else {
            return Ok(None);
        };
        let text = text.get(..tail.len.get() as usize);
        let Some(text) = text.filter(|_| tail.sequence.get() == sequence) else {
            return Ok(None);
        };
        let mut copy = KVec::new();
        copy.extend_from_slice(text, GFP_KERNEL)?;
        Ok(Some(copy))
    }

    /// Marks the record with that sequence in that slot as erased and overwrites the rest of it, durably; the
    /// latter again if it was erased before, for that may not have come so far. What the device keeps of
    /// what was overwritten is the device's.
    ///
    /// Errors: `ENOENT` if the slot has another record by now, or none; `EIO`, `EROFS`, `ENOMEM`.
    pub fn erase<D: BlockDevice>(&self, dev: &D, slot: u32, sequence: u64) -> Result {
        if slot >= self.slots {
            return Err(ENOENT);
        }
        let sector = self.head_block(slot) * SECTORS_PER_BLOCK;
        let mut image = KBox::<Block>::zeroed(GFP_KERNEL)?;
        dev.read(sector, &mut image[..])?;
        let mut head = match self.judge(slot, &image) {
            SlotState::Record(head) if head.sequence == sequence => head,
            _ => return Err(ENOENT),
        };
        if !head.erased {
            head.erased = true;
            let payload = image.get_mut(HEADER_SIZE..).unwrap_or_default();
            head.to_disk()
                .write_to_prefix(payload)
                .map_err(|_| EINVAL)?;
            seal(&mut image, sequence);
            dev.write(sector, &image[..], WriteFlags::default())?;
            // First of all: a record without its data, and not known to be erased, is a torn one.
            make_durable(dev)?;
        }
        self.overwrite(dev, slot)?;
        make_durable(dev)
    }

    /// Writes zeroes over all of a slot but its head.
    fn overwrite<D: BlockDevice>(&self, dev: &D, slot: u32) -> Result {
        let zeroes = KVVec::zeroed(OVERWRITTEN_AT_ONCE * BLOCK_SIZE, GFP_KERNEL)?;
        let first = self.head_block(slot);
        let mut done = 1;
        while done < u64::from(self.slot_blocks) {
            let count = (u64::from(self.slot_blocks) - done).min(OVERWRITTEN_AT_ONCE as u64);
            let bytes = zeroes
                .get(..count as usize * BLOCK_SIZE)
                .unwrap_or_default();
            let sector = (first + done) * SECTORS_PER_BLOCK;
            dev.write(sector, bytes, WriteFlags::default())?;
            done += count;
        }
        Ok(())
    }
}

pub(super) fn make_durable<D: BlockDevice>(dev: &D) -> Result {
    if dev.has_write_cache() {
        dev.flush()?;
    }
    Ok(())
}
