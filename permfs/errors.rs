// SPDX-License-Identifier: GPL-2.0

//! What happens when the volume turns out to be damaged or cannot be written.

use crate::{
    options::OnError,
    quiesce::{self, Request},
    super_block::{task, Mount},
    PermFs,
};
use kernel::{
    prelude::*,
    str::CString,
    sync::atomic::{Atomic, Relaxed},
};
use vfs::super_block::SuperBlock;

/// How often it is tried to turn a volume read-only that is frozen or busy, in milliseconds.
const READ_ONLY_RETRY_MS: u32 = 20;

/// The error policy of one mount.
pub(crate) struct Policy {
    on_error: Atomic<u32>,
    /// An error was met; the log names the first only.
    failed: Atomic<bool>,
}

impl Policy {
    pub(crate) fn new(on_error: OnError) -> Self {
        Self {
            on_error: Atomic::new(on_error as u32),
            failed: Atomic::new(false),
        }
    }

    pub(crate) fn set(&self, on_error: OnError) {
        self.on_error.store(on_error as u32, Relaxed);
    }

    pub(crate) fn get(&self) -> OnError {
        OnError::from_u32(self.on_error.load(Relaxed))
    }

    /// Whether an error was met since the volume was mounted.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Relaxed)
    }
}

impl Mount {
    /// Hands `outcome` on; if it tells of damage or of a device that fails, does what `errors=` asks
    /// for first. May be called with any lock but the volume's.
    pub(crate) fn check<T>(&self, sb: &SuperBlock<PermFs>, outcome: Result<T>) -> Result<T> {
        self.check_for(sb, "metadata cannot be read or written", outcome)
    }

    /// [`Mount::check`] for the outcome of a commit.
    pub(crate) fn check_log<T>(&self, sb: &SuperBlock<PermFs>, outcome: Result<T>) -> Result<T> {
        self.check_for(sb, "the log cannot be written", outcome)
    }

    /// `what` is said where the volume itself has not noted what was wrong.
    fn check_for<T>(&self, sb: &SuperBlock<PermFs>, what: &str, outcome: Result<T>) -> Result<T> {
        if let Err(e) = &outcome {
            if *e == EFSCORRUPTED || *e == EIO {
                self.fail(sb, what, *e);
            }
        }
        outcome
    }

    fn fail(&self, sb: &SuperBlock<PermFs>, what: &str, error: Error) {
        // The gate of a panic, a shutdown or an oops fails everything; that is no new damage.
        if self.engine().has_failed() || self.policy().failed.xchg(true, Relaxed) {
            return;
        }
        let action = self.policy().get();
        let (id, errors) = (sb.id(), action.name());
        let volume = self.engine().volume();
        match volume.ok().and_then(|mut volume| volume.take_report()) {
            Some(r) => pr_err!(
                "({id}): {error:?}: {}, inode {}, block {}; errors={errors}\n",
                r.what,
                r.ino,
                r.block
            ),
            None => pr_err!("({id}): {error:?}: {what}; errors={errors}\n"),
        }
        sb.report_metadata_error(error);
        match action {
            OnError::RemountRo => {
                if !sb.try_force_read_only() {
                    sb.kick(task::READ_ONLY);
                }
            }
            OnError::Shutdown => {
                self.engine().shut_down();
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
            Ok(message) => vfs::panic::trigger(message),
            Err(_) => vfs::panic::trigger(c"permfs: error in metadata with errors=panic"),
        }
    }
}

/// The background task with number [`task::READ_ONLY`]: what [`Mount::fail`] could not do at once.
pub(crate) fn background(sb: &SuperBlock<PermFs>) -> Option<u32> {
    (!sb.try_force_read_only()).then_some(READ_ONLY_RETRY_MS)
}
