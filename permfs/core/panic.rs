// SPDX-License-Identifier: GPL-2.0

//! What PermFS does when the kernel panics, and what it keeps ready for that moment.
//!
//! The first half is there on ordinary days: a static table of [`VolumeSlot`]s, one a mounted volume,
//! each with a [`Gate`] that counts the I/O in flight, its epochs and its allocator's counters. It is
//! static so that a handler finds it whatever else is broken, and nothing is ever freed under it.
//!
//! [`area`] is the place on the volume where panics are recorded, and its reader.
//!
//! The second half, under `cfg(permfs_panic)`, is the handler: [`install_panic_hooks`] gives it a
//! logger, ways to halt and to reboot and the machine's clock, and
//! [`InPanic::notify`], which also gets the block devices, is what the kernel's panic notifier calls. It obeys these laws:
//!
//! - no allocation, no sleeping, no lock, no formatting machinery, no `core::panicking`;
//! - every loop is bounded by a constant, or by the one deadline in time and turns, except the last one:
//!   a reboot that was asked for and failed;
//! - only static memory, the lanes' buffers and its own stack are touched.
//!
//! `scripts/panic-check` proves the first on the built module, and of each loop either that it ends after so many turns or
//! that its end is argued in `scripts/panic-allow.txt`. The third is kept by the types, here without `unsafe`; no program
//! checks the machine code for it (`Documentation/panic-path.md`, "Laws").

pub mod area;
mod gate;
#[cfg(all(test, loom))]
mod loom;
mod quiesce;
mod slot;
mod table;
mod word;

#[cfg(permfs_panic)]
mod deadline;
#[cfg(permfs_panic)]
mod devices;
#[cfg(permfs_panic)]
mod drain;
#[cfg(permfs_panic)]
mod handler;
#[cfg(permfs_panic)]
mod hooks;
#[cfg(permfs_panic)]
mod lane;
#[cfg(permfs_panic)]
mod line;
#[cfg(permfs_panic)]
mod oops;
#[cfg(permfs_panic)]
mod progress;
#[cfg(permfs_panic)]
mod record;
#[cfg(permfs_panic)]
mod report;
#[cfg(permfs_panic)]
mod settings;
#[cfg(permfs_panic)]
mod strategy;
#[cfg(all(test, permfs_panic, not(loom)))]
mod tests;

pub use self::gate::{Gate, IoGuard};
pub use self::quiesce::{Flush, PanicQuiesceResult};
pub use self::slot::{LaneInfo, SlotState, VolumeSlot, NAME_LEN};
pub use self::table::{SlotGuard, VolumeTable, SLOTS, VOLUMES};
pub use self::word::WORD_LEN;

#[cfg(permfs_panic)]
pub use self::{
    deadline::Deadline,
    devices::{Collected, LaneOp, PanicDevices},
    drain::{drain_for_panic, PanicQuiesce},
    handler::{InPanic, PanicHooks},
    hooks::{
        After, Context, Host, Origin, PanicHalt, PanicLogger, PanicMachine, PanicReboot, Text,
        TASK_LEN, TEXT_LEN,
    },
    line::{PanicLineBuffer, LINE_MAX},
    oops::{slot_bit, slots_in_use, Oops},
    progress::LaneResult,
    report::{allocator_panic_report, PanicReport, Stage, PERMFS_PANIC_REPORT},
    settings::PanicSettings,
    strategy::PanicStrategy,
};

#[cfg(permfs_panic)]
pub use self::handler::install_panic_hooks;
