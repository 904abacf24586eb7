// SPDX-License-Identifier: GPL-2.0
//! Makes the kernel panic at a random moment, from a thread that does nothing else.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::rng::Rng;
use crate::PanicArgs;

/// What has been acknowledged so far, by all writers.
#[derive(Default)]
pub(crate) struct Progress {
    pub(crate) files: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) changes: AtomicU64,
}

/// Waits for the window and a random part of it, and then asks the kernel to crash. The writers go on meanwhile.
pub(crate) fn run(args: &PanicArgs, seed: u64, progress: &Progress) {
    let Some(window) = args.panic_within else {
        return;
    };
    let delay = Rng::new(seed ^ 0x0070_616e_6963).below(window.saturating_add(1));
    while progress.files.load(Ordering::Relaxed) < args.min_files
        || progress.bytes.load(Ordering::Relaxed) < args.min_mib << 20
    {
        thread::sleep(Duration::from_millis(5));
    }
    thread::sleep(Duration::from_millis(delay));
    if let Err(error) = std::fs::write("/proc/sysrq-trigger", "c") {
        eprintln!("demo-agent: the kernel cannot be asked to panic: {error}");
        std::process::exit(2);
    }
}
