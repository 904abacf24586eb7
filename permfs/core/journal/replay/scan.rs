// SPDX-License-Identifier: GPL-2.0

//! Looking for records behind the place where replay ends.
//!
//! A crash tears the last record, and nothing whole can follow it: a record is written when the one before is
//! durable. So a later one proves that the log was damaged in its middle, or, of a later generation, that the
//! newest header was. What an earlier lap of the ring has left is of an earlier epoch.

use super::Lost;
use crate::{
    device::{is_unreadable, BlockDevice},
    format::*,
    journal::{
        record::{self, RecordHeader},
        Pos, Ring, MAX_RECORD_BYTES,
    },
};
use kernel::prelude::*;

/// Sectors that are read at once.
const CHUNK: u64 = 256;
/// Sectors that are looked at: 64 MiB, all of a ring that mkfs makes of itself.
const MOST: u64 = 1 << 17;

struct Scan<'a, D: BlockDevice> {
    dev: &'a D,
    ring: &'a Ring,
    uuid: &'a [u8; 16],
    /// Where replay has ended.
    end: Pos,
    chunk: KVVec<u8>,
    record: KVVec<u8>,
    /// Sectors that cannot be read.
    unreadable: u64,
    newest: Option<u64>,
}

/// What the log has lost, if a whole record can be found behind `end` that proves it. Errors: `EIO` if more
/// cannot be read than one torn record, `ENOMEM`.
pub(super) fn lost_behind<D: BlockDevice>(
    dev: &D,
    ring: &Ring,
    sb: &SuperBlock,
    end: Pos,
) -> Result<Option<Lost>> {
    let mut scan = Scan {
        dev,
        ring,
        uuid: &sb.uuid,
        end,
        chunk: KVVec::new(),
        record: KVVec::new(),
        unreadable: 0,
        newest: None,
    };
    let (mut done, total) = (0, ring.sectors().min(MOST));
    while done < total {
        let lsn = end.lsn + done;
        let count = CHUNK.min(total - done).min(ring.next_wrap(lsn) - lsn);
        scan.look(lsn, count)?;
        done += count;
    }
    if scan.unreadable > (MAX_RECORD_BYTES / SECTOR_SIZE) as u64 {
        return Err(EIO);
    }
    Ok(scan.newest.map(|newest| Lost {
        first: end.epoch,
        newest,
    }))
}

impl<D: BlockDevice> Scan<'_, D> {
    /// Looks at `count` sectors of the ring from the place of `lsn` on.
    fn look(&mut self, lsn: u64, count: u64) -> Result {
        self.chunk
            .resize(count as usize * SECTOR_SIZE, 0, GFP_KERNEL)?;
        let sector = self.ring.sector(lsn);
        if read(self.dev, sector, &mut self.chunk)? {
            return self.sectors(lsn, 0, count);
        }
        // Some of it can be read, perhaps.
        let unit = self.dev.sector_size() / SECTOR_SIZE;
        for (at, from) in (0..count as usize)
            .step_by(unit)
            .zip((0u64..).step_by(unit))
        {
            let bytes = at * SECTOR_SIZE..(at + unit) * SECTOR_SIZE;
            let piece = self.chunk.get_mut(bytes).ok_or(EIO)?;
            if read(self.dev, sector + from, piece)? {
                self.sectors(lsn, from, unit as u64)?;
            } else {
                self.unreadable += unit as u64;
            }
        }
        Ok(())
    }

    /// Looks at `count` sectors of the chunk, which begins at the place of `lsn`, from the `from`th on.
    fn sectors(&mut self, lsn: u64, from: u64, count: u64) -> Result {
        for n in from..from + count {
            let at = n as usize * SECTOR_SIZE;
            let bytes = self.chunk.get(at..at + SECTOR_SIZE).ok_or(EIO)?;
            let Ok((head, _)) = RecordHeader::read_from_prefix(bytes) else {
                continue;
            };
            if self.is_proof(&head) && self.is_whole(lsn + n, bytes_of(&head))? {
                self.newest = self.newest.max(Some(head.epoch.get()));
            }
        }
        Ok(())
    }

    /// Whether a record with this head cannot be there if nothing was lost.
    fn is_proof(&self, head: &RecordHeader) -> bool {
        let (generation, epoch) = (head.generation.get(), head.epoch.get());
        head.header.magic.get() == MAGIC
            && (generation == self.ring.generation && epoch > self.end.epoch
                || generation == self.ring.generation + 1 && epoch >= self.end.epoch)
    }

    /// Whether there is a whole record of `size` bytes of this volume at the place of `place`.
    fn is_whole(&mut self, place: u64, size: usize) -> Result<bool> {
        let left = self.ring.next_wrap(place) - place;
        if size > MAX_RECORD_BYTES || (size / SECTOR_SIZE) as u64 > left {
            return Ok(false);
        }
        self.record.resize(size, 0, GFP_KERNEL)?;
        if !read(self.dev, self.ring.sector(place), &mut self.record)? {
            return Ok(false);
        }
        let Ok((head, _)) = RecordHeader::read_from_prefix(&self.record) else {
            return Ok(false);
        };
        let lsn = head.header.lsn.get();
        let here = self.ring.sector(lsn) == self.ring.sector(place);
        let ours = record::parse_header(&self.record, self.uuid, lsn).is_some();
        Ok(here && ours && record::crc_is_right(&self.record, &head))
    }
}

fn bytes_of(head: &RecordHeader) -> usize {
    head.sectors.get() as usize * SECTOR_SIZE
}

/// Reads; false if that cannot be read.
fn read<D: BlockDevice>(dev: &D, sector: u64, bytes: &mut [u8]) -> Result<bool> {
    match dev.read(sector, bytes) {
        Ok(()) => Ok(true),
        Err(e) if is_unreadable(e) => Ok(false),
        Err(e) => Err(e),
    }
}
