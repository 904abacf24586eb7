// SPDX-License-Identifier: GPL-2.0

//! A way to write to a block device while the kernel panics.
//!
//! C headers: [`include/linux/blk-mq.h`](srctree/include/linux/blk-mq.h),
//! [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)
//!
//! A [`Lane`] is made at mount, in process context: it looks at the device's queue, decides how
//! completions can be collected and requests written ([`Way`]), and holds all memory that will be
//! needed. [`at_panic`] uses it by number: it takes a request without waiting, hands it to the
//! driver's `queue_rq` itself, and polls, or calls the queue's interrupt handler by hand, until the
//! driver has completed it. No I/O scheduler, workqueue, timer, interrupt or wake-up has a part in
//! it.
//!
//! # What may hang, and how it is avoided
//!
//! Who looks for one completion finds those of others. Their ends would take locks of whoever they belong to: they
//! are set aside before (`queue::Aside`), so that the driver's locks are what is left.
//!
//! Other CPUs were stopped wherever they were. On x86 they are asked by an ordinary interrupt
//! first, so that they have left what runs with interrupts off: a lock that is *irq-safe* (always
//! taken with interrupts off) is not held by them. A *plain* lock may be held for ever. A CPU that
//! was stopped by NMI, or has handed on its panic to this one, is asked whether it holds a lock, any; if so
//! all is as in an NMI. This CPU may hold any lock if the panic came out of code that does. From this come the classes:
//!
//! | way | locks that submitting and collecting take | where it writes |
//! | --- | --- | --- |
//! | `virtio-poll` | the queue's `vq->lock`, irq-safe, of those who poll | not out of a task with a spinlock while somebody's request is on the queue; in an NMI only if none is, and the driver neither allocates nor translates |
//! | `virtio-shared` | `vq->lock`, irq-safe, which this CPU may hold | not in an NMI; not out of the block layer; not inside of the queue's interrupt |
//! | `virtio-scsi` | `vq_lock`, the same | as `virtio-shared`; not while SCSI's host or device would not take a command at once |
//! | `ahci` | the port's lock or the controller's, irq-safe, and seen not to be held | the same |
//! | `nvme-poll` | `sq_lock`, `cq_poll_lock`, plain | everywhere if no request of anybody's is on the poll queue; in an NMI only without DMA translation |
//! | `nvme-reap` | `sq_lock`, plain | on a queue of this CPU alone, on which the driver holds no request of anybody's; not in an NMI, not out of the block layer, not while the handler is in progress |
//!
//! *Out of the block layer* means: the panic came from inside of an interrupt, or from a task that
//! is submitting, may be polling, or is a worker, and a spinlock is held on this CPU. That no spinlock is held is
//! known where the kernel counts them (`CONFIG_PREEMPT_COUNT`); where it does not, one is taken to
//! be held.
//!
//! [`Mode::Force`] writes without asking for the class. Neither mode calls a handler that is in
//! progress.

use crate::bindings;
use core::{cell::UnsafeCell, ptr};
use kernel::{
    prelude::*,
    sync::atomic::{Atomic, Full},
    types::Opaque,
};
use vfs::{block::BlockDevice, stopped};

pub mod at_panic;
mod ata;
mod collect;
mod entered;
mod flight;
mod place;
mod probe;
mod queue;
mod refusal;
mod scsi;
mod send;
mod shared;
mod span;
mod vectors;
mod way;

use self::{
    flight::Flight,
    queue::Queue,
    shared::{Buffer, Shared, TABLE},
};
pub use self::{
    shared::LANES,
    span::{Area, Op},
    way::{Mode, Reason, Way},
};

/// A lane to a device; gone, and its memory free, when this is dropped.
///
/// # Invariants
///
/// `shared` was made by [`KBox::into_raw`], is in entry `number` of `TABLE`, and ours to free.
pub struct Lane {
    shared: *mut Shared,
    number: u32,
}

// SAFETY: What it owns, `Shared`, is `Send`.
unsafe impl Send for Lane {}
// SAFETY: What it lends, `Shared`, is `Sync`.
unsafe impl Sync for Lane {}

impl Lane {
    /// Makes a lane to `area` of `device` with a buffer of `buffer` bytes. Process context.
    ///
    /// That the device cannot be written at a panic is no error: see [`Self::writes`].
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `ENOSPC` if there are [`LANES`] already; `ENXIO` if there is no queue.
    pub fn new(device: &BlockDevice, area: Area, buffer: usize, mode: Mode) -> Result<Self> {
        let device = device.clone();
        // SAFETY: Process context. It writes one pointer, always the same.
        unsafe { bindings::crash_helper_learn_ends() };
        // SAFETY: The handle is kept beside it.
        let queue = unsafe { Queue::of(&device) }.ok_or(ENXIO)?;
        let found = probe::probe(&device, &queue, (area, buffer, mode))?;
        let block = device.logical_block_size().into();
        let shared = Shared {
            device,
            queue,
            start: found.start,
            area,
            mode,
            collects: found.collects,
            writes: found.writes,
            vectors: found.vectors,
            buffer: Buffer::new(buffer)?,
            block,
            chunk: found.chunk,
            hw_queues: found.hw_queues,
            takes_locks: found.takes_locks,
            busy: Atomic::new(0),
            flight: UnsafeCell::new(Flight::new()),
            status: Atomic::new(0),
            bio: Opaque::zeroed(),
            vec: Opaque::zeroed(),
        };
        let shared = KBox::into_raw(KBox::new(shared, GFP_KERNEL)?);
        for (number, entry) in (0..).zip(&TABLE) {
            // INVARIANT: Of `TABLE` and of `Lane`: it is freed by `Drop`, which takes it out first.
            if entry.cmpxchg(ptr::null_mut(), shared, Full).is_ok() {
                return Ok(Self { shared, number });
            }
        }
        // SAFETY: It comes from `into_raw`, and no entry has taken it: nobody else has seen it.
        drop(unsafe { KBox::from_raw(shared) });
        Err(ENOSPC)
    }

    fn shared(&self) -> &Shared {
        // SAFETY: It is freed by our `Drop` and nobody else, and shared references are all there are.
        unsafe { &*self.shared }
    }

    /// Its number, for [`at_panic`].
    pub fn number(&self) -> u32 {
        self.number
    }

    /// How completions of requests that are in flight are collected.
    pub fn collects(&self) -> Way {
        self.shared().collects
    }

    /// How it writes.
    pub fn writes(&self) -> Way {
        self.shared().writes
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if let Some(entry) = TABLE.get(self.number as usize) {
            entry.xchg(ptr::null_mut(), Full);
        }
        // Either this sees the freeze, or the panic, which looks into the table after it, sees the
        // entry gone: the exchanges of both are full barriers.
        if stopped::is_set() {
            return;
        }
        // SAFETY: `new` got it from `into_raw`, and it is ours to free: nobody finds it in the table any
        // more, and by the above nobody has.
        drop(unsafe { KBox::from_raw(self.shared) });
    }
}
