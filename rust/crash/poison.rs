// SPDX-License-Identifier: GPL-2.0

//! A sleeping lock whose owner may die.
//!
//! After an oops the kernel goes on without the task, and what the task had locked stays locked: whoever
//! wants it sleeps for ever, unmount and shutdown among them. And if it were unlocked, the next one would
//! find data that was left in the middle of a change. A [`PoisonMutex`] is neither: a die notifier
//! finds the locks of the dying task ([`Die::locks`]) and poisons them, and whoever waits, or comes later,
//! gets [`Poisoned`] instead of the data.
//!
//! # How those who wait are woken
//!
//! *poisoned first*: `poisoned` is set by the task that dies, in its die notifier. From then on nobody
//! gets a guard: [`PoisonMutex::lock`] looks before it sleeps and again when it has the mutex. The second
//! look sees it, because the mutex that it has was released after it was set.
//!
//! *released later*: the die notifier may be in any context, so it only raises an `irq_work`, which
//! queues a work, which waits until the task is past return (it is exiting, or, if it was exiting when it
//! oopsed, dead) and then releases the mutex in its place. The sleepers get it one after the other,
//! and each gives it up. A reference on the task keeps the mutex's own pointer to its owner valid until
//! then.
//!
//! C does not let another task than the owner unlock a mutex. The reasons for that are the checks of
//! `CONFIG_DEBUG_MUTEXES` and lockdep, both switched off by the oops, and priority inheritance, which
//! mutexes have with `CONFIG_PREEMPT_RT` only: there the mutex is not released, and who was asleep stays
//! so.
//!
//! A task that survives its oops, as a debugger may arrange, unlocks as ever; the lock stays poisoned.
//!
//! In all other respects it is a [`Mutex`]; a lock and an unlock cost two loads and two stores more,
//! none of them atomic instructions.

use crate::{bindings, die::Die};
use core::{
    mem::{offset_of, ManuallyDrop},
    ops::{Deref, DerefMut},
    ptr,
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Full, Relaxed, Release},
        lock::{mutex::MutexBackend, Guard},
        LockClassKey, Mutex,
    },
    types::Opaque,
};

/// Locks that a die notifier can find. Others are mutexes and nothing more.
const LOCKS_MAX: usize = 256;

/// How often it is looked whether a task has died, in milliseconds.
const GONE_CHECK_MS: u32 = 10;

/// The locks that a die notifier can find. Entries are null or point at a [`State`] that stays until a
/// grace period after it was taken out.
static LOCKS: [Atomic<*mut State>; LOCKS_MAX] =
    [const { Atomic::<*mut State>::new(ptr::null_mut()) }; LOCKS_MAX];

/// The lock's owner has died with it: what it protects is not to be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poisoned;

impl From<Poisoned> for Error {
    fn from(_: Poisoned) -> Self {
        EIO
    }
}

/// Makes a [`PoisonMutex`] initialiser: data, name, tag.
#[macro_export]
macro_rules! new_poison_mutex {
    ($data:expr, $name:literal, $tag:expr $(,)?) => {
        $crate::poison::PoisonMutex::new(
            $data,
            ::kernel::c_str!($name),
            ::kernel::static_lock_class!(),
            $tag,
        )
    };
}

/// What of a lock does not depend on its data.
///
/// # Invariants
///
/// - `owner` is the task that has a guard, or null; it is written by who has the mutex.
/// - `dead` is null or a task on which there is a reference, and which owned the mutex when it oopsed.
/// - `irq` and `work` are initialised; `work` runs [`PoisonMutex::release`] for the lock that this is in.
#[pin_data]
struct State {
    poisoned: Atomic<bool>,
    owner: Atomic<*mut bindings::task_struct>,
    dead: Atomic<*mut bindings::task_struct>,
    /// Whether `dead` was exiting already.
    exiting: Atomic<bool>,
    tag: u32,
    #[pin]
    irq: Opaque<bindings::irq_work>,
    #[pin]
    work: Opaque<bindings::delayed_work>,
}

