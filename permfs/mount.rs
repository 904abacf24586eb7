// SPDX-License-Identifier: GPL-2.0

//! What the kernel keeps of one mounted volume, and what becomes of it when an error is met.

use crate::{
    engine::Engine,
    errors::Policy,
    options::{OnError, Options},
    quiesce::{self, Quiescer, RebootBegins, RebootGoesOn, Request},
    task, PermFs,
};
#[cfg(permfs_panic)]
use crate::{lanes, pstore::Membership};
#[cfg(permfs_panic)]
use crash::lane::Lane;
use crash::reboot;
#[cfg(permfs_panic)]
use kernel::{new_mutex, sync::Mutex};
use kernel::{
    prelude::*,
    str::CString,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc,
    },
};
use vfs::super_block::SuperBlock;

/// How long a change stays in memory before it is committed, in milliseconds.
pub(crate) const COMMIT_INTERVAL_MS: u32 = 5000;

/// What the kernel keeps of one mounted volume.
#[pin_data]
pub(crate) struct Mount {
    engine: Arc<Engine>,
    policy: Policy,
    discard: Atomic<bool>,
    /// Mounted with `rescue`, which is a matter of the mount alone.
    rescue: bool,
    generation: Atomic<u32>,
    quiescer: Arc<Quiescer>,
    #[pin]
    reboot_begins: reboot::Registration<RebootBegins>,
    #[pin]
    reboot_goes_on: reboot::Registration<RebootGoesOn>,
    /// The volume's part in pstore, until the unmount ends.
    #[cfg(permfs_panic)]
    #[pin]
    pstore: Mutex<Option<Membership>>,
    /// The way to the panic area, as long.
    #[cfg(permfs_panic)]
    #[pin]
    lane: Mutex<Option<Lane>>,
}

