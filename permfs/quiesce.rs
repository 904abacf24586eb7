// SPDX-License-Identifier: GPL-2.0

//! Orderly quiesce: bringing a volume to rest in a context that may sleep, within a limited time.
//!
//! What is done, in order: write data and log back ([`Request::sync`]); refuse what comes from now on
//! ([`Request::close`]); freeze the device's request queue until nothing is in flight, unfreeze it, and
//! flush the device's cache. Without `close` nobody gets an error: while the queue is frozen,
//! submitters wait.
//!
//! A write to a device that has stalled cannot be cancelled and cannot be waited for within a limit. So
//! the work is done by a worker ([`Quiescer::serve`]), and who asked for it waits for the worker, with
//! a limit. When that is over the caller is told how far the work came, and nothing more. It also makes
//! it harmless to ask with locks held that the worker needs: the wait is in vain, and ends.

use crate::{disk::Disk, engine::Engine, PermFs};
use crash::{
    context::Context,
    reboot::{Event, Notifier},
};
use kernel::{
    fmt, new_mutex,
    prelude::*,
    str::CString,
    sync::{
        atomic::{Acquire, Atomic, Relaxed, Release},
        Arc, Mutex,
    },
    time::{delay::fsleep, Delta},
};
use permfs_core::panic::{Flush, PanicQuiesceResult};
use vfs::{
    scope::NoIo,
    super_block::{Background, SuperBlock},
    sync::Completion,
    time::mono_fast_ns,
};

/// Limit for freezing the filesystem, in milliseconds.
pub(crate) const FREEZE_MS: u32 = 5_000;
/// Limit before a panic that `errors=panic` asks for.
pub(crate) const PANIC_MS: u32 = 1_000;
/// Limit at a reboot, for all volumes together.
const REBOOT_MS: u32 = 5_000;
/// How much longer than its limit the worker is waited for: it gives up by itself at the limit.
const GRACE_MS: u32 = 100;

const NS_PER_MS: u64 = 1_000_000;

/// What is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    /// Write back files, metadata and log before.
    pub(crate) sync: bool,
    /// Every later request to the device fails with `EIO`, for good.
    pub(crate) close: bool,
    /// Limit, in milliseconds.
    pub(crate) ms: u32,
}

/// How far it came.
#[derive(Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) result: PanicQuiesceResult,
    /// Why not all was written back before.
    pub(crate) error: Option<Error>,
}

impl Outcome {
    fn not_drained(disk: &Disk, error: Option<Error>) -> Self {
        let result = PanicQuiesceResult {
            drained: false,
            in_flight: disk.in_flight(),
            flush_issued: Flush::NotAttempted,
        };
        Self { result, error }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PanicQuiesceResult {
            drained,
            in_flight,
            flush_issued,
        } = self.result;
        let (drained, flush) = (u32::from(drained), flush_issued.name());
        write!(f, "drained={drained} in_flight={in_flight} flush={flush}")
    }
}

/// The request was drained, its flush has not completed.
const FLUSHING: u32 = 1;

/// A request that the worker serves.
#[pin_data]
pub(crate) struct Ticket {
    request: Request,
    deadline: u64,
    stage: Atomic<u32>,
    #[pin]
    outcome: Mutex<Option<Outcome>>,
    #[pin]
    done: Completion,
}

impl Ticket {
    fn new(request: Request) -> impl PinInit<Self> {
        pin_init!(Self {
            request,
            deadline: mono_fast_ns().saturating_add(u64::from(request.ms) * NS_PER_MS),
            stage: Atomic::new(0),
            outcome <- new_mutex!(None, "permfs::quiesce::outcome"),
            done <- Completion::new(),
        })
    }

    fn left_ms(&self) -> u32 {
        let left = self.deadline.saturating_sub(mono_fast_ns()) / NS_PER_MS;
        u32::try_from(left).unwrap_or(u32::MAX)
    }

    fn finish(&self, outcome: Outcome) {
        *self.outcome.lock() = Some(outcome);
        self.done.complete_all();
    }
}

