// SPDX-License-Identifier: GPL-2.0

//! Tests of the volume on a device in memory.

mod big_dir;
mod brim;
mod cost;
mod damage;
mod data;
mod faults;
mod links;
mod model;
mod mount;
mod orphans;
mod rename;
mod rig;
mod space;
