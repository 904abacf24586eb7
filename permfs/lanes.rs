// SPDX-License-Identifier: GPL-2.0

//! The lanes of this kernel, as the panic handler sees them.
//!
//! There is none yet: every volume is told `none:not-built`, so the handler asks for none, and whoever asks
//! all the same is refused with that word.

use permfs_core::panic::{LaneInfo, LaneOp, PanicDevices};

const NOT_BUILT: &str = "not-built";

/// What a mount tells its slot.
pub(crate) const NO_LANE: LaneInfo = LaneInfo {
    number: None,
    collects: "none:not-built",
    writes: "none:not-built",
};

pub(crate) struct Lanes;

impl PanicDevices for Lanes {
    fn collect(&self, _lane: u32) -> Option<u32> {
        None
    }

    fn refusal(&self, _lane: u32) -> Option<&'static str> {
        Some(NOT_BUILT)
    }

    fn stage(&self, _lane: u32, _at: usize, _bytes: &[u8]) -> bool {
        false
    }

    fn peek(&self, _lane: u32, _at: usize, _out: &mut [u8]) -> bool {
        false
    }

    fn submit(&self, _lane: u32, _op: LaneOp) -> Result<(), &'static str> {
        Err(NOT_BUILT)
    }

    fn poll(&self, _lane: u32) -> Option<Result<(), i32>> {
        None
    }

    fn abandon(&self, _lane: u32) {}
}
