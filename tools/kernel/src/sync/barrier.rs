// SPDX-License-Identifier: GPL-2.0

//! Memory barriers. The host knows no read-only or write-only fence: acquire and release stand in.

use super::atomic::ordering::Full;

#[cfg(not(loom))]
use core::sync::atomic::{
    fence,
    Ordering, //
};
#[cfg(loom)]
use loom::sync::atomic::{
    fence,
    Ordering, //
};

/// Orders reads against reads.
pub struct Read;
/// Orders writes against writes.
pub struct Write;

/// The strengths that a barrier may have.
pub trait MemoryBarrier {
    /// In the host's terms.
    #[doc(hidden)]
    const HOST: Ordering;
}

impl MemoryBarrier for Full {
    const HOST: Ordering = Ordering::SeqCst;
}

impl MemoryBarrier for Read {
    const HOST: Ordering = Ordering::Acquire;
}

impl MemoryBarrier for Write {
    const HOST: Ordering = Ordering::Release;
}

/// A barrier between CPUs.
#[inline(always)]
pub fn smp_mb<T: MemoryBarrier>(_: T) {
    fence(T::HOST);
}
