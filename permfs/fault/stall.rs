// SPDX-License-Identifier: GPL-2.0

//! Completions that are withheld, in `/sys/kernel/debug/permfs/stall`: milliseconds, 0 is off.
//!
//! In normal running a task that waits for its request goes on waiting for that long after the device has
//! completed it; the request stays counted as in flight. A panic finds such requests withheld, as if the
//! device had them still. The panic handler looks at no completion for that long, counted from when it
//! first asks for one; then it finds what the device has completed, and those withheld.

use super::TEXT_MAX;
use kernel::{
    debugfs::{Reader, Writer},
    fmt,
    prelude::*,
    sync::atomic::{Atomic, Relaxed},
    time::{delay::fsleep, Delta, Instant, Monotonic},
    uaccess::UserSliceReader,
};
use permfs_core::panic::SLOTS;

/// The longest stall, milliseconds: five times the longest deadline, and far below what the kernel takes
/// for a hung task.
const MAX_MS: u32 = 10_000;
/// How soon somebody who waits sees that it was turned off.
const SLICE: Delta = Delta::from_millis(10);

/// Milliseconds, 0: off.
static STALL: Atomic<u32> = Atomic::<u32>::new(0);

/// Requests withheld from the volume in each slot, in normal running.
static HELD: [Atomic<u32>; SLOTS] = [const { Atomic::<u32>::new(0) }; SLOTS];

/// Withholds the completion of a request of the volume in slot `number`, if told to. May sleep.
#[inline]
pub(crate) fn hold(number: u32) {
    let ms = STALL.load(Relaxed);
    if ms != 0 {
        sleep(number, ms);
    }
}

#[cold]
#[inline(never)]
fn sleep(number: u32, ms: u32) {
    // Volumes without a slot are not told apart.
    let Some(held) = HELD.get(number as usize) else {
        return;
    };
    held.fetch_add(1u32, Relaxed);
    let start = Instant::<Monotonic>::now();
    let all = Delta::from_millis(ms.into());
    while start.elapsed() < all && STALL.load(Relaxed) != 0 {
        fsleep(SLICE);
    }
    held.fetch_sub(1u32, Relaxed);
}

/// What the panic handler sees of devices. Panic context.
#[cfg(permfs_panic)]
mod in_panic {
    use super::{HELD, STALL};
    use crash::context::cpu_relax;
    use kernel::sync::atomic::{Atomic, Relaxed};
    use permfs_core::panic::VOLUMES;
    use vfs::time::mono_fast_ns;

    /// When it was first asked for a completion, monotonic nanoseconds; 0: not yet.
    static SINCE: Atomic<u64> = Atomic::<u64>::new(0);
    /// A look that is not taken costs some of what it would have: turns are counted too.
    const RELAXES: u32 = 32;

    /// Whether completions are withheld now.
    #[inline]
    pub(crate) fn withheld() -> bool {
        let ms = STALL.load(Relaxed);
        ms != 0 && is_before(ms)
    }

    #[cold]
    #[inline(never)]
    fn is_before(ms: u32) -> bool {
        let now = mono_fast_ns();
        if SINCE.load(Relaxed) == 0 {
            SINCE.store(now, Relaxed);
        }
        let before = now.saturating_sub(SINCE.load(Relaxed)) / 1_000_000 < ms.into();
        for _ in 0..if before { RELAXES } else { 0 } {
            cpu_relax();
        }
        before
    }

    /// Counts out what was withheld of the volume with that lane. The tasks that would have done it are
    /// stopped.
    #[inline]
    pub(crate) fn let_go(lane: u32) {
        if STALL.load(Relaxed) != 0 {
            count_out(lane);
        }
    }

    #[cold]
    #[inline(never)]
    fn count_out(lane: u32) {
        for (held, slot) in HELD.iter().zip(VOLUMES.slots()) {
            if slot.lane() == Some(lane) {
                for _ in 0..held.xchg(0, Relaxed) {
                    slot.gate().end();
                }
            }
        }
    }
}

#[cfg(permfs_panic)]
pub(crate) use self::in_panic::{let_go, withheld};

/// What is behind the file.
pub(crate) struct Stall;

impl Writer for Stall {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", STALL.load(Relaxed))
    }
}

impl Reader for Stall {
    fn read_from_slice(&self, reader: &mut UserSliceReader) -> Result {
        let mut buf = [0u8; TEXT_MAX];
        let ms: u32 = super::text(reader, &mut buf)?.parse().map_err(|_| EINVAL)?;
        if ms > MAX_MS {
            return Err(EINVAL);
        }
        STALL.store(ms, Relaxed);
        Ok(())
    }
}
