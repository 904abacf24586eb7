// SPDX-License-Identifier: GPL-2.0

//! Does to the volume what the module would do, to the model the same, and tells the oracle.

use crate::{
    disk::SimDisk,
    image::{BLOCK, PER_BLOCK, SECTOR},
    model::{Kind, Model, Outcome},
    oracle::{blocks_of, Oracle},
    pattern::{self, WriteId},
    verify::{because, mount, walk, walk_model},
};
use kernel::prelude::{Error, ENOSPC};
use permfs_core::{
    device::{BlockDevice, WriteFlags},
    extent::Mapping,
    inode::Time,
    store::{HomeBatch, Sealed},
    volume::{NewInode, RenameFlags, Volume},
};

/// A mistake that the module could make; the simulator must notice each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// None.
    None,
    /// Data is written, and the store is not told.
    DataNotNoted,
    /// Blocks enter the map before their data is written.
    MapBeforeData,
}

/// Blocks with data, reserved and not in the map yet: a write that is under way.
struct Pending {
    ino: u64,
    logical: u32,
    phys: u64,
    size: u64,
    /// Of each block: its write, its valid sectors, the event.
    blocks: Vec<(WriteId, u64, usize)>,
}

/// What an operation ended with: nothing that anybody could complain of, or a bug.
pub type Done = Result<(), String>;

/// A volume at work.
pub struct Driver {
    vol: Option<Volume<SimDisk>>,
    disk: SimDisk,
    fault: Fault,
    /// What should be there.
    pub model: Model,
    /// What was when.
    pub oracle: Oracle,
    clock: i64,
    next_write: WriteId,
    pending: Vec<Pending>,
    /// Files without a name that are still open.
    pub open: Vec<u64>,
    sealed: Option<(Sealed, usize)>,
    /// Operations since.
    sealed_for: u32,
    batch: Option<HomeBatch>,
    /// Events and epoch when the operation began.
    began: (usize, u64),
}

impl Driver {
    /// Mounts the fresh volume on `disk`.
    pub fn new(disk: SimDisk, fault: Fault, discard: bool) -> Result<Self, String> {
        let vol = mount(disk.clone(), false)?;
        let mut driver = Self {
            vol: Some(vol),
            oracle: Oracle::new(disk.caps()),
            disk,
            fault,
            model: Model::default(),
            clock: 1_000_000_000,
            next_write: 0,
            pending: Vec::new(),
            open: Vec::new(),
            sealed: None,
            sealed_for: 0,
            batch: None,
            began: (0, 0),
        };
        driver.vol()?.store().set_discard(discard);
        driver.step("mkfs".into())?;
        driver.oracle.ack(0, 1);
        Ok(driver)
    }

    /// The workload is over; the volume is left as a panic would leave it.
    pub fn into_oracle(mut self) -> Oracle {
        self.vol = None;
        self.oracle
    }

    fn vol(&mut self) -> Result<&mut Volume<SimDisk>, String> {
        self.vol.as_mut().ok_or_else(|| "not mounted".into())
    }

    fn now(&mut self) -> Time {
        self.clock += 1;
        Time {
            sec: self.clock,
            nsec: (self.clock % 1000) as u32,
        }
    }

    fn ack(&mut self, steps: usize) {
        self.oracle.ack(self.disk.events(), steps);
    }

    /// Something visible was done: the volume must look like the model.
    fn step(&mut self, what: String) -> Done {
        // An operation in several parts, the first of which shows, may commit in between.
        let (events, first) = self.began;
        let vol = self.vol()?;
        let (dump, plains) = walk(vol).map_err(|e| format!("after {what}: {e}"))?;
        let last = vol.store().running_epoch();
        let expected = walk_model(&self.model);
        if plains != expected {
            let off = plains.iter().zip(&expected).find(|(a, b)| a != b);
            return Err(format!("after {what}: volume and model differ: {off:?}"));
        }
        // What changed nothing need not become durable either.
        if self
            .oracle
            .steps
            .last()
            .is_none_or(|s| s.hash != dump.hash())
        {
            self.oracle.step(events, (first, last), what, dump);
        }
        Ok(())
    }

