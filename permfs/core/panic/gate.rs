// SPDX-License-Identifier: GPL-2.0

//! The gate that every submission of a volume passes, and the count of those that have passed.
//!
//! # One word, one order
//!
//! Gate and count are the two halves of one atomic word: the upper 32 bits count who has closed
//! the gate, the lower 32 bits what is in flight. All changes of one word have one order, so for a
//! submission and a close there are two cases and no third:
//!
//! - the submission's add comes first: the value that [`Gate::close`] gets back has counted it;
//! - the close comes first: the value that [`Gate::begin`] gets back says closed, and nothing is
//!   submitted, because the submission is control-dependent on that value.
//!
//! With two words this would need a full barrier on each side. A refused submission is in the count
//! for the moment between its add and its subtract, and a CPU that is stopped right there leaves it
//! behind: the count can be too high, and so say `drained=0` of a volume that is drained. It is never
//! too low.
//!
//! [`Gate::end`] releases and the readers of the count acquire: who sees zero sees all that the
//! completions did.

use crate::TELEMETRY;
use kernel::{
    prelude::*,
    sync::atomic::{Acquire, Atomic, Full, Release}, //
};

const CLOSER: u64 = 1 << 32;

/// Gate and in-flight count of one volume. Any context, NMI included.
#[repr(transparent)]
pub struct Gate {
    word: Atomic<u64>,
}

impl Gate {
    /// Open, nothing in flight.
    pub const fn new() -> Self {
        Self {
            word: Atomic::<u64>::new(0),
        }
    }

    /// Counts one submission, for as long as the guard lives.
    ///
    /// Errors: `EIO` if the gate is closed; nothing may be submitted then.
    pub fn begin(&self) -> Result<IoGuard<'_>> {
        self.enter()?;
        Ok(IoGuard { gate: self })
    }

    /// [`Gate::begin`] for submissions whose completion has no place to keep a guard: exactly one
    /// [`Gate::end`] must follow each `Ok`, and none an `Err`.
    pub fn enter(&self) -> Result {
        if !TELEMETRY {
            return Ok(());
        }
        let before = self.word.fetch_add(1u64, Full);
        if before >= CLOSER {
            self.word.fetch_sub(1u64, Release);
            return Err(EIO);
        }
        Ok(())
    }

    /// One submission has completed, with or without an error.
    pub fn end(&self) {
        if !TELEMETRY {
            return;
        }
        self.word.fetch_sub(1u64, Release);
    }

    /// Closes the gate for ever and returns what was in flight at that moment. Again may be: it is counted.
    pub fn close(&self) -> u32 {
        Self::count(self.word.fetch_add(CLOSER, Full))
    }

    /// How often it was closed.
    #[cfg(test)]
    pub(super) fn closes(&self) -> u64 {
        self.word.load(Acquire) / CLOSER
    }

    /// Whether submissions are refused now.
    pub fn is_closed(&self) -> bool {
        self.word.load(Acquire) >= CLOSER
    }

    /// Submissions that have not completed.
    pub fn in_flight(&self) -> u32 {
        Self::count(self.word.load(Acquire))
    }

    const fn count(word: u64) -> u32 {
        // The lower half.
        word as u32
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

/// One submission in flight.
#[must_use = "the submission counts as completed when the guard is dropped"]
pub struct IoGuard<'a> {
    gate: &'a Gate,
}

impl Drop for IoGuard<'_> {
    fn drop(&mut self) {
        self.gate.end();
    }
}
