// SPDX-License-Identifier: GPL-2.0

//! Reading directories.

use super::Volume;
use crate::{device::BlockDevice, dir};
use kernel::prelude::*;

impl<D: BlockDevice> Volume<D> {
    /// Calls `emit` with name, inode, `DT_*` and the cookie of what follows, for the entries of `dir`
    /// from cookie `from` on, until it returns false. `.` and `..` are the caller's.
    ///
    /// An entry that stays is seen once, whatever comes and goes between calls. `emit` runs with the
    /// volume in use: it must not touch memory that may fault, and copies instead.
    pub fn readdir(
        &mut self,
        dir: u64,
        from: u64,
        mut emit: impl FnMut(&[u8], u64, u8, u64) -> bool,
    ) -> Result {
        self.look(|v| {
            let rec = v.load_dir(dir)?;
            let outcome = dir::read(v.m, &rec, from, |e| emit(e.name, e.ino, e.kind, e.key + 1));
            v.note(dir, "directory entries", outcome)
        })
    }
}
