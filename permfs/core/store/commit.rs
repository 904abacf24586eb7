// SPDX-License-Identifier: GPL-2.0

//! Making the running epoch durable.

use super::{BlockRun, Epoch, InFlight, Store};
use crate::{
    device::BlockDevice,
    format::{SECTORS_PER_BLOCK, SHARD_SUPER},
    journal::{
        record::{self, Builder, Entry, Record, ENTRY_SIZE, HEADER_BYTES},
        Pos,
    },
    plant::{self, Fault},
    sort::sort,
};
use kernel::{prelude::*, sync::Arc};

/// A closed epoch on its way to the log, or a flush that a commit without changes needs.
///
/// Owns what it writes, so that [`Sealed::write`] runs without the volume's lock. To be handed to
/// [`Store::complete`] whatever came of it.
pub struct Sealed {
    /// `None`: only a flush.
    record: Option<Arc<Record>>,
    epoch: u64,
}

impl Sealed {
    /// Epoch that is durable when the write has succeeded.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// What is written, for who begins and ends the write by himself. `None`: only a flush.
    pub fn record(&self) -> Option<&Arc<Record>> {
        self.record.as_ref()
    }

    /// Writes it durably: one write, with at most one flush before it and one behind it. Once.
    pub fn write<D: BlockDevice>(&self, dev: &D) -> Result {
        match &self.record {
            Some(record) => record.write_as_owner(dev),
            None => dev.flush(),
        }
    }
}

impl<D: BlockDevice> Store<D> {
    /// Closes the running epoch and puts its record together; changes go to the next epoch from here
    /// on. `None`: nothing is to be made durable.
    ///
    /// Callers take turns: the last `Sealed` was given to [`Store::complete`] (else `EBUSY`). On an
    /// error the epoch goes on as it was.
    pub fn seal(&mut self) -> Result<Option<Sealed>> {
        if self.failed {
            return Err(EIO);
        }
        if self.in_flight.is_some() {
            return Err(EBUSY);
        }
        if self.epoch.is_empty() {
            let epoch = self.durable;
            let needed = self.dev.needs_flush() && !plant::is(Fault::FlushAlone);
            return Ok(needed.then_some(Sealed {
                record: None,
                epoch,
            }));
        }
        let (record, pos) = self.build_record()?;
        let images = KVec::with_capacity(self.epoch.touched.len(), GFP_KERNEL)?;
        self.parked.reserve(self.epoch.frees.len(), GFP_KERNEL)?;
        let record = Arc::new(record, GFP_KERNEL)?;
        // Nothing fails from here on.
        self.close_epoch(record.clone(), pos, images);
        Ok(Some(Sealed {
            record: Some(record),
            epoch: pos.epoch,
        }))
    }

    /// Copies what the running epoch changed into a record. Changes nothing but the order of lists.
    fn build_record(&mut self) -> Result<(Record, Pos)> {
        // In the order of blocks: a record is then a function of its contents.
        sort(&mut self.epoch.touched);
        sort(&mut self.epoch.revokes);
        let (mut entries, mut data) = (self.epoch.revokes.len(), 0);
        for &block in self.epoch.touched.iter() {
            let Some(buffer) = self.cache.get(block) else {
                continue;
            };
            buffer.log_entries(|_, _, bytes| {
                entries += 1;
                data += bytes.len();
                Ok(())
            })?;
        }
        let sectors = self
            .ring
            .sectors_of(HEADER_BYTES + entries * ENTRY_SIZE + data);
        let lsn = self.ring.place(self.ring.head, sectors);
        if lsn + sectors - self.ring.tail.lsn > self.ring.sectors() {
            return Err(EIO);
        }
        let mut builder = Builder::new(entries, data, sectors)?;
        for &block in self.epoch.revokes.iter() {
            let entry = Entry {
                block: block.into(),
                kind: record::REVOKE,
                len: 1.into(),
                ..Entry::default()
            };
            builder.push(&entry, &[])?;
        }
        for &block in self.epoch.touched.iter() {
            let Some(buffer) = self.cache.get(block) else {
                continue;
            };
            buffer.log_entries(|image, offset, bytes| {
                let entry = Entry {
                    block: block.into(),
                    kind: if image { record::IMAGE } else { record::DELTA },
                    offset: offset.into(),
                    // Lossless: at most BLOCK_SIZE.
                    len: (bytes.len() as u32).into(),
                    ..Entry::default()
                };
                builder.push(&entry, bytes)
            })?;
        }
        let (epoch, generation) = (self.epoch.number, self.ring.generation);
        let sector = self.ring.sector(lsn);
        let block = sector / SECTORS_PER_BLOCK;
        let bytes = builder.finish(&self.sb.uuid, block, lsn, epoch, generation)?;
        let pos = Pos { lsn, epoch };
        Ok((Record::new(pos, sector, bytes), pos))
    }

