// SPDX-License-Identifier: GPL-2.0

//! The data path of regular files, over iomap.

pub(crate) mod direct;
pub(crate) mod ioend;
pub(crate) mod map;
mod observer;
pub(crate) mod pages;
mod read;
pub(crate) mod write;
mod writeback;