struct State {
    /// There from the end of the mount to the begin of the unmount.
    worker: Option<Background<PermFs>>,
    tickets: KVec<Arc<Ticket>>,
    /// The one that the reboot notifier has handed in.
    reboot: Option<Arc<Ticket>>,
}

/// A volume's place to ask for a quiesce. It outlives the mount in nobody's hands but a notifier's.
#[pin_data]
pub(crate) struct Quiescer {
    engine: Arc<Engine>,
    name: CString,
    #[pin]
    state: Mutex<State>,
    /// The process that serves; 0: none does.
    server: Atomic<i32>,
}

impl Quiescer {
    /// `name` is the device's.
    pub(crate) fn new(engine: Arc<Engine>, name: CString) -> impl PinInit<Self> {
        pin_init!(Self {
            engine,
            name,
            state <- new_mutex!(State {
                worker: None,
                tickets: KVec::new(),
                reboot: None,
            }, "permfs::quiesce"),
            server: Atomic::new(0),
        })
    }

    /// The volume is mounted: `worker` calls [`Quiescer::serve`].
    pub(crate) fn open(&self, worker: Option<Background<PermFs>>) {
        self.state.lock().worker = worker;
    }

    /// The volume is being unmounted, the worker has stopped.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.worker = None;
        let tickets = core::mem::replace(&mut state.tickets, KVec::new());
        drop(state);
        for ticket in &tickets {
            ticket.finish(Outcome::not_drained(self.engine.disk(), Some(ESHUTDOWN)));
        }
    }

    /// Quiesces the volume and waits for it, not much longer than the request's limit. Callers may hold
    /// any lock; what is written back with one that the worker needs is left out at the limit.
    pub(crate) fn run(&self, sb: &SuperBlock<PermFs>, request: Request) -> Outcome {
        let _no_io = NoIo::enter();
        // The worker itself met an error: nobody else would serve it.
        if self.server.load(Relaxed) == Context::current().pid {
            let ticket = Arc::pin_init(Ticket::new(request), GFP_KERNEL);
            return match ticket {
                Ok(ticket) => self.work(sb, &ticket),
                Err(e) => Outcome::not_drained(self.engine.disk(), Some(e)),
            };
        }
        match self.begin(request) {
            Ok(ticket) => self.wait(&ticket),
            Err(e) => Outcome::not_drained(self.engine.disk(), Some(e)),
        }
    }

    /// Hands a request in. Errors: `ESHUTDOWN` if the volume is not mounted, `ENOMEM`.
    fn begin(&self, request: Request) -> Result<Arc<Ticket>> {
        let ticket = Arc::pin_init(Ticket::new(request), GFP_KERNEL)?;
        let mut state = self.state.lock();
        let worker = state.worker.clone().ok_or(ESHUTDOWN)?;
        state.tickets.push(ticket.clone(), GFP_KERNEL)?;
        drop(state);
        worker.kick();
        Ok(ticket)
    }

    fn wait(&self, ticket: &Ticket) -> Outcome {
        ticket
            .done
            .wait_timeout(ticket.left_ms().saturating_add(GRACE_MS));
        if let Some(outcome) = *ticket.outcome.lock() {
            return outcome;
        }
        let mut outcome = Outcome::not_drained(self.engine.disk(), Some(ETIMEDOUT));
        if ticket.stage.load(Acquire) == FLUSHING {
            outcome.error = None;
            outcome.result = PanicQuiesceResult {
                drained: true,
                in_flight: 0,
                flush_issued: Flush::Timeout,
            };
        }
        outcome
    }

    /// What the worker does: serves all requests that were handed in.
    pub(crate) fn serve(&self, sb: &SuperBlock<PermFs>) {
        self.server.store(Context::current().pid, Relaxed);
        while let Some(ticket) = self.next() {
            ticket.finish(self.work(sb, &ticket));
        }
        self.server.store(0, Relaxed);
    }

    fn next(&self) -> Option<Arc<Ticket>> {
        let mut state = self.state.lock();
        if state.tickets.is_empty() {
            return None;
        }
        state.tickets.remove(0).ok()
    }

    fn work(&self, sb: &SuperBlock<PermFs>, ticket: &Ticket) -> Outcome {
        let disk = self.engine.disk();
        let mut error = None;
        if ticket.request.sync && !disk.is_shut_down() {
            error = self.sync(sb, ticket).err();
        }
        if ticket.request.close {
            self.engine.shut_down();
        }
        // Past the limit nobody waits any more: the queue is not frozen for that.
        if ticket.left_ms() == 0 {
            return Outcome::not_drained(disk, error.or(Some(ETIMEDOUT)));
        }
        let (drained, in_flight) = drain(disk, ticket);
        if !drained {
            let mut outcome = Outcome::not_drained(disk, error);
            outcome.result.in_flight = outcome.result.in_flight.max(in_flight);
            return outcome;
        }
        ticket.stage.store(FLUSHING, Release);
        let result = PanicQuiesceResult {
            drained,
            in_flight,
            flush_issued: disk.flush_at_rest(),
        };
        Outcome { result, error }
    }

    /// Writes everything back. While a mount, remount or unmount holds the super block that is not
    /// possible; after half of the time what is in memory of the metadata is committed instead.
    fn sync(&self, sb: &SuperBlock<PermFs>, ticket: &Ticket) -> Result {
        loop {
            match sb.try_sync() {
                Err(e) if e == EBUSY && ticket.left_ms() > ticket.request.ms / 2 => {
                    fsleep(Delta::from_millis(1));
                }
                Err(e) if e == EBUSY => {
                    sb.data().commit(sb)?;
                    return Err(e);
                }
                outcome => return outcome,
            }
        }
    }
}

