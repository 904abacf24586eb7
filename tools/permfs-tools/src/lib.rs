// SPDX-License-Identifier: GPL-2.0

//! PermFS's userspace tools: what `mkfs.permfs`, `fsck.permfs` and `permfs` do.

#![forbid(unsafe_code)]

pub mod doctor;
pub mod fsck;
mod holder;
pub mod info;
pub mod man;
pub mod mkfs;
pub mod panic;
mod plain;
pub mod quiesce;
mod signature;
mod size;
mod uuid;

use std::path::Path;

use anyhow::{Context, Result};
use permfs_hostdev::{FileBlockDevice, OpenMode};

/// Opens a device, with a sentence for everybody's mistakes.
fn open(path: &Path, mode: OpenMode) -> Result<FileBlockDevice> {
    FileBlockDevice::open(path, mode).with_context(|| {
        let held = mode == OpenMode::Exclusive;
        let hint = if held {
            " for writing (a device in use answers \"busy\")"
        } else {
            ""
        };
        format!("cannot open {}{hint}", path.display())
    })
}
