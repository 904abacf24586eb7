// SPDX-License-Identifier: GPL-2.0

//! Where everything fixed stands on a volume.
//!
//! ```text
//! shard 0:  super | bitmap | state | summary table | journal header | journal ring | panic area | data
//! shard n:  super backup or unused | bitmap | data
//! ```
//!
//! mkfs computes it once; the super block keeps it; a mount checks it before it believes a number.

use crate::{
    format::{panic::SLOT_BLOCKS_MIN, *},
    journal::{header::HEADER_BLOCKS, MAX_JOURNAL_BLOCKS, MIN_JOURNAL_BLOCKS},
};
use kernel::{fmt, prelude::*};

mod super_block;

pub use super_block::{
    copies, find_backup, has_state, read_at, read_cut, read_super, ro_compat_unknown, SuperError,
};

/// Blocks that a new volume must have left for files and trees.
pub const MIN_DATA_BLOCKS: u64 = 64;
/// Slots of the panic area at most.
pub const MAX_PANIC_SLOTS: u32 = 1024;
/// Blocks in a slot of the panic area at most: 1 MiB.
pub const MAX_PANIC_SLOT_BLOCKS: u32 = 256;
/// Blocks in a volume at most: sectors of the device must fit a signed 64-bit byte offset.
pub const MAX_BLOCKS: u64 = i64::MAX as u64 / BLOCK_SIZE as u64;

/// 32 MiB for volumes of 512 MiB and more, up to 64 MiB from 16 GiB on.
const JOURNAL_BLOCKS: u64 = 8192;
const JOURNAL_BLOCKS_LARGE: u64 = 16384;
const DEFAULT_PANIC_SLOTS: u32 = 16;
const DEFAULT_PANIC_SLOT_BLOCKS: u32 = 16;

/// Why a volume cannot be laid out so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// Not a size in blocks that a volume may have.
    Size,
    /// The journal is shorter or longer than allowed.
    JournalSize,
    /// The panic area is empty, too large, or its slots are no power of two.
    PanicArea,
    /// A new volume's panic slots would hold no record.
    PanicSlotSize,
    /// Blocks of a shard or of a block: not this version's.
    ShardSize,
    /// The number of shards, or of summary blocks, does not follow from the size.
    Shards,
    /// The areas overlap, are out of order, or do not fit the first shard.
    Areas,
    /// Nothing would be left for files.
    NoRoom,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Invalid::Size => "the size in blocks is not one that a volume may have",
            Invalid::JournalSize => {
                let (min, max) = (MIN_JOURNAL_BLOCKS, MAX_JOURNAL_BLOCKS);
                return write!(f, "the journal must have {min} to {max} blocks of 4 KiB");
            }
            Invalid::PanicArea => {
                let (slots, blocks) = (MAX_PANIC_SLOTS, MAX_PANIC_SLOT_BLOCKS);
                return write!(
                    f,
                    "the panic area must have 1 to {slots} slots, a power of two, of 1 to {blocks} blocks"
                );
            }
            Invalid::PanicSlotSize => {
                let (min, max) = (SLOT_BLOCKS_MIN * 4, MAX_PANIC_SLOT_BLOCKS * 4);
                return write!(
                    f,
                    "a slot of the panic area must have {min} to {max} KiB: a smaller one holds no record of a panic"
                );
            }
            Invalid::ShardSize => "the size of a block or shard is not this version's",
            Invalid::Shards => "the number of shards does not follow from the size",
            Invalid::Areas => "the fixed areas overlap or do not fit the first shard (126 MiB)",
            Invalid::NoRoom => "the volume is too small: nothing would be left for files",
        };
        f.write_str(text)
    }
}

/// What mkfs may be told about the layout; `None` takes what suits the size.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wishes {
    /// Blocks of the journal's ring.
    pub journal_blocks: Option<u64>,
    /// Slots of the panic area, a power of two.
    pub panic_slots: Option<u32>,
    /// Blocks in a slot of the panic area.
    pub panic_slot_blocks: Option<u32>,
}

