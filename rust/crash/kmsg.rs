// SPDX-License-Identifier: GPL-2.0

//! Hearing of the moments at which the kernel's log should be saved.
//!
//! C header: [`include/linux/kmsg_dump.h`](srctree/include/linux/kmsg_dump.h)
//!
//! Dumpers are called in the order of their registration. In a panic that is after the panic
//! notifiers, so who must come after another dumper (pstore's, say, which is registered whenever a
//! backend is) registers later, or once more. A dumper is not moved: it would have to leave the list
//! for a grace period, in which no panic would come to it.

// Everything here is generic or `#[inline]`: a module that does not use it has nothing of it.

use crate::{bindings, message, Stopped};
use core::mem::offset_of;
use kernel::{error::to_result, prelude::*, types::Opaque};

/// Why the log should be saved (`enum kmsg_dump_reason`), the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Reason {
    /// The kernel panics.
    Panic = bindings::kmsg_dump_reason_KMSG_DUMP_PANIC,
    /// It oopsed, and may live.
    Oops = bindings::kmsg_dump_reason_KMSG_DUMP_OOPS,
    /// An emergency restart.
    Emergency = bindings::kmsg_dump_reason_KMSG_DUMP_EMERG,
    /// A restart, halt or power-off.
    Shutdown = bindings::kmsg_dump_reason_KMSG_DUMP_SHUTDOWN,
}

impl Reason {
    /// Reasons that this does not know are taken for the least urgent.
    #[inline]
    pub(crate) const fn from_c(reason: bindings::kmsg_dump_reason) -> Self {
        match reason {
            bindings::kmsg_dump_reason_KMSG_DUMP_PANIC => Self::Panic,
            bindings::kmsg_dump_reason_KMSG_DUMP_OOPS => Self::Oops,
            bindings::kmsg_dump_reason_KMSG_DUMP_EMERG => Self::Emergency,
            _ => Self::Shutdown,
        }
    }

    /// The proof of a panic, for who is called for that.
    ///
    /// # Safety
    ///
    /// For [`Reason::Panic`] as [`Stopped::go_on`].
    #[inline]
    pub(crate) unsafe fn stopped<'a>(self) -> Option<Stopped<'a>> {
        if self != Self::Panic {
            return None;
        }
        // SAFETY: The contract says the same.
        unsafe { Stopped::go_on() }
    }
}

/// Saves the log, or does what else has to come after those who do.
///
/// `'static`, because a dumper that is leaked stays on the list.
pub trait Dump: Send + Sync + 'static {
    /// The least urgent reason that this is called for.
    const MAX_REASON: Reason;

    /// The log should be saved now, for `reason`; `message` is that of the panic, or empty.
    ///
    /// For [`Reason::Panic`] this runs in [panic context](crate#panic-context), and `stopped` says so
    /// if a [panic notifier](crate::panic) is registered, which ran before; for [`Reason::Oops`] in
    /// the context of the oops, NMI included, with the other CPUs running; for the others with the
    /// kernel intact. Always inside an RCU read-side section: it must not sleep.
    fn dump(&self, reason: Reason, stopped: Option<Stopped<'_>>, message: &[u8]);
}

/// A registered dumper.
///
/// # Invariants
///
/// `dumper` has `call` as its function, and is on the kernel's list until `Drop`.
#[pin_data(PinnedDrop)]
pub struct Dumper<D: Dump> {
    #[pin]
    dumper: Opaque<bindings::kmsg_dumper>,
    dump: D,
}

// SAFETY: The list has its own lock; the dump is `Send`.
unsafe impl<D: Dump> Send for Dumper<D> {}
// SAFETY: Only the dump can be reached, and it is `Sync`; the list's lock serialises the rest.
unsafe impl<D: Dump> Sync for Dumper<D> {}

impl<D: Dump> Dumper<D> {
    /// Registers `dump`, after those that are registered.
    pub fn new(dump: D) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // A panic may come as soon as the dumper is on the list: this is in place before.
            dump,
            dumper <- Opaque::try_ffi_init(|slot: *mut bindings::kmsg_dumper| {
                let dumper = bindings::kmsg_dumper {
                    dump: Some(Self::call),
                    max_reason: D::MAX_REASON as bindings::kmsg_dump_reason,
                    ..pin_init::zeroed()
                };
                // SAFETY: `slot` is memory for a dumper, which `try_ffi_init` lends us for writing.
                unsafe { slot.write(dumper) };
                // INVARIANT: If this succeeds the dumper is on the list.
                // SAFETY: The dumper is pinned, and `Drop` takes it off the list before its memory
                // goes.
                to_result(unsafe { bindings::kmsg_dump_register(slot) })
            }),
        })
    }

    /// What was registered.
    pub fn get(&self) -> &D {
        &self.dump
    }

    /// # Safety
    ///
    /// Called by `kmsg_dump_desc()` with a dumper of a `Dumper<D>`, and what happened.
    unsafe extern "C" fn call(
        dumper: *mut bindings::kmsg_dumper,
        detail: *mut bindings::kmsg_dump_detail,
    ) {
        // SAFETY: Only `new` registers this function, with the dumper inside of a `Self`. That is in
        // place while the dumper is on the list, and `Drop` waits for us before it goes.
        let this = unsafe { &*dumper.byte_sub(offset_of!(Self, dumper)).cast::<Self>() };
        // SAFETY: The detail is on the caller's stack, which changes it no more.
        let (reason, message) = unsafe { ((*detail).reason, (*detail).description) };
        let reason = Reason::from_c(reason);
        // SAFETY: `panic()` alone dumps for this reason, on its own CPU after its notifiers. The callee
        // cannot keep what it gets, whatever its lifetime.
        let stopped = unsafe { reason.stopped() };
        // SAFETY: Null or `panic()`'s own static buffer, which has a NUL.
        let message = unsafe { message::bytes(message) };
        this.dump.dump(reason, stopped, message);
    }
}

#[pinned_drop]
impl<D: Dump> PinnedDrop for Dumper<D> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: `new` has put the dumper on the list. This waits for a grace period, so that nobody
        // is in `call` when the memory goes.
        unsafe { bindings::kmsg_dump_unregister(self.dumper.get()) };
    }
}
