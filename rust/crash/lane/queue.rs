// SPDX-License-Identifier: GPL-2.0

//! Reading a request queue in panic context.
//!
//! C headers: [`include/linux/blk-mq.h`](srctree/include/linux/blk-mq.h),
//! [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)
//!
//! Everything here reads, without locks, what only other CPUs change; these are stopped. Each
//! function whose name does not say otherwise is for panic context.

use super::vectors::Vector;
use crate::bindings;
use core::ptr::{self, NonNull};

/// What `panic()` and the notifier list add to the count of reasons not to preempt.
const PANIC_DEPTH: i32 = 1 + cfg!(not(CONFIG_PREEMPT_RCU)) as i32;

/// The request queue of a disk that is held open.
///
/// # Invariants
///
/// `raw` is a queue for requests (blk-mq), of a disk that is open as long as this is used, with a
/// `poll` function if [`Self::has_poll`] said so.
pub(super) struct Queue {
    raw: NonNull<bindings::request_queue>,
}

/// A hardware queue.
///
/// # Invariants
///
/// `raw` is a hardware queue of a [`Queue`] that is in use.
#[derive(Clone, Copy)]
pub(super) struct HwQueue {
    raw: NonNull<bindings::blk_mq_hw_ctx>,
}

impl Queue {
    /// # Safety
    ///
    /// `raw` is the queue of a disk that is open until the value is gone.
    pub(super) unsafe fn new(raw: NonNull<bindings::request_queue>) -> Self {
        Self { raw }
    }

    pub(super) fn as_ptr(&self) -> *mut bindings::request_queue {
        self.raw.as_ptr()
    }

    /// Any context.
    pub(super) fn is_mq(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { !(*self.as_ptr()).mq_ops.is_null() }
    }

    /// Any context.
    pub(super) fn has_poll(&self) -> bool {
        // SAFETY: By the type invariant; the table is constant.
        unsafe { self.is_mq() && (*(*self.as_ptr()).mq_ops).poll.is_some() }
    }

    /// Does something while the driver keeps what is below the queue; none if it is going. Process
    /// context.
    pub(super) fn while_alive<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
        // SAFETY: By the type invariant.
        if !unsafe { bindings::crash_helper_queue_enter(self.as_ptr()) } {
            return None;
        }
        let done = f();
        // SAFETY: It was entered above.
        unsafe { bindings::crash_helper_queue_exit(self.as_ptr()) };
        Some(done)
    }

    /// Whether new requests are refused: it is frozen, or the device is gone.
    pub(super) fn is_going(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { bindings::crash_helper_queue_is_going(self.as_ptr()) }
    }

    /// Whether nothing is in flight and nothing can be, so that the driver may have taken down what
    /// its functions use.
    pub(super) fn is_unused(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { bindings::crash_helper_queue_is_unused(self.as_ptr()) }
    }

    /// Whether the driver has asked to be left alone, because of a reset for example.
    pub(super) fn is_quiesced(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { bindings::crash_helper_queue_is_quiesced(self.as_ptr()) }
    }

    /// Has the requests in flight completed where they are found, whoever they belong to.
    pub(super) fn complete_here(&self) {
        // SAFETY: By the type invariant. Walks the tags without a lock and sets a flag in requests,
        // whose owners are stopped.
        unsafe { bindings::crash_helper_queue_complete_here(self.as_ptr()) };
    }

    /// Whether the driver has been given a request of any hardware queue that has not completed.
    pub(super) fn has_requests_in_driver(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { bindings::crash_helper_queue_has_requests_in_driver(self.as_ptr(), ptr::null()) }
    }

    /// Keeps starting a request from reading the clock and arming the timer.
    pub(super) fn prepare(&self) {
        // SAFETY: By the type invariant, in panic context: nobody else changes flags or timer.
        unsafe { bindings::crash_helper_queue_prepare_at_panic(self.as_ptr()) };
    }

    /// The hardware queues that serve any CPU. In process context those that there are now.
    pub(super) fn hw_queues(&self) -> impl Iterator<Item = HwQueue> + '_ {
        // SAFETY: By the type invariant.
        let count = unsafe { (*self.as_ptr()).nr_hw_queues };
        (0..count).filter_map(|n| {
            // SAFETY: `n` is below the number of hardware queues.
            let raw = unsafe { bindings::crash_helper_queue_hctx(self.as_ptr(), n) };
            // INVARIANT: By the call.
            let queue = HwQueue {
                raw: NonNull::new(raw)?,
            };
            (queue.cpus() != 0).then_some(queue)
        })
    }

    /// Where a polled request from this CPU goes; any context.
    pub(super) fn polled(&self) -> Option<HwQueue> {
        // SAFETY: By the type invariant; it is a queue for requests.
        let raw = unsafe { bindings::crash_helper_queue_polled_hctx(self.as_ptr()) };
        // INVARIANT: By the call.
        Some(HwQueue {
            raw: NonNull::new(raw)?,
        })
    }
}

