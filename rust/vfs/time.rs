// SPDX-License-Identifier: GPL-2.0

//! Timestamps of inodes, and clocks that may be read anywhere.
//!
//! C headers: [`include/linux/time64.h`](srctree/include/linux/time64.h),
//! [`include/linux/timekeeping.h`](srctree/include/linux/timekeeping.h)

use crate::bindings;

/// Seconds and nanoseconds since 1970 (`struct timespec64`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timespec {
    /// Seconds; negative before 1970.
    pub sec: i64,
    /// Nanoseconds, below 1,000,000,000.
    pub nsec: u32,
}

impl Timespec {
    /// The time of day, as coarse as the kernel keeps it for timestamps.
    pub fn now() -> Self {
        let mut ts = bindings::timespec64 {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: `ts` is valid for writes.
        unsafe { bindings::ktime_get_coarse_real_ts64(&mut ts) };
        ts.into()
    }
}

impl From<bindings::timespec64> for Timespec {
    fn from(ts: bindings::timespec64) -> Self {
        Self {
            sec: ts.tv_sec,
            nsec: ts.tv_nsec as u32,
        }
    }
}

impl From<Timespec> for bindings::timespec64 {
    /// Nanoseconds out of range, as a damaged volume may hold, become the largest there are.
    fn from(ts: Timespec) -> Self {
        Self {
            tv_sec: ts.sec,
            tv_nsec: ts.nsec.min(999_999_999) as isize,
        }
    }
}

/// Nanoseconds since boot, without suspend.
///
/// Context: any, NMI included. May step back by a little while the timekeeper is being updated:
/// bound loops by a count as well.
#[inline]
pub fn mono_fast_ns() -> u64 {
    // SAFETY: It reads one of two copies of the clock, whichever nobody updates: made for any context.
    unsafe { bindings::ktime_get_mono_fast_ns() }
}

/// Nanoseconds since 1970.
///
/// Context: any, NMI included. May step as [`mono_fast_ns`] may, and when the time of day is set.
#[inline]
pub fn real_fast_ns() -> u64 {
    // SAFETY: As `ktime_get_mono_fast_ns()` it reads one of two copies, in any context.
    unsafe { bindings::ktime_get_real_fast_ns() }
}
