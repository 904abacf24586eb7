// SPDX-License-Identifier: GPL-2.0

//! What happens when the volume turns out to be damaged or cannot be written.

use crate::{options::OnError, super_block::Mount, PermFs};
use kernel::{
    prelude::*,
    sync::atomic::{Atomic, Relaxed},
};
use vfs::super_block::SuperBlock;

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
}

impl Mount {
    /// Hands `outcome` on; if it tells of damage or of a log that cannot be written, does what
    /// `errors=` asks for first. May be called with any lock but takes the volume's.
    pub(crate) fn check<T>(&self, sb: &SuperBlock<PermFs>, outcome: Result<T>) -> Result<T> {
        if let Err(e) = &outcome {
            if *e == EFSCORRUPTED || *e == EIO {
                self.fail(sb, *e);
            }
        }
        outcome
    }

    fn fail(&self, sb: &SuperBlock<PermFs>, error: Error) {
        // The gate of a panic or shutdown fails everything; that is no new damage.
        if self.engine().disk().is_shut_down() || self.policy().failed.xchg(true, Relaxed) {
            return;
        }
        let action = self.policy().get();
        let report = self.engine().volume().take_report();
        let (ino, block, what) = report.map_or((0, 0, "metadata"), |r| (r.ino, r.block, r.what));
        pr_err!(
            "({}): {error:?}: {what}, inode {ino}, block {block}; errors={}\n",
            sb.id(),
            action.name()
        );
        match action {
            OnError::RemountRo => sb.force_read_only(),
            OnError::Shutdown => self.engine().shut_down(),
            OnError::Panic => vfs::panic::trigger(c"permfs: error in metadata with errors=panic"),
        }
    }
}
