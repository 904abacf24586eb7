// SPDX-License-Identifier: GPL-2.0

//! Tests of the panic path on a mock platform.

mod handler;
mod line;
mod mock;
mod slots;
