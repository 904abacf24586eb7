// error: E0423 cannot initialize a tuple struct which contains private fields

// SPDX-License-Identifier: GPL-2.0

//! Nobody says by himself that the machine has stopped: a lane, used while other CPUs run, would take
//! requests from under their hands.

use crash::{lane::at_panic, Stopped};

pub fn flush(stopped: Stopped<'_>) -> at_panic::Collected {
    at_panic::collect(stopped, 0)
}

#[cfg(wrong)]
pub fn at_leisure() -> at_panic::Collected {
    flush(Stopped(core::marker::PhantomData))
}
