// SPDX-License-Identifier: GPL-2.0

//! The volume of one mount, its locks, and its commits.
//!
//! Lock order, outermost first: i_rwsem and folio locks (the VFS), a file's state
//! ([`crate::inode::InodeData`]), `commit`, `volume`. `volume` is held for changes in memory and for
//! metadata reads; while the log or home blocks are being written only `commit` is held, so other
//! operations go on in the next epoch, and those that want it durable wait for one write together.

use crate::{
    disk::Disk,
    fault::{self, Point},
};
use crash::{
    new_poison_mutex,
    poison::{PoisonGuard, PoisonMutex},
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Relaxed, Release},
        Arc, //
    },
};
use permfs_core::{
    device::BlockDevice,
    panic::VOLUMES,
    plant::{self, Fault},
    volume::Volume,
};
use vfs::scope::{NoFs, NoFsGuard};

/// Number for a volume without a slot.
pub(crate) const NO_SLOT: u32 = u32::MAX;

/// Home blocks written in one go.
const CHECKPOINT_BATCH: usize = 256;

/// Everything of a mount that does not depend on the VFS.
#[pin_data]
pub(crate) struct Engine {
    /// One committer or checkpointer at a time: the store has one sealed epoch at most.
    #[pin]
    commit: PoisonMutex<()>,
    #[pin]
    volume: PoisonMutex<Volume<Disk>>,
    disk: Disk,
    /// Number of the volume's slot.
    number: u32,
    /// The newest durable epoch.
    durable: Atomic<u64>,
    /// Damage was met that no operation has failed for.
    alarm: Arc<Atomic<bool>>,
    /// The log has so little room left that a checkpoint should make some.
    full: Atomic<bool>,
}

/// The volume's lock. Memory is allocated without entering the filesystem again while it is held:
/// reclaim may evict an inode, and that takes this very lock.
pub(crate) type VolumeGuard<'a> = NoFsGuard<PoisonGuard<'a, Volume<Disk>>>;

impl Engine {
    /// `number` is that of the volume's slot, [`NO_SLOT`] if it has none: should a task die with one
    /// of the locks, that volume has failed.
    pub(crate) fn new(mut volume: Volume<Disk>, disk: Disk, number: u32) -> impl PinInit<Self> {
        let alarm = volume.store().alarm();
        pin_init!(Self {
            alarm,
            commit <- new_poison_mutex!((), "permfs::commit", number),
            volume <- new_poison_mutex!(volume, "permfs::volume", number),
            disk,
            number,
            durable: Atomic::new(0),
            full: Atomic::new(false),
        })
    }

