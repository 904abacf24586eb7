// SPDX-License-Identifier: GPL-2.0

//! The volume of one mount, its locks, and its commits.
//!
//! Lock order, outermost first: i_rwsem and folio locks (the VFS), a file's state
//! ([`crate::inode::InodeData`]), `commit`, `volume`. `volume` is held for changes in memory and for
//! metadata reads; while the log or home blocks are being written only `commit` is held, so other
//! operations go on in the next epoch, and those that want it durable wait for one write together.

use crate::disk::Disk;
use core::ops::{Deref, DerefMut};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Release},
        lock::{mutex::MutexBackend, Guard},
        Arc, Mutex,
    },
};
use permfs_core::{device::BlockDevice, volume::Volume};
use vfs::{scope::NoFs, work};

/// How long a change stays in memory before it is committed, in milliseconds.
const COMMIT_INTERVAL_MS: u32 = 5000;
/// Home blocks written in one go.
const CHECKPOINT_BATCH: usize = 256;

/// Everything of a mount that does not depend on the VFS.
#[pin_data]
pub(crate) struct Engine {
    /// One committer or checkpointer at a time: the store has one sealed epoch at most.
    #[pin]
    commit: Mutex<()>,
    #[pin]
    volume: Mutex<Volume<Disk>>,
    disk: Disk,
    /// The newest durable epoch.
    durable: Atomic<u64>,
}

/// The volume's lock. Memory is allocated without entering the filesystem again while it is held:
/// reclaim may evict an inode, and that takes this very lock.
pub(crate) struct VolumeGuard<'a> {
    // Unlocked first: fields drop in this order.
    guard: Guard<'a, Volume<Disk>, MutexBackend>,
    _no_fs: NoFs,
}

impl Deref for VolumeGuard<'_> {
    type Target = Volume<Disk>;

    fn deref(&self) -> &Self::Target {
        &self.guard
    }
}

impl DerefMut for VolumeGuard<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        // Nothing in a `Volume` is pinned.
        &mut self.guard
    }
}

impl Engine {
    pub(crate) fn new(volume: Volume<Disk>, disk: Disk) -> impl PinInit<Self> {
        pin_init!(Self {
            commit <- new_mutex!((), "permfs::commit"),
            volume <- new_mutex!(volume, "permfs::volume"),
            disk,
            durable: Atomic::new(0),
        })
    }

    pub(crate) fn volume(&self) -> VolumeGuard<'_> {
        let no_fs = NoFs::enter();
        VolumeGuard {
            guard: self.volume.lock(),
            _no_fs: no_fs,
        }
    }

    /// From now on every request to the device and every change in memory fails with `EIO`.
    pub(crate) fn shut_down(&self) {
        self.disk.shut_down();
        self.volume().store().fail();
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Makes everything up to `epoch`, and every data write that has completed, durable.
    ///
    /// Callers that meet here are served by one log write: whoever comes second finds its epoch done.
    pub(crate) fn commit_through(&self, epoch: u64) -> Result {
        if self.durable.load(Acquire) < epoch {
            let committer = self.commit.lock();
            if self.durable.load(Acquire) < epoch {
                return self.commit_running();
            }
            drop(committer);
        }
        if self.disk.needs_flush() {
            self.disk.flush()?;
        }
        Ok(())
    }

    /// Makes everything durable.
    pub(crate) fn commit(&self) -> Result {
        let epoch = self.volume().store().running_epoch();
        self.commit_through(epoch)
    }

    /// Closes the running epoch and writes it. `commit` is held.
    fn commit_running(&self) -> Result {
        let sealed = {
            let mut volume = self.volume();
            let store = volume.store();
            let sealed = store.seal()?;
            if sealed.is_none() {
                self.durable.store(store.durable_epoch(), Release);
            }
            sealed
        };
        let Some(sealed) = sealed else {
            if self.disk.needs_flush() {
                self.disk.flush()?;
            }
            return Ok(());
        };
        let outcome = sealed.write(&self.disk);
        let discards = {
            let mut volume = self.volume();
            let store = volume.store();
            let outcome = store.complete(sealed, outcome);
            self.durable.store(store.durable_epoch(), Release);
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
        self.volume().store().discards_done(discards);
        Ok(())
    }

    /// Writes home what is committed, and gives its log space back.
    pub(crate) fn checkpoint(&self) -> Result {
        let _committer = self.commit.lock();
        self.commit_running()?;
        loop {
            let batch = self
                .volume()
                .store()
                .begin_checkpoint_batch(CHECKPOINT_BATCH)?;
            let Some(batch) = batch else { break };
            let outcome = batch.write(&self.disk);
            self.volume()
                .store()
                .finish_checkpoint_batch(batch, outcome)?;
        }
        self.volume().store().advance_tail()
    }
}

/// Commits what has waited long enough, and keeps room in the log.
pub(crate) struct Flusher(pub(crate) Arc<Engine>);

impl work::Task for Flusher {
    fn run(&self) -> Option<u32> {
        if self.0.disk.is_shut_down() {
            return None;
        }
        let outcome = self.0.commit().and_then(|()| {
            if self.0.volume().store().wants_checkpoint() {
                self.0.checkpoint()?;
            }
            Ok(())
        });
        if let Err(e) = outcome {
            pr_err!("background commit failed: {e:?}\n");
            return None;
        }
        Some(COMMIT_INTERVAL_MS)
    }
}

/// First delay of the [`Flusher`], in milliseconds.
pub(crate) const FIRST_FLUSH_MS: u32 = COMMIT_INTERVAL_MS;
