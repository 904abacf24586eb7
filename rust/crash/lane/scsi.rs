// SPDX-License-Identifier: GPL-2.0

//! What SCSI wants of a request beside what blk-mq does.
//!
//! C headers: [`include/scsi/scsi_cmnd.h`](srctree/include/scsi/scsi_cmnd.h),
//! [`include/scsi/scsi_device.h`](srctree/include/scsi/scsi_device.h),
//! [`include/scsi/scsi_host.h`](srctree/include/scsi/scsi_host.h)
//!
//! The lane's request is used for command after command. That is sound for `struct scsi_cmnd` too:
//! with `rq_flags` and state as of a request that was just allocated, `scsi_queue_rq()` sets all of
//! it anew but what `crash_helper_scsi_fill` sets, and what a command holds is let go of before its
//! request ends, because SCSI counts on the request being freed then: the scatter list (which for
//! one segment is inside of the command), the mark that it is in flight, and the budget, which is
//! a token in a bitmap as large as the device's queue is deep and is taken anew for each command.
//! A command that is turned down has given its budget back, too.
//!
//! SCSI's device and host are there as long as the queue is not dying: at a panic that is seen once, in
//! [`Queue::is_unused`] or [`Queue::is_going`], and nobody is left who could take them down; in process
//! context the queue is in use.

use super::queue::{InUse, Queue};
use crate::{bindings, Stopped};

/// How often a command is sent that the device answers with something else.
pub(super) const TRIES: u8 = 4;

/// What a command has come to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was executed.
    Done,
    /// The device had to tell something else first (a unit attention, a reset): send it again.
    Again,
    /// It was not executed.
    Failed,
}

/// # Safety
///
/// The queue is that of a disk of SCSI's `sd`, whose device nobody takes away meanwhile.
unsafe fn state(queue: &Queue) -> bindings::crash_scsi_state {
    // SAFETY: The data of the queue of `sd`'s disk is a SCSI device, which keeps its target and host. What
    // is read are words of theirs.
    unsafe { bindings::crash_helper_scsi_state(queue.as_ptr()) }
}

/// Whether commands to the device take the way that was proven.
///
/// # Safety
///
/// The queue is that of a disk of SCSI's `sd`.
pub(super) unsafe fn is_plain(queue: &InUse<'_>) -> bool {
    // SAFETY: Whose disk it is says our contract; who takes the device away waits until the queue is
    // not in use.
    let state = unsafe { state(queue.queue()) };
    state != bindings::crash_scsi_state_CRASH_SCSI_NOT_PLAIN
}

/// Why no command is to be sent now, if so.
///
/// # Safety
///
/// The queue is that of a disk of SCSI's `sd`, and was seen not to be unused or not to be going.
pub(super) unsafe fn refusal(queue: &Queue, _: Stopped<'_>) -> Option<&'static str> {
    // SAFETY: The device was not taken away, by the contract, and nobody is left who could do that.
    match unsafe { state(queue) } {
        bindings::crash_scsi_state_CRASH_SCSI_READY => None,
        bindings::crash_scsi_state_CRASH_SCSI_RECOVERY => Some("recovery"),
        bindings::crash_scsi_state_CRASH_SCSI_NOT_RUNNING => Some("not-running"),
        bindings::crash_scsi_state_CRASH_SCSI_FULL => Some("queue-stopped"),
        bindings::crash_scsi_state_CRASH_SCSI_NO_BUDGET => Some("no-tag"),
        _ => Some("driver"),
    }
}

/// Whether commands in flight may be completed here: not if they are the error handler's, nor if the
/// device is not running, as its driver may have taken down its queues to sleep.
///
/// # Safety
///
/// As [`refusal`].
pub(super) unsafe fn may_collect(queue: &Queue, _: Stopped<'_>) -> bool {
    // SAFETY: The device was not taken away, by the contract, and nobody is left who could do that.
    let state = unsafe { state(queue) };
    matches!(
        state,
        bindings::crash_scsi_state_CRASH_SCSI_READY
            | bindings::crash_scsi_state_CRASH_SCSI_FULL
            | bindings::crash_scsi_state_CRASH_SCSI_NO_BUDGET
    )
}

/// Keeps completions from doing anything for later.
///
/// # Safety
///
/// As [`refusal`].
pub(super) unsafe fn prepare(queue: &Queue, _: Stopped<'_>) {
    // SAFETY: The device is there as for `refusal()`; nobody else changes the fields that this does.
    unsafe { bindings::crash_helper_scsi_prepare_at_panic(queue.as_ptr()) };
}

/// Takes a budget for `rq`, which is then to be sent; false if there is none, or no room.
///
/// # Safety
///
/// As [`refusal`]; `rq` is a request of the queue, ours, and not in the driver.
pub(super) unsafe fn take_budget(
    queue: &Queue,
    rq: *mut bindings::request,
    stopped: Stopped<'_>,
) -> bool {
    // SAFETY: The device is there as for `refusal()`, and the request ours. A budget is free, for
    // `refusal` says that there are fewer in use than the device's queue is deep, and nobody else takes
    // any: so this takes no more than a bit.
    unsafe {
        if refusal(queue, stopped).is_some() {
            return false;
        }
        let token = bindings::crash_helper_mq_get_budget(queue.as_ptr());
        if token < 0 {
            return false;
        }
        bindings::crash_helper_mq_set_budget(rq, token);
    }
    true
}

/// Makes the request, whose operation, place and length are set, a SCSI command.
///
/// # Safety
///
/// `rq` is a request of the queue of a disk of `sd`, ours, and not in the driver.
pub(super) unsafe fn fill(rq: *mut bindings::request) {
    // SAFETY: A SCSI command lies behind a request of such a queue. Both are ours, and nobody else uses
    // them.
    unsafe { bindings::crash_helper_scsi_fill(rq) };
}

/// What the command has come to.
///
/// # Safety
///
/// As [`fill`], and the request has ended since.
pub(super) unsafe fn outcome(rq: *mut bindings::request) -> Outcome {
    // SAFETY: The command behind the request is as SCSI left it, for our `end_io` keeps the request
    // from being freed.
    match unsafe { bindings::crash_helper_scsi_outcome(rq) } {
        bindings::crash_scsi_outcome_CRASH_SCSI_DONE => Outcome::Done,
        bindings::crash_scsi_outcome_CRASH_SCSI_AGAIN => Outcome::Again,
        _ => Outcome::Failed,
    }
}
