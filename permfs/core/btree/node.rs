// SPDX-License-Identifier: GPL-2.0

//! The slotted page: how a node lies in its block, and reading it.
//!
//! The payload of a node is a [`NodeHeader`], an array of `u16` offsets ("slots") sorted by key, free
//! space, and a heap of records that grows down from the payload's end:
//!
//! ```text
//! | header | slot 0 | slot 1 | ...  ->      free      <-  ... | record | record |
//! 0        8                                              heap                4032
//! ```
//!
//! A record in a leaf is key `u64`, length `u16`, value; in an inner node it is key `u64`, child `u64`.
//! The heap is in no order and has holes, whose bytes `garbage` counts; the slots alone say what is
//! live. So an insertion changes the new record, the slots behind it and the header, nothing more.
//!
//! Record `i` of an inner node covers the keys from its own up to the next record's, and the first
//! record's key equals the first key that the whole node covers. No node is ever empty.

use super::{MAX_LEVEL, MAX_VALUE};
use crate::format::PAYLOAD_SIZE;
use kernel::prelude::*;
use zerocopy::little_endian::U16;
use zerocopy_derive::{Immutable, KnownLayout, Unaligned};

/// Bytes of a slot.
pub(super) const SLOT: usize = 2;
/// Bytes of a record's key.
pub(super) const KEY: usize = 8;
/// Bytes in front of the value in a leaf's record.
pub(super) const LEAF_PREFIX: usize = KEY + 2;
/// Bytes of a record in an inner node.
pub(super) const CHILD_RECORD: usize = KEY + 8;
/// Bytes that slots and records share.
pub(super) const CAPACITY: usize = PAYLOAD_SIZE - size_of::<NodeHeader>();

/// Records of an inner node at most.
pub const INNER_RECORDS: u64 = (CAPACITY / (CHILD_RECORD + SLOT)) as u64;

/// Records of a leaf at most, if every value has `len` bytes.
pub const fn leaf_records(len: usize) -> u64 {
    (CAPACITY / (LEAF_PREFIX + len + SLOT)) as u64
}

// A full leaf and one more record of any size must be divisible into two leaves.
const _: () = assert!(3 * (LEAF_PREFIX + MAX_VALUE + SLOT) <= CAPACITY);

/// Head of a node's payload. 8 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct NodeHeader {
    /// 0 for a leaf, else one more than the children's.
    pub level: u8,
    /// Zero.
    pub reserved: u8,
    /// Slots.
    pub count: U16,
    /// Offset of the lowest record within the payload.
    pub heap: U16,
    /// Bytes of the heap that belong to no record.
    pub garbage: U16,
}

/// What is wrong with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The block could not be read, or it is not a node of this tree.
    Unreadable(Error),
    /// The header contradicts itself.
    Header,
    /// The level is not one less than the parent's.
    Level,
    /// There is no record.
    Empty,
    /// A record does not lie in the heap or is too long.
    Slot,
    /// The keys do not ascend.
    Order,
    /// A key is outside of what the parent says the node covers.
    Range,
    /// The records and the garbage do not add up to the heap.
    Space,
    /// Two records share bytes.
    Overlap,
    /// A child is block 0.
    Child,
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Error {
        match fault {
            Fault::Unreadable(e) => e,
            _ => EFSCORRUPTED,
        }
    }
}

/// The keys that a node covers, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: u64,
    pub(super) last: u64,
}

impl Range {
    /// What the root covers.
    pub(super) const ALL: Range = Range {
        first: 0,
        last: u64::MAX,
    };

    pub(super) fn contains(&self, key: u64) -> bool {
        (self.first..=self.last).contains(&key)
    }
}

/// The header in use, checked: slots end before the heap, and the heap ends with the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) level: u8,
    pub(super) count: usize,
    pub(super) heap: usize,
    pub(super) garbage: usize,
}

impl Head {
    /// The head of a node without records.
    pub(super) fn new(level: u8) -> Self {
        Self {
            level,
            count: 0,
            heap: PAYLOAD_SIZE,
            garbage: 0,
        }
    }