/// Waits until nothing is in flight, up to the ticket's limit.
fn drain(disk: &Disk, ticket: &Ticket) -> (bool, u32) {
    let by_queue = disk.device().is_request_based();
    // The volume's own count is all there is where the device keeps none. Where the volume is closed, it
    // also tells of those who passed before and have not reached the queue.
    if ticket.request.close || !by_queue {
        while disk.in_flight() > 0 {
            if ticket.left_ms() == 0 {
                return (false, disk.in_flight());
            }
            fsleep(Delta::from_millis(1));
        }
    }
    if !by_queue {
        return (true, 0);
    }
    match disk.device().quiesce(ticket.left_ms()) {
        Ok(quiesced) => (quiesced.drained, quiesced.in_flight),
        Err(_) => (false, disk.in_flight()),
    }
}

/// First of two notifiers of a mount: hands the request in, so that all volumes work at the same time.
pub(crate) struct RebootBegins(pub(crate) Arc<Quiescer>);

/// Second of two: waits for it, and closes the volume for good.
pub(crate) struct RebootGoesOn(pub(crate) Arc<Quiescer>);

impl Notifier for RebootBegins {
    // Before the drivers' own; md stops its arrays at this priority too.
    const PRIORITY: i32 = i32::MAX;

    fn notify(&self, _event: Event) {
        let request = Request {
            sync: true,
            close: true,
            ms: REBOOT_MS,
        };
        // Errors: a volume that is not mounted yet, or no longer.
        if let Ok(ticket) = self.0.begin(request) {
            self.0.state.lock().reboot = Some(ticket);
        }
    }
}

impl Notifier for RebootGoesOn {
    const PRIORITY: i32 = i32::MAX - 1;

    fn notify(&self, event: Event) {
        let Some(ticket) = self.0.state.lock().reboot.take() else {
            return;
        };
        let outcome = self.0.wait(&ticket);
        // Also when time was over, and without waiting for any lock.
        self.0.engine.disk().shut_down();
        let (name, event) = (&*self.0.name, event.name());
        match outcome.error {
            None => pr_notice!("({name}): quiesced for {event}: {outcome}\n"),
            Some(e) => {
                pr_err!("({name}): quiesced for {event}: {outcome}; not all was written: {e:?}\n")
            }
        }
    }
}
