// SPDX-License-Identifier: GPL-2.0

//! What the panic handler does with the volumes' lanes (`crash::lane`).
//!
//! All of it runs inside a panic, under the laws of `Documentation/panic-path.md`.

use crate::fault::stall;
use crash::{
    lane::{at_panic, Op},
    Stopped,
};
use permfs_core::panic::{Collected, LaneOp, PanicDevices};

/// The lanes, by number, inside a panic.
pub(crate) struct Lanes<'a>(pub(super) Stopped<'a>);

impl PanicDevices for Lanes<'_> {
    fn queues(&self, lane: u32) -> u32 {
        at_panic::queues(self.0, lane)
    }

    fn collect(&self, lane: u32) -> Collected {
        if stall::withheld() {
            return Collected::More;
        }
        stall::let_go(lane);
        match at_panic::collect(self.0, lane) {
            at_panic::Collected::NoWay => Collected::NoWay,
            at_panic::Collected::DriverEmpty => Collected::DriverEmpty,
            at_panic::Collected::More => Collected::More,
        }
    }

    fn is_blocked(&self, lane: u32) -> bool {
        at_panic::is_blocked(self.0, lane)
    }

    fn refusal(&self, lane: u32) -> Option<&'static str> {
        at_panic::refusal(self.0, lane)
    }

    fn stage(&self, lane: u32, at: usize, bytes: &[u8]) -> bool {
        at_panic::stage(self.0, lane, at, bytes)
    }

    fn peek(&self, lane: u32, at: usize, out: &mut [u8]) -> bool {
        at_panic::peek(self.0, lane, at, out)
    }

    fn submit(&self, lane: u32, op: LaneOp) -> Result<(), &'static str> {
        let op = match op {
            LaneOp::Read { sector, at, len } => Op::Read { sector, at, len },
            LaneOp::Write { sector, at, len } => Op::Write { sector, at, len },
            LaneOp::Flush => Op::Flush,
        };
        at_panic::submit(self.0, lane, op)
    }

    fn poll(&self, lane: u32) -> Option<Result<(), i32>> {
        if stall::withheld() {
            return None;
        }
        at_panic::poll(self.0, lane)
    }

    fn abandon(&self, lane: u32) {
        at_panic::abandon(self.0, lane);
    }
}
