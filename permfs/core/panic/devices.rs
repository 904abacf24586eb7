// SPDX-License-Identifier: GPL-2.0

//! What the panic handler asks of block devices: to collect what is in flight, and to write.
//!
//! A *lane* is one prepared way to one volume's panic area, known by its number; it has a buffer as
//! large as a slot of the area and takes one request at a time. Every method is called in panic context,
//! never blocks, allocates or waits, and refuses a number that it does not know.

/// One request of a lane. Sectors have 512 bytes and count from the start of the volume's device; `at`
/// is a place in the lane's buffer, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneOp {
    /// Reads `len` bytes from `sector` into the buffer.
    Read {
        /// First sector.
        sector: u64,
        /// Place in the buffer.
        at: usize,
        /// Bytes.
        len: usize,
    },
    /// Writes `len` bytes of the buffer to `sector`.
    Write {
        /// First sector.
        sector: u64,
        /// Place in the buffer.
        at: usize,
        /// Bytes.
        len: usize,
    },
    /// Makes durable what was completed before.
    Flush,
}

/// What one round of collecting came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collected {
    /// There is no way to collect, or not in this context.
    NoWay,
    /// The driver holds no request of the device: nothing more will complete.
    DriverEmpty,
    /// More may complete.
    More,
}

/// The lanes of this kernel.
pub trait PanicDevices {
    /// How many hardware queues one round of [`Self::collect`] or [`Self::poll`] looks at, at most.
    fn queues(&self, lane: u32) -> u32;

    /// One round over all queues of the lane's device, in which completions are collected. Nothing of
    /// anybody else's is run but the device's driver.
    fn collect(&self, lane: u32) -> Collected;

    /// Whether the lane must not write now because of what others have in flight, and could once that has
    /// been collected.
    fn is_blocked(&self, lane: u32) -> bool;

    /// Why the lane must not write in this context, now; a word for panic lines. Once it may, what other
    /// lanes submit to the same queue does not change that.
    fn refusal(&self, lane: u32) -> Option<&'static str>;

    /// Copies `bytes` into the buffer. False if they do not fit there.
    fn stage(&self, lane: u32, at: usize, bytes: &[u8]) -> bool;

    /// Copies out of the buffer. False if it does not reach so far.
    fn peek(&self, lane: u32, at: usize, out: &mut [u8]) -> bool;

    /// Begins a request. Errors: why there is none, a word for panic lines.
    fn submit(&self, lane: u32, op: LaneOp) -> Result<(), &'static str>;

    /// One round of looking whether the request has completed; then its outcome, or a negative errno.
    fn poll(&self, lane: u32) -> Option<Result<(), i32>>;

    /// Gives up waiting. The request may still be in the device: it and the buffer are never used again.
    fn abandon(&self, lane: u32);
}
