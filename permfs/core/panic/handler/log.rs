// SPDX-License-Identifier: GPL-2.0

//! Writing the kernel's log for pstore, inside a panic.

use super::{
    super::{
        area::{PstoreMeta, RecordKind},
        deadline::FOR_ALL,
        lane::{Lane, Lanes, Stamp},
        Deadline, LaneResult, PanicDevices, PanicHalt, PanicLogger, PanicMachine, PanicReboot,
        Stage,
    },
    InPanic,
};
use kernel::prelude::*;

/// Time for all pieces of the log, if the panic's deadline is nearer than that when the first one comes.
const RESERVE_NS: u64 = 200_000_000;
/// What the tails before it may use of what is left, in eighths.
const FOR_TAILS: u32 = 4;

impl<L, H, R, M, D> InPanic<'_, L, H, R, M, D>
where
    L: PanicLogger,
    H: PanicHalt,
    R: PanicReboot,
    M: PanicMachine,
    D: PanicDevices,
{
    /// Writes a piece of the kernel's log to the first volume whose lane works, makes it durable, and
    /// returns its sequence. In panic context, after [`InPanic::notify`] and on the same CPU, until its
    /// deadline; all pieces together get 200 ms if that is more. What is still to come then has time of its own.
    ///
    /// Errors: `EBUSY` outside of a panic, if the handler or an earlier piece was broken off in the middle
    /// of the lanes' work, or if that is still to come; `EFBIG` if no lane holds so much; `ENODEV` if no lane works; `EIO`.
    pub fn write_log(&self, meta: &PstoreMeta, data: &[u8]) -> Result<u64> {
        let before = self.report.stage();
        let at_rest = !matches!(
            before,
            Stage::Idle | Stage::Drain | Stage::Lane | Stage::Flush | Stage::Log | Stage::Deferred
        );
        if !at_rest || !self.report.is_owner(self.machine.cpu()) {
            return Err(EBUSY);
        }
        self.reach(Stage::Log);
        let now = self.machine.now_ns();
        let end = self.report.log_deadline_ns(now, RESERVE_NS);
        let outcome = self.write_to_first(meta, data, &mut Deadline::until(now, end));
        self.report.reach(before);
        if outcome.is_ok() {
            self.report.count_log();
        }
        outcome
    }

    fn write_to_first(
        &self,
        meta: &PstoreMeta,
        data: &[u8],
        deadline: &mut Deadline,
    ) -> Result<u64> {
        let stamp = self.stamp(RecordKind::Log, *meta);
        // Of a panic's end that came before this dump, the tails may not have completed.
        self.lanes().run_or_give_up(&stamp, deadline, FOR_TAILS);
        let lanes = Lanes {
            log: true,
            ..self.lanes()
        };
        lanes.run_or_give_up(&stamp, deadline, FOR_TAILS);
        let mut error = ENODEV;
        for lane in lanes.all().filter(Lane::is_fit) {
            if lane.capacity() < data.len() {
                error = EFBIG;
                continue;
            }
            match write_piece(&lanes, &lane, &stamp, data, deadline) {
                Some(sequence) => return Ok(sequence),
                None => error = EIO,
            }
        }
        Err(error)
    }
}

fn write_piece<D: PanicDevices, M: PanicMachine>(
    lanes: &Lanes<'_, D, M>,
    lane: &Lane<'_, D, M>,
    stamp: &Stamp,
    data: &[u8],
    deadline: &mut Deadline,
) -> Option<u64> {
    lane.restart();
    if !lane.stage_data(data) {
        return None;
    }
    lane.begin();
    lanes.run_or_give_up(stamp, deadline, FOR_ALL);
    if lane.result() != LaneResult::Ok {
        return None;
    }
    let sequence = lane.sequence();
    lane.begin_tail();
    lanes.run(stamp, deadline, FOR_ALL);
    Some(sequence)
}