    fn parse(payload: &[u8], level: u8) -> Result<Self, Fault> {
        let (raw, _) = NodeHeader::read_from_prefix(payload).map_err(|_| Fault::Header)?;
        if raw.level != level || level > MAX_LEVEL {
            return Err(Fault::Level);
        }
        let head = Self {
            level,
            count: usize::from(raw.count.get()),
            heap: usize::from(raw.heap.get()),
            garbage: usize::from(raw.garbage.get()),
        };
        if head.count == 0 {
            return Err(Fault::Empty);
        }
        let smallest = record_size(level, 0);
        if raw.reserved != 0
            || head.heap > PAYLOAD_SIZE
            || head.slots_end() > head.heap
            || head.count * smallest + head.garbage > PAYLOAD_SIZE - head.heap
        {
            return Err(Fault::Header);
        }
        Ok(head)
    }

    pub(super) fn encode(&self) -> Result<NodeHeader> {
        Ok(NodeHeader {
            level: self.level,
            reserved: 0,
            count: u16::try_from(self.count)?.into(),
            heap: u16::try_from(self.heap)?.into(),
            garbage: u16::try_from(self.garbage)?.into(),
        })
    }

    pub(super) fn slots_end(&self) -> usize {
        slot_offset(self.count)
    }

    /// Free bytes between slots and heap.
    pub(super) fn room(&self) -> usize {
        self.heap.saturating_sub(self.slots_end())
    }

    /// Free bytes, garbage included.
    pub(super) fn free(&self) -> usize {
        self.room() + self.garbage
    }

    /// Bytes of the slots and live records.
    pub(super) fn used(&self) -> usize {
        CAPACITY.saturating_sub(self.free())
    }
}

/// Where slot `i` is.
pub(super) fn slot_offset(i: usize) -> usize {
    size_of::<NodeHeader>() + i * SLOT
}

/// Bytes of a record whose value has `len` bytes (a leaf), or of one that names a child.
pub(super) fn record_size(level: u8, len: usize) -> usize {
    if level == 0 {
        LEAF_PREFIX + len
    } else {
        CHILD_RECORD
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

/// A live record.
pub(super) struct Record<'a> {
    /// Offset of the record within the payload.
    pub(super) at: usize,
    pub(super) key: u64,
    /// The whole record.
    pub(super) bytes: &'a [u8],
    /// The value, or the number of the child.
    pub(super) body: &'a [u8],
}

/// A node whose header was checked. Slots and records are checked as they are used.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    payload: &'a [u8],
    pub(super) head: Head,
}

impl<'a> Node<'a> {
    /// Takes `payload` for a node of `level`.
    pub(super) fn parse(payload: &'a [u8], level: u8) -> Result<Self, Fault> {
        let payload = payload.get(..PAYLOAD_SIZE).ok_or(Fault::Header)?;
        Ok(Self {
            payload,
            head: Head::parse(payload, level)?,
        })
    }

    /// Takes `payload` for a node whose head is known.
    pub(super) fn with_head(payload: &'a [u8], head: Head) -> Result<Self, Fault> {
        let payload = payload.get(..PAYLOAD_SIZE).ok_or(Fault::Header)?;
        Ok(Self { payload, head })
    }

