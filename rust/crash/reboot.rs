// SPDX-License-Identifier: GPL-2.0

//! Hearing of an orderly reboot, halt or power-off.
//!
//! C header: [`include/linux/reboot.h`](srctree/include/linux/reboot.h)
//!
//! `reboot(2)` calls the notifiers first, one after the other, and then stops devices and the machine.
//! Processes still run, nothing was synced or unmounted unless somebody has done so. A notifier that
//! does not return keeps the machine from rebooting.

use crate::bindings;
use core::mem::offset_of;
use kernel::{error::to_result, prelude::*, types::Opaque};

/// What the machine is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Restart, into firmware or by kexec.
    Restart,
    /// Halt.
    Halt,
    /// Switch the power off.
    PowerOff,
}

impl Event {
    fn from_code(code: c_ulong) -> Self {
        match code as u32 {
            bindings::CRASH_CONST_SYS_HALT => Event::Halt,
            bindings::CRASH_CONST_SYS_POWER_OFF => Event::PowerOff,
            _ => Event::Restart,
        }
    }

    /// Name, for messages.
    pub fn name(self) -> &'static str {
        match self {
            Event::Restart => "restart",
            Event::Halt => "halt",
            Event::PowerOff => "power-off",
        }
    }
}

/// Hears of reboots.
///
/// `'static`, because a registration that is leaked stays on the chain.
pub trait Notifier: Send + Sync + 'static {
    /// Higher ones are called first; among equals, those that were registered first.
    const PRIORITY: i32 = 0;

    /// The machine is about to stop. Process context; may sleep, for a limited time.
    ///
    /// Must not drop a [`Registration`]: that waits for this.
    fn notify(&self, event: Event);
}

/// A registered reboot notifier.
///
/// The chain keeps no reference on a notifier, and needs none: it is read-locked while notifiers run,
/// and leaving it takes the lock for writing. So a call is either over when `Drop` returns, or
/// never begins.
///
/// # Invariants
///
/// `block` is on the reboot notifier chain, with `call` as its function, until `Drop`.
#[pin_data(PinnedDrop)]
pub struct Registration<N: Notifier> {
    notifier: N,
    #[pin]
    block: Opaque<bindings::notifier_block>,
}

// SAFETY: The chain has its own lock; the notifier is `Send`.
unsafe impl<N: Notifier> Send for Registration<N> {}
// SAFETY: Only the notifier can be reached, and it is `Sync`.
unsafe impl<N: Notifier> Sync for Registration<N> {}

impl<N: Notifier> Registration<N> {
    /// Registers `notifier`. Waits for notifiers that are running.
    ///
    /// # Errors
    ///
    /// What the chain says; `EEXIST` never, because the block is new.
    pub fn new(notifier: N) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // The call may come as soon as the block is on the chain: the notifier is in place before.
            notifier,
            block <- Opaque::try_ffi_init(|slot: *mut bindings::notifier_block| {
                let block = bindings::notifier_block {
                    notifier_call: Some(Self::call),
                    priority: N::PRIORITY,
                    ..pin_init::zeroed()
                };
                // SAFETY: `slot` is memory for a block, which `try_ffi_init` lends us for writing.
                unsafe { slot.write(block) };
                // INVARIANT: If this succeeds the block is on the chain.
                // SAFETY: The block is pinned, and `Drop` takes it off the chain before its memory
                // goes.
                to_result(unsafe { bindings::register_reboot_notifier(slot) })
            }),
        })
    }

    /// # Safety
    ///
    /// Called by the chain with a block of a `Registration<N>`.
    unsafe extern "C" fn call(
        block: *mut bindings::notifier_block,
        action: c_ulong,
        _command: *mut c_void,
    ) -> c_int {
        // SAFETY: Only `new` registers this function, with the block inside of a `Self`. The chain is
        // read-locked here, and `Drop` has to lock it for writing before the memory goes.
        let this = unsafe { &*block.byte_sub(offset_of!(Self, block)).cast::<Self>() };
        this.notifier.notify(Event::from_code(action));
        bindings::NOTIFY_DONE as c_int
    }
}

#[pinned_drop]
impl<N: Notifier> PinnedDrop for Registration<N> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: `new` has put the block on the chain. This takes its lock for writing, so that nobody is
        // in `call` when the memory goes.
        unsafe { bindings::unregister_reboot_notifier(self.block.get()) };
    }
}
