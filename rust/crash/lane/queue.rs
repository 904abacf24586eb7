// SPDX-License-Identifier: GPL-2.0

//! Reading a request queue.
//!
//! C headers: [`include/linux/blk-mq.h`](srctree/include/linux/blk-mq.h),
//! [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)
//!
//! Hardware queues come and go when the driver changes their number, and what is below a queue goes
//! with its device. So one looks at either in two situations only: with the queue [in use](InUse),
//! which both have to wait for; or with a [`Stopped`], when nobody is left who could do either.

use crate::{bindings, Stopped};
use core::{
    ffi::c_void,
    marker::PhantomData,
    ptr::{self, NonNull},
};
use vfs::{block::BlockDevice, scope::NoIo};

/// The request queue of a disk that is held open.
///
/// # Invariants
///
/// `raw` is the queue of a disk that is open, and so in memory, as long as this is there.
pub(super) struct Queue {
    raw: NonNull<bindings::request_queue>,
}

/// A hardware queue.
///
/// # Invariants
///
/// `raw` is a hardware queue of a [`Queue`] for requests, and stays one for `'a`: because the queue
/// is in use, or because the machine has stopped.
#[derive(Clone, Copy)]
pub(super) struct HwQueue<'a> {
    raw: NonNull<bindings::blk_mq_hw_ctx>,
    queue: PhantomData<&'a Queue>,
}

/// The queue is in use: neither can the disk be taken away from its driver, nor the driver from what
/// is above it, nor the number of hardware queues be changed. All of these wait for whoever uses the
/// queue, and so this must not be held for long, and nothing be waited for that needs them done.
///
/// # Invariants
///
/// One count of `queue`'s `q_usage_counter` is ours. It was taken while the counter was live and the
/// disk was there.
pub(super) struct InUse<'a> {
    queue: &'a Queue,
    device: &'a BlockDevice,
    // Whoever froze the queue waits for us: memory that only I/O on it frees must not be waited for.
    _no_io: NoIo,
}

/// How what others have in flight is to end when it is found. The driver completes it; but the ends of
/// its bios are run for this module's alone, which only count: what the others' do is for memory that
/// is lost, and the locks that it takes may be held for ever.
#[derive(Clone, Copy)]
pub(super) struct Aside {
    /// The end of lanes' own requests, which are left alone.
    pub(super) lane: bindings::rq_end_io_fn,
    /// Requests are SCSI commands.
    pub(super) scsi: bool,
    /// The steps of flushes, and pass-through commands, end as ever: only where no lock is held. They do
    /// not end at all otherwise.
    pub(super) runs_steps: bool,
}

impl Queue {
    /// The queue of `device`; none if there is none.
    ///
    /// # Safety
    ///
    /// A handle on the device is open until the value is gone.
    pub(super) unsafe fn of(device: &BlockDevice) -> Option<Self> {
        // SAFETY: An open device has a disk, and that a queue.
        let raw = unsafe { bindings::crash_helper_bdev_queue(device.as_ptr()) };
        // INVARIANT: The contract says the same.
        NonNull::new(raw).map(|raw| Self { raw })
    }

    pub(super) fn as_ptr(&self) -> *mut bindings::request_queue {
        self.raw.as_ptr()
    }

    /// Whether it is for requests; any context.
    pub(super) fn is_mq(&self) -> bool {
        // SAFETY: The open disk keeps the queue in memory. The pointer is set before the disk can be
        // opened, and does not change.
        unsafe { !(*self.as_ptr()).mq_ops.is_null() }
    }

    /// Whether the driver has a `poll` function; any context.
    pub(super) fn has_poll(&self) -> bool {
        // SAFETY: As for `is_mq()`; the table is a constant of the driver's, whose module the open disk
        // keeps.
        unsafe { self.is_mq() && (*(*self.as_ptr()).mq_ops).poll.is_some() }
    }

    /// Uses the queue, which is `device`'s; none if the device is going. Sleeps, up to a second while
    /// the queue is frozen.
    pub(super) fn enter<'a>(&'a self, device: &'a BlockDevice) -> Option<InUse<'a>> {
        let no_io = NoIo::enter();
        // SAFETY: Queue and disk are in memory: both belong to open devices. What is taken is given back
        // by `InUse`.
        let entered = unsafe { bindings::crash_helper_queue_enter(self.as_ptr(), device.as_ptr()) };
        // INVARIANT: The helper has taken the count from a live counter, and then found the disk not
        // marked dead.
        entered.then_some(InUse {
            queue: self,
            device,
            _no_io: no_io,
        })
    }

