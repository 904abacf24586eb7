// SPDX-License-Identifier: GPL-2.0

//! Memory orderings as types.
//!
//! [`Full`] is `SeqCst` here, which is weaker than the kernel's full barrier: what holds on the host holds there.

/// The annotation type for relaxed memory ordering.
pub struct Relaxed;
/// The annotation type for acquire memory ordering.
pub struct Acquire;
/// The annotation type for release memory ordering.
pub struct Release;
/// The annotation type for fully-ordered memory ordering.
pub struct Full;

mod internal {
    pub trait Sealed {}

    impl Sealed for super::Relaxed {}
    impl Sealed for super::Acquire {}
    impl Sealed for super::Release {}
    impl Sealed for super::Full {}
}

/// The ordering of an operation.
pub trait Ordering: internal::Sealed {
    /// In the host's terms, on success.
    #[doc(hidden)]
    const HOST: core::sync::atomic::Ordering;
}

macro_rules! impl_ordering {
    ($($ty:ident => $host:ident),+ $(,)?) => {
        $(impl Ordering for $ty {
            const HOST: core::sync::atomic::Ordering = core::sync::atomic::Ordering::$host;
        })+
    };
}

impl_ordering!(Relaxed => Relaxed, Acquire => Acquire, Release => Release, Full => SeqCst);

/// The orderings that a load may have.
pub trait AcquireOrRelaxed: Ordering {}

impl AcquireOrRelaxed for Acquire {}
impl AcquireOrRelaxed for Relaxed {}

/// The orderings that a store may have.
pub trait ReleaseOrRelaxed: Ordering {}

impl ReleaseOrRelaxed for Release {}
impl ReleaseOrRelaxed for Relaxed {}
