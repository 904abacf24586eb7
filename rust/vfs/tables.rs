// SPDX-License-Identifier: GPL-2.0

//! C's tables of operations, and the callbacks in them: from what C hands over to what a filesystem implements.

pub(crate) mod context;
mod export;
mod file;
mod inode;
pub(crate) mod iomap;
pub(crate) mod super_block;