    /// Runs a visible operation on the volume and, if it succeeds, on the model; a refusal must be
    /// the model's too, or for want of space, and must have changed nothing.
    fn act<T>(
        &mut self,
        what: String,
        on_model: impl FnOnce(&mut Model) -> Outcome<T>,
        on_volume: impl FnOnce(&mut Volume<SimDisk>) -> Result<(), Error>,
    ) -> Result<Option<T>, String> {
        let mut model = self.model.clone();
        let expected = on_model(&mut model);
        let vol = self.vol()?;
        let epoch = vol.store().running_epoch();
        self.began = (self.disk.events(), epoch);
        let outcome = on_volume(self.vol()?);
        match (outcome, expected) {
            (Ok(()), Ok(value)) => {
                self.model = model;
                self.step(what)?;
                Ok(Some(value))
            }
            (Err(e), Err(expected)) if e == expected => self.unchanged(&what).map(|()| None),
            (Err(e), Ok(_)) if e == ENOSPC => self.unchanged(&what).map(|()| None),
            (outcome, expected) => {
                let expected = expected.map(|_| ());
                Err(format!(
                    "{what}: gives {outcome:?}, should give {expected:?}"
                ))
            }
        }
    }

    /// A refused operation has left no trace.
    fn unchanged(&mut self, what: &str) -> Done {
        let now = walk(self.vol()?)?.0.hash();
        match self.oracle.steps.last() {
            Some(last) if last.hash != now => Err(format!("{what} was refused and left a trace")),
            _ => Ok(()),
        }
    }

    /// Makes an inode.
    pub fn create(&mut self, dir: u64, name: &[u8], mode: u16, kind: Kind) -> Done {
        let now = self.now();
        let ino = self.vol()?.allocate_ino();
        let target = match &kind {
            Kind::Symlink(target) => Some(target.clone()),
            _ => None,
        };
        let new = NewInode {
            ino,
            mode,
            uid: ino as u32 % 7,
            gid: ino as u32 % 5,
            rdev: 0,
            symlink: target.as_deref(),
            now,
            generation: ino as u32,
        };
        let kind = match kind {
            Kind::Dir { entries, .. } => Kind::Dir {
                entries,
                parent: dir,
            },
            kind => kind,
        };
        let what = format!(
            "create {} ({mode:o}) as {ino} in {dir}",
            name.escape_ascii()
        );
        self.act(
            what,
            |m| m.create(dir, name, ino, mode, kind),
            |v| v.create(dir, name, &new).map(|_| ()),
        )?;
        Ok(())
    }

    /// Another name.
    pub fn link(&mut self, ino: u64, dir: u64, name: &[u8]) -> Done {
        let now = self.now();
        let what = format!("link {ino} as {} in {dir}", name.escape_ascii());
        self.act(
            what,
            |m| m.link(ino, dir, name),
            |v| v.link(ino, dir, name, now),
        )?;
        Ok(())
    }

    /// Takes a name away; a file that is `open` lives on without one.
    pub fn unlink(&mut self, dir: u64, name: &[u8], open: bool) -> Done {
        let now = self.now();
        if let Some(ino) = self.model.lookup(dir, name) {
            self.settle_pending(ino)?;
        }
        let what = format!("unlink {} in {dir}", name.escape_ascii());
        let done = self.act(
            what,
            |m| m.unlink(dir, name),
            |v| v.unlink(dir, name, now).map(|_| ()),
        )?;
        match done {
            Some((ino, true)) => self.lost(ino, open),
            _ => Ok(()),
        }
    }

    /// Takes an empty directory away.
    pub fn rmdir(&mut self, dir: u64, name: &[u8]) -> Done {
        let now = self.now();
        let what = format!("rmdir {} in {dir}", name.escape_ascii());
        let done = self.act(
            what,
            |m| m.rmdir(dir, name),
            |v| v.rmdir(dir, name, now).map(|_| ()),
        )?;
        done.map_or(Ok(()), |ino| self.lost(ino, false))
    }

    /// An inode has lost its last name.
    fn lost(&mut self, ino: u64, open: bool) -> Done {
        if open {
            self.open.push(ino);
            return Ok(());
        }
        self.evict(ino)
    }

    /// Nobody has the file without a name open any more.
    pub fn evict(&mut self, ino: u64) -> Done {
        self.open.retain(|&i| i != ino);
        match self.vol()?.evict(ino) {
            Err(e) if e == ENOSPC => Ok(()),
            outcome => outcome.map_err(because("evict")),
        }
    }

