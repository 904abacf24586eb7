// SPDX-License-Identifier: GPL-2.0

//! The panic lanes of the mounted volumes, made by `crash::lane`.
//!
//! A volume that is mounted read-only gets none: nothing is written to it, not even then.

use crate::{
    disk::Disk,
    panic::{crash_kernel, later::Later},
    params::{LaneMode, Settings},
};
use crash::lane::{self, Lane, Mode};
use kernel::{debugfs, fmt, prelude::*};
use permfs_core::{
    format::SECTORS_PER_BLOCK,
    panic::{area::Area, LaneInfo, SlotState, VolumeSlot, VOLUMES},
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
            // What is in flight can be collected all the same.
            writes: if area.capacity() == 0 {
                "none:area-small"
            } else {
                lane.writes().name()
            },
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
    crash_kernel::warn();
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
        match crash_kernel::told() {
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
