// SPDX-License-Identifier: GPL-2.0

//! What libata wants of a SATA disk's command beside what [SCSI](super::scsi) does.
//!
//! C header: [`include/linux/libata.h`](srctree/include/linux/libata.h)
//!
//! Port and controller are there as long as the queue's disk is: at a panic that is seen once, in
//! [`Queue::is_unused`] or [`Queue::is_going`], and nobody is left who could take them down; in process
//! context the queue is in use. In both the port is read as its interrupt's handler reads it, and in
//! a panic written as if its lock were held.

use super::{
    queue::{Aside, InUse, Queue},
    vectors::Vector,
};
use crate::{bindings, Stopped};

/// Whether the port has the disk and nothing else.
///
/// # Safety
///
/// The queue is that of a disk of SCSI's `sd` on a port of the driver `ahci`.
pub(super) unsafe fn is_plain(queue: &InUse<'_>) -> bool {
    // SAFETY: `sd`'s disk has a SCSI device, on a port as our contract says, which stays while the queue is
    // in use. What is read does not change before the device goes, but for the port's links, and these
    // are read as numbers.
    unsafe { bindings::crash_helper_ata_is_plain(queue.queue().as_ptr()) }
}

/// Whether the handler of `vector` completes the disk's commands.
///
/// # Safety
///
/// As [`is_plain`].
pub(super) unsafe fn is_handled_by(queue: &InUse<'_>, vector: &Vector) -> bool {
    // SAFETY: The port is there as for `is_plain()`; the pointer is only compared.
    unsafe { bindings::crash_helper_ata_is_handled_by(queue.queue().as_ptr(), vector.dev_id()) }
}

/// Why neither commands may be sent nor completed here, if so.
///
/// # Safety
///
/// The queue is that of a disk of SCSI's `sd` on a port of the driver `ahci`, and was seen not to be
/// unused or not to be going.
pub(super) unsafe fn refusal(queue: &Queue, _: Stopped<'_>) -> Option<&'static str> {
    // SAFETY: The port is there, because by the contract its queue was not taken down before the
    // machine stopped. Words of it are read.
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
/// As [`refusal`].
pub(super) unsafe fn has_room(queue: &Queue, flush: bool, _: Stopped<'_>) -> bool {
    // SAFETY: The port is there as for `refusal()`; words of it are read.
    unsafe { bindings::crash_helper_ata_has_room(queue.as_ptr(), flush) }
}

/// Whether the disk has been sent a command that was not found to be complete. A request that its CPU
/// was stopped with before, or that libata put aside, is none.
///
/// # Safety
///
/// As [`refusal`].
pub(super) unsafe fn has_commands(queue: &Queue, _: Stopped<'_>) -> bool {
    // SAFETY: The port is there as for `refusal()`; a word of it is read.
    unsafe { bindings::crash_helper_ata_has_commands(queue.as_ptr()) }
}

/// Whether anybody holds the lock that sending and completing take.
///
/// # Safety
///
/// As [`refusal`].
pub(super) unsafe fn is_locked(queue: &Queue, _: Stopped<'_>) -> bool {
    // SAFETY: The port is there as for `refusal()`, and with it its lock, which is only looked at.
    unsafe { bindings::crash_helper_ata_is_locked(queue.as_ptr()) }
}

/// Has what is in flight on the whole controller end as `aside` says, and nothing done for later.
///
/// # Safety
///
/// As [`refusal`], and the lock was seen not to be held.
pub(super) unsafe fn prepare(queue: &Queue, aside: Aside, _: Stopped<'_>) {
    // SAFETY: The port is there as for `refusal()`. What its lock protects is whole, for nobody was
    // stopped with it, and nobody else changes it any more.
    unsafe {
        bindings::crash_helper_ata_prepare_at_panic(queue.as_ptr(), aside.lane, aside.runs_steps)
    };
}
