// SPDX-License-Identifier: GPL-2.0

//! The proof that the machine has stopped.

use core::marker::PhantomData;

/// The kernel panics and has stopped the other CPUs: this CPU is the only one that runs, in
/// [panic context](crate#panic-context), and nothing that was running goes on afterwards.
///
/// Handed to the callbacks of [`crate::panic`], [`crate::kmsg`] and [`crate::pstore`] by those who
/// are called by `panic()` itself; it ends with that call and stays on that CPU.
///
/// A CPU that does not answer the kernel's stop runs on, and stays marked online. `panic()` goes on
/// all the same, and so does this; a [lane](crate::lane) takes that for a reason to refuse.
///
/// # Invariants
///
/// It exists within a call by `panic()`, on the CPU that panics, after it has stopped the others;
/// [`vfs::stopped`] is set.
#[derive(Clone, Copy)]
pub struct Stopped<'a>(
    // The pointer keeps it on its CPU: it is neither `Send` nor `Sync`.
    PhantomData<(&'a (), *mut ())>,
);

impl Stopped<'_> {
    /// Says so to everybody who asks [`vfs::stopped`], before anything else is done.
    ///
    /// # Safety
    ///
    /// Called by `panic()`, through its notifier list, which it runs on the CPU that panics and after
    /// it has stopped the others; the lifetime ends within that call.
    #[inline]
    pub(crate) unsafe fn begin() -> Self {
        // SAFETY: `panic()` has stopped the others and does not return: whoever waits on any CPU,
        // this one included, has run for the last time.
        unsafe { vfs::stopped::set() };
        // INVARIANT: By the contract, and set just now.
        Self(PhantomData)
    }

    /// The same later in a panic that [`Self::begin`] was called in; none if it was not, as with no
    /// panic notifier of this crate registered.
    ///
    /// # Safety
    ///
    /// Called by `panic()`, on the CPU that panics, after the notifiers; the lifetime ends within that
    /// call.
    #[inline]
    pub(crate) unsafe fn go_on() -> Option<Self> {
        // INVARIANT: Only `begin` sets it, in this panic: there is one.
        vfs::stopped::is_set().then_some(Self(PhantomData))
    }
}
