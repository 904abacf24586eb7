// SPDX-License-Identifier: GPL-2.0

//! The panic area of a volume: where its slots are, and what is in them.
//!
//! Records are written by the panic lane (`lane.rs`) and, of an oops, by ordinary I/O (`store.rs`), by no lock and
//! no journal. So this side believes little: a slot has a record only if its head is whole, and the record's data only if the guard
//! behind it and its CRC are right too. Data that is not whole is handed out all the same, and called
//! torn: panic lines carry a CRC each.

use crate::{
    device::BlockDevice,
    format::{panic::*, *},
    geometry::Geometry,
    sort::sort,
    store::block::{self, Block},
};
use kernel::prelude::*;

mod record;
mod store;
mod survey;

pub use self::{
    record::{Found, Head, PstoreMeta, Record, RecordKind, RecordState, Scan, SlotState},
    survey::{LastPanic, Survey, RECENT},
};

/// Where a volume's panic area is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// First block.
    pub start: u64,
    /// Slots, a power of two.
    pub slots: u32,
    /// Blocks in a slot.
    pub slot_blocks: u32,
    /// UUID of the volume.
    pub uuid: [u8; 16],
}

/// Sequences end there: no writer ever comes so far, so a larger one is damage.
const SEQUENCE_MAX: u64 = 1 << 62;

impl Area {
    /// The area of the volume with that super block and layout.
    pub fn of(sb: &SuperBlock, geometry: &Geometry) -> Self {
        Self {
            start: geometry.panic_start,
            slots: geometry.panic_slots,
            slot_blocks: geometry.panic_slot_blocks,
            uuid: sb.uuid,
        }
    }

    /// First block of slot `slot`, which holds its head.
    pub const fn head_block(&self, slot: u32) -> u64 {
        let offset = (slot as u64).wrapping_mul(self.slot_blocks as u64);
        self.start.wrapping_add(offset)
    }

    /// Last block of slot `slot`, which holds its tail; `None` if the slots are too small for records.
    pub const fn tail_block(&self, slot: u32) -> Option<u64> {
        if self.capacity() == 0 {
            return None;
        }
        let offset = (self.slot_blocks as u64).wrapping_sub(1);
        Some(self.head_block(slot).wrapping_add(offset))
    }

    /// The slot that the record with that sequence goes to.
    pub const fn slot_of(&self, sequence: u64) -> u32 {
        // Lossless: smaller than the number of slots.
        (sequence & (self.slots as u64).wrapping_sub(1)) as u32
    }

    /// Bytes of data that a record holds at most; 0: the slots are too small for records.
    pub const fn capacity(&self) -> usize {
        slot_capacity(self.slot_blocks)
    }

    /// Bytes of a slot.
    pub const fn slot_bytes(&self) -> usize {
        (self.slot_blocks as usize).saturating_mul(BLOCK_SIZE)
    }

    /// Whether `header` is that of block `block` of a slot, head or tail. In a head it is the signature without which
    /// nothing is written; the CRC is not looked at, for a head left torn must not disable its slot.
    pub fn signed(&self, header: &BlockHeader, block: u64) -> bool {
        header.magic.get() == MAGIC
            && header.version.get() == VERSION
            && header.kind.get() == Kind::PanicSlot as u16
            && header.block.get() == block
            && header.uuid == self.uuid
    }

    /// Reads the heads of all slots. Errors: `ENOMEM`; damage is none, nor is a head that cannot be read.
    pub fn scan<D: BlockDevice>(&self, dev: &D) -> Result<Scan> {
        let mut image = KBox::<Block>::zeroed(GFP_KERNEL)?;
        let mut scan = Scan {
            states: KVVec::with_capacity(self.slots.try_into()?, GFP_KERNEL)?,
            heads: KVVec::new(),
        };
        for slot in 0..self.slots {
            let state = match dev.read(self.head_block(slot) * SECTORS_PER_BLOCK, &mut image[..]) {
                Ok(()) => self.judge(slot, &image),
                Err(e) if e == ENOMEM => return Err(e),
                Err(_) => SlotState::Unreadable,
            };
            if let SlotState::Record(head) = state {
                scan.heads.push(Found { slot, head }, GFP_KERNEL)?;
            }
            scan.states.push(state, GFP_KERNEL)?;
        }
        // Sequences differ: each belongs to one slot, and a slot has one head.
        sort(&mut scan.heads);
        Ok(scan)
    }

    /// The payload of `image`, if that is block `block` of a slot and whole.
    fn whole<'a>(&self, image: &'a Block, block: u64) -> Option<&'a [u8]> {
        let header = block::header(image).ok()?;
        let whole = self.signed(&header, block) && block::verify(image, block, &self.uuid).is_ok();
        image.get(HEADER_SIZE..).filter(|_| whole)
    }

    /// What the head of slot `slot` says, given its block.
    pub fn judge(&self, slot: u32, image: &Block) -> SlotState {
        let at = self.head_block(slot);
        let header = match block::header(image) {
            Ok(header) if self.signed(&header, at) => header,
            _ => return SlotState::Unsigned,
        };
        let zero = |bytes: &[u8]| bytes.iter().all(|&b| b == 0);
        let Some(payload) = self.whole(image, at) else {
            return SlotState::Damaged;
        };
        let Ok((head, rest)) = PanicHead::read_from_prefix(payload) else {
            return SlotState::Damaged;
        };
        if zero(payload) {
            return SlotState::Empty;
        }
        let sequence = head.sequence.get();
        let possible = zero(rest)
            && zero(&head.reserved)
            && (1..=SEQUENCE_MAX).contains(&sequence)
            && header.lsn.get() == sequence
            && self.slot_of(sequence) == slot
            && head.len.get() as usize <= self.capacity();
        match RecordKind::of(head.record.get()) {
            Some(kind) if possible => SlotState::Record(Head::new(kind, &head)),
            _ => SlotState::Damaged,
        }
    }
}