    /// The record has what the epoch changed: the next epoch begins.
    fn close_epoch(&mut self, record: Arc<Record>, pos: Pos, mut images: KVec<u64>) {
        for &block in self.epoch.touched.iter() {
            let Some(buffer) = self.cache.get_mut(block).filter(|b| b.touched) else {
                continue;
            };
            if buffer.sealed(pos) {
                // The capacity was reserved.
                let _ = images.push_within_capacity(block);
            }
        }
        let next = Epoch::new(pos.epoch + 1);
        let closed = core::mem::replace(&mut self.epoch, next);
        self.ring.head = pos.lsn + self.ring.sectors_of(record.bytes.len());
        let mut frees = closed.frees;
        if plant::is(Fault::Pending) {
            let early = core::mem::take(&mut frees);
            for &(block, len) in early.iter() {
                self.give_back(block, len);
            }
        }
        self.in_flight = Some(InFlight {
            record,
            images,
            frees,
            pinned: closed.pinned,
        });
        self.publish_epochs();
    }

    /// Takes note of what came of [`Sealed::write`]. Returns `outcome`, or why it is worse.
    ///
    /// On success the epoch is durable and what it freed may be reused. On failure the store has failed
    /// for good: nobody knows what the log holds now, or what the device has dropped, so nothing more may
    /// be promised.
    pub fn complete(&mut self, sealed: Sealed, outcome: Result) -> Result {
        let Some(record) = sealed.record.clone() else {
            if outcome.is_err() && !plant::is(Fault::FlushFailed) {
                self.fail();
            }
            return outcome;
        };
        if outcome.is_err() || self.failed {
            self.fail();
            return outcome.and(Err(EIO));
        }
        // Otherwise an operation that needed room has written it meanwhile (see `settle`).
        if self
            .in_flight
            .as_ref()
            .is_some_and(|f| Arc::ptr_eq(&f.record, &record))
        {
            self.epoch_is_durable();
        }
        Ok(())
    }

    /// Makes everything durable that was done so far, by itself: also what somebody else has sealed
    /// and is still writing.
    pub fn commit(&mut self) -> Result {
        self.settle()?;
        let Some(sealed) = self.seal()? else {
            return Ok(());
        };
        let outcome = sealed.write(&self.dev);
        self.complete(sealed, outcome)
    }

    /// Makes the record durable that somebody has sealed and not completed. If its owner has not begun to
    /// write it, it never will, and this does it. If it is at it, this waits: the record would be written over
    /// itself otherwise, perhaps after it was acknowledged, and the power may fail in any write (ONE WRITE).
    fn settle(&mut self) -> Result {
        if self.failed {
            return Err(EIO);
        }
        let Some(in_flight) = &self.in_flight else {
            return Ok(());
        };
        let record = in_flight.record.clone();
        let outcome = if record.take_over() || plant::is(Fault::OneWriteWait) {
            record.write(&self.dev)
        } else {
            self.wait_for_owner(&record)?
        };
        match outcome {
            Ok(()) => self.epoch_is_durable(),
            Err(_) => self.fail(),
        }
        outcome
    }

    /// Waits for the write of `record` by its owner, and returns what came of it.
    ///
    /// The owner needs nothing that the caller may hold: it has its own copy and waits for the device alone,
    /// which ends every request, with an error if need be. Each look here is a read from the same device, so
    /// the wait is no spinning. The error is the read's, or `ENOMEM`.
    fn wait_for_owner(&self, record: &Record) -> Result<Result> {
        let mut sector = KVec::<u8>::zeroed(self.dev.sector_size(), GFP_KERNEL)?;
        loop {
            if let Some(outcome) = record.owner_outcome() {
                return Ok(outcome);
            }
            self.dev
                .read(SHARD_SUPER * SECTORS_PER_BLOCK, &mut sector)?;
        }
    }

    fn epoch_is_durable(&mut self) {
        let Some(done) = self.in_flight.take() else {
            return;
        };
        let pos = Pos {
            lsn: done.record.lsn,
            epoch: done.record.epoch,
        };
        self.durable = pos.epoch;
        for &block in done.images.iter() {
            if let Some(buffer) = self.cache.get_mut(block) {
                buffer.superseded(pos);
            }
        }
        for &run in done.frees.iter() {
            self.release(run);
        }
        self.publish_epochs();
    }

    /// The epoch that freed `run` is durable: the blocks may be reused, unless a home write of them is
    /// still under way, which could hit what comes there next (PENDING).
    pub(super) fn release(&mut self, run: BlockRun) {
        let (block, len) = run;
        let in_batch = |blocks: &KVec<u64>| {
            let from = blocks.partition_point(|&b| b < block);
            blocks
                .get(from)
                .is_some_and(|&b| b < block.saturating_add(len.into()))
        };
        if self.batch.as_ref().is_some_and(in_batch) && !plant::is(Fault::PendingHome) {
            // The capacity was reserved when the epoch was sealed. Otherwise the blocks would be lost
            // to this mount, and found free by the next.
            let _ = self.parked.push_within_capacity(run);
        } else if self.discard && self.discards.push(run, GFP_KERNEL).is_ok() {
            // Given back by `discards_done`.
            if plant::is(Fault::PendingDiscard) {
                self.give_back(block, len);
            }
        } else {
            self.give_back(block, len);
        }
    }

    /// Freed blocks to tell the device of. They stay in use until [`Store::discards_done`].
    pub fn take_discards(&mut self) -> KVec<BlockRun> {
        core::mem::take(&mut self.discards)
    }

    /// The discards are done, or were not possible: the blocks may be reused.
    pub fn discards_done(&mut self, runs: KVec<BlockRun>) {
        if plant::is(Fault::PendingDiscard) {
            return;
        }
        for &(block, len) in runs.iter() {
            self.give_back(block, len);
        }
    }
}
