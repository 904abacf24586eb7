// error: E0521 borrowed data escapes outside of method

// SPDX-License-Identifier: GPL-2.0

//! The locks that a die notifier sees are seen within its call: later they may be gone.

use crash::{
    die::{Die, DieNotifier},
    poison::Seen,
};

pub struct Hook;

fn keep(_: Option<Seen<'static>>) {}

impl DieNotifier for Hook {
    fn notify(&self, event: &Die<'_>) {
        let first = event.locks().next();
        #[cfg(wrong)]
        keep(first);
        #[cfg(not(wrong))]
        {
            let _ = keep;
            drop(first);
        }
    }
}