    /// Whether new requests are refused: it is frozen, or the device is gone.
    pub(super) fn is_going(&self, device: &BlockDevice, _: Stopped<'_>) -> bool {
        // SAFETY: Queue and disk are in memory, for both devices are open. Flags and counters are read,
        // which nobody changes any more.
        unsafe { bindings::crash_helper_queue_is_going(self.as_ptr(), device.as_ptr()) }
    }

    /// Whether nothing is in flight and nothing can be, so that the driver may have taken down what
    /// its functions use.
    pub(super) fn is_unused(&self, _: Stopped<'_>) -> bool {
        // SAFETY: The queue is in memory. Who would free the counter's data is stopped.
        unsafe { bindings::crash_helper_queue_is_unused(self.as_ptr()) }
    }

    /// Whether the driver has asked to be left alone, because of a reset for example.
    pub(super) fn is_quiesced(&self, _: Stopped<'_>) -> bool {
        // SAFETY: The queue is in memory; a flag of it is read.
        unsafe { bindings::crash_helper_queue_is_quiesced(self.as_ptr()) }
    }

    /// Has the requests in flight, whoever they belong to, completed where they are found, and of
    /// their ends only those of this module run; see [`Aside`].
    ///
    /// # Safety
    ///
    /// The queue is for requests and was seen not to be unused or not to be going, so that its tags are
    /// there. It is SCSI's if and only if `aside` says so.
    pub(super) unsafe fn set_aside(&self, aside: Aside, _: Stopped<'_>) {
        // SAFETY: The tags are there by the contract. They are walked without a lock; what is changed are
        // requests that the driver has, whose owners are stopped, and whose end we are.
        unsafe {
            bindings::crash_helper_queue_set_aside(
                self.as_ptr(),
                aside.lane,
                aside.scsi,
                aside.runs_steps,
            )
        };
    }

    /// Whether the driver has been given a request of any hardware queue that has not completed.
    ///
    /// # Safety
    ///
    /// The queue is for requests and was seen not to be unused, so that its tags are there.
    pub(super) unsafe fn has_requests_in_driver(&self, _: Stopped<'_>) -> bool {
        // SAFETY: The tags are there by the contract; states of requests are read, which change no more
        // but by ourselves.
        unsafe { bindings::crash_helper_queue_has_requests_in_driver(self.as_ptr(), ptr::null()) }
    }

    /// Keeps starting a request from reading the clock and arming the timer.
    pub(super) fn prepare(&self, _: Stopped<'_>) {
        // SAFETY: The queue is in memory. Its flags and its timer are changed by nobody else any more,
        // nor does a timer run.
        unsafe { bindings::crash_helper_queue_prepare_at_panic(self.as_ptr()) };
    }

    /// The hardware queues that serve any CPU.
    ///
    /// # Safety
    ///
    /// The queue is for requests, and was seen not to be unused or not to be going.
    pub(super) unsafe fn hw_queues(&self, _: Stopped<'_>) -> impl Iterator<Item = HwQueue<'_>> {
        // SAFETY: Who would change their number has to freeze the queue before, and to wait until it is
        // unused. Our contract says that nobody has come so far, and nobody goes on from here.
        unsafe { self.steady_hw_queues() }
    }

    /// Where a polled request from this CPU goes.
    ///
    /// # Safety
    ///
    /// As [`Self::hw_queues`].
    pub(super) unsafe fn polled(&self, _: Stopped<'_>) -> Option<HwQueue<'_>> {
        // SAFETY: The tags, which map CPUs to hardware queues, are there by our contract. These are as
        // the map says, for nobody is changing their number: as in `hw_queues()`.
        let raw = unsafe { bindings::crash_helper_queue_polled_hctx(self.as_ptr()) };
        // INVARIANT: One of this queue's, and the machine has stopped.
        Some(HwQueue {
            raw: NonNull::new(raw)?,
            queue: PhantomData,
        })
    }

    /// # Safety
    ///
    /// The queue is for requests. Nobody changes the number of hardware queues while it is borrowed.
    unsafe fn steady_hw_queues(&self) -> impl Iterator<Item = HwQueue<'_>> {
        // SAFETY: The queue is in memory, and by the contract nobody writes to the number.
        let count = unsafe { (*self.as_ptr()).nr_hw_queues };
        (0..count).filter_map(|n| {
            // SAFETY: `n` is below the number of hardware queues, so that it is in the table.
            let raw = unsafe { bindings::crash_helper_queue_hctx(self.as_ptr(), n) };
            // INVARIANT: One of this queue's; by the contract it stays that.
            let queue = HwQueue {
                raw: NonNull::new(raw)?,
                queue: PhantomData,
            };
            (queue.cpus() != 0).then_some(queue)
        })
    }
}

impl InUse<'_> {
    /// The queue.
    pub(super) fn queue(&self) -> &Queue {
        self.queue
    }

