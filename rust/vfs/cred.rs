// SPDX-License-Identifier: GPL-2.0

//! What the current task may do.
//!
//! C header: [`include/linux/capability.h`](srctree/include/linux/capability.h)

use crate::bindings;

/// Whether the current task may administer the system (`CAP_SYS_ADMIN` in the initial user
/// namespace). A refusal is audited.
pub fn capable_sys_admin() -> bool {
    // SAFETY: Process context, which every caller that is asked on behalf of a task has.
    unsafe { bindings::capable(bindings::CAP_SYS_ADMIN as core::ffi::c_int) }
}
