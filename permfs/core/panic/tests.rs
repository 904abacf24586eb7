// SPDX-License-Identifier: GPL-2.0

//! Tests of the panic path on a mock platform.

mod breaker;
mod deadline;
mod deferred;
mod disk;
mod drain;
mod handler;
mod lane;
mod line;
mod log;
mod mock;
mod oops;
mod order;
mod shared;
mod slots;
mod stored;
