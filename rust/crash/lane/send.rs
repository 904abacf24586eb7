// SPDX-License-Identifier: GPL-2.0

//! Sending the one request of a lane, and seeing it end.

use super::{
    ata,
    entered::Entered,
    flight::{Flight, Phase},
    place::Place,
    queue::Aside,
    scsi,
    span::{Op, Span},
    vectors::of_queue,
    way::{Reason, Way},
};
use crate::bindings;
use core::{ffi::c_void, ptr};
use kernel::{
    prelude::*,
    sync::atomic::{Acquire, Atomic, Relaxed, Release},
};

/// Status of a request that has not completed; others are 0 or a negative errno.
const PENDING: i32 = 1;

/// # Safety
///
/// Called by the block layer when a request of [`Entered::send`] has completed, in `poll` or in a
/// handler that [`Entered::reap`] has called; or, if it was given up, at any time.
unsafe extern "C" fn end_io(
    rq: *mut bindings::request,
    status: bindings::blk_status_t,
    _iob: *const bindings::io_comp_batch,
) -> bindings::rq_end_io_ret {
    // SAFETY: `send` has put the address of the lane's `status` there, and a lane is never freed once
    // the machine has stopped. The request is valid until we give it back, which we do not.
    unsafe {
        let errno = bindings::blk_status_to_errno(status);
        let slot = (*rq).end_io_data.cast::<Atomic<i32>>();
        (*slot).store(errno.min(0), Release);
    }
    // It stays ours. Freeing it would wake up who waits for a tag.
    bindings::rq_end_io_ret_RQ_END_IO_NONE
}

