// error: E0080 evaluation of constant value failed

// SPDX-License-Identifier: GPL-2.0

//! C finds the end of a table of parameters by its last entry.

use vfs::fs::param::{Spec, Table};

const LAST: Spec = if cfg!(wrong) { Spec::flag(c"discard", 1) } else { Spec::END };

pub const PARAMS: Table = Table::new(&[Spec::flag(c"rescue", 0), LAST]);
