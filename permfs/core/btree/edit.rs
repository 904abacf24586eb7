// SPDX-License-Identifier: GPL-2.0

//! Changing one node with small writes.
//!
//! Functions with much on the stack are not inlined: their locals would stay while their caller, which
//! may be deep in writeback already, goes deeper into the journal.

use super::batch::Batch;
use super::node::{record_size, slot_offset, Fault, Head, Node, Range, KEY, LEAF_PREFIX, SLOT};
use crate::format::{Kind, PAYLOAD_SIZE};
use crate::meta::{MetaRead, MetaWrite};
use kernel::prelude::*;

/// Bytes that two changes of a value are apart at least to be written on their own.
const GAP: usize = 16;
/// Slots that are shifted at a time: the kernel's stack is small.
const PIECE: usize = 96;
/// Changes of a value that are written on their own, at most.
const MAX_CHANGES: usize = 8;

/// Reads `block` as a node of `level`, header checked.
pub(super) fn read_node<S: MetaRead>(
    s: &mut S,
    block: u64,
    owner: u64,
    level: u8,
) -> Result<Node<'_>, Fault> {
    let payload = s
        .read(block, Kind::Node, owner)
        .map_err(Fault::Unreadable)?;
    Node::parse(payload, level)
}

/// A node that is being changed, verified as a whole when it was opened.
pub(super) struct Edit<'s, S> {
    s: &'s mut S,
    pub(super) block: u64,
    owner: u64,
    pub(super) head: Head,
}

impl<'s, S: MetaWrite> Edit<'s, S> {
    /// Opens node `block`, which must be of `level` and cover `range`.
    #[inline(never)]
    pub(super) fn open(
        s: &'s mut S,
        block: u64,
        owner: u64,
        level: u8,
        range: Range,
    ) -> Result<Self> {
        let node = read_node(s, block, owner, level)?;
        node.verify(range)?;
        let head = node.head;
        Ok(Self {
            s,
            block,
            owner,
            head,
        })
    }

    /// Allocates a node near block `near`. It must get a record before the operation ends.
    pub(super) fn create(s: &'s mut S, owner: u64, level: u8, near: u64) -> Result<Self> {
        let block = s.alloc(Kind::Node, owner, near)?;
        Ok(Self {
            s,
            block,
            owner,
            head: Head::new(level),
        })
    }

