// SPDX-License-Identifier: GPL-2.0

//! PermFS: a filesystem that behaves well when the kernel panics.
//!
//! This crate joins three things: `vfs`, the safe face of the kernel's filesystem interfaces; the
//! logic in `permfs_core`, which knows no kernel; and the kernel's own locks and workers. It decides
//! what is serialised against what (see `Documentation/locking.md`) and leaves the rest to those two.

#![crate_name = "permfs"]
#![forbid(unsafe_code)]

use kernel::prelude::*;
use vfs::registration::Registration;

mod debugfs;
mod disk;
mod engine;
mod errors;
mod evict;
mod fault;
mod file;
mod inode;
mod ioctl;
mod iomap;
#[cfg(permfs_panic)]
mod lanes;
mod mount;
mod namei;
#[cfg(permfs_panic)]
mod oops;
mod options;
#[cfg(permfs_panic)]
mod panic;
#[cfg(permfs_panic)]
mod params;
#[cfg(permfs_panic)]
mod pstore;
mod quiesce;
mod super_block;
mod task;

/// The filesystem type: what the kernel's tables are made for.
pub(crate) struct PermFs;

#[pin_data]
struct Module {
    // Dropped in this order: no new mount before the hooks go, no hook before the text goes.
    #[pin]
    filesystem: Registration<PermFs>,
    #[pin]
    faults: debugfs::Files,
    #[cfg(permfs_panic)]
    #[pin]
    hooks: panic::hooks::Hooks,
}

module! {
    type: Module,
    name: "permfs",
    authors: ["PermFS contributors"],
    description: "A filesystem that behaves well when the kernel panics",
    license: "GPL",
    alias: ["fs-permfs"],
}

#[cfg(permfs_panic)]
impl kernel::InPlaceModule for Module {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        // The hooks come before any mount can.
        try_pin_init!(Self {
            hooks <- panic::hooks::Hooks::new(params::Settings::given())?,
            faults <- debugfs::Files::new(),
            filesystem <- Registration::new(),
        })
    }
}

#[cfg(not(permfs_panic))]
impl kernel::InPlaceModule for Module {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            faults <- debugfs::Files::new(),
            filesystem <- Registration::new(),
        })
    }
}
