// SPDX-License-Identifier: GPL-2.0

//! Being in a lane, at the panic.

use super::{
    flight::Flight,
    shared::{Shared, TABLE},
};
use crate::Stopped;
use core::ops::Deref;
use kernel::sync::atomic::{Acquire, Full, Release};

/// A lane, for one call. What is done with it is in `refusal.rs`, `send.rs` and `collect.rs`.
///
/// # Invariants
///
/// We hold `shared.busy`.
pub(super) struct Entered<'a> {
    shared: &'static Shared,
    /// Proves that nothing of what is looked at is changed by others.
    pub(super) stopped: Stopped<'a>,
}

impl<'a> Entered<'a> {
    /// None if there is no such lane, or this has come in the middle of another call.
    pub(super) fn new(stopped: Stopped<'a>, lane: u32) -> Option<Self> {
        let shared = TABLE.get(lane as usize)?.load(Acquire);
        // SAFETY: Null, or not freed while it is in the table, nor ever now: `Stopped` says that the
        // flag is set which keeps `Lane` from it.
        let shared = unsafe { shared.as_ref::<'static>() }?;
        shared.busy.cmpxchg(0, 1, Full).ok()?;
        // INVARIANT: The exchange has taken it from nobody.
        Some(Self { shared, stopped })
    }

    /// The lane, which stays for ever.
    pub(super) fn shared(&self) -> &'static Shared {
        self.shared
    }

    /// Does something with what the lane does at the moment.
    pub(super) fn with<R>(&mut self, f: impl FnOnce(&Self, &mut Flight) -> R) -> R {
        // SAFETY: Who holds `busy` has the flight to himself. `self` is that holder, and borrowed for
        // as long as `f` runs, which so cannot come here again.
        let flight = unsafe { &mut *self.shared.flight.get() };
        f(self, flight)
    }
}

impl Deref for Entered<'_> {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        self.shared
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.shared.busy.store(0, Release);
    }
}
