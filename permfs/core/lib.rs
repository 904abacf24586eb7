// SPDX-License-Identifier: GPL-2.0

//! The part of PermFS that has no kernel in it.
//!
//! One logic, two builds: `Kbuild` compiles this crate into permfs.ko against the real `kernel` crate;
//! `tools/core` compiles the same files for userspace against a shim of it. It knows a block device
//! only as [`device::BlockDevice`] and never locks: the caller serialises everything that takes
//! `&mut self`, while the allocator, the event ring and the panic slots are lock-free by themselves.

#![crate_name = "permfs_core"]
#![forbid(unsafe_code)]

/// Whether gate, in-flight count, event ring, and the counters that only reports read are there. They always are,
/// but for a build (`make TELEMETRY=n`) that exists to measure what they cost (`make panic-cost`).
pub const TELEMETRY: bool = !cfg!(permfs_no_telemetry);

pub mod alloc;
pub mod btree;
pub mod check;
pub mod crc;
pub mod device;
pub mod dir;
pub mod extent;
pub mod format;
pub mod geometry;
pub mod inode;
pub mod ioctl;
pub mod journal;
pub mod meta;
pub mod mkfs;
pub mod panic;
pub mod plant;
pub mod range_set;
pub mod sort;
pub mod store;
pub mod volume;
pub mod write_map;