    /// The device.
    pub(super) fn device(&self) -> &BlockDevice {
        self.device
    }

    /// The hardware queues that serve any CPU, of a queue for requests.
    pub(super) fn hw_queues(&self) -> impl Iterator<Item = HwQueue<'_>> {
        // A queue for bios has none: its number of them is zero.
        // SAFETY: Who changes their number freezes the queue before, and waits until nobody uses it.
        unsafe { self.queue.steady_hw_queues() }
    }
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        // SAFETY: One count is ours, and given back once.
        unsafe { bindings::crash_helper_queue_exit(self.queue.as_ptr()) };
    }
}

impl<'a> HwQueue<'a> {
    pub(super) fn as_ptr(self) -> *mut bindings::blk_mq_hw_ctx {
        self.raw.as_ptr()
    }

    /// How many CPUs submit to it.
    pub(super) fn cpus(self) -> u16 {
        // SAFETY: It stays for `'a`, and its CPUs with it: they are mapped anew only with its queue
        // frozen and unused.
        unsafe { (*self.as_ptr()).nr_ctx }
    }

    /// Whether it has no interrupt.
    pub(super) fn is_polled(self) -> bool {
        // SAFETY: It stays for `'a`; the type is set when CPUs are mapped to it, as their number is.
        unsafe { u32::from((*self.as_ptr()).type_) == bindings::hctx_type_HCTX_TYPE_POLL }
    }

    /// Whether the driver wants no more requests until some have completed.
    pub(super) fn is_stopped(self, _: Stopped<'_>) -> bool {
        // SAFETY: It stays for `'a`; a bit of its state is read.
        unsafe { bindings::crash_helper_hctx_is_stopped(self.as_ptr()) }
    }

    /// Whether its first request would take the lock of tags that several disks share.
    pub(super) fn is_newly_shared(self, _: Stopped<'_>) -> bool {
        // SAFETY: It stays for `'a`; flags and a bit of its state are read.
        unsafe { bindings::crash_helper_hctx_is_newly_shared(self.as_ptr()) }
    }

    /// Whether anybody holds a request of it, also one that was not submitted.
    pub(super) fn has_requests(self, _: Stopped<'_>) -> bool {
        // SAFETY: It stays for `'a`, and nobody is left who could replace its tags. Their bitmap is read
        // without a lock.
        unsafe { bindings::crash_helper_hctx_has_requests(self.as_ptr()) }
    }

    /// Whether the driver has been given a request of it that has not completed: who gave it may be
    /// in the driver still, with its lock.
    pub(super) fn has_requests_in_driver(self, _: Stopped<'_>) -> bool {
        // SAFETY: It stays for `'a`, and so does the queue that it names, with its tags; states of
        // requests are read, which change no more but by ourselves.
        unsafe {
            let queue = (*self.as_ptr()).queue;
            bindings::crash_helper_queue_has_requests_in_driver(queue, self.as_ptr())
        }
    }

    /// Whether that is the driver's own data of it.
    pub(super) fn has_data(self, data: *const c_void) -> bool {
        // SAFETY: It stays for `'a`; the driver has set its data when it was made. They are compared only.
        let own = unsafe { (*self.as_ptr()).driver_data };
        !own.is_null() && ptr::eq(own, data)
    }

    /// Completes what the device has done.
    ///
    /// # Safety
    ///
    /// The driver has a `poll` function, and may be called: the queue is not unused, and the locks
    /// that `poll` takes are not held for ever.
    pub(super) unsafe fn poll(self, _: Stopped<'_>) {
        // SAFETY: It stays for `'a`. That the driver has the function, has not taken down what it uses,
        // and will get its locks is our contract.
        unsafe { bindings::crash_helper_mq_poll(self.as_ptr()) };
    }
}
