// SPDX-License-Identifier: GPL-2.0

//! Copying committed blocks home, and giving the log's space back.

use super::{block, Store};
use crate::{
    device::BlockDevice,
    format::BLOCK_SIZE,
    journal::{header::Head, Pos},
    plant::{self, Fault},
};
use kernel::prelude::*;

/// Copies of committed blocks on their way home, in the order of block numbers.
///
/// To be handed to [`Store::finish_checkpoint_batch`] whatever came of [`HomeBatch::write`].
pub struct HomeBatch {
    blocks: KVec<(u64, KBox<block::Block>)>,
}

impl HomeBatch {
    /// Blocks in it.
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Writes the copies home and makes them durable. Needs no lock.
    pub fn write<D: BlockDevice>(&self, dev: &D) -> Result {
        let mut batch: KVec<(u64, &[u8])> = KVec::with_capacity(self.blocks.len(), GFP_KERNEL)?;
        for (block, bytes) in self.blocks.iter() {
            batch.push((*block, &bytes[..]), GFP_KERNEL)?;
        }
        dev.write_blocks(&batch)?;
        if dev.needs_flush() && !plant::is(Fault::TailFirstFlush) {
            dev.flush()?;
        }
        Ok(())
    }
}

impl<D: BlockDevice> Store<D> {
    /// Copies up to `max` blocks whose content is committed and not home. `None` at the end of a pass
    /// over the cache; the next call starts another.
    ///
    /// What the running epoch has touched, and what a record under way has, is left out (COMMITTED
    /// HOME): it is taken by a later pass, or, if it is always so, logged whole from time to time
    /// (see `Op::touch`). No more blocks are taken than the ring has room to log again (RESERVE); where it
    /// has none, they are home when this returns. `EBUSY` while another batch is under way.
    pub fn begin_checkpoint_batch(&mut self, max: usize) -> Result<Option<HomeBatch>> {
        if self.batch.is_some() {
            return Err(EBUSY);
        }
        let room = self.loggable_batch(max.min(self.ring.batch_limit()));
        if room == 0 {
            // The ring is all but full. With the lock held no batch is under way at any operation, so none
            // has to be logged again.
            self.checkpoint_now()?;
            self.home_cursor = 0;
            return Ok(None);
        }
        let cursor = self.home_cursor;
        let batch = self.copy_batch(cursor, room)?;
        let Some(&(last, _)) = batch.blocks.last() else {
            self.home_cursor = 0;
            return Ok(None);
        };
        let mut list = KVec::with_capacity(batch.blocks.len(), GFP_KERNEL).map_err(Error::from);
        for (block, _) in batch.blocks.iter() {
            list =
                list.and_then(|mut l| l.push(*block, GFP_KERNEL).map(|()| l).map_err(Error::from));
        }
        match list {
            Ok(list) => self.batch = Some(list),
            Err(e) => {
                self.batch_done(&batch, false);
                return Err(e);
            }
        }
        self.home_cursor = last.saturating_add(1);
        Ok(Some(batch))
    }

    /// How many blocks, up to `max`, a batch may have so that they can be logged again behind the running
    /// epoch's record.
    fn loggable_batch(&self, max: usize) -> usize {
        if plant::is(Fault::ReserveBatch) {
            return max;
        }
        let (mut fit, mut too_many) = (0, max + 1);
        while too_many - fit > 1 {
            let middle = fit + (too_many - fit) / 2;
            if self.has_room_for_batch(middle) {
                fit = middle;
            } else {
                too_many = middle;
            }
        }
        fit
    }

    /// Takes note of what came of [`HomeBatch::write`], and returns it. On failure the blocks stay
    /// dirty and in the log.
    pub fn finish_checkpoint_batch(&mut self, batch: HomeBatch, outcome: Result) -> Result {
        self.batch_done(&batch, outcome.is_ok());
        self.batch = None;
        for i in 0..self.parked.len() {
            if let Some(&run) = self.parked.get(i) {
                self.release(run);
            }
        }
        // Keeps the capacity, which the record under way may have reserved.
        self.parked.clear();
        outcome
    }

