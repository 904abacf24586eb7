// error: E0080 evaluation of constant value failed

// SPDX-License-Identifier: GPL-2.0

//! The number of a parameter tells what kind of value was parsed: with two of one number, four bytes of text could become a
//! `bool`.

use vfs::fs::param::{Spec, Table};

const READ_ONLY: u8 = 0;
const SIZE: u8 = if cfg!(wrong) { 0 } else { 1 };

pub const PARAMS: Table = Table::new(&[
    Spec::bool(c"read_only", READ_ONLY),
    Spec::u32(c"size", SIZE),
    Spec::END,
]);
