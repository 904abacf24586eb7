// SPDX-License-Identifier: GPL-2.0

//! Memory allocation that may fail, and on a test's word does.

use std::cell::Cell;

mod kbox;
mod kvec;

pub use kbox::{
    Box,
    KBox,
    KVBox,
    VBox,
    Zeroable, //
};
pub use kvec::{
    DrainAll,
    InsertError,
    IntoIter,
    KVVec,
    KVec,
    PushError,
    RemoveError,
    VVec,
    Vec, //
};

/// Indicates an allocation error.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct AllocError;

/// Flags to be used when allocating memory; the host ignores them.
#[derive(Clone, Copy, PartialEq)]
pub struct Flags(u32);

impl Flags {
    /// Whether all of `flags` are set.
    pub fn contains(self, flags: Flags) -> bool {
        self.0 & flags.0 == flags.0
    }
}

impl core::ops::BitOr for Flags {
    type Output = Self;
    fn bitor(self, rhs: Self) -> Self::Output {
        Self(self.0 | rhs.0)
    }
}

impl core::ops::BitAnd for Flags {
    type Output = Self;
    fn bitand(self, rhs: Self) -> Self::Output {
        Self(self.0 & rhs.0)
    }
}

impl core::ops::Not for Flags {
    type Output = Self;
    fn not(self) -> Self::Output {
        Self(!self.0)
    }
}

/// Allocation flags.
pub mod flags {
    use super::Flags;

    /// Zeroes out the allocated memory.
    pub const __GFP_ZERO: Flags = Flags(1);
    /// Users can not sleep and need the allocation to succeed.
    pub const GFP_ATOMIC: Flags = Flags(2);
    /// Typical for kernel-internal allocations.
    pub const GFP_KERNEL: Flags = Flags(4);
    /// The same as [`GFP_KERNEL`], except the allocation is accounted to kmemcg.
    pub const GFP_KERNEL_ACCOUNT: Flags = Flags(4 | 8);
    /// For kernel allocations that should not stall.
    pub const GFP_NOWAIT: Flags = Flags(16);
    /// Suppresses allocation failure reports.
    pub const __GFP_NOWARN: Flags = Flags(32);
}

/// Markers of the kernel's allocators, so that types read the same; all of them are the host's heap.
pub mod allocator {
    /// The contiguous kernel allocator.
    pub struct Kmalloc;
    /// The virtually contiguous kernel allocator.
    pub struct Vmalloc;
    /// [`Kmalloc`], and [`Vmalloc`] where that fails.
    pub struct KVmalloc;
}

/// What [`Vec`] and [`Box`] are generic over.
pub trait Allocator: 'static {}

impl Allocator for allocator::Kmalloc {}
impl Allocator for allocator::Vmalloc {}
impl Allocator for allocator::KVmalloc {}

thread_local! {
    /// Allocations that still succeed; `None`: all of them.
    static LEFT: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Makes this thread's allocations fail once `n` more have succeeded, until the returned guard drops.
///
/// A test makes each allocation of an operation fail in turn by counting `n` up until the operation succeeds.
#[must_use]
pub fn fail_after(n: u64) -> FailGuard {
    FailGuard(LEFT.replace(Some(n)))
}

/// Ends what [`fail_after`] began.
pub struct FailGuard(Option<u64>);

impl Drop for FailGuard {
    fn drop(&mut self) {
        LEFT.set(self.0);
    }
}

/// Whether one more allocation succeeds.
pub(crate) fn attempt() -> Result<(), AllocError> {
    match LEFT.get() {
        None => Ok(()),
        Some(0) => Err(AllocError),
        Some(left) => {
            LEFT.set(Some(left - 1));
            Ok(())
        }
    }
}
