// SPDX-License-Identifier: GPL-2.0

//! Which locks the CPU that panics may hold.

use crate::{bindings, Stopped};

/// What `panic()` and the notifier list add to the count of reasons not to preempt.
const PANIC_DEPTH: i32 = 1 + cfg!(not(CONFIG_PREEMPT_RCU)) as i32;

/// Where the panic came from, as far as locks are concerned.
///
/// A spinlock that is held counts as a reason not to preempt, so that with no more of these than
/// `panic()` adds, this CPU holds none. With more it may hold one of the driver's:
///
/// - an irq-safe one: a task that submits, or polls. An interrupt cannot have come between, and holds one
///   itself only in the device's own handler, which is then in progress;
/// - a plain one: a task that submits, be it interrupted or not; or a softirq.
pub(super) struct Place {
    /// Why every lock may be held, if so, as a word for panic lines: `nmi`, by what it came between;
    /// `nmi-stop`, by a CPU that was stopped by an NMI and counts as holding one, or could not be stopped. The
    /// kernel does that with CPUs that do not answer for a second, and with all if
    /// `crash_kexec_post_notifiers` is set. `redirected`, by the CPU that has handed the panic on to this
    /// one (`panic_force_cpu`), and counts as holding one.
    pub(super) any_lock: Option<&'static str>,
    locked: bool,
    interrupt: bool,
    softirq: bool,
    submits: bool,
}

impl Place {
    /// This one.
    pub(super) fn current(_: Stopped<'_>) -> Self {
        // SAFETY: Each reads a word of this CPU or of the current task, which is there while it runs; or such
        // words of CPUs that have stopped.
        unsafe {
            // The idle task is never preempted: it has a depth of one of its own.
            let idle = i32::from(bindings::crash_helper_current_pid() == 0);
            let depth = bindings::crash_helper_preempt_depth().wrapping_sub(idle);
            let softirq = bindings::crash_helper_in_softirq();
            let any_lock = if bindings::crash_helper_in_nmi() {
                Some("nmi")
            } else {
                match bindings::crash_helper_other_cpus() {
                    bindings::crash_other_cpus_CRASH_OTHERS_HOLD_NONE => None,
                    bindings::crash_other_cpus_CRASH_OTHERS_REDIRECTED => Some("redirected"),
                    _ => Some("nmi-stop"),
                }
            };
            Self {
                any_lock,
                locked: !(0..=PANIC_DEPTH).contains(&depth),
                interrupt: softirq || bindings::crash_helper_in_hardirq(),
                softirq,
                submits: bindings::crash_helper_current_does_io(),
            }
        }
    }

    /// Whether no spinlock is held that whoever completes a request may want: by this CPU, which counts
    /// those that it holds; by one that was stopped, which an NMI alone stops inside of an irq-safe one.
    pub(super) fn holds_nothing(&self) -> bool {
        self.any_lock.is_none() && !self.locked
    }

    /// Whether a task has called `panic()` with any spinlock held.
    pub(super) fn task_holds_lock(&self) -> bool {
        self.locked && !self.interrupt
    }

    /// Whether this CPU, if it does not poll, may hold an irq-safe lock of a driver whose interrupt handlers are `known`
    /// not to be in progress.
    pub(super) fn may_hold_irqsafe(&self, known: bool) -> bool {
        self.locked && if self.interrupt { !known } else { self.submits }
    }

    /// Whether this CPU may hold a plain lock of a driver.
    pub(super) fn may_hold_plain(&self) -> bool {
        self.locked && (self.submits || self.softirq)
    }
}
