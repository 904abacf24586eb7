// SPDX-License-Identifier: GPL-2.0

//! Numbers and names of a mount's background tasks.

use kernel::prelude::*;

/// Commits what has waited long enough, and keeps room in the log.
pub(crate) const FLUSH: usize = 0;
/// Serves who asks for a quiesce.
pub(crate) const QUIESCE: usize = 1;

pub(crate) const NAMES: &[&CStr] = &[c"permfs-flush", c"permfs-quiesce"];
