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
    panic::{
        area::Area, Collected, LaneInfo, LaneOp, PanicDevices, SlotState, VolumeSlot, VOLUMES,
    },
};
use vfs::{
    block::lane::{self, at_panic, Lane, Mode, Op},
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

/// The slot with `number`; none for [`NO_SLOT`](crate::engine::NO_SLOT).
fn slot(number: u32) -> Option<&'static VolumeSlot> {
    VOLUMES.slots().get(usize::try_from(number).ok()?)
}

/// Makes the lane of the volume in slot `number` to its panic area, if there can be one, and tells the slot
/// and the log.
///
/// Not with the volume's lock held: a lane asks for the device's interrupts, and the lock of these is held
/// by who allocates memory, which may evict an inode, which takes the volume's.
pub(crate) fn open(
    number: u32,
    area: &Area,
    disk: &Disk,
    read_only: bool,
    id: &CStr,
) -> Option<Lane> {
    let made = if read_only {
        Err(none("none:read-only"))
    } else {
        make(area, disk)
    };
    let info = match &made {
        Ok(lane) => LaneInfo {
            number: Some(lane.number()),
            collects: lane.collects().name(),
            writes: lane.writes().name(),
        },
        Err(none) => *none,
    };
    if let Some(slot) = slot(number) {
        slot.set_lane(&info);
    }
    pr_info!(
        "({id}): panic_lane={}, what is in flight is collected by {}\n",
        info.writes,
        info.collects
    );
    panic::warn_of_crash_kernel();
    Later::goes_last();
    made.ok()
}

fn make(area: &Area, disk: &Disk) -> Result<Lane, LaneInfo> {
    let blocks = u64::from(area.slots) * u64::from(area.slot_blocks);
    let sectors = lane::Area {
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
    if let Some(slot) = slot(number) {
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

    fn is_blocked(&self, lane: u32) -> bool {
        at_panic::is_blocked(lane)
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

    /// Dumpers may have come since it was registered: another one goes behind them, and only then this.
    /// A panic while both are there has the first of them do the work.
    fn goes_last() {
        let mut dumper = DUMPER.lock();
        let Some(old) = dumper.as_ref() else {
            return;
        };
        let later = Dumper::new(Finish(old.get().0.clone()));
        // Without memory it stays where it is: behind those that were there when it came.
        if let Ok(new) = KBox::pin_init(later, GFP_KERNEL) {
            *dumper = Some(new);
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
