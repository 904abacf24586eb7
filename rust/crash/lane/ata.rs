// SPDX-License-Identifier: GPL-2.0

//! What libata wants of a SATA disk's command beside what [SCSI](super::scsi) does.
//!
//! C header: [`include/linux/libata.h`](srctree/include/linux/libata.h)
//!
//! Each function is for panic context unless it says otherwise, and for the queue of a disk of SCSI's
//! `sd` on a port of the driver `ahci`: that is the contract of each that is unsafe. Port and
//! controller are there as long as the queue is not dying, and at a panic nobody is left who could
//! take them down: so it is not, which [`Queue::is_unused`] and [`Queue::is_going`] see, or in process
//! context [`Queue::while_alive`] sees to.

use super::{queue::Queue, vectors::Vector};
use crate::bindings;

/// Whether the port has the disk and nothing else; any context.
///
/// # Safety
///
/// See [the module](self).
pub(super) unsafe fn is_plain(queue: &Queue) -> bool {
    // SAFETY: By the contract.
    unsafe { bindings::crash_helper_ata_is_plain(queue.as_ptr()) }
}

/// Whether the handler of `vector` completes the disk's commands; any context.
///
/// # Safety
///
/// See [the module](self).
pub(super) unsafe fn is_handled_by(queue: &Queue, vector: &Vector) -> bool {
    // SAFETY: By the contract; the pointer is only compared.
    unsafe { bindings::crash_helper_ata_is_handled_by(queue.as_ptr(), vector.dev_id()) }
}

/// Why neither commands may be sent nor completed here, if so.
///
/// # Safety
///
/// See [the module](self).
pub(super) unsafe fn refusal(queue: &Queue) -> Option<&'static str> {
    // SAFETY: By the contract.
    unsafe {
        if bindings::crash_helper_ata_in_recovery(queue.as_ptr()) {
            Some("recovery")
        } else if bindings::crash_helper_ata_is_away(queue.as_ptr()) {
            Some("not-running")
        } else {
            None
        }
    }
}

/// Whether a flush, or another command, would be sent at once.
///
/// # Safety
///
/// See [the module](self).
pub(super) unsafe fn has_room(queue: &Queue, flush: bool) -> bool {
    // SAFETY: By the contract.
    unsafe { bindings::crash_helper_ata_has_room(queue.as_ptr(), flush) }
}

/// Whether the disk has been sent a command that was not found to be complete. A request that its CPU
/// was stopped with before, or that libata put aside, is none.
///
/// # Safety
///
/// See [the module](self).
pub(super) unsafe fn has_commands(queue: &Queue) -> bool {
    // SAFETY: By the contract.
    unsafe { bindings::crash_helper_ata_has_commands(queue.as_ptr()) }
}

/// Whether anybody holds the lock that sending and completing take.
///
/// # Safety
///
/// See [the module](self).
pub(super) unsafe fn is_locked(queue: &Queue) -> bool {
    // SAFETY: By the contract.
    unsafe { bindings::crash_helper_ata_is_locked(queue.as_ptr()) }
}

/// Has what is in flight on the whole controller completed where it is found, and nothing done for
/// later.
///
/// # Safety
///
/// See [the module](self); the lock is not held.
pub(super) unsafe fn prepare(queue: &Queue) {
    // SAFETY: By the contract, in panic context: nobody else changes what the lock protects.
    unsafe { bindings::crash_helper_ata_prepare_at_panic(queue.as_ptr()) };
}
