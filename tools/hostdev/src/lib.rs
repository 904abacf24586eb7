// SPDX-License-Identifier: GPL-2.0

//! Block devices for PermFS's core on the host.

#![forbid(unsafe_code)]

mod file;
mod memory;

pub use file::{FileBlockDevice, OpenMode};
pub use memory::{Counts, MemoryBlockDevice};

use kernel::prelude::*;
use permfs_core::format::SECTOR_SIZE;

/// Byte offset of `sector`, if `len` bytes from there end within `sectors`. Errors: `EINVAL`, `EIO`.
fn checked_offset(sector: u64, len: usize, sectors: u64) -> Result<u64> {
    if len % SECTOR_SIZE != 0 {
        return Err(EINVAL);
    }
    let end = sector.checked_add((len / SECTOR_SIZE) as u64).ok_or(EIO)?;
    if end > sectors {
        return Err(EIO);
    }
    Ok(sector * SECTOR_SIZE as u64)
}
