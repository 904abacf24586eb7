// SPDX-License-Identifier: GPL-2.0

//! Atomic primitives, with the kernel's generic signatures; loom's under `cfg(loom)`.

use core::fmt;

mod cell;
pub mod ordering;

pub use cell::{
    AtomicAdd,
    AtomicType, //
};
pub use ordering::{
    Acquire,
    Full,
    Relaxed,
    Release, //
};

use cell::Cell;

/// A memory location which can be safely modified from multiple execution contexts.
pub struct Atomic<T: AtomicType>(Cell<T>);

impl<T: AtomicType> Atomic<T> {
    /// Creates a new atomic.
    pub const fn new(v: T) -> Self {
        Self(Cell::new(v))
    }

    /// Loads the value.
    #[inline(always)]
    pub fn load<Ordering: ordering::AcquireOrRelaxed>(&self, _: Ordering) -> T {
        T::load(self.0.get(), Ordering::HOST)
    }

    /// Stores a value.
    #[inline(always)]
    pub fn store<Ordering: ordering::ReleaseOrRelaxed>(&self, v: T, _: Ordering) {
        T::store(self.0.get(), v, Ordering::HOST);
    }

    /// Exchanges the value and returns the old one.
    #[inline(always)]
    pub fn xchg<Ordering: ordering::Ordering>(&self, v: T, _: Ordering) -> T {
        T::swap(self.0.get(), v, Ordering::HOST)
    }

    /// Stores `new` where the value is `old`; a failure orders nothing and returns the value found.
    #[inline(always)]
    pub fn cmpxchg<Ordering: ordering::Ordering>(
        &self,
        old: T,
        new: T,
        _: Ordering,
    ) -> Result<T, T> {
        T::compare_exchange(self.0.get(), old, new, Ordering::HOST)
    }

    /// Adds, wrapping.
    #[inline(always)]
    pub fn add<Rhs>(&self, v: Rhs, _: Relaxed)
    where
        T: AtomicAdd<Rhs>,
    {
        T::fetch_add(self.0.get(), v, <Relaxed as ordering::Ordering>::HOST);
    }

    /// Adds, wrapping, and returns the old value.
    #[inline(always)]
    pub fn fetch_add<Rhs, Ordering: ordering::Ordering>(&self, v: Rhs, _: Ordering) -> T
    where
        T: AtomicAdd<Rhs>,
    {
        T::fetch_add(self.0.get(), v, Ordering::HOST)
    }

    /// Subtracts, wrapping, and returns the old value.
    #[inline(always)]
    pub fn fetch_sub<Rhs, Ordering: ordering::Ordering>(&self, v: Rhs, _: Ordering) -> T
    where
        T: AtomicAdd<Rhs>,
    {
        T::fetch_sub(self.0.get(), v, Ordering::HOST)
    }
}

impl<T: AtomicType + fmt::Debug> fmt::Debug for Atomic<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.load(Relaxed).fmt(f)
    }
}

/// An atomic flag.
pub struct AtomicFlag(Atomic<bool>);

impl AtomicFlag {
    /// Creates a new flag.
    pub const fn new(b: bool) -> Self {
        Self(Atomic::new(b))
    }

    /// Loads the value.
    pub fn load<Ordering: ordering::AcquireOrRelaxed>(&self, o: Ordering) -> bool {
        self.0.load(o)
    }

    /// Stores a value.
    pub fn store<Ordering: ordering::ReleaseOrRelaxed>(&self, v: bool, o: Ordering) {
        self.0.store(v, o);
    }

    /// Exchanges the value and returns the old one.
    pub fn xchg<Ordering: ordering::Ordering>(&self, new: bool, o: Ordering) -> bool {
        self.0.xchg(new, o)
    }

    /// Stores `new` where the value is `old`.
    pub fn cmpxchg<Ordering: ordering::Ordering>(
        &self,
        old: bool,
        new: bool,
        o: Ordering,
    ) -> Result<bool, bool> {
        self.0.cmpxchg(old, new, o)
    }
}
