// SPDX-License-Identifier: GPL-2.0

//! Hearing of a panic.
//!
//! C header: [`include/linux/panic_notifier.h`](srctree/include/linux/panic_notifier.h)

// Everything here is generic or `#[inline]`: a module that does not use it has nothing of it.

use crate::{bindings, message, refault, Stopped};
use core::mem::offset_of;
use kernel::{error::to_result, prelude::*, types::Opaque};

/// Hears of panics.
///
/// `'static`, because a registration that is leaked stays on the list.
pub trait Notifier: Send + Sync + 'static {
    /// Higher ones are called first. Hosts that stop the machine on a panic use `i32::MAX`.
    const PRIORITY: i32 = 0;

    /// The kernel panics with `message`. Runs in [panic context](crate#panic-context).
    ///
    /// From now on [`vfs::stopped`] is set: completions of that crate's I/O tell their observers and do
    /// nothing else.
    ///
    /// It is called again if somebody faults while the kernel panics and a [`Die`](crate::die::Die) has the
    /// panic resumed.
    fn notify(&self, stopped: Stopped<'_>, message: &[u8]);
}

/// A registered panic notifier.
///
/// # Invariants
///
/// `block` is on the panic notifier list, with `call` as its function, until `Drop`.
#[pin_data(PinnedDrop)]
pub struct Registration<N: Notifier> {
    #[pin]
    block: Opaque<bindings::notifier_block>,
    notifier: N,
}

// SAFETY: The list has its own lock; the notifier is `Send`.
unsafe impl<N: Notifier> Send for Registration<N> {}
// SAFETY: Only the notifier can be reached, and it is `Sync`.
unsafe impl<N: Notifier> Sync for Registration<N> {}

impl<N: Notifier> Registration<N> {
    /// Registers `notifier`.
    ///
    /// # Errors
    ///
    /// `EEXIST` never: the block is new. What else the list says.
    pub fn new(notifier: N) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // The panic may come as soon as the block is on the list: the notifier is in place
            // before.
            notifier,
            block <- Opaque::try_ffi_init(|slot: *mut bindings::notifier_block| {
                let block = bindings::notifier_block {
                    notifier_call: Some(Self::call),
                    priority: N::PRIORITY,
                    ..pin_init::zeroed()
                };
                // SAFETY: `slot` is memory for a block, which `try_ffi_init` lends us for writing.
                unsafe { slot.write(block) };
                // INVARIANT: If this succeeds the block is on the list.
                // SAFETY: The block is pinned, and `Drop` takes it off the list before its memory
                // goes.
                to_result(unsafe { bindings::atomic_notifier_chain_register(list(), slot) })
            }),
        })
    }

    /// # Safety
    ///
    /// Called by `panic()` through the notifier list, with a block of a `Registration<N>` and its
    /// message.
    unsafe extern "C" fn call(
        block: *mut bindings::notifier_block,
        _action: c_ulong,
        data: *mut c_void,
    ) -> c_int {
        // SAFETY: Only `new` registers this function, with the block inside of a `Self`. That is in
        // place while the block is on the list, and `Drop` waits for us before it goes.
        let this = unsafe { &*block.byte_sub(offset_of!(Self, block)).cast::<Self>() };
        // SAFETY: Nobody but `panic()` calls this list, and it does so on its own CPU once it has
        // stopped the others. The callee cannot keep what it gets, whatever its lifetime.
        let stopped = unsafe { Stopped::begin() };
        // SAFETY: `panic()` passes its own static buffer, which has a NUL.
        let message = unsafe { message::bytes(data.cast()) };
        this.notifier.notify(stopped, message);
        if refault::leaves_out_others() {
            bindings::NOTIFY_STOP as c_int
        } else {
            bindings::NOTIFY_DONE as c_int
        }
    }
}

#[pinned_drop]
impl<N: Notifier> PinnedDrop for Registration<N> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: `new` has put the block on this list. This waits for a grace period, so that
        // nobody is in `call` when the memory goes.
        unsafe { bindings::atomic_notifier_chain_unregister(list(), self.block.get()) };
    }
}

#[inline]
fn list() -> *mut bindings::atomic_notifier_head {
    &raw mut bindings::panic_notifier_list
}
