// SPDX-License-Identifier: GPL-2.0

//! Tests of the panic path on a mock platform.

mod disk;
mod handler;
mod lane;
mod line;
mod log;
mod mock;
mod oops;
mod slots;