    pub(super) fn node(&mut self) -> Result<Node<'_>> {
        let payload = self.s.read(self.block, Kind::Node, self.owner)?;
        Ok(Node::with_head(payload, self.head)?)
    }

    /// Whether a record with a body of `len` bytes fits, possibly after a compaction.
    pub(super) fn fits(&self, len: usize) -> bool {
        record_size(self.head.level, len) + SLOT <= self.head.free()
    }

    /// Inserts a record at slot `pos`. [`Edit::fits`] holds.
    #[inline(never)]
    pub(super) fn insert(&mut self, pos: usize, key: u64, body: &[u8]) -> Result {
        let size = record_size(self.head.level, body.len());
        self.make_room(size + SLOT)?;
        let at = self.head.heap.checked_sub(size).ok_or(EINVAL)?;
        self.write_record(at, key, body)?;
        self.open_slot(pos, u16::try_from(at)?)?;
        self.head.heap = at;
        self.head.count += 1;
        self.write_head()
    }

    /// Removes the record at slot `pos`.
    #[inline(never)]
    pub(super) fn remove(&mut self, pos: usize) -> Result {
        let record = self.node()?.record(pos)?;
        let (at, size) = (record.at, record.bytes.len());
        self.close_slot(pos)?;
        if self.head.count == 1 {
            self.head = Head::new(self.head.level);
        } else {
            self.head.count -= 1;
            if at == self.head.heap {
                self.head.heap += size;
            } else {
                self.head.garbage += size;
            }
        }
        self.write_head()
    }

    /// Drops the records from slot `count` on. A node without records must get one again.
    #[inline(never)]
    pub(super) fn truncate(&mut self, count: usize) -> Result {
        let node = self.node()?;
        let (mut heap, mut live) = (PAYLOAD_SIZE, 0);
        for i in 0..count {
            let record = node.record(i)?;
            heap = heap.min(record.at);
            live += record.bytes.len();
        }
        let garbage = (PAYLOAD_SIZE - heap)
            .checked_sub(live)
            .ok_or(EFSCORRUPTED)?;
        self.head = Head {
            level: self.head.level,
            count,
            heap,
            garbage,
        };
        self.write_head()
    }

    /// Changes the value at slot `pos`; false if the new one does not fit into the node.
    ///
    /// Of a value that does not grow only the bytes that differ are written.
    #[inline(never)]
    pub(super) fn replace(&mut self, pos: usize, body: &[u8]) -> Result<bool> {
        let (heap, free) = (self.head.heap, self.head.free());
        let record = self.node()?.record(pos)?;
        let (at, key, old) = (record.at, record.key, record.body.len());
        if body.len() <= old {
            self.shrink(pos, body, old - body.len())?;
            return Ok(true);
        }
        let size = record_size(self.head.level, body.len());
        let old_size = record_size(self.head.level, old);
        if size > free + old_size {
            return Ok(false);
        }
        if at == heap && size - old_size <= self.head.room() {
            // The lowest record grows down in place: a value that grows time and again, as that of
            // a file being appended to, leaves no garbage behind.
            self.head.heap = at - (size - old_size);
        } else if size <= self.head.room() {
            self.head.heap -= size;
            self.head.garbage += old_size;
        } else {
            self.remove(pos)?;
            self.insert(pos, key, body)?;
            return Ok(true);
        }
        self.write_record(self.head.heap, key, body)?;
        let slot = u16::try_from(self.head.heap)?.to_le_bytes();
        self.s.write(self.block, slot_offset(pos), &slot)?;
        self.write_head()?;
        Ok(true)
    }

    /// Makes the record at slot `pos` of an inner node name `child`.
    pub(super) fn set_child(&mut self, pos: usize, child: u64) -> Result {
        let at = self.node()?.record(pos)?.at;
        self.s.write(self.block, at + KEY, &child.to_le_bytes())
    }

    /// Removes the child at slot `pos` from an inner node that covers the keys from `first` on.
    pub(super) fn remove_child(&mut self, pos: usize, first: u64) -> Result {
        self.remove(pos)?;
        if pos == 0 && self.head.count > 0 {
            // What the first child covers begins where the node's own range begins.
            let at = self.node()?.record(0)?.at;
            self.s.write(self.block, at, &first.to_le_bytes())?;
        }
        Ok(())
    }

    /// Takes in all records of `other`, in front of the own ones or behind them. They fit.
    #[inline(never)]
    pub(super) fn absorb(&mut self, other: &Batch, in_front: bool) -> Result {
        self.make_room(other.used())?;
        let base = self
            .head
            .heap
            .checked_sub(other.bytes.len())
            .ok_or(EINVAL)?;
        let count = self.head.count;
        let node = self.node()?;
        let behind = if in_front { node.slots(0, count)? } else { &[] };
        let len = other.ends.len() * SLOT + behind.len();
        let mut slots = KVec::with_capacity(len, GFP_KERNEL)?;
        let mut start = 0;
        for &end in &other.ends {
            slots.extend_from_slice(&u16::try_from(base + start)?.to_le_bytes(), GFP_KERNEL)?;
            start = end;
        }
        slots.extend_from_slice(behind, GFP_KERNEL)?;
        let pos = if in_front { 0 } else { count };
        self.s.write(self.block, base, &other.bytes)?;
        self.s.write(self.block, slot_offset(pos), &slots)?;
        self.head.heap = base;
        self.head.count += other.ends.len();
        self.write_head()
    }

    /// The records of this node.
    #[inline(never)]
    pub(super) fn batch(&mut self) -> Result<Batch> {
        let count = self.head.count;
        let mut batch = Batch::new(self.head.level)?;
        let node = self.node()?;
        for i in 0..count {
            batch.push_record(node.record(i)?.bytes)?;
        }
        Ok(batch)
    }

    /// Makes this new node one of the records in `batch`.
    pub(super) fn fill(&mut self, batch: &Batch) -> Result {
        self.head = batch.write(self.s, self.block)?;
        Ok(())
    }

    /// Allocates another node of the same level, gets its records from `fill`, and returns its block.
    pub(super) fn sibling(self, fill: impl FnOnce(&mut Edit<'_, S>) -> Result) -> Result<u64> {
        let mut new = Edit::create(self.s, self.owner, self.head.level, self.block)?;
        fill(&mut new)?;
        Ok(new.block)
    }

    #[inline(never)]
    fn shrink(&mut self, pos: usize, body: &[u8], by: usize) -> Result {
        let record = self.node()?.record(pos)?;
        let at = record.at;
        let (changes, n) = changes(record.body, body);
        let value = at + LEAF_PREFIX;
        if by > 0 {
            let len = u16::try_from(body.len())?.to_le_bytes();
            self.s.write(self.block, at + KEY, &len)?;
            self.head.garbage += by;
            self.write_head()?;
        }
        for &(from, to) in changes.iter().take(n) {
            let bytes = body.get(from..to).ok_or(EINVAL)?;
            self.s.write(self.block, value + from, bytes)?;
        }
        Ok(())
    }

    /// Makes `size` bytes of room between slots and heap.
    fn make_room(&mut self, size: usize) -> Result {
        if size <= self.head.room() {
            return Ok(());
        }
        let packed = self.batch()?;
        self.head = packed.write(self.s, self.block)?;
        if size > self.head.room() {
            return Err(EINVAL);
        }
        Ok(())
    }

    #[inline(never)]
    fn write_record(&mut self, at: usize, key: u64, body: &[u8]) -> Result {
        self.s.write(self.block, at, &key.to_le_bytes())?;
        let mut value = at + KEY;
        if self.head.level == 0 {
            self.s
                .write(self.block, value, &u16::try_from(body.len())?.to_le_bytes())?;
            value += LEAF_PREFIX - KEY;
        }
        if body.is_empty() {
            return Ok(());
        }
        self.s.write(self.block, value, body)
    }

    /// Shifts the slots from `pos` on up by one and puts `new` at `pos`. The header is not written.
    #[inline(never)]
    fn open_slot(&mut self, pos: usize, new: u16) -> Result {
        // From the end, so that no slot is overwritten before it was moved. The last piece, as a rule
        // the only one, is written with the new slot in front of it.
        let mut end = self.head.count;
        loop {
            let start = end.saturating_sub(PIECE).max(pos);
            let mut piece = [0u8; SLOT * (PIECE + 1)];
            let moved = self.node()?.slots(start, end)?;
            let (front, rest) = piece.split_at_mut(SLOT);
            front.copy_from_slice(&new.to_le_bytes());
            rest.get_mut(..moved.len())
                .ok_or(EINVAL)?
                .copy_from_slice(moved);
            let len = SLOT + moved.len();
            if start == pos {
                let bytes = piece.get(..len).ok_or(EINVAL)?;
                return self.s.write(self.block, slot_offset(pos), bytes);
            }
            let bytes = piece.get(SLOT..len).ok_or(EINVAL)?;
            self.s.write(self.block, slot_offset(start + 1), bytes)?;
            end = start;
        }
    }

    /// Shifts the slots behind `pos` down by one. The header is not written.
    #[inline(never)]
    fn close_slot(&mut self, pos: usize) -> Result {
        let mut start = pos + 1;
        while start < self.head.count {
            let end = self.head.count.min(start + PIECE);
            let mut piece = [0u8; SLOT * PIECE];
            let moved = self.node()?.slots(start, end)?;
            let bytes = piece.get_mut(..moved.len()).ok_or(EINVAL)?;
            bytes.copy_from_slice(moved);
            self.s.write(self.block, slot_offset(start - 1), bytes)?;
            start = end;
        }
        Ok(())
    }

    #[inline(never)]
    fn write_head(&mut self) -> Result {
        self.s.write(self.block, 0, self.head.encode()?.as_bytes())
    }
}

/// The ranges, and their number, in which `new` differs from the beginning of `old`.
fn changes(old: &[u8], new: &[u8]) -> ([(usize, usize); MAX_CHANGES], usize) {
    let mut found = [(0, 0); MAX_CHANGES];
    let mut n = 0usize;
    for (i, _) in old.iter().zip(new).enumerate().filter(|(_, (a, b))| a != b) {
        let open = n.checked_sub(1).and_then(|last| found.get_mut(last));
        let full = n == MAX_CHANGES;
        match open {
            Some((_, to)) if full || i - *to < GAP => *to = i + 1,
            _ => {
                if let Some(next) = found.get_mut(n) {
                    *next = (i, i + 1);
                    n += 1;
                }
            }
        }
    }
    (found, n)
}
