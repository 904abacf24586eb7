// SPDX-License-Identifier: GPL-2.0

//! What a lane does at the moment.

use super::{queue::HwQueue, span::Span};
use crate::bindings;
use core::ptr;

/// Where the operation is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// There is none.
    Idle,
    /// A part of it is to be sent (again: the driver had no room).
    Waits,
    /// A part of it is in the device.
    Sent,
    /// There was nothing to send.
    Nothing,
    /// It was given up: the device may still write to the buffer and complete the request.
    Dead,
}

/// What the lane does at the moment.
///
/// # Invariants
///
/// `request` is null or a request of the lane's queue, ours for ever, and of `hw`; while the phase is
/// [`Phase::Sent`] or [`Phase::Dead`] the driver may use it.
pub(super) struct Flight {
    pub(super) phase: Phase,
    pub(super) request: *mut bindings::request,
    pub(super) hw: Option<HwQueue<'static>>,
    pub(super) op: u32,
    /// What is to be sent after `part`.
    pub(super) span: Span,
    pub(super) part: Span,
    /// How often this part may still be sent again.
    pub(super) tries: u8,
    /// The class was found to be safe once. This CPU stays where it is, and what it holds, it holds
    /// for ever: later calls come from deeper inside of the same panic.
    pub(super) granted: bool,
    /// Whether somebody had a request of a poll queue when that was asked first, which is before any lane has
    /// one.
    pub(super) others_poll: Option<bool>,
    /// Others' requests may be completed here, and are prepared for it.
    pub(super) collecting: bool,
    /// The device was told of what is in its queues.
    pub(super) told: bool,
}

impl Flight {
    pub(super) fn new() -> Self {
        // INVARIANT: There is no request yet.
        Self {
            phase: Phase::Idle,
            request: ptr::null_mut(),
            hw: None,
            op: 0,
            span: Span::EMPTY,
            part: Span::EMPTY,
            tries: 0,
            granted: false,
            others_poll: None,
            collecting: false,
            told: false,
        }
    }
}
