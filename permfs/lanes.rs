// SPDX-License-Identifier: GPL-2.0

//! The panic lanes of the mounted volumes, made by `vfs::block::lane`, and what the panic handler does with
//! them.
//!
//! A volume that is mounted read-only gets none: nothing is written to it, not even then.

use crate::{
    disk::Disk,
    fault::stall,
    panic::{self, Handler},
    params::{LaneMode, Settings},
};
use kernel::{debugfs, fmt, prelude::*, sync::Arc};
use permfs_core::{
    format::SECTORS_PER_BLOCK,
    panic::{Collected, LaneInfo, LaneOp, PanicDevices, SlotState, VOLUMES},
    volume::Volume,
};
use vfs::{
    block::lane::{at_panic, Area, Lane, Mode, Op},
    kmsg::{Dump, Dumper, Reason},
};

/// What a slot is told before its lane goes.
const GONE: LaneInfo = none("none:unmounting");

const fn none(why: &'static str) -> LaneInfo {
    LaneInfo {
        number: None,
        collects: why,
        writes: why,
    }
}

/// Makes the lane of a volume, if there can be one, and tells the volume's slot and the log.
pub(crate) fn open(
    volume: &mut Volume<Disk>,
    disk: &Disk,
    read_only: bool,
    id: &CStr,
) -> Option<Lane> {
    let made = if read_only {
        Err(none("none:read-only"))
    } else {
        make(volume, disk)
    };
    let info = match &made {
        Ok(lane) => LaneInfo {
            number: Some(lane.number()),
            collects: lane.collects().name(),
            writes: lane.writes().name(),
        },
        Err(none) => *none,
    };
    volume.store().slot().set_lane(&info);
    pr_info!(
        "({id}): panic_lane={}, what is in flight is collected by {}\n",
        info.writes,
        info.collects
    );
    panic::warn_of_crash_kernel();
    Later::goes_last();
    made.ok()
}

fn make(volume: &Volume<Disk>, disk: &Disk) -> Result<Lane, LaneInfo> {
    let area = volume.panic_area();
    let blocks = u64::from(area.slots) * u64::from(area.slot_blocks);
    let sectors = Area {
        sector: area.start * SECTORS_PER_BLOCK,
        sectors: blocks * SECTORS_PER_BLOCK,
    };
    let mode = match Settings::given().lane {
        LaneMode::Auto => Mode::Auto,
        LaneMode::Force => Mode::Force,
        LaneMode::Off => Mode::Off,
    };
    Lane::new(disk.device(), sectors, area.slot_bytes(), mode).map_err(|e| {
        none(if e == ENOSPC {
            "none:table-full"
        } else {
            "none:memory"
        })
    })
}

/// The lane of the volume in slot `number` is not to be used any more, and may be dropped.
pub(crate) fn close(number: u32) {
    let at = usize::try_from(number).ok();
    if let Some(slot) = at.and_then(|at| VOLUMES.slots().get(at)) {
        slot.set_lane(&GONE);
    }
}

/// The lanes, by number, inside a panic.
pub(crate) struct Lanes;

impl PanicDevices for Lanes {
    fn collect(&self, lane: u32) -> Collected {
        if stall::withheld() {
            return Collected::More;
        }
        stall::let_go(lane);
        match at_panic::collect(lane) {
            at_panic::Collected::NoWay => Collected::NoWay,
            at_panic::Collected::DriverEmpty => Collected::DriverEmpty,
            at_panic::Collected::More => Collected::More,
        }
    }

    fn refusal(&self, lane: u32) -> Option<&'static str> {
        at_panic::refusal(lane)
    }

    fn stage(&self, lane: u32, at: usize, bytes: &[u8]) -> bool {
        at_panic::stage(lane, at, bytes)
    }

    fn peek(&self, lane: u32, at: usize, out: &mut [u8]) -> bool {
        at_panic::peek(lane, at, out)
    }

    fn submit(&self, lane: u32, op: LaneOp) -> Result<(), &'static str> {
        let op = match op {
            LaneOp::Read { sector, at, len } => Op::Read { sector, at, len },
            LaneOp::Write { sector, at, len } => Op::Write { sector, at, len },
            LaneOp::Flush => Op::Flush,
        };
        at_panic::submit(lane, op)
    }

    fn poll(&self, lane: u32) -> Option<Result<(), i32>> {
        if stall::withheld() {
            return None;
        }
        at_panic::poll(lane)
    }

    fn abandon(&self, lane: u32) {
        at_panic::abandon(lane);
    }
}

vfs::global_mutex! {
    static DUMPER: Option<Pin<KBox<Dumper<Finish>>>> = None;
}

/// What the handler leaves for after the other kmsg dumpers, pstore's among them.
struct Finish(Arc<Handler>);

impl Dump for Finish {
    const MAX_REASON: Reason = Reason::Panic;

    fn dump(&self, _reason: Reason, _message: &[u8]) {
        self.0.finish_deferred();
    }
}

/// The kmsg dumper, for as long as the module is loaded.
pub(crate) struct Later(());

impl Later {
    pub(crate) fn new(handler: Arc<Handler>) -> Result<Self> {
        let dumper = KBox::pin_init(Dumper::new(Finish(handler)), GFP_KERNEL)?;
        *DUMPER.lock() = Some(dumper);
        Ok(Self(()))
    }

    /// Dumpers may have come since it was registered: it goes behind them.
    fn goes_last() {
        if let Some(dumper) = DUMPER.lock().as_ref() {
            dumper.move_last();
        }
    }
}

impl Drop for Later {
    fn drop(&mut self) {
        *DUMPER.lock() = None;
    }
}

/// `/sys/kernel/debug/permfs/lanes`: a line for each volume, with its ways; and one that says so if no panic
/// comes to them.
pub(crate) struct Shown;

impl debugfs::Writer for Shown {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mounted = VOLUMES.slots().iter().filter(|slot| {
            !matches!(
                slot.state(),
                SlotState::Free | SlotState::Claimed | SlotState::Retired
            )
        });
        for slot in mounted {
            let (name, writes, collects) = (slot.name(), slot.writes(), slot.collects());
            writeln!(
                f,
                "{} panic_lane={} collects={}",
                text(&name),
                text(&writes),
                text(&collects)
            )?;
        }
        match panic::crash_kernel() {
            Some(text) => writeln!(f, "{text}"),
            None => Ok(()),
        }
    }
}

/// The text before the padding.
fn text(padded: &[u8]) -> &str {
    let text = padded.split(|&b| b == 0).next().unwrap_or(&[]);
    core::str::from_utf8(text).unwrap_or("?")
}