/// The fixed areas of a volume.
///
/// # Invariants
///
/// The areas stand in shard 0, in the order of the fields, and do not overlap; `data_start` is behind
/// all of them and inside the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Blocks in the volume.
    pub blocks: u64,
    /// Shards, the last one possibly short, but with at least one block of data.
    pub shards: u64,
    /// Blocks of the summary table.
    pub summary_blocks: u64,
    /// First block of the journal's header.
    pub journal_header: u64,
    /// First block of the journal's ring.
    pub journal_start: u64,
    /// Blocks in the journal's ring.
    pub journal_blocks: u64,
    /// First block of the panic area.
    pub panic_start: u64,
    /// Slots in the panic area.
    pub panic_slots: u32,
    /// Blocks in a slot.
    pub panic_slot_blocks: u32,
    /// First block of shard 0 behind the fixed areas.
    pub data_start: u64,
}

impl Geometry {
    /// Lays out a new volume on at most `blocks` blocks.
    ///
    /// A last shard without room for data is left out, so `blocks` of the result may be smaller.
    pub fn new(blocks: u64, wishes: &Wishes) -> Result<Self, Invalid> {
        if blocks > MAX_BLOCKS {
            return Err(Invalid::Size);
        }
        // A volume that has them is mounted all the same, and told of: see `Area::capacity`.
        if wishes
            .panic_slot_blocks
            .is_some_and(|blocks| !(SLOT_BLOCKS_MIN..=MAX_PANIC_SLOT_BLOCKS).contains(&blocks))
        {
            return Err(Invalid::PanicSlotSize);
        }
        let tail = blocks % SHARD_BLOCKS;
        let blocks = if tail <= SHARD_RESERVED {
            blocks - tail
        } else {
            blocks
        };
        let shards = blocks.div_ceil(SHARD_BLOCKS);
        let summary_blocks = shards.div_ceil(SUMMARY_PER_BLOCK);
        let journal_blocks = wishes.journal_blocks.unwrap_or_else(|| {
            let small = (blocks / 16).clamp(MIN_JOURNAL_BLOCKS, JOURNAL_BLOCKS);
            small.max((blocks / 256).min(JOURNAL_BLOCKS_LARGE))
        });
        let (panic_slots, panic_slot_blocks) = panic_area(blocks, wishes);
        let journal_header = SUMMARY_START + summary_blocks;
        let journal_start = journal_header + HEADER_BLOCKS;
        let panic_start = journal_start
            .checked_add(journal_blocks)
            .ok_or(Invalid::JournalSize)?;
        Self {
            blocks,
            shards,
            summary_blocks,
            journal_header,
            journal_start,
            journal_blocks,
            panic_start,
            panic_slots,
            panic_slot_blocks,
            data_start: 0,
        }
        .checked(MIN_DATA_BLOCKS)
    }

    /// The layout that a super block tells, if it can be one.
    pub fn of(sb: &SuperBlock) -> Result<Self, Invalid> {
        if sb.block_size.get() as usize != BLOCK_SIZE
            || u64::from(sb.shard_blocks.get()) != SHARD_BLOCKS
        {
            return Err(Invalid::ShardSize);
        }
        Self {
            blocks: sb.blocks.get(),
            shards: sb.shards.get(),
            summary_blocks: sb.summary_blocks.get(),
            journal_header: sb.journal_header.get(),
            journal_start: sb.journal_start.get(),
            journal_blocks: sb.journal_blocks.get(),
            panic_start: sb.panic_start.get(),
            panic_slots: sb.panic_slots.get(),
            panic_slot_blocks: sb.panic_slot_blocks.get(),
            data_start: 0,
        }
        .checked(1)
    }

    /// Establishes the type's invariants and `data_start`, or says what stands against them.
    fn checked(mut self, min_data: u64) -> Result<Self, Invalid> {
        if !(1..=MAX_BLOCKS).contains(&self.blocks) {
            return Err(if self.blocks == 0 {
                Invalid::NoRoom
            } else {
                Invalid::Size
            });
        }
        if !(MIN_JOURNAL_BLOCKS..=MAX_JOURNAL_BLOCKS).contains(&self.journal_blocks) {
            return Err(Invalid::JournalSize);
        }
        if !self.panic_slots.is_power_of_two()
            || self.panic_slots > MAX_PANIC_SLOTS
            || !(1..=MAX_PANIC_SLOT_BLOCKS).contains(&self.panic_slot_blocks)
        {
            return Err(Invalid::PanicArea);
        }
        // The last shard holds more than what is reserved in it.
        let last = self
            .blocks
            .checked_sub(self.shards.saturating_sub(1).saturating_mul(SHARD_BLOCKS));
        if self.shards == 0
            || !last.is_some_and(|n| (SHARD_RESERVED + 1..=SHARD_BLOCKS).contains(&n))
        {
            return Err(Invalid::Shards);
        }
        if self.summary_blocks < self.shards.div_ceil(SUMMARY_PER_BLOCK) {
            return Err(Invalid::Shards);
        }
        let end = self.areas_end().ok_or(Invalid::Areas)?;
        if end > SHARD_BLOCKS {
            return Err(Invalid::Areas);
        }
        if end.saturating_add(min_data) > self.blocks {
            return Err(Invalid::NoRoom);
        }
        self.data_start = end;
        Ok(self)
    }

