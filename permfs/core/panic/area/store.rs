// SPDX-License-Identifier: GPL-2.0

//! Writing a record through ordinary I/O, while the machine lives.

use super::{record::make_durable, Area, Head, RecordKind};
use crate::{
    crc::crc32c,
    device::{BlockDevice, WriteFlags},
    format::{panic::*, *},
    store::block::{self, seal, stamp, Block},
};
use kernel::prelude::*;
use zerocopy::Immutable;

impl Area {
    /// Writes a record without text in its tail, durably. `head` is that of the record; its length, CRC and kind are
    /// those of `data`, a piece of the kernel's log, whatever it says. Nobody else writes with its sequence. As in a
    /// panic: the slot must have its signature; head, data and guard are written as one, and the tail once that is
    /// durable.
    ///
    /// Errors: `EFBIG` if no slot holds so much; `EUCLEAN` without the signature; `EIO`, `EROFS`, `ENOMEM`.
    pub fn store<D: BlockDevice>(&self, dev: &D, head: &Head, data: &[u8]) -> Result {
        let tail_at = self.tail_block(0).ok_or(EFBIG)?.wrapping_sub(self.start);
        if data.len() > self.capacity() {
            return Err(EFBIG);
        }
        let slot = self.slot_of(head.sequence);
        let first = self.head_block(slot);
        let mut image = KBox::<Block>::zeroed(GFP_KERNEL)?;
        dev.read(first * SECTORS_PER_BLOCK, &mut image[..])?;
        if !block::header(&image).is_ok_and(|header| self.signed(&header, first)) {
            return Err(EUCLEAN);
        }

        let head = Head {
            kind: RecordKind::Log,
            len: u32::try_from(data.len())?,
            crc: crc32c(0, data),
            ..*head
        };
        let guard = PanicGuard {
            magic: GUARD_MAGIC.into(),
            len: head.len.into(),
            sequence: head.sequence.into(),
        };
        let bytes =
            (BLOCK_SIZE + data.len() + size_of::<PanicGuard>()).next_multiple_of(BLOCK_SIZE);
        let mut record = KVVec::with_capacity(bytes, GFP_KERNEL)?;
        self.fill(&mut image, first, head.sequence, &head.to_disk())?;
        record.extend_from_slice(&image[..], GFP_KERNEL)?;
        record.extend_from_slice(data, GFP_KERNEL)?;
        record.extend_from_slice(guard.as_bytes(), GFP_KERNEL)?;
        record.resize(bytes, 0, GFP_KERNEL)?;
        write_through(dev, first, &record)?;

        let tail = PanicTail {
            sequence: head.sequence.into(),
            len: 0.into(),
            reserved: [0; 52],
        };
        let at = first.wrapping_add(tail_at);
        self.fill(&mut image, at, head.sequence, &tail)?;
        write_through(dev, at, &image[..])
    }

    /// Makes `image` the metadata block `at` of a slot, with that payload.
    fn fill(
        &self,
        image: &mut Block,
        at: u64,
        sequence: u64,
        payload: &(impl IntoBytes + Immutable),
    ) -> Result {
        image.fill(0);
        stamp(image, Kind::PanicSlot, at, OWNER_VOLUME, &self.uuid);
        let body = image.get_mut(HEADER_SIZE..).unwrap_or_default();
        payload.write_to_prefix(body).map_err(|_| EINVAL)?;
        seal(image, sequence);
        Ok(())
    }
}

fn write_through<D: BlockDevice>(dev: &D, block: u64, bytes: &[u8]) -> Result {
    dev.write(block * SECTORS_PER_BLOCK, bytes, WriteFlags::default())?;
    make_durable(dev)
}
