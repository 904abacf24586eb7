// SPDX-License-Identifier: GPL-2.0

//! Waiting for a limited time.
//!
//! C header: [`include/linux/completion.h`](srctree/include/linux/completion.h)
//!
//! `kernel::sync::Completion` cannot give up waiting.

use crate::bindings;
use kernel::{prelude::*, time::msecs_to_jiffies, types::Opaque};

/// Something that happens once, and that any number of tasks may wait for.
///
/// # Invariants
///
/// `inner` is an initialised completion that is completed by `complete_all()` only.
#[pin_data]
pub struct Completion {
    #[pin]
    inner: Opaque<bindings::completion>,
}

// SAFETY: A completion has its own lock, and may be used and freed by any task.
unsafe impl Send for Completion {}
// SAFETY: Its methods are calls that take that lock.
unsafe impl Sync for Completion {}

impl Completion {
    /// Has not happened yet.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            // INVARIANT: By the call.
            inner <- Opaque::ffi_init(|slot: *mut bindings::completion| {
                // SAFETY: `slot` is pinned and valid for writes.
                unsafe { bindings::vfs_helper_init_completion(slot) };
            }),
        })
    }

    /// It has happened: all who wait go on, and nobody waits again. Context: any but NMI.
    pub fn complete_all(&self) {
        // SAFETY: An initialised completion, which our borrow keeps: whoever waits for it cannot drop it before this has returned.
        unsafe { bindings::complete_all(self.inner.get()) };
    }

    /// Waits until it has happened, `ms` milliseconds at most, and says whether it has. Signals do
    /// not end the wait.
    pub fn wait_timeout(&self, ms: u32) -> bool {
        // SAFETY: An initialised completion, which our borrow keeps until the wait is over, however it ends.
        unsafe {
            bindings::wait_for_completion_timeout(self.inner.get(), msecs_to_jiffies(ms)) != 0
        }
    }
}
