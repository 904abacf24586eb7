// SPDX-License-Identifier: GPL-2.0

//! Synchronisation primitives.

mod arc;
pub mod atomic;
pub mod barrier;
mod set_once;

pub use arc::Arc;
pub use set_once::SetOnce;
