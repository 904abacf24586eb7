// SPDX-License-Identifier: GPL-2.0

//! A crash kernel that is loaded takes a panic away from us.

use crash::context;
use kernel::{
    prelude::*,
    sync::atomic::{Atomic, Relaxed},
};

/// What is to be known while a crash kernel is loaded.
const CRASH_KERNEL: &str = "a crash kernel is loaded: unless crash_kexec_post_notifiers is set, a panic goes there without breadcrumbs";

/// [`CRASH_KERNEL`], if it is so now.
pub(crate) fn told() -> Option<&'static str> {
    context::kexec_crash_loaded().then_some(CRASH_KERNEL)
}

/// Warns of it, once for as long as one is loaded. Nobody is told when one is loaded, and
/// that is often after the mounts: so it is asked for at load and at each mount, and whoever reads
/// debugfs' `lanes` sees it as it is then.
pub(crate) fn warn() {
    static WARNED: Atomic<u32> = Atomic::<u32>::new(0);
    let now = told();
    let warned = WARNED.xchg(now.is_some().into(), Relaxed) != 0;
    if let (Some(text), false) = (now, warned) {
        pr_warn!("{text}\n");
    }
}