impl Mount {
    pub(crate) fn new(
        engine: Arc<Engine>,
        quiescer: Arc<Quiescer>,
        options: Options,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            #[cfg(permfs_panic)]
            pstore <- new_mutex!(None, "permfs::pstore"),
            #[cfg(permfs_panic)]
            lane <- new_mutex!(None, "permfs::lane"),
            engine,
            reboot_begins <- reboot::Registration::new(RebootBegins(quiescer.clone())),
            reboot_goes_on <- reboot::Registration::new(RebootGoesOn(quiescer.clone())),
            quiescer,
            policy: Policy::new(options.on_error),
            discard: Atomic::new(options.discard),
            rescue: options.rescue,
            // Generations only have to differ for the same number, and numbers are not reused.
            generation: Atomic::new(vfs::time::real_fast_ns() as u32),
        })
    }

    /// The volume is writable, and a panic may be recorded on it.
    #[cfg(permfs_panic)]
    pub(crate) fn open_lane(&self, sb: &SuperBlock<PermFs>) -> Result {
        let (disk, number) = (self.engine.disk(), self.engine.number());
        let area = self.engine.volume()?.panic_area();
        *self.lane.lock() = lanes::open(number, &area, disk, false, sb.id());
        *self.pstore.lock() = Membership::new(number, area, disk)?;
        Ok(())
    }

    /// Keeps the way to the panic area, and the part in pstore, until [`Self::close_lane`].
    #[cfg(permfs_panic)]
    pub(crate) fn keep_lane(&self, lane: Option<Lane>, pstore: Option<Membership>) {
        *self.lane.lock() = lane;
        *self.pstore.lock() = pstore;
    }

    /// From here on a panic finds no way to the volume: neither its own record nor pstore's goes there.
    #[cfg(permfs_panic)]
    pub(crate) fn close_lane(&self) {
        lanes::close(self.engine.number());
        drop(self.pstore.lock().take());
        drop(self.lane.lock().take());
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn quiescer(&self) -> &Quiescer {
        &self.quiescer
    }

    /// [`Engine::commit_through`] under the error policy, and with somebody to make room in the log.
    pub(crate) fn commit_through(&self, sb: &SuperBlock<PermFs>, epoch: u64) -> Result {
        let outcome = self.engine.commit_through(epoch);
        if self.engine.wants_checkpoint() {
            sb.kick(task::FLUSH);
        }
        self.check_log(sb, outcome)
    }

    /// [`Engine::commit`], likewise.
    pub(crate) fn commit(&self, sb: &SuperBlock<PermFs>) -> Result {
        let epoch = self.engine.volume()?.store().running_epoch();
        self.commit_through(sb, epoch)
    }

    /// The background task with number [`task::FLUSH`].
    pub(crate) fn flush(&self, sb: &SuperBlock<PermFs>) -> Option<u32> {
        if self.engine.has_failed() {
            return None;
        }
        let outcome = self.engine.commit().and_then(|()| {
            if self.engine.volume()?.store().wants_checkpoint() {
                self.engine.checkpoint()?;
            }
            Ok(())
        });
        match self.check_log(sb, outcome) {
            // Memory may come; an error of the volume stays, and was told.
            Ok(()) => Some(COMMIT_INTERVAL_MS),
            Err(e) if e == ENOMEM => Some(COMMIT_INTERVAL_MS),
            Err(_) => None,
        }
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    pub(crate) fn next_generation(&self) -> u32 {
        self.generation.fetch_add(1u32, Relaxed)
    }

    pub(crate) fn options(&self) -> Options {
        Options {
            on_error: self.policy.get(),
            discard: self.discard.load(Relaxed),
            rescue: self.rescue,
        }
    }

    pub(crate) fn set_options(&self, options: &Options) {
        self.policy.set(options.on_error);
        self.discard.store(options.discard, Relaxed);
        if let Ok(mut volume) = self.engine.volume() {
            volume.store().set_discard(options.discard);
        }
    }

    /// Hands `outcome` on; if it tells of damage or of a device that fails, or if something damaged was
    /// passed by meanwhile, does what `errors=` asks for first. May be called with any lock but the volume's.
    pub(crate) fn check<T>(&self, sb: &SuperBlock<PermFs>, outcome: Result<T>) -> Result<T> {
        self.check_for(sb, "metadata cannot be read or written", outcome)
    }

    /// [`Mount::check`] for the outcome of a commit.
    pub(crate) fn check_log<T>(&self, sb: &SuperBlock<PermFs>, outcome: Result<T>) -> Result<T> {
        self.check_for(sb, "the log cannot be written", outcome)
    }

    /// `what` is said where the volume itself has not noted what was wrong.
    fn check_for<T>(&self, sb: &SuperBlock<PermFs>, what: &str, outcome: Result<T>) -> Result<T> {
        match &outcome {
            Err(e) if *e == EFSCORRUPTED || *e == EIO => self.fail(sb, what, *e),
            _ if self.engine.is_alarmed() => self.fail(sb, what, EFSCORRUPTED),
            _ => {}
        }
        outcome
    }

    fn fail(&self, sb: &SuperBlock<PermFs>, what: &str, error: Error) {
        // The gate of a panic, a shutdown or an oops fails everything; that is no new damage.
        if self.engine().has_failed() || !self.policy().note_failure() {
            return;
        }
        let action = self.policy().get();
        let (id, errors) = (sb.id(), action.name());
        let volume = self.engine().volume();
        let report = volume.ok().and_then(|mut volume| volume.take_report());
        let error = report.map_or(error, |report| report.error);
        match report {
            Some(r) => pr_err!(
                "({id}): {error:?}: {}, inode {}, block {}; errors={errors}\n",
                r.what,
                r.ino,
                r.block
            ),
            None => pr_err!("({id}): {error:?}: {what}; errors={errors}\n"),
        }
        sb.report_metadata_error(error);
        // Once the volume is read-only, the VFS has nothing to sync on it.
        sb.set_writeback_error(error);
        match action {
            OnError::RemountRo => {
                sb.force_read_only();
            }
            OnError::Shutdown => {
                self.shut_down(sb);
                sb.report_shutdown();
            }
            OnError::Panic => self.panic(sb),
        }
    }

    /// Brings the device to rest and panics. Nothing is written back: what is in memory may be what
    /// is wrong, and locks that writing needs may be held by the caller.
    fn panic(&self, sb: &SuperBlock<PermFs>) -> ! {
        let request = Request {
            sync: false,
            close: true,
            ms: quiesce::PANIC_MS,
        };
        let outcome = self.quiescer().run(sb, request);
        let message = CString::try_from_fmt(fmt!(
            "permfs: error in metadata with errors=panic; quiesced: {outcome}"
        ));
        match &message {
            Ok(message) => crash::context::trigger(message),
            Err(_) => crash::context::trigger(c"permfs: error in metadata with errors=panic"),
        }
    }

    /// From now on everything fails with `EIO`, reading what is in memory too.
    pub(crate) fn shut_down(&self, sb: &SuperBlock<PermFs>) {
        sb.refuse_io();
        self.engine().shut_down();
    }
}
