// SPDX-License-Identifier: GPL-2.0

//! The panic handler of `permfs_core` in this kernel: what it runs on, and who calls it.

pub(crate) mod crash_kernel;
mod devices;
pub(crate) mod handler;
pub(crate) mod hooks;
pub(crate) mod kernel;
pub(crate) mod later;
