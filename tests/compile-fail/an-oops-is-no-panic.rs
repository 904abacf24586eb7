// error: E0308 mismatched types

// SPDX-License-Identifier: GPL-2.0

//! Who hears of an oops has no proof that the other CPUs were stopped, for they were not.

use crash::{
    die::{Die, DieNotifier},
    lane::at_panic,
};

pub struct Hook;

impl DieNotifier for Hook {
    fn notify(&self, event: &Die<'_>) {
        #[cfg(wrong)]
        at_panic::abandon(event, 0);
        #[cfg(not(wrong))]
        let _ = (event, at_panic::abandon);
    }
}