impl State {
    fn new(
        tag: u32,
        release: unsafe extern "C" fn(*mut bindings::work_struct),
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            poisoned: Atomic::<bool>::new(false),
            owner: Atomic::<*mut bindings::task_struct>::new(ptr::null_mut()),
            dead: Atomic::<*mut bindings::task_struct>::new(ptr::null_mut()),
            exiting: Atomic::<bool>::new(false),
            tag,
            // SAFETY: `slot` is memory for the work, which the initialiser lends us for writing and which
            // stays where it is. `raised` is for the `irq` of a `State`.
            irq <- Opaque::ffi_init(|slot: *mut bindings::irq_work| unsafe {
                bindings::crash_helper_init_irq_work(slot, Some(Self::raised))
            }),
            // SAFETY: `slot` is memory for the work, as above. `release` is for the state of the lock that
            // this is made for: `PoisonMutex::new` passes that of its own type.
            work <- Opaque::ffi_init(move |slot: *mut bindings::delayed_work| unsafe {
                bindings::crash_helper_init_delayed_work(slot, Some(release))
            }),
        })
    }

    /// # Safety
    ///
    /// Called in a hard interrupt with the `irq` of a `State`, which waits for it before it goes.
    unsafe extern "C" fn raised(irq: *mut bindings::irq_work) {
        // SAFETY: Only `new` gives this function away, for the `irq` inside of a `Self`; the lock's `Drop`
        // waits for us before that goes.
        let this = unsafe { &*irq.byte_sub(offset_of!(Self, irq)).cast::<Self>() };
        this.schedule(0);
    }

    fn schedule(&self, ms: u32) {
        // SAFETY: `new` has initialised the work, and the lock's `Drop` waits for it. Callers are in a hard
        // interrupt or in process context, both fit for queueing.
        unsafe { bindings::crash_helper_schedule_delayed_work(self.work.get(), ms) };
    }

    /// Makes it known to die notifiers, if there is room.
    fn publish(&self) {
        let this = ptr::from_ref(self).cast_mut();
        let taken = |entry: &Atomic<*mut Self>| entry.cmpxchg(ptr::null_mut(), this, Full).is_ok();
        if !LOCKS.iter().any(taken) {
            kernel::pr_warn_once!(
                "too many locks: a task that dies with this one will leave it locked\n"
            );
        }
    }

    /// Takes it back, and waits until no die notifier looks at it.
    fn unpublish(&self) {
        let this = ptr::from_ref(self).cast_mut();
        for entry in &LOCKS {
            if entry.cmpxchg(this, ptr::null_mut(), Full).is_ok() {
                // SAFETY: Process context, no read side.
                unsafe { bindings::synchronize_rcu_expedited() };
                return;
            }
        }
    }
}

/// A lock, as a die notifier sees it: see [`Die::locks`].
pub struct Seen<'a>(&'a State);

impl Seen<'_> {
    /// What the lock was given when it was made.
    #[inline]
    pub fn tag(&self) -> u32 {
        self.0.tag
    }

    /// Whether the task that dies owns it.
    #[inline]
    pub fn is_owned(&self) -> bool {
        // SAFETY: Reads a word of this CPU; the task is compared, not looked at.
        let current = unsafe { bindings::crash_helper_current() };
        self.0.owner.load(Relaxed) == current
    }

    /// Poisons it. If the task that dies owns it, it is released later. If another one does, that one
    /// goes on until it unlocks.
    #[inline]
    pub fn poison(&self) {
        let state = self.0;
        // Release: who gets the mutex after the dead one sees it, see *poisoned first*.
        state.poisoned.store(true, Release);
        if !self.is_owned() || !state.dead.load(Relaxed).is_null() {
            return;
        }
        // SAFETY: The current task is there while it runs, so that a reference can be taken.
        let (task, exiting) = unsafe {
            (
                bindings::crash_helper_get_current_task(),
                bindings::crash_helper_is_exiting(bindings::crash_helper_current(), false),
            )
        };
        state.exiting.store(exiting, Relaxed);
        // INVARIANT: With a reference; only the owner comes here, and it does once.
        state.dead.store(task, Release);
        // SAFETY: `State::new` has initialised the work. The lock is there while the die notifier looks at
        // it, and its `Drop` waits for the work. Queueing it takes no lock, in any context.
        unsafe { bindings::irq_work_queue(state.irq.get()) };
    }
}

impl Die<'_> {
    /// The [`PoisonMutex`]es of this module, whoever owns them.
    #[inline]
    pub fn locks(&self) -> impl Iterator<Item = Seen<'_>> {
        LOCKS.iter().filter_map(|entry| {
            let state = entry.load(Acquire);
            // SAFETY: Null, or valid until a grace period after it was taken out. A `Die` exists within a
            // read-side section, and what we give out not longer than it.
            unsafe { state.as_ref() }.map(Seen)
        })
    }
}

/// A mutex that is poisoned when its owner dies.
///
/// # Invariants
///
/// `state` is in `LOCKS` until `Drop`, if there was room.
#[pin_data(PinnedDrop)]
pub struct PoisonMutex<T> {
    #[pin]
    state: State,
    /// Never dropped once it is poisoned: it may be in the middle of a change.
    #[pin]
    mutex: Mutex<ManuallyDrop<T>>,
}

// SAFETY: The mutex may be sent with its data, and tasks and works be referred to from any thread.
unsafe impl<T: Send> Send for PoisonMutex<T> {}
// SAFETY: The mutex gives the data to one thread at a time. The state is made of atomics, and of works,
// whose own state is atomic.
unsafe impl<T: Send> Sync for PoisonMutex<T> {}

