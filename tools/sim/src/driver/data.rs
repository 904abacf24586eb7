// SPDX-License-Identifier: GPL-2.0

//! Writing and cutting files, the way writeback does: data first, then the map.

use super::{Done, Driver, Fault, Pending, Trouble};
use crate::{
    image::{BLOCK, PER_BLOCK, SECTOR},
    model::{Kind, Model},
    oracle::blocks_of,
    pattern::{self, WriteId},
    verify::because,
};
use kernel::prelude::ENOSPC;
use permfs_core::{
    device::{BlockDevice, WriteFlags},
    extent::Mapping,
};
use std::{cell::Cell, rc::Rc};

impl Driver {
    fn block(&mut self, ino: u64, logical: u32, valid: u64) -> (WriteId, Vec<u8>) {
        self.next_write += 1;
        let mut bytes = vec![0; BLOCK];
        let places = bytes.chunks_mut(SECTOR).zip(0..PER_BLOCK);
        for (place, s) in places.filter(|(_, s)| *s < valid) {
            let at = u64::from(logical) * PER_BLOCK + s;
            place.copy_from_slice(&pattern::sector(ino, at, self.next_write));
        }
        (self.next_write, bytes)
    }

    /// Takes the data of every file as it is for what it should be: it was compared before.
    pub(super) fn find_data(&mut self) -> Done {
        let mut bytes = vec![0; BLOCK];
        for ino in self.model.all(|k| matches!(k, Kind::File { .. })) {
            let blocks = self.model.file(ino).map(|(_, blocks)| blocks.clone());
            for logical in blocks.unwrap_or_default() {
                let place = self.vol()?.map(ino, logical, 1).map_err(because("map"))?;
                let Mapping::Data { phys, .. } = place else {
                    return Err(format!("block {logical} of {ino} has lost its place"));
                };
                let read = self.disk.read(phys * PER_BLOCK, &mut bytes);
                read.map_err(because("data"))?;
                self.oracle.found(ino, logical, &bytes);
            }
        }
        Ok(())
    }

    /// Writes data to the disk.
    fn put(&self, block: u64, bytes: &[u8]) -> Done {
        let sector = block * PER_BLOCK;
        let written = if self.fault == Fault::DataNotCounted {
            self.disk.write_unnoticed(sector, bytes)
        } else {
            self.disk.write(sector, bytes, WriteFlags::default())
        };
        written.map_err(because("data"))
    }

    /// Writes a block that has its place.
    fn overwrite(&mut self, ino: u64, logical: u32, valid: u64) -> Done {
        if self.dead {
            return Ok(());
        }
        let place = self.vol()?.map(ino, logical, 1).map_err(because("map"))?;
        let Mapping::Data { phys, .. } = place else {
            return Err(format!("block {logical} of {ino} has lost its place"));
        };
        let event = self.disk.events();
        let (id, bytes) = self.block(ino, logical, valid);
        self.put(phys, &bytes)?;
        self.oracle.overwritten(ino, logical, id, valid, event);
        Ok(())
    }

    /// Makes sure that nothing old shows behind the end of a file that is about to grow.
    fn clear_tail(&mut self, ino: u64) -> Done {
        let Some((&mut size, blocks)) = self.model.file(ino) else {
            return Ok(());
        };
        let Some(last) = blocks_of(size).checked_sub(1) else {
            return Ok(());
        };
        let valid = size / SECTOR as u64 - u64::from(last) * PER_BLOCK;
        if valid < PER_BLOCK && blocks.contains(&last) {
            self.overwrite(ino, last, valid)?;
        }
        Ok(())
    }

    /// Writes sectors up to sector `end` of file `ino` from block `first` on. `hold`: what is new enters
    /// the map later.
    pub fn write(&mut self, ino: u64, first: u32, end: u64, hold: bool) -> Done {
        self.settle_pending(ino)?;
        let Some((&mut size, blocks)) = self.model.file(ino) else {
            return Ok(());
        };
        let blocks = blocks.clone();
        let new_size = size.max(end * SECTOR as u64);
        if new_size > size {
            self.clear_tail(ino)?;
        }
        let valid = |logical: u32| {
            let sectors = new_size / SECTOR as u64;
            sectors
                .saturating_sub(u64::from(logical) * PER_BLOCK)
                .min(PER_BLOCK)
        };
        let stop = end.div_ceil(PER_BLOCK) as u32;
        let mut at = first;
        while at < stop {
            if blocks.contains(&at) {
                self.overwrite(ino, at, valid(at))?;
                at += 1;
                continue;
            }
            let hole = (at..stop).take_while(|b| !blocks.contains(b)).count() as u32;
            let end = new_size.min(u64::from(at + hole) * BLOCK as u64).max(size);
            match self.fill((ino, at, hole), end, &valid, hold)? {
                0 => return Ok(()),
                len => at += len,
            }
            if !hold {
                self.settle_pending(ino)?;
            }
        }
        let now = self.now();
        let mapped_end = self.model.file(ino).map_or(0, |(size, _)| *size);
        if new_size > mapped_end && self.pending.iter().all(|p| p.ino != ino) {
            let grow = |m: &mut Model| {
                if let Some((size, _)) = m.file(ino) {
                    *size = new_size;
                }
                Ok(())
            };
            let what = format!("grow {ino} to {new_size}");
            self.act(what, grow, |v| v.grow(ino, new_size, Some(now)))?;
        }
        Ok(())
    }

