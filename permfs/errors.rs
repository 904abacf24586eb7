// SPDX-License-Identifier: GPL-2.0

//! What is to happen when a volume turns out to be damaged or cannot be written.

use crate::options::OnError;
use kernel::sync::atomic::{Atomic, Full, Relaxed};

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

    /// Notes an error; says whether it is the first.
    pub(crate) fn note_failure(&self) -> bool {
        !self.failed.xchg(true, Full)
    }
}
