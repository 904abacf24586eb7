// SPDX-License-Identifier: GPL-2.0

//! Clocks that may be read anywhere.
//!
//! C header: [`include/linux/timekeeping.h`](srctree/include/linux/timekeeping.h)

use crate::bindings;

/// Nanoseconds since boot, without suspend.
///
/// Context: any, NMI included. May step back by a little while the timekeeper is being updated:
/// bound loops by a count as well.
#[inline]
pub fn mono_ns() -> u64 {
    // SAFETY: Made for any context.
    unsafe { bindings::ktime_get_mono_fast_ns() }
}

/// Nanoseconds since 1970.
///
/// Context: any, NMI included. May step as [`mono_ns`] may, and when the time of day is set.
#[inline]
pub fn real_ns() -> u64 {
    // SAFETY: Made for any context.
    unsafe { bindings::ktime_get_real_fast_ns() }
}
