// SPDX-License-Identifier: GPL-2.0

//! What can be done with a lane, by its number, when the kernel panics.
//!
//! All of this takes a [`Stopped`]: only then are lanes not freed any more, and is what they look at
//! without a lock not changed by others. All of it is for panic context: it neither sleeps nor waits;
//! every loop is over the hardware queues or interrupts of one device. What it allocates: virtio asks
//! for a descriptor table with `GFP_ATOMIC` for each request, and does without if there is none.
//!
//! What others have in flight is set aside before anything of it can be found complete: the device's
//! driver completes it, and nothing of its owners' is run but what counts in this module. So a lane
//! whose owner holds any lock but the driver's waits for nobody.
//!
//! What is in flight when [`refusal`] is asked counts against a lane whose queue is shared; [`collect`]
//! makes room ([`is_blocked`]).

use super::{
    entered::Entered,
    flight::{Flight, Phase},
    span::Op,
};
use crate::Stopped;
use core::ptr;

pub use super::collect::Collected;

/// How many hardware queues one round of [`collect`] or [`poll`] looks at, at the most.
pub fn queues(stopped: Stopped<'_>, lane: u32) -> u32 {
    Entered::new(stopped, lane).map_or(0, |entered| entered.hw_queues)
}

/// One round of collecting what others have in flight on the whole device.
pub fn collect(stopped: Stopped<'_>, lane: u32) -> Collected {
    match Entered::new(stopped, lane) {
        Some(mut entered) => entered.with(|lane, flight| lane.collect(flight)),
        None => Collected::NoWay,
    }
}

/// Whether the lane may not write now because of what others have in flight, and may once that has
/// been collected.
pub fn is_blocked(stopped: Stopped<'_>, lane: u32) -> bool {
    Entered::new(stopped, lane).is_some_and(|mut entered| entered.with(|lane, _| lane.is_blocked()))
}

/// Why the lane may not write, here and now; none if it may. Once it may, what other lanes submit to
/// its queue does not change that.
pub fn refusal(stopped: Stopped<'_>, lane: u32) -> Option<&'static str> {
    match Entered::new(stopped, lane) {
        Some(mut entered) => entered.with(|lane, flight| lane.refusal(flight)),
        None => Some("no-lane"),
    }
}

/// Copies `bytes` to offset `at` of the buffer. False if that is out of range, or the buffer is in
/// use.
pub fn stage(stopped: Stopped<'_>, lane: u32, at: usize, bytes: &[u8]) -> bool {
    let Some(mut entered) = Entered::new(stopped, lane) else {
        return false;
    };
    entered.with(|lane, flight| {
        let Some(to) = lane.bytes(flight, at, bytes.len()) else {
            return false;
        };
        // SAFETY: So many bytes of the buffer are there. `busy` is ours, and the device does not have
        // them.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        true
    })
}

/// Copies from offset `at` of the buffer to `out`. False as [`stage`].
pub fn peek(stopped: Stopped<'_>, lane: u32, at: usize, out: &mut [u8]) -> bool {
    let Some(mut entered) = Entered::new(stopped, lane) else {
        return false;
    };
    entered.with(|lane, flight| {
        let Some(from) = lane.bytes(flight, at, out.len()) else {
            return false;
        };
        // SAFETY: So many bytes of the buffer are there, zeroed when it was made if not written since.
        // `busy` is ours, and the device does not have them.
        unsafe { ptr::copy_nonoverlapping(from, out.as_mut_ptr(), out.len()) };
        true
    })
}

/// Begins an operation, one at a time; [`poll`] until it has ended, or [`abandon`] it.
///
/// A flush of a device without a volatile cache ends at once.
///
/// # Errors
///
/// What [`refusal`] says; `busy`; `range`: not in the area or the buffer, or not whole blocks;
/// `no-tag`; `io-error`: the driver did not take it.
pub fn submit(stopped: Stopped<'_>, lane: u32, op: Op) -> Result<(), &'static str> {
    match Entered::new(stopped, lane) {
        Some(mut entered) => entered.with(|lane, flight| {
            if let Some(why) = lane.refusal(flight) {
                return Err(why);
            }
            // SAFETY: `refusal` has let it through.
            unsafe { lane.submit(flight, op) }
        }),
        None => Err("no-lane"),
    }
}

/// One round of collecting. None: the operation has not ended; an error is a negative errno.
pub fn poll(stopped: Stopped<'_>, lane: u32) -> Option<Result<(), i32>> {
    Entered::new(stopped, lane)?.with(|lane, flight| lane.poll(flight))
}

/// Gives an operation up. The device may still have it: request and buffer are not touched again,
/// and the lane refuses from now on.
pub fn abandon(stopped: Stopped<'_>, lane: u32) {
    if let Some(mut entered) = Entered::new(stopped, lane) {
        entered.with(|_, flight| flight.phase = Phase::Dead);
    }
}

impl Entered<'_> {
    /// `len` bytes of the buffer, if the device does not have it.
    fn bytes(&self, flight: &Flight, at: usize, len: usize) -> Option<*mut u8> {
        let idle = matches!(flight.phase, Phase::Idle | Phase::Nothing);
        self.buffer.at(at, len).filter(|_| idle)
    }
}
