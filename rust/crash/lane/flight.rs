// SPDX-License-Identifier: GPL-2.0

//! The one request of a lane, and sending it.

use super::{ata, queue::HwQueue, refusal::QUEUE_SHARED, scsi, Op, Shared, Span, Way};
use crate::bindings;
use core::{ffi::c_void, ptr};
use kernel::{
    prelude::*,
    sync::atomic::{Acquire, Atomic, Relaxed, Release},
    types::Opaque,
};

/// Status of a request that has not completed; others are 0 or a negative errno.
const PENDING: i32 = 1;

/// Where the operation is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// There is none.
    Idle,
    /// A part of it is to be sent (again: the driver had no room).
    Waits,
    /// A part of it is in the device.
    Sent,
    /// There was nothing to send.
    Nothing,
    /// It was given up: the device may still write to the buffer and complete the request.
    Dead,
}

/// What the lane does at the moment.
///
/// # Invariants
///
/// `request` is null or a request of the lane's queue, ours, and of `hw`; while the phase is
/// [`Phase::Sent`] or [`Phase::Dead`] the driver may use it, `bio` and `vec`.
pub(super) struct Flight {
    pub(super) phase: Phase,
    request: *mut bindings::request,
    hw: Option<HwQueue>,
    op: u32,
    span: Span,
    part: Span,
    /// How often this part may still be sent again.
    tries: u8,
    /// The class was found to be safe once. This CPU stays where it is, and what it holds, it holds
    /// for ever: later calls come from deeper inside of the same panic.
    pub(super) granted: bool,
    pub(super) collecting: bool,
    /// The device was told of what is in its queues.
    told: bool,
    status: Atomic<i32>,
    bio: Opaque<bindings::bio>,
    vec: Opaque<bindings::bio_vec>,
}

/// # Safety
///
/// Called by the block layer when a request of [`Shared::send`] has completed, in `poll` or in a
/// handler that [`Shared::reap`] has called; or, if it was given up, at any time.
unsafe extern "C" fn end_io(
    rq: *mut bindings::request,
    status: bindings::blk_status_t,
    _iob: *const bindings::io_comp_batch,
) -> bindings::rq_end_io_ret {
    // SAFETY: By the contract; `send` has put the address of `Flight::status` there, which is never
    // freed once the kernel panics.
    unsafe {
        let errno = bindings::blk_status_to_errno(status);
        let slot = (*rq).end_io_data.cast::<Atomic<i32>>();
        (*slot).store(errno.min(0), Release);
    }
    // It stays ours. Freeing it would wake up who waits for a tag.
    bindings::rq_end_io_ret_RQ_END_IO_NONE
}

impl Flight {
    pub(super) fn new() -> Self {
        // INVARIANT: There is no request.
        Self {
            phase: Phase::Idle,
            request: ptr::null_mut(),
            hw: None,
            op: 0,
            span: Span::EMPTY,
            part: Span::EMPTY,
            tries: 0,
            granted: false,
            collecting: false,
            told: false,
            status: Atomic::new(0),
            bio: Opaque::zeroed(),
            vec: Opaque::zeroed(),
        }
    }
}

impl Shared {
    /// Sees to it, once, that a virtio device knows of all that is in its queues: a CPU may have been
    /// stopped between adding to one and telling the device, and who comes after it on that queue,
    /// this lane too, would not tell it. NVMe's doorbells are the driver's secret.
    pub(super) fn tell_device(&self, flight: &mut Flight) {
        if matches!(self.collects, Way::VirtioShared | Way::VirtioScsi) && !flight.told {
            flight.told = true;
            // SAFETY: Those ways have a virtio device above the disk, which is open, and was not
            // removed, or the queue would be dying; in panic context.
            unsafe { bindings::crash_helper_bdev_virtio_notify(self.device.as_ptr()) };
        }
    }

