// SPDX-License-Identifier: GPL-2.0

//! Hearing of an oops or another exception.
//!
//! C header: [`include/linux/kdebug.h`](srctree/include/linux/kdebug.h)
//!
//! The kernel may live on, and the other CPUs run. So a [`Die`] is proof of less than a
//! [`Stopped`](crate::Stopped): of the task that dies, and of what this CPU does, nothing more.

// Everything here is generic or `#[inline]`: a module that does not use it has nothing of it.

use crate::{bindings, message};
use core::mem::offset_of;
use kernel::{error::to_result, prelude::*, types::Opaque};

/// Return addresses that are looked at, those of the notifier included.
const STACK_ENTRIES: usize = 64;

/// An oops or another exception (`struct die_args`) of the current task.
///
/// # Invariants
///
/// It exists during the notifier's call, on the CPU that met the exception, in an RCU read-side
/// section. `regs` is null or valid.
pub struct Die<'a> {
    /// `DIE_*`; [`Die::OOPS`] is the one that kills.
    pub kind: u32,
    /// What the kernel calls it.
    pub message: &'a [u8],
    // A pointer, so that this is neither `Send` nor `Sync`: it stays on its CPU.
    regs: *const bindings::pt_regs,
}

impl Die<'_> {
    /// The kernel oopsed.
    pub const OOPS: u32 = bindings::die_val_DIE_OOPS;

    /// Whether code of `module` was running, or had called what was.
    #[inline]
    pub fn concerns(&self, module: &ThisModule) -> bool {
        // SAFETY: `regs` is null or those of the exception, which stay on the stack while it is
        // handled.
        let ip = unsafe { bindings::crash_helper_instruction_pointer(self.regs) };
        let within = |&ip: &usize| {
            // SAFETY: Who has a `ThisModule` has a module that is loaded; its addresses do not
            // change.
            unsafe { bindings::crash_helper_within_module(ip, module.as_ptr()) }
        };
        let mut stack = [0usize; STACK_ENTRIES];
        // SAFETY: There is room for so many entries. The unwinder reads this task's stack and static
        // tables, without a lock: it is the one that the oops itself is printed with.
        unsafe { bindings::stack_trace_save(stack.as_mut_ptr(), STACK_ENTRIES as u32, 0) };
        // First comes how the notifier was called, which may be by this very module; then where it
        // happened.
        within(&ip) || stack.iter().skip_while(|&&at| at != ip).any(within)
    }
}

/// Hears of exceptions.
///
/// `'static`, because a registration that is leaked stays on the list.
pub trait DieNotifier: Send + Sync + 'static {
    /// Higher ones are called first.
    const PRIORITY: i32 = 0;

    /// An exception happened. Called for NMIs and debug traps too, many times a second on some
    /// machines: look at [`Die::kind`] first. Context: any, NMI included; nothing that is not safe
    /// in [panic context](crate#panic-context).
    fn notify(&self, event: &Die<'_>);
}

/// A registered die notifier.
///
/// # Invariants
///
/// `block` is on the die notifier list, with `call` as its function, until `Drop`.
#[pin_data(PinnedDrop)]
pub struct DieRegistration<N: DieNotifier> {
    #[pin]
    block: Opaque<bindings::notifier_block>,
    notifier: N,
}

// SAFETY: The list has its own lock; the notifier is `Send`.
unsafe impl<N: DieNotifier> Send for DieRegistration<N> {}
// SAFETY: Only the notifier can be reached, and it is `Sync`.
unsafe impl<N: DieNotifier> Sync for DieRegistration<N> {}

impl<N: DieNotifier> DieRegistration<N> {
    /// Registers `notifier`.
    pub fn new(notifier: N) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // As for panics: in place before the block is on the list.
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
                to_result(unsafe { bindings::register_die_notifier(slot) })
            }),
        })
    }

    /// # Safety
    ///
    /// Called by `notify_die()` through the notifier list, with a block of a `DieRegistration<N>` and
    /// a `die_args`.
    unsafe extern "C" fn call(
        block: *mut bindings::notifier_block,
        action: c_ulong,
        data: *mut c_void,
    ) -> c_int {
        // SAFETY: Only `new` registers this function, with the block inside of a `Self`. That is in
        // place while the block is on the list, and `Drop` waits for us before it goes.
        let this = unsafe { &*block.byte_sub(offset_of!(Self, block)).cast::<Self>() };
        // SAFETY: `notify_die()` passes arguments on its own stack, and changes them no more.
        let args = unsafe { &*data.cast::<bindings::die_args>() };
        this.notifier.notify(&Die {
            kind: action as u32,
            // SAFETY: Callers of `notify_die()` give a string that outlives it: a constant, or a
            // buffer on their stack.
            message: unsafe { message::bytes(args.str_) },
            // INVARIANT: The list is walked under the RCU read lock, on the CPU of the exception,
            // and callers of `notify_die()` have valid registers, if any.
            regs: args.regs,
        });
        bindings::NOTIFY_DONE as c_int
    }
}

#[pinned_drop]
impl<N: DieNotifier> PinnedDrop for DieRegistration<N> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: `new` has put the block on the list. This waits for a grace period, so that nobody
        // is in `call` when the memory goes.
        unsafe { bindings::unregister_die_notifier(self.block.get()) };
    }
}
