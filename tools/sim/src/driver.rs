// SPDX-License-Identifier: GPL-2.0

//! Does to the volume what the module would do, to the model the same, and tells the oracle.

use crate::{
    disk::{Event, SimDisk},
    model::{Kind, Model, Outcome},
    oracle::Oracle,
    pattern::WriteId,
    verify::{because, mount, walk, walk_model},
};
use kernel::{
    alloc::fail_after,
    prelude::{Error, EIO, ENOMEM, ENOSPC},
    sync::Arc,
};
use permfs_core::{
    inode::Time,
    journal::record::Record,
    store::{HomeBatch, Sealed},
    volume::{NewInode, RenameFlags, Volume},
};
use std::{cell::Cell, rc::Rc};

mod data;
mod durability;

/// A mistake that the module could make; the simulator must notice each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// None.
    None,
    /// Data is written, and not counted for the next flush.
    DataNotCounted,
    /// A flush has failed, and the next one is believed.
    FailedFlushForgotten,
    /// Blocks enter the map before their data is written.
    MapBeforeData,
    /// Blocks that were cut off a file are written to before the cut is durable.
    EarlyReuse,
}

/// What goes wrong during an operation, and is not the volume's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    None,
    /// After so many allocations there is no memory.
    Memory(u64),
    /// After so many commands the disk fails one.
    Disk(u64),
}

/// Blocks with data, reserved and not in the map yet: a write that is under way.
struct Pending {
    ino: u64,
    logical: u32,
    phys: u64,
    size: u64,
    /// Of each block: its write, its valid sectors.
    blocks: Vec<(WriteId, u64)>,
    /// The event at the disk, once the write has completed.
    event: Rc<Cell<usize>>,
}

/// Next step of the oracle, and events of the disk, when somebody asked for all to be durable.
type Asked = (usize, usize);

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
    sealed: Option<(Sealed, Asked)>,
    /// Its record, if that is on its way to the disk already.
    writing: Option<Arc<Record>>,
    /// Operations since.
    sealed_for: u32,
    batch: Option<HomeBatch>,
    /// What the next operation has to live with.
    pub trouble: Trouble,
    /// The store has failed, or the disk has lost what it held: from now on nothing is acknowledged.
    pub dead: bool,
    /// Events and epoch when the operation began.
    began: (usize, u64),
}

impl Driver {
    /// Mounts the fresh volume on `disk`.
    pub fn new(disk: SimDisk, fault: Fault, discard: bool) -> Result<Self, String> {
        let mut driver = Self::mounted(disk, fault, discard)?;
        driver.begin("mkfs")?;
        Ok(driver)
    }

    /// Goes on, on `disk`, after a crash that has left the volume as it was after `step` of `before`.
    pub fn after_crash(self, disk: SimDisk, step: usize, discard: bool) -> Result<Self, String> {
        let mut driver = Self {
            clock: self.clock,
            next_write: self.next_write,
            model: self.oracle.steps[step].model.clone(),
            ..Self::mounted(disk, self.fault, discard)?
        };
        driver.find_data()?;
        driver.begin("recovered")?;
        Ok(driver)
    }

    fn mounted(disk: SimDisk, fault: Fault, discard: bool) -> Result<Self, String> {
        disk.forget_failed_flushes(fault == Fault::FailedFlushForgotten);
        let mut vol = mount(disk.clone(), false)?;
        vol.store().set_discard(discard);
        Ok(Self {
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
            writing: None,
            sealed_for: 0,
            batch: None,
            trouble: Trouble::None,
            dead: false,
            // A crash in the first mount finds the first step, too.
            began: (0, 0),
        })
    }

    fn begin(&mut self, what: &str) -> Done {
        self.step(what.into())?;
        self.oracle.ack(0, 1, 0);
        Ok(())
    }

    /// A panic: what is in memory is gone. The disk says what happened to it.
    pub fn crash(&mut self, log: &[Event]) {
        self.vol = None;
        self.oracle.finish(log);
    }

    /// The disk under the volume.
    pub fn disk(&self) -> &SimDisk {
        &self.disk
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

    /// What was done when the oracle's step `steps` was next and the disk had seen `data` events is durable.
    fn ack(&mut self, (steps, data): Asked) {
        self.oracle.ack(self.disk.events(), steps, data);
    }

    /// What has to be durable when a request that begins now is acknowledged.
    fn asked(&self) -> Asked {
        (self.oracle.next_step(), self.disk.events())
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
            let model = self.model.clone();
            self.oracle.step(events, (first, last), what, dump, model);
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
        let (outcome, excuse) = self.in_trouble(on_volume)?;
        match (outcome, expected) {
            (Ok(()), Ok(value)) => {
                self.model = model;
                self.step(what)?;
                Ok(Some(value))
            }
            (Err(e), Err(expected)) if e == expected => self.unchanged(&what).map(|()| None),
            (Err(e), Ok(_)) if e == ENOSPC => self.unchanged(&what).map(|()| None),
            (Err(e), _) if excuse == Some(e) => self.unchanged(&what).map(|()| None),
            (outcome, expected) => {
                let expected = expected.map(|_| ());
                Err(format!(
                    "{what}: gives {outcome:?}, should give {expected:?}"
                ))
            }
        }
    }

    /// Calls `f` in the trouble that was ordered. Also says which error would be no fault of the volume.
    fn in_trouble<T>(
        &mut self,
        f: impl FnOnce(&mut Volume<SimDisk>) -> Result<T, Error>,
    ) -> Result<(Result<T, Error>, Option<Error>), String> {
        let trouble = std::mem::replace(&mut self.trouble, Trouble::None);
        let disk = self.disk.clone();
        let was_dead = self.dead;
        let vol = self.vol()?;
        let (outcome, excuse) = match trouble {
            Trouble::None => (f(vol), was_dead.then_some(EIO)),
            Trouble::Memory(n) => {
                let _starved = fail_after(n);
                (f(vol), Some(ENOMEM))
            }
            Trouble::Disk(n) => {
                disk.fail_after(Some(n));
                let outcome = f(vol);
                disk.fail_after(None);
                (outcome, Some(EIO))
            }
        };
        let failed = vol.store().failed();
        self.dead |= failed || disk.has_failed_flush();
        if failed {
            if excuse != Some(EIO) {
                return Err(format!("the store has failed, {trouble:?}"));
            }
            if self.vol()?.sync().is_ok() {
                return Err("a failed store acknowledges".into());
            }
        }
        Ok((outcome, excuse))
    }

    /// The same for what changes nothing that shows; says whether it was done.
    fn try_in_trouble(
        &mut self,
        what: &str,
        f: impl FnOnce(&mut Volume<SimDisk>) -> Result<(), Error>,
    ) -> Result<bool, String> {
        match self.in_trouble(f)? {
            (Ok(()), _) => Ok(true),
            (Err(e), excuse) if excuse == Some(e) => Ok(false),
            (Err(e), _) => Err(because(what)(e)),
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
        // What remains is done by the next mount.
        match self.in_trouble(|v| v.evict(ino))? {
            (Err(e), excuse) if e != ENOSPC && excuse != Some(e) => Err(because("evict")(e)),
            _ => Ok(()),
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
}