impl HwQueue {
    pub(super) fn as_ptr(self) -> *mut bindings::blk_mq_hw_ctx {
        self.raw.as_ptr()
    }

    /// How many CPUs submit to it; any context.
    pub(super) fn cpus(self) -> u16 {
        // SAFETY: By the type invariant.
        unsafe { (*self.as_ptr()).nr_ctx }
    }

    /// Whether it has no interrupt; any context.
    pub(super) fn is_polled(self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { u32::from((*self.as_ptr()).type_) == bindings::hctx_type_HCTX_TYPE_POLL }
    }

    /// Whether the driver wants no more requests until some have completed.
    pub(super) fn is_stopped(self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { bindings::crash_helper_hctx_is_stopped(self.as_ptr()) }
    }

    /// Whether its first request would take the lock of tags that several disks share.
    pub(super) fn is_newly_shared(self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { bindings::crash_helper_hctx_is_newly_shared(self.as_ptr()) }
    }

    /// Whether anybody holds a request of it, also one that was not submitted.
    pub(super) fn has_requests(self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { bindings::crash_helper_hctx_has_requests(self.as_ptr()) }
    }

    /// Whether the driver has been given a request of it that has not completed: who gave it may be
    /// in the driver still, with its lock.
    pub(super) fn has_requests_in_driver(self) -> bool {
        // SAFETY: By the type invariant.
        unsafe {
            let queue = (*self.as_ptr()).queue;
            bindings::crash_helper_queue_has_requests_in_driver(queue, self.as_ptr())
        }
    }

    /// The interrupt whose handler gets this queue's own data; any context.
    ///
    /// NVMe: `queue_request_irq()` and `nvme_init_hctx()` both give the `nvme_queue`.
    pub(super) fn vector(self, vectors: &[Vector]) -> Option<&Vector> {
        // SAFETY: By the type invariant.
        let data = unsafe { (*self.as_ptr()).driver_data };
        vectors
            .iter()
            .find(|v| !data.is_null() && v.dev_id() == data)
    }

    /// Completes what the device has done.
    ///
    /// # Safety
    ///
    /// The driver has a `poll` function, and may be called: the queue is not unused, and the locks
    /// that `poll` takes are not held for ever.
    pub(super) unsafe fn poll(self) {
        // SAFETY: By the contract.
        unsafe { bindings::crash_helper_mq_poll(self.as_ptr()) };
    }
}

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
    /// `nmi-stop`, by a CPU that was stopped by an NMI. The kernel does that if
    /// `crash_kexec_post_notifiers` is set, and those CPUs are still marked online, as CPUs are that
    /// could not be stopped.
    pub(super) any_lock: Option<&'static str>,
    locked: bool,
    interrupt: bool,
    softirq: bool,
    submits: bool,
}

impl Place {
    /// This one.
    pub(super) fn current() -> Self {
        // SAFETY: Reads of this CPU's state and the current task's.
        unsafe {
            // The idle task is never preempted: it has a depth of one of its own.
            let idle = i32::from(bindings::crash_helper_current_pid() == 0);
            let depth = bindings::crash_helper_preempt_depth().wrapping_sub(idle);
            let softirq = bindings::crash_helper_in_softirq();
            let any_lock = if bindings::crash_helper_in_nmi() {
                Some("nmi")
            } else if bindings::crash_helper_cpus_online() > 1 {
                Some("nmi-stop")
            } else {
                None
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
