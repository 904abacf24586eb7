// SPDX-License-Identifier: GPL-2.0

//! The module's folder in debugfs.

use crate::fault::{self, stall::Stall, PanicAt, Point};
#[cfg(permfs_panic)]
use crate::lanes;
use kernel::{
    debugfs::{Dir, File},
    prelude::*,
};

/// The module's files for testers.
#[pin_data]
pub(crate) struct Files {
    #[pin]
    panic_at: File<PanicAt>,
    #[pin]
    stall: File<Stall>,
    #[cfg(permfs_panic)]
    #[pin]
    lanes: File<lanes::Shown>,
    _going: Going,
}

/// Goes when the module does.
struct Going;

impl Drop for Going {
    fn drop(&mut self) {
        fault::at(Point::Unload);
    }
}

impl Files {
    /// Makes them. Where debugfs is missing or refuses there are none.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        let dir = Dir::new(c"permfs");
        try_pin_init!(Self {
            // The files keep their folder.
            panic_at <- dir.read_write_file(c"panic_at", PanicAt),
            stall <- dir.read_write_file(c"stall", Stall),
            #[cfg(permfs_panic)]
            lanes <- dir.read_only_file(c"lanes", lanes::Shown),
            _going: Going,
        })
    }
}
