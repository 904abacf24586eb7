// SPDX-License-Identifier: GPL-2.0

//! Bytes that any context puts aside, for process context to deal with later.
//!
//! For what an oops leaves: who is called then may be in an interrupt or an NMI, with any lock held by whom it
//! interrupted, so that it can neither allocate nor wake anybody. The memory is there beforehand, and the way
//! to process context is an `irq_work`, which queues a work.

// Everything here is generic or `#[inline]`: a module that does not use it has nothing of it.

use crate::bindings;
use core::{cell::UnsafeCell, mem::offset_of};
use kernel::{
    prelude::*,
    sync::atomic::{Acquire, Atomic, Full, Release},
    types::Opaque,
};

/// From what was put aside to [`Keeper::kept`], milliseconds: what comes in pieces is whole by then.
const DELAY_MS: u32 = 1000;

/// Nobody's: whoever puts something aside may take it.
const FREE: u32 = 0;
/// Somebody fills it.
const FILLING: u32 = 1;
/// It waits for process context.
const FULL: u32 = 2;
/// Process context has it.
const TAKEN: u32 = 3;

/// Deals with what was put aside.
pub trait Keeper: Send + Sync + Sized + 'static {
    /// What stands beside the bytes.
    type Tag: Copy + Send;

    /// Something was put aside, some time ago: see [`Stash::each`]. Process context; one call at a time.
    ///
    /// Must not drop the stash: that waits for this.
    fn kept(&self, stash: &Stash<Self>);
}

/// Room for one piece.
///
/// # Invariants
///
/// `content` is touched only by who has moved `state` from [`FREE`] to [`FILLING`], until it moves on to [`FULL`],
/// and by who has moved it from there to [`TAKEN`], until it moves on.
struct Place<T> {
    state: Atomic<u32>,
    content: UnsafeCell<Content<T>>,
}

struct Content<T> {
    tag: Option<T>,
    len: usize,
    bytes: KVVec<u8>,
}

impl<T: Copy> Place<T> {
    #[inline]
    fn fill(&self, tag: T, data: &[u8]) -> bool {
        if self.state.cmpxchg(FREE, FILLING, Full).is_err() {
            return false;
        }
        // SAFETY: By the invariant it is ours, since the exchange above until the store below.
        let content = unsafe { &mut *self.content.get() };
        let room = content.bytes.get_mut(..data.len());
        let fits = room.is_some();
        if let Some(room) = room {
            room.copy_from_slice(data);
            content.tag = Some(tag);
            content.len = data.len();
        }
        self.state.store(if fits { FULL } else { FREE }, Release);
        fits
    }

    #[inline]
    fn take(&self, done: &mut impl FnMut(T, &[u8]) -> bool) {
        if self.state.cmpxchg(FULL, TAKEN, Full).is_err() {
            return;
        }
        // SAFETY: By the invariant it is ours, since the exchange above until the store below.
        let content = unsafe { &*self.content.get() };
        let (tag, bytes) = (content.tag, content.bytes.get(..content.len));
        let goes = match (tag, bytes) {
            (Some(tag), Some(bytes)) => done(tag, bytes),
            _ => true,
        };
        self.state.store(if goes { FREE } else { FULL }, Release);
    }
}

/// Room for a number of pieces.
///
/// # Invariants
///
/// `irq` and `work` are initialised; `irq` queues `work`, which runs [`Self::work`] for the stash that it is in.
#[pin_data(PinnedDrop)]
pub struct Stash<K: Keeper> {
    places: KVec<Place<K::Tag>>,
    keeper: K,
    #[pin]
    irq: Opaque<bindings::irq_work>,
    #[pin]
    work: Opaque<bindings::delayed_work>,
}

// SAFETY: Tags may be sent, and works be referred to from any thread.
unsafe impl<K: Keeper> Send for Stash<K> {}
// SAFETY: By the invariant of `Place` one at a time has a content; the keeper is `Sync`, the works' state is atomic.
unsafe impl<K: Keeper> Sync for Stash<K> {}

