// SPDX-License-Identifier: GPL-2.0

//! Commits, checkpoints, discards and remounts, whole or with others in between.

use super::{Done, Driver, Trouble};
use crate::verify::{because, mount};
use kernel::sync::Arc;
use permfs_core::{device::BlockDevice, journal::record::Record, store::Sealed};

impl Driver {
    /// Makes everything durable, as sync does.
    pub fn sync(&mut self) -> Done {
        let asked = self.asked();
        if self.try_in_trouble("sync", |v| v.sync())? {
            self.ack(asked);
        }
        Ok(())
    }

    /// Commits and copies everything home.
    pub fn checkpoint(&mut self) -> Done {
        let asked = self.asked();
        if self.try_in_trouble("checkpoint", |v| v.store().checkpoint())? {
            self.ack(asked);
        }
        Ok(())
    }

    /// The first half of a group commit: the epoch is closed, others go on.
    pub fn seal(&mut self) -> Done {
        if self.sealed.is_some() {
            return self.write_sealed();
        }
        let asked = self.asked();
        self.trouble = Trouble::None;
        let (sealed, excuse) = self.in_trouble(|v| v.store().seal())?;
        if sealed.as_ref().err().is_some_and(|e| excuse == Some(*e)) {
            return Ok(());
        }
        let sealed = sealed.map_err(because("seal"))?;
        match sealed {
            Some(sealed) => {
                self.writing = self.begin_write(&sealed)?;
                (self.sealed, self.sealed_for) = (Some((sealed, asked)), 0);
            }
            None => self.ack(asked),
        }
        Ok(())
    }

    /// Every other epoch's record is on its way to the disk at once, and arrives when somebody waits for it, or
    /// with the second half. Of the others nothing has begun until then.
    fn begin_write(&self, sealed: &Sealed) -> Result<Option<Arc<Record>>, String> {
        let Some(record) = sealed.record().filter(|r| r.epoch % 2 == 0) else {
            return Ok(None);
        };
        let begun = record.begin_as_owner().map_err(because("begin a write"))?;
        assert!(begun, "nobody else knows of it yet");
        let owner = record.clone();
        self.disk
            .wait_with(move |disk| owner.end_as_owner(owner.write(disk)));
        Ok(Some(record.clone()))
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
        let Some((sealed, asked)) = self.sealed.take() else {
            return Ok(());
        };
        let disk = self.disk.clone();
        let writing = self.writing.take();
        let done = self.try_in_trouble("complete", |v| {
            disk.let_on();
            let begun = writing.and_then(|record| record.owner_outcome());
            let outcome = begun.unwrap_or_else(|| sealed.write(&disk));
            v.store().complete(sealed, outcome)
        })?;
        if done {
            self.ack(asked);
        }
        Ok(())
    }

    /// Whether a checkpoint's batch is under way.
    pub fn in_batch(&self) -> bool {
        self.batch.is_some()
    }

    /// The first half of a checkpoint's batch.
    pub fn begin_batch(&mut self, max: usize) -> Done {
        if self.batch.is_some() {
            return self.write_batch();
        }
        let batch = self.vol()?.store().begin_checkpoint_batch(max);
        self.batch = batch.map_err(because("begin_checkpoint_batch"))?;
        if self.batch.is_none() {
            // The end of a pass, as in the module's checkpoint.
            self.try_in_trouble("the tail", |v| v.store().advance_tail())?;
        }
        Ok(())
    }

    /// The second half.
    pub fn write_batch(&mut self) -> Done {
        let Some(batch) = self.batch.take() else {
            return Ok(());
        };
        let disk = self.disk.clone();
        self.try_in_trouble("home batch", |v| {
            let outcome = batch.write(&disk);
            v.store().finish_checkpoint_batch(batch, outcome)?;
            v.store().advance_tail()
        })?;
        Ok(())
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
        self.trouble = Trouble::None;
        while let Some(p) = self.pending.pop() {
            self.map_in(p)?;
        }
        while let Some(&ino) = self.open.first() {
            self.evict(ino)?;
        }
        self.write_sealed()?;
        self.write_batch()?;
        let asked = self.asked();
        self.vol()?.unmount().map_err(because("unmount"))?;
        self.ack(asked);
        self.vol = None;
        self.vol = Some(mount(self.disk.clone(), false)?);
        self.vol()?.store().set_discard(discard);
        self.unchanged("a remount")
    }
}
