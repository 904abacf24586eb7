// SPDX-License-Identifier: GPL-2.0

//! The module's parameters.
//!
//! All of them concern what happens at a panic (`Documentation/panic-path.md`). They are checked
//! when they are given: what does not fit refuses the load.

use permfs_core::panic::PanicStrategy;

/// Whether the kernel's log goes to a volume's panic area, by way of pstore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PstoreMode {
    /// If no other backend has pstore's one place.
    Auto,
    /// Never.
    Off,
}

/// Whether the panic lane may write to volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LaneMode {
    /// Where it is known to be safe.
    Auto,
    /// Also where it may hang.
    Force,
    /// Never.
    Off,
}

vfs::module_params! {
    module: crate::Module,
    name: "permfs",

    /// Who decides how the machine stops.
    choice panic_strategy: PanicStrategy {
        values: [
            "kernel" => PanicStrategy::Kernel,
            "halt" => PanicStrategy::Halt,
            "reboot" => PanicStrategy::Reboot,
        ],
        description: "After a panic: do as kernel.panic says, halt, or reboot",
    }
    /// Writing to volumes while the kernel panics.
    choice panic_lane: LaneMode {
        values: ["auto" => LaneMode::Auto, "force" => LaneMode::Force, "off" => LaneMode::Off],
        description: "Write to volumes in a panic: where it is safe, wherever it may work, or never",
    }
    /// Being a backend of pstore.
    choice pstore: PstoreMode {
        values: ["auto" => PstoreMode::Auto, "off" => PstoreMode::Off],
        description: "Keep the kernel's log of a panic for /sys/fs/pstore: if nobody else does, or never",
    }
    /// Time for all volumes together.
    number panic_deadline_ms {
        default: 500, min: 1, max: 2000,
        description: "Milliseconds in which a panic may drain, write and flush",
    }
    /// Panics before a reboot becomes a halt.
    number panic_loop_count {
        default: 5, min: 0, max: 16,
        description: "Panics within panic_loop_secs after which the machine halts instead of rebooting; 0: never",
    }
    /// The time in which they are counted.
    number panic_loop_secs {
        default: 600, min: 1, max: 1_000_000,
        description: "Seconds in which panics count as a loop",
    }
}

/// What the parameters say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) strategy: PanicStrategy,
    pub(crate) lane: LaneMode,
    pub(crate) pstore: PstoreMode,
    /// Milliseconds for draining, writing and flushing, of all volumes together.
    pub(crate) deadline_ms: u32,
    /// So many panics in `loop_secs` seconds turn a reboot into a halt; 0: never.
    pub(crate) loop_count: u32,
    pub(crate) loop_secs: u32,
}

impl Settings {
    /// As they were given when the module was loaded.
    pub(crate) fn given() -> Self {
        Self {
            strategy: panic_strategy.get(),
            lane: panic_lane.get(),
            pstore: pstore.get(),
            deadline_ms: panic_deadline_ms.get(),
            loop_count: panic_loop_count.get(),
            loop_secs: panic_loop_secs.get(),
        }
    }
}
