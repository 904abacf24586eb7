// SPDX-License-Identifier: GPL-2.0

//! What an [`super::Atomic`] holds: a `std` atomic, or under `cfg(loom)` one of loom's.
//!
//! `Atomic::new` is `const` in the kernel and loom's is not, so a loom atomic is made at its first access.
//! loom takes that access for the object's creation: a loom test must touch each atomic (a load is enough)
//! before it spawns threads, or loom reports a causality violation that is not there.

use core::sync::atomic::Ordering;

#[cfg(loom)]
use loom::sync::atomic as host;
#[cfg(not(loom))]
use std::sync::atomic as host;

mod internal {
    pub trait Sealed {}
}

/// Types that support atomic operations: those that a `std` atomic of the same layout holds.
pub trait AtomicType: internal::Sealed + Copy + 'static {
    #[doc(hidden)]
    type Host;
    #[doc(hidden)]
    fn host(v: Self) -> Self::Host;
    #[doc(hidden)]
    fn load(cell: &Self::Host, o: Ordering) -> Self;
    #[doc(hidden)]
    fn store(cell: &Self::Host, v: Self, o: Ordering);
    #[doc(hidden)]
    fn swap(cell: &Self::Host, v: Self, o: Ordering) -> Self;
    #[doc(hidden)]
    fn compare_exchange(cell: &Self::Host, old: Self, new: Self, o: Ordering)
        -> Result<Self, Self>;
}

/// Types that support atomic addition of an `Rhs`.
pub trait AtomicAdd<Rhs = Self>: AtomicType {
    #[doc(hidden)]
    fn fetch_add(cell: &Self::Host, v: Rhs, o: Ordering) -> Self;
    #[doc(hidden)]
    fn fetch_sub(cell: &Self::Host, v: Rhs, o: Ordering) -> Self;
}

macro_rules! impl_type {
    ($($ty:ident => $host:ident),+ $(,)?) => {
        $(
            impl internal::Sealed for $ty {}

            impl AtomicType for $ty {
                type Host = host::$host;

                fn host(v: Self) -> Self::Host {
                    host::$host::new(v)
                }

                #[inline(always)]
                fn load(cell: &Self::Host, o: Ordering) -> Self {
                    cell.load(o)
                }

                #[inline(always)]
                fn store(cell: &Self::Host, v: Self, o: Ordering) {
                    cell.store(v, o);
                }

                #[inline(always)]
                fn swap(cell: &Self::Host, v: Self, o: Ordering) -> Self {
                    cell.swap(v, o)
                }

                #[inline(always)]
                fn compare_exchange(
                    cell: &Self::Host,
                    old: Self,
                    new: Self,
                    o: Ordering,
                ) -> Result<Self, Self> {
                    cell.compare_exchange(old, new, o, Ordering::Relaxed)
                }
            }
        )+
    };
}

macro_rules! impl_add {
    ($($ty:ident),+ $(,)?) => {
        $(impl AtomicAdd<$ty> for $ty {
            #[inline(always)]
            fn fetch_add(cell: &Self::Host, v: $ty, o: Ordering) -> Self {
                cell.fetch_add(v, o)
            }

            #[inline(always)]
            fn fetch_sub(cell: &Self::Host, v: $ty, o: Ordering) -> Self {
                cell.fetch_sub(v, o)
            }
        })+
    };
}

impl_type! {
    bool => AtomicBool, i8 => AtomicI8, i16 => AtomicI16, i32 => AtomicI32, i64 => AtomicI64,
    isize => AtomicIsize, u32 => AtomicU32, u64 => AtomicU64, usize => AtomicUsize,
}

// The types that the kernel can add to: not `i8` and `i16`.
impl_add!(i32, i64, isize, u32, u64, usize);

#[cfg(not(loom))]
#[allow(unsafe_code)]
mod imp {
    use super::AtomicType;

    /// Storage for one atomic.
    pub(crate) struct Cell<T: AtomicType>(T::Host);

    impl<T: AtomicType> Cell<T> {
        pub(crate) const fn new(v: T) -> Self {
            const { assert!(size_of::<T>() == size_of::<T::Host>()) };
            // SAFETY: `AtomicType` is sealed, and each `T::Host` in its table is the `std` atomic that is
            // documented to have the size and the bit validity of `T`; a conversion through the trait could
            // not be `const`.
            Self(unsafe { core::mem::transmute_copy::<T, T::Host>(&v) })
        }

        #[inline(always)]
        pub(crate) fn get(&self) -> &T::Host {
            &self.0
        }
    }
}

#[cfg(loom)]
mod imp {
    use super::AtomicType;
    use std::sync::OnceLock;

    /// Storage for one atomic, made at its first access.
    pub(crate) struct Cell<T: AtomicType>(T, OnceLock<T::Host>);

    impl<T: AtomicType> Cell<T> {
        pub(crate) const fn new(v: T) -> Self {
            Self(v, OnceLock::new())
        }

        pub(crate) fn get(&self) -> &T::Host {
            self.1.get_or_init(|| T::host(self.0))
        }
    }
}

pub(crate) use imp::Cell;