impl<K: Keeper> Stash<K> {
    /// Room for so many `pieces` of at most so many `bytes`. Process context.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(keeper: K, pieces: usize, bytes: usize) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            places: {
                let mut places = KVec::with_capacity(pieces, GFP_KERNEL)?;
                for _ in 0..pieces {
                    let content = Content {
                        tag: None,
                        len: 0,
                        bytes: KVVec::from_elem(0, bytes, GFP_KERNEL)?,
                    };
                    let place = Place {
                        state: Atomic::<u32>::new(FREE),
                        content: UnsafeCell::new(content),
                    };
                    places.push(place, GFP_KERNEL)?;
                }
                places
            },
            keeper,
            // SAFETY: `slot` is memory for the work, which the initialiser lends us for writing and which
            // stays where it is. `raised` is for the `irq` of a `Self`.
            irq <- Opaque::ffi_init(|slot: *mut bindings::irq_work| unsafe {
                bindings::crash_helper_init_irq_work(slot, Some(Self::raised))
            }),
            // SAFETY: As above; `work` is for the `work` of a `Self`.
            work <- Opaque::ffi_init(|slot: *mut bindings::delayed_work| unsafe {
                bindings::crash_helper_init_delayed_work(slot, Some(Self::work))
            }),
        })
    }

    /// Puts a piece aside. Context: any, NMI included.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if there is no room, or not so much of it.
    #[inline]
    pub fn put(&self, tag: K::Tag, data: &[u8]) -> Result {
        if !self.places.iter().any(|place| place.fill(tag, data)) {
            return Err(ENOSPC);
        }
        // SAFETY: `new` has initialised it, and `Drop` waits for it. Queueing it takes no lock, in any context.
        unsafe { bindings::irq_work_queue(self.irq.get()) };
        Ok(())
    }

    /// Has [`Keeper::kept`] called again, if something is there. Process context.
    pub fn remind(&self) {
        let is_full = |place: &Place<K::Tag>| place.state.load(Acquire) == FULL;
        if self.places.iter().any(is_full) {
            self.schedule();
        }
    }

    /// Gives each piece to `done`, which says whether it may go. Process context.
    pub fn each(&self, mut done: impl FnMut(K::Tag, &[u8]) -> bool) {
        for place in &self.places {
            place.take(&mut done);
        }
    }

    fn schedule(&self) {
        // SAFETY: `new` has initialised it, and `Drop` waits for it. Callers are in a hard interrupt or in process
        // context, both fit for queueing.
        unsafe { bindings::crash_helper_schedule_delayed_work(self.work.get(), DELAY_MS) };
    }

    /// # Safety
    ///
    /// Called in a hard interrupt with the `irq` of a `Stash<K>`, which waits for it before it goes.
    unsafe extern "C" fn raised(irq: *mut bindings::irq_work) {
        // SAFETY: Only `new` gives this function away, for the `irq` inside of a `Self`, whose `Drop` waits for
        // us before that goes.
        let this = unsafe { &*irq.byte_sub(offset_of!(Self, irq)).cast::<Self>() };
        this.schedule();
    }

    /// # Safety
    ///
    /// Called by the workqueue with the `work` of a `Stash<K>`, which waits for it before it goes.
    unsafe extern "C" fn work(work: *mut bindings::work_struct) {
        // SAFETY: Only `new` gives this function away, for the delayed work inside of a `Self`, whose `Drop`
        // waits for us before that goes.
        let this = unsafe {
            let work = bindings::crash_helper_to_delayed_work(work);
            &*work.byte_sub(offset_of!(Self, work)).cast::<Self>()
        };
        this.keeper.kept(this);
    }
}

#[pinned_drop]
impl<K: Keeper> PinnedDrop for Stash<K> {
    fn drop(self: Pin<&mut Self>) {
        // Nobody puts anything aside any more, so nothing is raised anew; `irq` queues `work`, which is disabled then.
        // SAFETY: `new` has initialised both. Dropping is for process context, where both may sleep.
        unsafe {
            bindings::irq_work_sync(self.irq.get());
            bindings::disable_delayed_work_sync(self.work.get());
        }
    }
}