impl Entered<'_> {
    /// Sees to it, once, that a virtio device knows of all that is in its queues: a CPU may have been
    /// stopped between adding to one and telling the device, and who comes after it on that queue,
    /// this lane too, would not tell it. NVMe's doorbells are the driver's secret.
    ///
    /// # Safety
    ///
    /// The queue was seen not to be unused, or not to be going.
    pub(super) unsafe fn tell_device(&self, flight: &mut Flight) {
        if matches!(self.collects, Way::VirtioShared | Way::VirtioScsi) && !flight.told {
            flight.told = true;
            // SAFETY: Those ways have a virtio device above the disk. It was not removed, by the
            // contract, and nobody is left who could free its queues.
            unsafe { bindings::crash_helper_bdev_virtio_notify(self.device.as_ptr()) };
        }
    }

    /// Begins an operation.
    ///
    /// # Safety
    ///
    /// [`Self::refusal`] has just let it through.
    pub(super) unsafe fn submit(&self, flight: &mut Flight, op: Op) -> Result<(), &'static str> {
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
                    Span::new(self.area, self.buffer.len(), self.block, place).ok_or("range")?;
                flight.part = flight.span.take(self.chunk).ok_or("range")?;
            }
            None if !self.device.has_write_cache() => {
                flight.phase = Phase::Nothing;
                return Ok(());
            }
            None => (flight.span, flight.part) = (Span::EMPTY, Span::EMPTY),
        }
        flight.tries = scsi::TRIES;
        // SAFETY: Their contract is ours; after the first there is a request.
        unsafe {
            self.take_request(flight)?;
            self.send(flight)
        }
    }

    /// Before the first request is taken, or completed, at the panic. What others have in flight is set
    /// aside: looking for the lane's own request finds that, too, and whoever panics may hold what its
    /// end takes. Again may be.
    ///
    /// # Safety
    ///
    /// The queue is for requests, and was seen not to be unused, or not to be going; for the way Ahci, the
    /// port's lock not to be held.
    pub(super) unsafe fn prepare(&self) {
        self.queue.prepare(self.stopped);
        let aside = Aside {
            lane: Some(end_io),
            scsi: self.collects.is_scsi(),
            runs_steps: Place::current(self.stopped).holds_nothing(),
        };
        if self.collects.is_scsi() {
            // SAFETY: The way says that the disk's driver is sd; its queue is as that asks.
            unsafe { scsi::prepare(&self.queue, self.stopped) };
        }
        if self.collects == Way::Ahci {
            // SAFETY: The way says that the disk is on a port of ahci; its queue and lock are as that
            // asks.
            unsafe { ata::prepare(&self.queue, aside, self.stopped) };
        } else {
            // SAFETY: The queue is as the contract says; the way says whether the disk's driver is sd.
            unsafe { self.queue.set_aside(aside, self.stopped) };
        }
    }

    /// Sees to it that there is a request. One is enough for all operations: none is ever given
    /// back.
    ///
    /// # Safety
    ///
    /// As [`Self::submit`].
    unsafe fn take_request(&self, flight: &mut Flight) -> Result<(), &'static str> {
        if !flight.request.is_null() {
            return Ok(());
        }
        // SAFETY: `refusal` has seen that the queue is not going, and the lock of an AHCI port not held.
        unsafe {
            self.prepare();
            self.tell_device(flight);
        }
        // Does not wait: the queue's reference is a per-CPU counter, the tag a bit in a bitmap, and the
        // I/O scheduler is not asked. A bitmap that has to be cleaned takes an irq-safe lock.
        // SAFETY: The queue is for requests, and `refusal` has seen that it is neither going nor quiesced.
        let rq = unsafe {
            bindings::crash_helper_request_alloc_at_panic(self.queue.as_ptr(), flight.op)
        };
        if rq.is_null() {
            return Err("no-tag");
        }
        // SAFETY: The request is ours since now, and a queue that is not going tells where such go.
        let (hctx, hw) = unsafe { ((*rq).mq_hctx, self.shared().queue.polled(self.stopped)) };
        let hw = hw.filter(|hw| hw.as_ptr() == hctx);
        if hw.is_none() {
            // Not the queue that was judged. It is not given back, for that would take locks.
            flight.phase = Phase::Dead;
            return Err(Reason::QueueShared.name());
        }
        // INVARIANT: Ours, and of `hw` by the comparison.
        (flight.request, flight.hw) = (rq, hw);
        Ok(())
    }

    /// Hands the current part to the driver.
    ///
    /// # Safety
    ///
    /// [`Self::refusal`] has let the lane through in this panic. There is a request, which the driver does
    /// not have.
    unsafe fn send(&self, flight: &mut Flight) -> Result<(), &'static str> {
        let rq = flight.request;
        let part = flight.part;
        let sector = self.start.wrapping_add(part.sector);
        let scsi = self.writes.is_scsi();
        let stopped = self.stopped;
        // SAFETY: The way says that the disk's driver is sd, or that its port is ahci's; `refusal` has
        // seen that the queue is not going. The request is ours, and the driver does not have it. With
        // a budget it goes to the driver below in any case.
        let taken = unsafe {
            let room =
                self.writes != Way::Ahci || ata::has_room(&self.queue, part.len == 0, stopped);
            room && (!scsi || scsi::take_budget(&self.queue, rq, stopped))
        };
        if !taken {
            flight.phase = Phase::Waits;
            return Ok(());
        }
        // None for a flush.
        let data = (part.len != 0).then(|| self.buffer.at(part.at, part.len));
        let (bio, segments, data) = match data {
            Some(Some(data)) => (self.bio.get(), 1, data),
            Some(None) => return Err("range"),
            None => (ptr::null_mut(), 0, ptr::null_mut()),
        };
        self.status.store(PENDING, Relaxed);
        flight.phase = Phase::Sent;
        // SAFETY: The request is ours and the driver does not have it: nor bio and vector, which go with
        // it. The part is inside of the buffer, whose memory is one segment. The fields are those that
        // blk_mq_bio_to_request() sets; flags and state are as of a request that was just allocated.
        // `refusal` has seen that the queue is neither frozen nor quiesced, and that the locks which
        // `queue_rq` takes are not held for ever.
        let status = unsafe {
            if !bio.is_null() {
                bindings::crash_helper_bio_fill(
                    bio,
                    self.vec.get(),
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
            (*rq).end_io_data = (&raw const self.status).cast::<c_void>().cast_mut();
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
    ///
    /// # Safety
    ///
    /// [`Self::refusal`] has let the lane through in this panic.
    unsafe fn reap(&self, flight: &Flight) {
        let Some(hw) = flight.hw else {
            return;
        };
        match self.writes {
            Way::NvmeReap => {
                if let Some(vector) = of_queue(&self.vectors, hw) {
                    // SAFETY: nvme_irq() takes no lock.
                    unsafe { vector.call(self.stopped) };
                }
            }
            Way::Ahci => {
                for vector in &self.vectors {
                    // SAFETY: The handler takes its port's lock or its controller's, which `refusal` has
                    // seen not to be held.
                    unsafe { vector.call(self.stopped) };
                }
            }
            // SAFETY: These ways have `poll`. The queue is not unused, for the lane has a request of it,
            // and `refusal` has seen that the locks which `poll` takes are not held for ever.
            Way::VirtioPoll | Way::VirtioShared | Way::VirtioScsi | Way::NvmePoll => unsafe {
                hw.poll(self.stopped);
            },
            Way::None(_) => {}
        }
    }

    /// One round; the result when the operation has ended.
    pub(super) fn poll(&self, flight: &mut Flight) -> Option<Result<(), i32>> {
        match flight.phase {
            Phase::Sent | Phase::Waits => {}
            Phase::Nothing => {
                flight.phase = Phase::Idle;
                return Some(Ok(()));
            }
            Phase::Idle | Phase::Dead => return Some(Err(EINVAL.to_errno())),
        }
        // SAFETY: There is an operation, so `refusal` has let it through.
        unsafe { self.reap(flight) };
        if flight.phase == Phase::Sent {
            let status = self.status.load(Acquire);
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
        }
        // SAFETY: `refusal` has let the operation through, and its request has ended or was not taken by the
        // driver.
        match unsafe { self.send(flight) } {
            Ok(()) => None,
            Err(_) => Some(Err(EIO.to_errno())),
        }
    }

    /// Whether the part whose request has ended with `status` is done; if not, it is to be sent again.
    fn outcome(&self, flight: &mut Flight, status: i32) -> Result<bool, i32> {
        if !self.writes.is_scsi() {
            return if status == 0 { Ok(true) } else { Err(status) };
        }
        // SAFETY: The way says that the disk's driver is sd; the request is ours, was filled by `send`, and
        // has ended.
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
