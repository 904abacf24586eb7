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
//! Each function is for panic context unless it says otherwise.

use super::queue::Queue;
use crate::bindings;

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
/// The queue is that of a disk of SCSI's `sd`.
unsafe fn state(queue: &Queue) -> bindings::crash_scsi_state {
    // SAFETY: By the contract; the open disk keeps its SCSI device and host.
    unsafe { bindings::crash_helper_scsi_state(queue.as_ptr()) }
}

/// Whether commands to the device take the way that was proven; any context.
///
/// # Safety
///
/// The queue is that of a disk of SCSI's `sd`.
pub(super) unsafe fn is_plain(queue: &Queue) -> bool {
    // SAFETY: By the contract.
    let state = unsafe { state(queue) };
    state != bindings::crash_scsi_state_CRASH_SCSI_NOT_PLAIN
}

/// Why no command is to be sent now, if so.
///
/// # Safety
///
/// As [`is_plain`].
pub(super) unsafe fn refusal(queue: &Queue) -> Option<&'static str> {
    // SAFETY: By the contract.
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
/// As [`is_plain`].
pub(super) unsafe fn may_collect(queue: &Queue) -> bool {
    // SAFETY: By the contract.
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
/// As [`is_plain`].
pub(super) unsafe fn prepare(queue: &Queue) {
    // SAFETY: By the contract, in panic context: nobody else changes these fields.
    unsafe { bindings::crash_helper_scsi_prepare_at_panic(queue.as_ptr()) };
}

/// Takes a budget for `rq`, which is then to be sent; false if there is none, or no room.
///
/// # Safety
///
/// As [`is_plain`]; `rq` is a request of the queue, ours, and not in the driver.
pub(super) unsafe fn take_budget(queue: &Queue, rq: *mut bindings::request) -> bool {
    // SAFETY: By the contract. A budget is free, for `refusal` says that there are fewer in use than
    // the device's queue is deep, and nobody else takes any: so this takes no more than a bit.
    unsafe {
        if refusal(queue).is_some() {
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
/// As [`take_budget`].
pub(super) unsafe fn fill(rq: *mut bindings::request) {
    // SAFETY: By the contract.
    unsafe { bindings::crash_helper_scsi_fill(rq) };
}

/// What the command has come to.
///
/// # Safety
///
/// As [`take_budget`], and the request has ended.
pub(super) unsafe fn outcome(rq: *mut bindings::request) -> Outcome {
    // SAFETY: By the contract: the command is as SCSI left it, for the request was not freed.
    match unsafe { bindings::crash_helper_scsi_outcome(rq) } {
        bindings::crash_scsi_outcome_CRASH_SCSI_DONE => Outcome::Done,
        bindings::crash_scsi_outcome_CRASH_SCSI_AGAIN => Outcome::Again,
        _ => Outcome::Failed,
    }
}
