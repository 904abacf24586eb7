// error: E0277 `*mut ()` cannot be s

// SPDX-License-Identifier: GPL-2.0

//! The proof of a panic stays on the CPU that panics.

use crash::Stopped;

pub fn is_send<T: Send>(_: T) {}
pub fn is_sync<T: Sync>(_: T) {}

pub fn pass(stopped: Stopped<'_>) {
    #[cfg(wrong)]
    {
        is_send(stopped);
        is_send(&stopped);
        is_sync(stopped);
    }
    #[cfg(not(wrong))]
    let _ = stopped;
}