    /// The bytes of slots `from` to `to`.
    pub(super) fn slots(&self, from: usize, to: usize) -> Result<&'a [u8], Fault> {
        self.payload
            .get(slot_offset(from)..slot_offset(to))
            .ok_or(Fault::Slot)
    }

    fn offset(&self, i: usize) -> Result<usize, Fault> {
        if i >= self.head.count {
            return Err(Fault::Slot);
        }
        let raw: [u8; 2] = array(self.payload, slot_offset(i)).ok_or(Fault::Slot)?;
        let at = usize::from(u16::from_le_bytes(raw));
        if at < self.head.heap {
            return Err(Fault::Slot);
        }
        Ok(at)
    }

    /// The key of record `i`.
    pub(super) fn key(&self, i: usize) -> Result<u64, Fault> {
        let raw: [u8; 8] = array(self.payload, self.offset(i)?).ok_or(Fault::Slot)?;
        Ok(u64::from_le_bytes(raw))
    }

    /// Record `i`.
    pub(super) fn record(&self, i: usize) -> Result<Record<'a>, Fault> {
        let at = self.offset(i)?;
        let key: [u8; 8] = array(self.payload, at).ok_or(Fault::Slot)?;
        let (prefix, len) = if self.head.level == 0 {
            let raw: [u8; 2] = array(self.payload, at + KEY).ok_or(Fault::Slot)?;
            (LEAF_PREFIX, usize::from(u16::from_le_bytes(raw)))
        } else {
            (KEY, CHILD_RECORD - KEY)
        };
        if len > MAX_VALUE {
            return Err(Fault::Slot);
        }
        let bytes = self.payload.get(at..at + prefix + len).ok_or(Fault::Slot)?;
        let body = bytes.get(prefix..).ok_or(Fault::Slot)?;
        Ok(Record {
            at,
            key: u64::from_le_bytes(key),
            bytes,
            body,
        })
    }

    /// The child that record `i` of an inner node names.
    pub(super) fn child(&self, i: usize) -> Result<u64, Fault> {
        let raw: [u8; 8] = array(self.record(i)?.body, 0).ok_or(Fault::Slot)?;
        match u64::from_le_bytes(raw) {
            0 => Err(Fault::Child),
            child => Ok(child),
        }
    }

    /// The keys that child `i` covers, in a node that covers `range`.
    pub(super) fn child_range(&self, i: usize, range: Range) -> Result<Range, Fault> {
        let first = self.key(i)?;
        let last = if i + 1 < self.head.count {
            self.key(i + 1)?.checked_sub(1).ok_or(Fault::Order)?
        } else {
            range.last
        };
        if last < first {
            return Err(Fault::Order);
        }
        if first < range.first || last > range.last || (i == 0 && first != range.first) {
            return Err(Fault::Range);
        }
        Ok(Range { first, last })
    }

    /// Finds `key` in a node that covers `range`: the index of the first record with that key or a
    /// greater one, and whether it is that key.
    #[inline(never)]
    pub(super) fn search(&self, key: u64, range: Range) -> Result<(usize, bool), Fault> {
        let (mut from, mut to) = (0, self.head.count);
        // The records that were looked at bound the keys between them. A key out of these bounds is
        // noticed here, so that a lookup need not check the whole node.
        let mut within = range;
        while from < to {
            let mid = from + (to - from) / 2;
            let at = self.key(mid)?;
            if !within.contains(at) {
                return Err(if range.contains(at) {
                    Fault::Order
                } else {
                    Fault::Range
                });
            }
            if at == key {
                return Ok((mid, true));
            }
            if at < key {
                from = mid + 1;
                within.first = at.saturating_add(1);
            } else {
                to = mid;
                within.last = at.saturating_sub(1);
            }
        }
        Ok((from, false))
    }

    /// Checks everything in a node that covers `range` but for records that share bytes.
    #[inline(never)]
    pub(super) fn verify(&self, range: Range) -> Result<(), Fault> {
        let mut bytes = self.head.garbage;
        let mut previous = None;
        for i in 0..self.head.count {
            let record = self.record(i)?;
            bytes += record.bytes.len();
            if previous.is_some_and(|p| record.key <= p) {
                return Err(Fault::Order);
            }
            if !range.contains(record.key) {
                return Err(Fault::Range);
            }
            if self.head.level > 0 {
                self.child(i)?;
                if i == 0 && record.key != range.first {
                    return Err(Fault::Range);
                }
            }
            previous = Some(record.key);
        }
        if bytes != PAYLOAD_SIZE - self.head.heap {
            return Err(Fault::Space);
        }
        Ok(())
    }

    /// Checks that no two records share bytes.
    #[inline(never)]
    pub(super) fn verify_disjoint(&self) -> Result<(), Fault> {
        let mut taken = [0u64; PAYLOAD_SIZE.div_ceil(64)];
        for i in 0..self.head.count {
            let record = self.record(i)?;
            for at in record.at..record.at + record.bytes.len() {
                let word = taken.get_mut(at / 64).ok_or(Fault::Slot)?;
                let bit = 1u64 << (at % 64);
                if *word & bit != 0 {
                    return Err(Fault::Overlap);
                }
                *word |= bit;
            }
        }
        Ok(())
    }
}