impl<T> PoisonMutex<T> {
    /// Made by [`new_poison_mutex!`](crate::new_poison_mutex). Die notifiers know the lock by `tag`.
    pub fn new(
        data: T,
        name: &'static CStr,
        key: Pin<&'static LockClassKey>,
        tag: u32,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            state <- State::new(tag, Self::release),
            mutex <- Mutex::new(ManuallyDrop::new(data), name, key),
        })
        .pin_chain(|this| {
            // INVARIANT: Here it is put in.
            this.state.publish();
            Ok(())
        })
    }

    /// Locks it; sleeps.
    ///
    /// # Errors
    ///
    /// [`Poisoned`], also for those who were asleep when it was.
    pub fn lock(&self) -> Result<PoisonGuard<'_, T>, Poisoned> {
        if self.is_poisoned() {
            return Err(Poisoned);
        }
        let guard = self.mutex.lock();
        if self.is_poisoned() {
            return Err(Poisoned);
        }
        // SAFETY: Reads a word of this CPU; the task is compared, not looked at.
        let current = unsafe { bindings::crash_helper_current() };
        // INVARIANT: The mutex is ours.
        self.state.owner.store(current, Relaxed);
        Ok(PoisonGuard {
            state: &self.state,
            guard,
        })
    }

    /// Whether nobody gets it any more. Context: any, NMI included.
    #[inline]
    pub fn is_poisoned(&self) -> bool {
        self.state.poisoned.load(Acquire)
    }

    /// Releases the mutex in place of a dead owner, once that is past return.
    ///
    /// # Safety
    ///
    /// Called by the workqueue with the `work` of a `PoisonMutex<T>`, which waits for it before it goes.
    unsafe extern "C" fn release(work: *mut bindings::work_struct) {
        // SAFETY: Only `new` gives this function away, for the delayed work of a state that is inside of a
        // `Self`; `Drop` waits for us before that goes.
        let this = unsafe {
            let work = bindings::crash_helper_to_delayed_work(work);
            let state = work.byte_sub(offset_of!(State, work));
            &*state.byte_sub(offset_of!(Self, state)).cast::<Self>()
        };
        let state = &this.state;
        let dead = state.dead.load(Acquire);
        if dead.is_null() {
            return;
        }
        let owned = state.owner.load(Relaxed) == dead;
        // SAFETY: `Seen::poison` has taken a reference on the task, which is put below.
        let gone = unsafe { bindings::crash_helper_is_exiting(dead, state.exiting.load(Relaxed)) };
        if owned && !gone {
            state.schedule(GONE_CHECK_MS);
            return;
        }
        if owned && cfg!(not(CONFIG_PREEMPT_RT)) {
            // INVARIANT: The mutex is ours now: its owner was, and does not come back to it.
            state.owner.store(ptr::null_mut(), Relaxed);
            // SAFETY: The owner does not return from its oops, so this stands for its guard. See
            // *released later* for why C's own rule is not in the way.
            drop(unsafe { Guard::new(&this.mutex, ()) });
        }
        // INVARIANT: Null, before the reference goes.
        state.dead.store(ptr::null_mut(), Release);
        // SAFETY: `Seen::poison` has taken the reference, and we are the one who found it: it is put once.
        // The mutex does not name the task any more.
        unsafe { bindings::put_task_struct(dead) };
    }
}

#[pinned_drop]
impl<T> PinnedDrop for PoisonMutex<T> {
    fn drop(self: Pin<&mut Self>) {
        let state = &self.state;
        state.unpublish();
        // Nobody poisons it any more, so nothing is raised or queued anew: `irq` queues `work`, which
        // is disabled then.
        // SAFETY: `State::new` has initialised both. Dropping is for process context, where both may sleep.
        unsafe {
            bindings::irq_work_sync(state.irq.get());
            bindings::disable_delayed_work_sync(state.work.get());
        }
        let dead = state.dead.load(Relaxed);
        if !dead.is_null() {
            // SAFETY: The reference of `Seen::poison`. `release`, which would have put it, has not come to
            // it and does not run any more.
            unsafe { bindings::put_task_struct(dead) };
        }
        if !self.is_poisoned() {
            let mut guard = self.mutex.lock();
            // SAFETY: Nobody has a guard, for we are being dropped, so the data is ours. It is dropped where
            // it is, and not looked at again.
            unsafe { ManuallyDrop::drop(guard.as_mut().get_unchecked_mut()) };
        }
    }
}

/// What is locked.
#[must_use = "the lock unlocks immediately when the guard is unused"]
pub struct PoisonGuard<'a, T> {
    state: &'a State,
    guard: Guard<'a, ManuallyDrop<T>, MutexBackend>,
}

impl<T> Deref for PoisonGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T: Unpin> DerefMut for PoisonGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

impl<T> Drop for PoisonGuard<'_, T> {
    fn drop(&mut self) {
        // INVARIANT: The mutex is ours until the fields are dropped.
        self.state.owner.store(ptr::null_mut(), Relaxed);
    }
}
