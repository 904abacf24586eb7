// SPDX-License-Identifier: GPL-2.0

//! The block device of a mount, for metadata.
//!
//! C headers: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h), [`include/linux/bio.h`](srctree/include/linux/bio.h)
//!
//! All calls block until the device has answered. Sectors are 512 bytes.

mod device;
mod freeze;
mod io;
mod request;

pub(crate) use self::request::Batch;
pub use self::{
    device::{BlockDevice, Observer, SECTOR_SIZE},
    freeze::Quiesced,
    io::WriteFlags,
};