    /// Writes `want` new blocks from `at` on; they wait to enter the map. Returns how many, 0 if there is no space.
    /// `late`: the write completes later, perhaps in the middle of a flush.
    fn fill(
        &mut self,
        (ino, at, want): (u64, u32, u32),
        size: u64,
        valid: &dyn Fn(u32) -> u64,
        late: bool,
    ) -> Result<u32, String> {
        let promised = self.clock % 2 == 0;
        let vol = self.vol()?;
        if promised && vol.reserve_space(want.into()).is_err() {
            return Ok(0);
        }
        let reserved = vol.reserve_extent(ino, at, want, promised);
        let got = reserved.as_ref().map_or(0, |(_, len)| *len);
        if promised {
            vol.unreserve_space(u64::from(want - got));
        }
        let (phys, len) = match reserved {
            Err(e) if e == ENOSPC || self.dead => return Ok(0),
            reserved => reserved.map_err(because("reserve"))?,
        };
        let mut pending = Pending {
            ino,
            logical: at,
            phys,
            size: size.min(u64::from(at + len) * BLOCK as u64),
            blocks: Vec::new(),
            event: Rc::new(Cell::new(self.disk.events())),
        };
        let event = pending.event.clone();
        let mut bytes = Vec::new();
        for n in 0..len {
            let (id, block) = self.block(ino, at + n, valid(at + n));
            pending.blocks.push((id, valid(at + n)));
            bytes.extend(block);
        }
        if self.fault == Fault::MapBeforeData {
            self.pending.push(pending);
            self.settle_pending(ino)?;
            self.sync()?;
        } else {
            self.pending.push(pending);
        }
        if late && self.fault == Fault::None {
            self.disk.write_late(phys * PER_BLOCK, &bytes, event);
        } else {
            self.put(phys, &bytes)?;
        }
        Ok(len)
    }

    /// The writes of `ino` that are under way end.
    pub fn settle_pending(&mut self, ino: u64) -> Done {
        while let Some(i) = self.pending.iter().position(|p| p.ino == ino) {
            let p = self.pending.remove(i);
            self.map_in(p)?;
        }
        Ok(())
    }

    pub(super) fn map_in(&mut self, p: Pending) -> Done {
        self.disk.finish_late().map_err(because("data"))?;
        let len = p.blocks.len() as u32;
        let now = self.now();
        let before = self.oracle.next_step();
        for (logical, &(id, valid)) in (p.logical..).zip(&p.blocks) {
            let event = p.event.get();
            self.oracle.mapped(p.ino, logical, id, valid, event);
        }
        let what = format!(
            "map {} blocks at {} of {} to {}",
            len, p.logical, p.ino, p.phys
        );
        self.act(
            what,
            |m| {
                if let Some((size, blocks)) = m.file(p.ino) {
                    blocks.extend(p.logical..p.logical + len);
                    *size = p.size.max(*size);
                }
                Ok(())
            },
            |v| v.commit_extent(p.ino, p.logical, p.phys, len, Some(p.size), Some(now)),
        )?;
        if self.oracle.next_step() == before {
            self.oracle.not_mapped(p.ino, p.logical, len);
        }
        Ok(())
    }

    /// Cuts or extends a file.
    pub fn truncate(&mut self, ino: u64, sectors: u64) -> Done {
        // It is several operations, and may be done in part.
        self.trouble = Trouble::None;
        self.settle_pending(ino)?;
        if self.dead {
            return Ok(());
        }
        let size = sectors * SECTOR as u64;
        let old = self.model.file(ino).map_or(0, |(size, _)| *size);
        if size > old {
            self.clear_tail(ino)?;
        } else {
            self.oracle.cut(ino, blocks_of(size));
        }
        let place = self
            .vol()?
            .map(ino, blocks_of(size), 1)
            .map_err(because("map"))?;
        let now = self.now();
        let done = self.act(
            format!("truncate {ino} to {size}"),
            |m| {
                if let Some((old, blocks)) = m.file(ino) {
                    blocks.split_off(&blocks_of(size));
                    *old = size;
                }
                Ok(())
            },
            |v| v.truncate(ino, size, now),
        )?;
        if let (Fault::EarlyReuse, Mapping::Data { phys, .. }) = (self.fault, place) {
            let bytes = self.block(ino + 1, 0, PER_BLOCK).1;
            self.put(phys, &bytes)?;
        }
        // Refused for want of space it may still have been done in part, which the oracle cannot
        // tell: no workload here is that full.
        done.ok_or_else(|| "truncate found no space".into())
    }
}
