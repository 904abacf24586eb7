// SPDX-License-Identifier: GPL-2.0

//! The lock-free block allocator and what it tells the panic handler.

mod counters;
mod ring;

pub use self::counters::AllocCounters;
pub use self::ring::{Drained, Event, EventKind, EventRing};