    /// Renames.
    pub fn rename(&mut self, old: (u64, &[u8]), new: (u64, &[u8]), noreplace: bool) -> Done {
        let now = self.now();
        if let Some(ino) = self.model.lookup(new.0, new.1) {
            self.settle_pending(ino)?;
        }
        let flags = RenameFlags {
            noreplace,
            exchange: false,
        };
        let (from, to) = (old.1.escape_ascii(), new.1.escape_ascii());
        let what = format!("rename {from} in {} to {to} in {}", old.0, new.0);
        let gone = self.act(
            what,
            |m| m.rename(old, new, noreplace),
            |v| v.rename(old.0, old.1, new.0, new.1, flags, now).map(|_| ()),
        )?;
        match gone {
            Some(Some(ino)) => self.lost(ino, false),
            _ => Ok(()),
        }
    }

    /// Two names change places.
    pub fn exchange(&mut self, old: (u64, &[u8]), new: (u64, &[u8])) -> Done {
        let now = self.now();
        let flags = RenameFlags {
            noreplace: false,
            exchange: true,
        };
        let (from, to) = (old.1.escape_ascii(), new.1.escape_ascii());
        let what = format!("exchange {from} in {} with {to} in {}", old.0, new.0);
        self.act(
            what,
            |m| m.exchange(old, new),
            |v| v.rename(old.0, old.1, new.0, new.1, flags, now).map(|_| ()),
        )?;
        Ok(())
    }

    /// Changes permissions, owner and times.
    pub fn chmod(&mut self, ino: u64, bits: u16) -> Done {
        let now = self.now();
        let what = format!("chmod {ino} {bits:o}");
        self.act(
            what,
            |m| {
                if let Some(node) = m.nodes.get_mut(&ino) {
                    node.mode = node.mode & 0o170000 | bits;
                }
                Ok(())
            },
            |v| {
                let mut attr = v.iget(ino)?.attr;
                attr.mode = attr.mode & 0o170000 | bits;
                attr.uid = attr.uid.wrapping_add(1);
                (attr.ctime, attr.atime) = (now, now);
                v.set_attr(ino, &attr)
            },
        )?;
        Ok(())
    }

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

    /// Tells the store that data has reached the device.
    fn note(&mut self) -> Done {
        if self.fault != Fault::DataNotNoted {
            self.vol()?.store().note_data_written();
        }
        Ok(())
    }

