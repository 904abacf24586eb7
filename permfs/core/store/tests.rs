// SPDX-License-Identifier: GPL-2.0

//! Tests of the store on a device in memory.

mod crash;
mod damaged_log;
mod device;
mod replay;
mod reserve;
mod rig;
mod unit;