    /// The block behind the last area, if they follow each other.
    fn areas_end(&self) -> Option<u64> {
        let areas = [
            (SUMMARY_START, self.summary_blocks),
            (self.journal_header, HEADER_BLOCKS),
            (self.journal_start, self.journal_blocks),
            (self.panic_start, self.panic_blocks()),
        ];
        areas.iter().try_fold(SUMMARY_START, |end, &(start, len)| {
            (start >= end).then_some(start)?.checked_add(len)
        })
    }

    /// Blocks of the panic area.
    pub fn panic_blocks(&self) -> u64 {
        u64::from(self.panic_slots) * u64::from(self.panic_slot_blocks)
    }

    /// Blocks of shard `shard` that are on the volume.
    pub fn shard_len(&self, shard: u64) -> u64 {
        self.blocks
            .saturating_sub(shard.saturating_mul(SHARD_BLOCKS))
            .min(SHARD_BLOCKS)
    }

    /// Blocks at the start of shard `shard` that never hold a file's data or a tree's node.
    pub fn fixed_len(&self, shard: u64) -> u64 {
        if shard == 0 {
            self.data_start
        } else {
            SHARD_RESERVED
        }
    }

    /// Whether a tree or a file may have all of `[block, block + len)`, as far as the layout goes.
    pub fn may_hold_data(&self, block: u64, len: u64) -> bool {
        let Some(last) = len.checked_sub(1).and_then(|n| block.checked_add(n)) else {
            return false;
        };
        let shard = block / SHARD_BLOCKS;
        let inside = block % SHARD_BLOCKS;
        // A run never reaches into another shard: the blocks at that one's start are reserved.
        last < self.blocks && last / SHARD_BLOCKS == shard && inside >= self.fixed_len(shard)
    }

    /// Free blocks of shard `shard` on a volume without any tree.
    pub fn free_at_start(&self, shard: u64) -> u64 {
        self.shard_len(shard).saturating_sub(self.fixed_len(shard))
    }

    /// Fills `payload` (4032 bytes) with the bitmap of shard `shard` on a volume without any tree.
    pub fn fill_bitmap(&self, shard: u64, payload: &mut [u8]) {
        payload.fill(0);
        set_bits(payload, 0, self.fixed_len(shard));
        set_bits(payload, self.shard_len(shard), SHARD_BLOCKS);
    }
}

/// Sets bits `from..to` of a bitmap; bits past its end are left out.
pub fn set_bits(bitmap: &mut [u8], from: u64, to: u64) {
    let mut at = from;
    while at < to {
        let Some(byte) = usize::try_from(at / 8).ok().and_then(|i| bitmap.get_mut(i)) else {
            return;
        };
        if at % 8 == 0 && to - at >= 8 {
            *byte = 0xff;
            at += 8;
        } else {
            *byte |= 1 << (at % 8);
            at += 1;
        }
    }
}

/// Slots of the panic area and blocks in one: a sixteenth of a small volume at most.
fn panic_area(blocks: u64, wishes: &Wishes) -> (u32, u32) {
    let slot_blocks = wishes
        .panic_slot_blocks
        .unwrap_or(DEFAULT_PANIC_SLOT_BLOCKS);
    let fit = blocks / 16 / u64::from(slot_blocks.max(1));
    let fit = u32::try_from(fit)
        .unwrap_or(DEFAULT_PANIC_SLOTS)
        .clamp(1, DEFAULT_PANIC_SLOTS);
    let slots = wishes
        .panic_slots
        .unwrap_or(1 << fit.checked_ilog2().unwrap_or(0));
    (slots, slot_blocks)
}

#[cfg(test)]
mod tests;