    /// Number of the volume's slot, or [`NO_SLOT`].
    #[cfg(permfs_panic)]
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Locks the volume. Errors: `EIO` if a task has died with it in its hands.
    pub(crate) fn volume(&self) -> Result<VolumeGuard<'_>> {
        let scope = NoFs::enter();
        Ok(scope.with(self.volume.lock()?))
    }

    /// Locks `commit`. Who holds a file's lock or the volume's may wait for it, and reclaim may want either.
    fn committer(&self) -> Result<NoFsGuard<PoisonGuard<'_, ()>>> {
        let scope = NoFs::enter();
        Ok(scope.with(self.commit.lock()?))
    }

    /// Whether every change and every request fails from now on: the volume was shut down, or a task
    /// has died in the middle of a change.
    pub(crate) fn has_failed(&self) -> bool {
        self.disk.is_shut_down() || self.volume.is_poisoned() || self.commit.is_poisoned()
    }

    /// The unmount of a volume that [has failed](Self::has_failed): nothing is written.
    pub(crate) fn give_up(&self) {
        // A poisoned volume stays in memory as it is, and its slot with it.
        if self.volume.is_poisoned() {
            let slot = usize::try_from(self.number).ok();
            if let Some(slot) = slot.and_then(|number| VOLUMES.slots().get(number)) {
                slot.retire();
            }
        }
    }

    /// From now on every request to the device and every change in memory fails with `EIO`.
    pub(crate) fn shut_down(&self) {
        self.disk.shut_down();
        self.fail();
    }

    /// From now on changes and commits fail with `EIO`.
    fn fail(&self) {
        if let Ok(mut volume) = self.volume() {
            volume.store().fail();
        }
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Whether damage was met that no operation has failed for; `Volume::take_report` tells of it.
    pub(crate) fn is_alarmed(&self) -> bool {
        self.alarm.load(Relaxed)
    }

    /// The newest epoch known to be durable.
    pub(crate) fn durable_epoch(&self) -> u64 {
        self.durable.load(Acquire)
    }

    /// Whether a commit found that a checkpoint should make room in the log.
    pub(crate) fn wants_checkpoint(&self) -> bool {
        self.full.load(Relaxed)
    }

    /// Makes everything up to `epoch`, and every data write that has completed, durable.
    ///
    /// Callers that meet here are served by one log write: whoever comes second finds its epoch done.
    ///
    /// Errors: `EIO`, also once the volume is shut down, whether `epoch` is durable or not.
    pub(crate) fn commit_through(&self, epoch: u64) -> Result {
        if self.disk.is_shut_down() {
            return Err(EIO);
        }
        if self.durable.load(Acquire) < epoch {
            let committer = self.committer()?;
            if self.durable.load(Acquire) < epoch {
                return self.commit_running();
            }
            drop(committer);
        }
        if self.disk.needs_flush() && !plant::is(Fault::FlushAlone) {
            // What the flush was to cover is lost, and nobody may be told otherwise later.
            let flushed = self.disk.flush();
            if flushed.is_err() && !plant::is(Fault::FlushFailed) {
                self.fail();
            }
            flushed?;
        }
        Ok(())
    }

    /// Makes everything durable.
    pub(crate) fn commit(&self) -> Result {
        let epoch = self.volume()?.store().running_epoch();
        self.commit_through(epoch)
    }

    /// Waits for the commit or checkpoint that is under way, if there is one, and for its discards.
    pub(crate) fn wait_for_commit(&self) -> Result {
        drop(self.committer()?);
        Ok(())
    }

    /// Closes the running epoch and writes it. `commit` is held.
    fn commit_running(&self) -> Result {
        let sealed = {
            let mut volume = self.volume()?;
            let store = volume.store();
            let sealed = store.seal()?;
            if sealed.is_none() {
                self.durable.store(store.durable_epoch(), Release);
            }
            sealed
        };
        let Some(sealed) = sealed else {
            return Ok(());
        };
        fault::at(Point::Commit);
        let outcome = sealed.write(&self.disk);
        let discards = {
            let mut volume = self.volume()?;
            let store = volume.store();
            let outcome = store.complete(sealed, outcome);
            self.durable.store(store.durable_epoch(), Release);
            self.full.store(store.wants_checkpoint(), Relaxed);
            outcome?;
            store.take_discards()
        };
        if discards.is_empty() {
            return Ok(());
        }
        for &(block, len) in discards.iter() {
            // Advice to the device: a refusal changes nothing.
            let _ = self.disk.discard(block, u64::from(len));
        }
        self.volume()?.store().discards_done(discards);
        Ok(())
    }

    /// Writes home what is committed, and gives its log space back.
    pub(crate) fn checkpoint(&self) -> Result {
        let _committer = self.committer()?;
        self.commit_running()?;
        loop {
            let batch = self
                .volume()?
                .store()
                .begin_checkpoint_batch(CHECKPOINT_BATCH)?;
            let Some(batch) = batch else { break };
            let outcome = batch.write(&self.disk);
            self.volume()?
                .store()
                .finish_checkpoint_batch(batch, outcome)?;
        }
        let mut volume = self.volume()?;
        volume.store().advance_tail()?;
        self.full.store(volume.store().wants_checkpoint(), Relaxed);
        Ok(())
    }
}