    /// Begins an operation.
    pub(super) fn submit(&self, flight: &mut Flight, op: Op) -> Result<(), &'static str> {
        if let Some(why) = self.refusal(flight) {
            return Err(why);
        }
        if flight.phase != Phase::Idle {
            return Err("busy");
        }
        let (code, place) = match op {
            Op::Read { sector, at, len } => {
                (bindings::CRASH_CONST_REQ_OP_READ, Some((sector, at, len)))
            }
            Op::Write { sector, at, len } => {
                (bindings::CRASH_CONST_REQ_OP_WRITE, Some((sector, at, len)))
            }
            Op::Flush => (bindings::CRASH_CONST_REQ_OP_FLUSH, None),
        };
        flight.op = code | bindings::CRASH_CONST_REQ_LANE;
        match place {
            Some(place) => {
                flight.span =
                    Span::new(self.area, self.buffer.len, self.block, place).ok_or("range")?;
                flight.part = flight.span.take(self.chunk).ok_or("range")?;
            }
            None if !self.device.has_write_cache() => {
                flight.phase = Phase::Nothing;
                return Ok(());
            }
            None => (flight.span, flight.part) = (Span::EMPTY, Span::EMPTY),
        }
        flight.tries = scsi::TRIES;
        self.take_request(flight)?;
        self.send(flight)
    }

    /// Before the first request is taken, or completed, at the panic.
    pub(super) fn prepare(&self) {
        self.queue.prepare();
        if self.collects.is_scsi() {
            // SAFETY: The way says that the disk's driver is sd.
            unsafe { scsi::prepare(&self.queue) };
        }
        if self.collects == Way::Ahci {
            // SAFETY: The way says that the disk is on a port of ahci; that nobody holds its lock was
            // seen before this is called.
            unsafe { ata::prepare(&self.queue) };
        }
    }

    /// Sees to it that there is a request. One is enough for all operations: none is ever given
    /// back.
    fn take_request(&self, flight: &mut Flight) -> Result<(), &'static str> {
        if !flight.request.is_null() {
            return Ok(());
        }
        self.prepare();
        self.tell_device(flight);
        // Does not wait: the queue's reference is a per-CPU counter, the tag a bit in a bitmap, and the
        // I/O scheduler is not asked. A bitmap that has to be cleaned takes an irq-safe lock.
        // SAFETY: By the invariant of `Queue` the disk is open.
        let rq = unsafe {
            bindings::crash_helper_request_alloc_at_panic(self.queue.as_ptr(), flight.op)
        };
        if rq.is_null() {
            return Err("no-tag");
        }
        // SAFETY: It was allocated now.
        let hctx = unsafe { (*rq).mq_hctx };
        let hw = self.queue.polled().filter(|hw| hw.as_ptr() == hctx);
        if hw.is_none() {
            // Not the queue that was judged. It is not given back, for that would take locks.
            flight.phase = Phase::Dead;
            return Err(QUEUE_SHARED);
        }
        // INVARIANT: Ours, and of `hw` by the comparison.
        (flight.request, flight.hw) = (rq, hw);
        Ok(())
    }

    /// Hands the current part to the driver.
    fn send(&self, flight: &mut Flight) -> Result<(), &'static str> {
        let rq = flight.request;
        let part = flight.part;
        let sector = self.start.wrapping_add(part.sector);
        let scsi = self.writes.is_scsi();
        // SAFETY: The way says that the disk's driver is sd, or that its port is ahci's; by the
        // invariant of `Flight` the request is ours and the driver does not have it. With a budget it
        // goes to the driver below in any case.
        let taken = unsafe {
            let room = self.writes != Way::Ahci || ata::has_room(&self.queue, part.len == 0);
            room && (!scsi || scsi::take_budget(&self.queue, rq))
        };
        if !taken {
            flight.phase = Phase::Waits;
            return Ok(());
        }
        let (bio, segments) = if part.len == 0 {
            (ptr::null_mut(), 0)
        } else {
            (flight.bio.get(), 1)
        };
        flight.status.store(PENDING, Relaxed);
        flight.phase = Phase::Sent;
        // SAFETY: By the invariant of `Flight` the request is ours and the driver does not have it.
        // The part is inside of the buffer, whose memory is one segment. The fields are those that
        // blk_mq_bio_to_request() sets; flags and state are as of a request that was just allocated.
        // The queue is neither frozen nor quiesced, and `refusal` has seen that the locks which
        // `queue_rq` takes are not held for ever.
        let status = unsafe {
            if !bio.is_null() {
                let data = self.buffer.data.add(part.at);
                bindings::crash_helper_bio_fill(
                    bio,
                    flight.vec.get(),
                    self.device.as_ptr(),
                    flight.op,
                    sector,
                    data.cast::<c_void>(),
                    part.len as u32,
                );
            }
            (*rq).cmd_flags = flight.op;
            (*rq).rq_flags = 0;
            (*rq).bio = bio;
            (*rq).biotail = bio;
            (*rq).__data_len = part.len as u32;
            (*rq).__sector = sector;
            (*rq).nr_phys_segments = segments;
            (*rq).state = bindings::mq_rq_state_MQ_RQ_IDLE;
            (*rq).end_io = Some(end_io);
            (*rq).end_io_data = (&raw const flight.status).cast::<c_void>().cast_mut();
            if scsi {
                scsi::fill(rq);
            }
            bindings::crash_helper_mq_queue_rq(rq)
        };
        match status {
            0 => Ok(()),
            bindings::CRASH_CONST_BLK_STS_RESOURCE | bindings::CRASH_CONST_BLK_STS_DEV_RESOURCE => {
                flight.phase = Phase::Waits;
                Ok(())
            }
            _ => {
                flight.phase = Phase::Idle;
                Err("io-error")
            }
        }
    }

    /// Has the driver complete what the device has done of the lane's own queue.
    fn reap(&self, flight: &Flight) {
        let Some(hw) = flight.hw else {
            return;
        };
        match self.writes {
            Way::NvmeReap => {
                if let Some(vector) = hw.vector(&self.vectors) {
                    // SAFETY: `refusal` has let the lane through; nvme_irq() takes no lock.
                    unsafe { vector.call() };
                }
            }
            Way::Ahci => {
                for vector in &self.vectors {
                    // SAFETY: `refusal` has let the lane through; the handler takes its port's lock or
                    // its controller's, which are irq-safe and not held.
                    unsafe { vector.call() };
                }
            }
            // SAFETY: The queue is in use, for the lane has a request of it; `refusal` has let it
            // through, and these ways have `poll`.
            Way::VirtioPoll | Way::VirtioShared | Way::VirtioScsi | Way::NvmePoll => unsafe {
                hw.poll();
            },
            Way::None(_) => {}
        }
    }

    /// One round; the result when the operation has ended.
    pub(super) fn poll(&self, flight: &mut Flight) -> Option<Result<(), i32>> {
        match flight.phase {
            Phase::Sent => {}
            Phase::Waits => {
                self.reap(flight);
                return match self.send(flight) {
                    Ok(()) => None,
                    Err(_) => Some(Err(EIO.to_errno())),
                };
            }
            Phase::Nothing => {
                flight.phase = Phase::Idle;
                return Some(Ok(()));
            }
            Phase::Idle | Phase::Dead => return Some(Err(EINVAL.to_errno())),
        }
        self.reap(flight);
        let status = flight.status.load(Acquire);
        if status == PENDING {
            return None;
        }
        flight.phase = Phase::Idle;
        match self.outcome(flight, status) {
            Ok(true) => {
                let Some(part) = flight.span.take(self.chunk) else {
                    return Some(Ok(()));
                };
                flight.part = part;
                flight.tries = scsi::TRIES;
            }
            Ok(false) => {}
            Err(errno) => return Some(Err(errno)),
        }
        match self.send(flight) {
            Ok(()) => None,
            Err(_) => Some(Err(EIO.to_errno())),
        }
    }

    /// Whether the part whose request has ended with `status` is done; if not, it is to be sent again.
    fn outcome(&self, flight: &mut Flight, status: i32) -> Result<bool, i32> {
        if !self.writes.is_scsi() {
            return if status == 0 { Ok(true) } else { Err(status) };
        }
        // SAFETY: The way says that the disk's driver is sd; the request is ours and has ended.
        match unsafe { scsi::outcome(flight.request) } {
            scsi::Outcome::Done if status == 0 => Ok(true),
            scsi::Outcome::Again if flight.tries > 1 => {
                flight.tries = flight.tries.wrapping_sub(1);
                Ok(false)
            }
            _ if status == 0 => Err(EIO.to_errno()),
            _ => Err(status),
        }
    }
}
