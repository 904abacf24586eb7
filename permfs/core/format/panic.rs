// SPDX-License-Identifier: GPL-2.0

//! Slots of the panic area.
//!
//! A slot is a *head* (block 0), data from block 1 on with a [`PanicGuard`] right behind it, and a *tail*
//! (the last block). Head, data and guard are one write; the tail is another, after the flush that made
//! the first one durable.

use kernel::prelude::*;
use zerocopy::little_endian::{U32, U64};
use zerocopy_derive::{Immutable, KnownLayout, Unaligned};

/// [`PanicHead::record`]: the slot has never been used.
pub const RECORD_EMPTY: u32 = 0;
/// [`PanicHead::record`]: panic lines, each ended by a newline.
pub const RECORD_BREADCRUMBS: u32 = 1;
/// [`PanicHead::record`]: a piece of the kernel's log, from pstore.
pub const RECORD_LOG: u32 = 2;

/// [`PanicHead::flags`]: somebody has read the record and does not want it any more.
pub const PANIC_ERASED: u32 = 1;

/// "PmFE" in the first four bytes of a [`PanicGuard`].
pub const GUARD_MAGIC: u32 = u32::from_le_bytes(*b"PmFE");

/// Payload of a slot's head. 96 bytes; the rest of the block is zero.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct PanicHead {
    /// `RECORD_` number.
    pub record: U32,
    /// `PANIC_` bits.
    pub flags: U32,
    /// From 1, growing over the whole area; it chooses the slot.
    pub sequence: U64,
    /// Id of the panic, as in its lines.
    pub id: U32,
    /// Bytes of data.
    pub len: U32,
    /// CRC32C of the data.
    pub crc: U32,
    /// pstore: number of the piece.
    pub part: U32,
    /// Wall clock at the panic, nanoseconds since 1970.
    pub wall_ns: U64,
    /// Monotonic clock at the panic, nanoseconds.
    pub mono_ns: U64,
    /// pstore: type of the record.
    pub pstore_type: U32,
    /// pstore: why the log was dumped.
    pub reason: U32,
    /// pstore: number of the dump since boot.
    pub count: U32,
    /// pstore: 1, the data is compressed.
    pub compressed: U32,
    /// pstore: time of the record, seconds since 1970.
    pub time_sec: U64,
    /// pstore: nanoseconds of that time.
    pub time_nsec: U32,
    /// Zero.
    pub reserved: [u8; 20],
}

/// What stands directly behind the data. 16 bytes; the rest of the block is zero.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct PanicGuard {
    /// [`GUARD_MAGIC`].
    pub magic: U32,
    /// Bytes of data, as in the head.
    pub len: U32,
    /// Sequence, as in the head.
    pub sequence: U64,
}

/// Payload of a slot's tail, before its text. 64 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct PanicTail {
    /// Sequence of the record that it belongs to.
    pub sequence: U64,
    /// Bytes of text behind this.
    pub len: U32,
    /// Zero.
    pub reserved: [u8; 52],
}

/// Bytes of text that a tail holds at most.
pub const TAIL_TEXT_MAX: usize = super::PAYLOAD_SIZE - size_of::<PanicTail>();

/// Blocks that a slot needs at least to hold a record: head, two of data, tail.
pub const SLOT_BLOCKS_MIN: u32 = 4;

/// Bytes of data that a slot of `blocks` blocks holds, 0 if it is too small for a record.
pub const fn slot_capacity(blocks: u32) -> usize {
    if blocks < SLOT_BLOCKS_MIN {
        return 0;
    }
    // Lossless: the geometry allows 256 blocks.
    (blocks as usize)
        .saturating_sub(2)
        .saturating_mul(super::BLOCK_SIZE)
        - size_of::<PanicGuard>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_the_format() {
        assert_eq!(size_of::<PanicHead>(), 96);
        assert_eq!(size_of::<PanicGuard>(), 16);
        assert_eq!(size_of::<PanicTail>(), 64);
        assert_eq!(TAIL_TEXT_MAX, 3968);
        assert_eq!(
            [1, 3, 4, 16].map(slot_capacity),
            [0, 0, 2 * 4096 - 16, 14 * 4096 - 16]
        );
    }
}