    /// Writes a block that has its place.
    fn overwrite(&mut self, ino: u64, logical: u32, valid: u64) -> Done {
        let place = self.vol()?.map(ino, logical, 1).map_err(because("map"))?;
        let Mapping::Data { phys, .. } = place else {
            return Err(format!("block {logical} of {ino} has lost its place"));
        };
        let event = self.disk.events();
        let (id, bytes) = self.block(ino, logical, valid);
        let written = self
            .disk
            .write(phys * PER_BLOCK, &bytes, WriteFlags::default());
        written.map_err(because("data"))?;
        self.oracle.overwritten(ino, logical, id, valid, event);
        self.note()
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
            match self.fill(ino, at, hole, end, &valid)? {
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

    /// Writes new blocks; they wait to enter the map. Returns how many, 0 if there is no space.
    fn fill(
        &mut self,
        ino: u64,
        at: u32,
        want: u32,
        size: u64,
        valid: &dyn Fn(u32) -> u64,
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
            Err(e) if e == ENOSPC => return Ok(0),
            reserved => reserved.map_err(because("reserve"))?,
        };
        let mut pending = Pending {
            ino,
            logical: at,
            phys,
            size: size.min(u64::from(at + len) * BLOCK as u64),
            blocks: Vec::new(),
        };
        let mut bytes = Vec::new();
        for n in 0..len {
            let (id, block) = self.block(ino, at + n, valid(at + n));
            pending.blocks.push((id, valid(at + n), self.disk.events()));
            bytes.extend(block);
        }
        if self.fault == Fault::MapBeforeData {
            self.pending.push(pending);
            self.settle_pending(ino)?;
            self.sync()?;
        } else {
            self.pending.push(pending);
        }
        let written = self
            .disk
            .write(phys * PER_BLOCK, &bytes, WriteFlags::default());
        written.map_err(because("data"))?;
        self.note()?;
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

    fn map_in(&mut self, p: Pending) -> Done {
        let len = p.blocks.len() as u32;
        let now = self.now();
        let before = self.oracle.next_step();
        for (logical, &(id, valid, event)) in (p.logical..).zip(&p.blocks) {
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
        self.settle_pending(ino)?;
        let size = sectors * SECTOR as u64;
        let old = self.model.file(ino).map_or(0, |(size, _)| *size);
        if size > old {
            self.clear_tail(ino)?;
        } else {
            self.oracle.cut(ino, blocks_of(size));
        }
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
        // Refused for want of space it may still have been done in part, which the oracle cannot
        // tell: no workload here is that full.
        done.ok_or_else(|| "truncate found no space".into())
    }

    /// Makes everything durable, as sync does.
    pub fn sync(&mut self) -> Done {
        let steps = self.oracle.next_step();
        self.vol()?.sync().map_err(because("sync"))?;
        self.ack(steps);
        Ok(())
    }

    /// Commits and copies everything home.
    pub fn checkpoint(&mut self) -> Done {
        let steps = self.oracle.next_step();
        match self.vol()?.store().checkpoint() {
            Ok(()) => self.ack(steps),
            Err(e) => return Err(because("checkpoint")(e)),
        }
        Ok(())
    }

    /// The first half of a group commit: the epoch is closed, others go on.
    pub fn seal(&mut self) -> Done {
        if self.sealed.is_some() {
            return self.write_sealed();
        }
        let steps = self.oracle.next_step();
        let sealed = self.vol()?.store().seal().map_err(because("seal"))?;
        match sealed {
            Some(sealed) => (self.sealed, self.sealed_for) = (Some((sealed, steps)), 0),
            None => self.ack(steps),
        }
        Ok(())
    }

    /// Time goes by: whoever sealed an epoch gets to write it before the log comes round to it, for
    /// which the store would wait.
    pub fn tick(&mut self) -> Done {
        self.sealed_for += 1;
        if self.sealed_for > 4 {
            self.write_sealed()?;
        }
        Ok(())
    }

    /// The second half.
    pub fn write_sealed(&mut self) -> Done {
        let Some((sealed, steps)) = self.sealed.take() else {
            return Ok(());
        };
        let outcome = sealed.write(&self.disk);
        let done = self.vol()?.store().complete(sealed, outcome);
        done.map_err(because("complete"))?;
        self.ack(steps);
        Ok(())
    }

    /// The first half of a checkpoint's batch.
    pub fn begin_batch(&mut self, max: usize) -> Done {
        if self.batch.is_some() {
            return self.write_batch();
        }
        let batch = self.vol()?.store().begin_checkpoint_batch(max);
        self.batch = batch.map_err(because("begin_checkpoint_batch"))?;
        Ok(())
    }

    /// The second half.
    pub fn write_batch(&mut self) -> Done {
        let Some(batch) = self.batch.take() else {
            return Ok(());
        };
        let outcome = batch.write(&self.disk);
        let store = self.vol()?.store();
        store
            .finish_checkpoint_batch(batch, outcome)
            .map_err(because("home batch"))?;
        store.advance_tail().map_err(because("advance_tail"))
    }

    /// Tells the disk of blocks that are not needed.
    pub fn discard(&mut self) -> Done {
        let runs = self.vol()?.store().take_discards();
        for &(block, len) in runs.iter() {
            let done = self.disk.discard(block, len.into());
            done.map_err(because("discard"))?;
        }
        self.vol()?.store().discards_done(runs);
        Ok(())
    }

    /// Unmounts and mounts again.
    pub fn remount(&mut self, discard: bool) -> Done {
        while let Some(p) = self.pending.pop() {
            self.map_in(p)?;
        }
        while let Some(&ino) = self.open.first() {
            self.evict(ino)?;
        }
        self.write_sealed()?;
        self.write_batch()?;
        let steps = self.oracle.next_step();
        self.vol()?.unmount().map_err(because("unmount"))?;
        self.ack(steps);
        self.vol = None;
        self.vol = Some(mount(self.disk.clone(), false)?);
        self.vol()?.store().set_discard(discard);
        self.unchanged("a remount")
    }
}
