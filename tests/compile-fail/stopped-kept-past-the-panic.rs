// error: E0521 borrowed data escapes outside of method

// SPDX-License-Identifier: GPL-2.0

//! The proof of a panic ends with the call that brought it.

use crash::{
    lane::at_panic,
    panic::Notifier,
    Stopped,
};

pub struct Hook;

fn keep(_: Stopped<'static>) {}

impl Notifier for Hook {
    fn notify(&self, stopped: Stopped<'_>, _message: &[u8]) {
        #[cfg(wrong)]
        keep(stopped);
        #[cfg(not(wrong))]
        let _ = keep;
        at_panic::abandon(stopped, 0);
    }
}