    /// Moves the tail to the first record that some block still needs, and says so on the device.
    ///
    /// One small durable write, with the volume's lock held: the space in front may be reused as soon
    /// as this returns, so nothing else may be logged meanwhile (TAIL FIRST).
    pub fn advance_tail(&mut self) -> Result {
        if self.failed {
            return Err(EIO);
        }
        let end = Pos {
            lsn: self.ring.head,
            epoch: self.epoch.number,
        };
        let in_flight = self.in_flight.as_ref();
        let under_way = in_flight.map(|f| Pos {
            lsn: f.record.lsn,
            epoch: f.record.epoch,
        });
        let pinned = [
            under_way,
            in_flight.and_then(|f| f.pinned),
            self.epoch.pinned,
        ];
        let needed = self.cache.iter().map(|(_, buffer)| buffer.first);
        // Not `.chain()`: the kernel's prelude has another one, of `Init`.
        let tail = Iterator::chain(needed, pinned)
            .fold(Some(end), Pos::older)
            .unwrap_or(end);
        if tail.lsn == self.ring.tail.lsn {
            return Ok(());
        }
        self.write_head(tail, false)
    }

    /// Commits, copies home everything that can be, and moves the tail.
    pub fn checkpoint(&mut self) -> Result {
        self.commit()?;
        self.checkpoint_now()
    }

    /// The part of a checkpoint behind the commit.
    pub(super) fn checkpoint_now(&mut self) -> Result {
        let mut cursor = 0;
        while let Some(last) = self.bring_home(cursor)? {
            cursor = last.saturating_add(1);
        }
        self.advance_tail()
    }

    /// Writes a batch from block `cursor` on home; returns its last block, `None` if there is nothing.
    pub(super) fn bring_home(&mut self, cursor: u64) -> Result<Option<u64>> {
        let batch = self.copy_batch(cursor, self.ring.batch_limit())?;
        let Some(&(last, _)) = batch.blocks.last() else {
            return Ok(None);
        };
        let outcome = batch.write(&self.dev);
        self.batch_done(&batch, outcome.is_ok());
        outcome.map(|()| Some(last))
    }

    /// Logs anew every block of the batch that somebody else is writing home, so that the log does not
    /// wait for it: a whole image makes the older records of a block needless, whatever of the home
    /// write reaches the device. Room for that is kept (RESERVE).
    pub(super) fn log_batch_again(&mut self) -> Result {
        let Some(blocks) = &self.batch else {
            return Ok(());
        };
        for &block in blocks.iter() {
            let Some(buffer) = self.cache.get_mut(block) else {
                continue;
            };
            if buffer.touched {
                continue;
            }
            self.epoch.touched.push(block, GFP_KERNEL)?;
            buffer.touch(true);
            self.epoch.bytes += buffer.cost();
        }
        self.commit()?;
        self.advance_tail()
    }

    /// Writes the journal's header.
    pub(super) fn write_head(&mut self, tail: Pos, clean: bool) -> Result {
        let head = Head {
            sequence: 0,
            generation: self.ring.generation,
            tail,
            clean,
        };
        self.header.write(&self.dev, head)?;
        self.ring.tail = tail;
        Ok(())
    }

    /// Copies up to `max` blocks from `cursor` on.
    fn copy_batch(&mut self, cursor: u64, max: usize) -> Result<HomeBatch> {
        let mut batch = HomeBatch {
            blocks: KVec::with_capacity(max, GFP_KERNEL)?,
        };
        let mut at = cursor;
        while batch.blocks.len() < max {
            match self.copy_next(at, &mut batch) {
                Ok(Some(block)) => at = block.saturating_add(1),
                Ok(None) => break,
                // Without memory for more, what there is goes home: that frees memory.
                Err(_) if !batch.blocks.is_empty() => break,
                Err(e) => return Err(e),
            }
        }
        Ok(batch)
    }

    /// Copies the next block at `from` or behind it that may go home; returns its number.
    fn copy_next(&mut self, from: u64, batch: &mut HomeBatch) -> Result<Option<u64>> {
        let mut at = from;
        while let Some((block, buffer)) = self.cache.at_or_after(at) {
            let dirty = buffer.first.is_some() && !buffer.copied;
            let committed = !buffer.touched && buffer.last.epoch <= self.durable
                || plant::is(Fault::CommittedHome);
            if !(dirty && committed) {
                at = block.saturating_add(1);
                continue;
            }
            let mut copy = KBox::<[u8; BLOCK_SIZE]>::zeroed(GFP_KERNEL)?;
            copy.copy_from_slice(&buffer.bytes[..]);
            block::seal(&mut copy, buffer.last.lsn);
            batch.blocks.push((block, copy), GFP_KERNEL)?;
            buffer.copy_taken();
            return Ok(Some(block));
        }
        Ok(None)
    }

    fn batch_done(&mut self, batch: &HomeBatch, home: bool) {
        for (block, _) in batch.blocks.iter() {
            // Not there if it was freed meanwhile; its number is not reused before this (PENDING).
            if let Some(buffer) = self.cache.get_mut(*block) {
                buffer.copy_done(home);
            }
        }
    }
}
