// SPDX-License-Identifier: GPL-2.0

//! Locks that are static and need nobody to initialise them.
//!
//! `kernel::sync::global_lock!` leaves it to its user to initialise the lock once and before it is used,
//! which is an unsafe promise. Here the first who locks it does.

use crate::bindings;
use kernel::sync::{
    atomic::{Acquire, Atomic, Full, Release},
    lock::mutex::MutexBackend,
};

#[doc(hidden)]
pub use kernel::sync::lock::{GlobalGuard, GlobalLock, GlobalLockBackend};

/// Nobody has locked it yet.
const NEW: u32 = 0;
/// Somebody initialises it.
const BUSY: u32 = 1;
/// It is initialised.
const READY: u32 = 2;

/// A static mutex. Made by [`global_mutex!`](crate::global_mutex).
///
/// # Invariants
///
/// `state` goes from `NEW` over `BUSY` to `READY`, and `lock` is initialised by who takes it from
/// `NEW`, before it is `READY`; until then nobody else touches it.
pub struct GlobalMutex<B: GlobalLockBackend> {
    lock: GlobalLock<B>,
    state: Atomic<u32>,
}

impl<B: GlobalLockBackend<Backend = MutexBackend>> GlobalMutex<B> {
    /// # Safety
    ///
    /// `B` is used for one lock only.
    #[doc(hidden)]
    pub const unsafe fn new(data: B::Item) -> Self {
        Self {
            // SAFETY: `lock`, which is the only way to it, initialises it first. The caller vouches for `B`.
            lock: unsafe { GlobalLock::new(data) },
            // INVARIANT: Here it begins.
            state: Atomic::<u32>::new(NEW),
        }
    }

    /// Locks it; sleeps.
    pub fn lock(&'static self) -> GlobalGuard<B> {
        if self.state.load(Acquire) != READY {
            self.initialise();
        }
        self.lock.lock()
    }

    #[cold]
    fn initialise(&'static self) {
        if self.state.cmpxchg(NEW, BUSY, Full).is_ok() {
            // SAFETY: Only who takes the state from `NEW` comes here, and all others wait for `READY`.
            unsafe { self.lock.init() };
            // INVARIANT: Initialised, and released to those who see this.
            self.state.store(READY, Release);
        }
        while self.state.load(Acquire) != READY {
            // SAFETY: Process context, as for locking.
            unsafe { bindings::vfs_helper_cond_resched() };
        }
    }
}

/// Makes a static `GlobalMutex`. What is in it when the module is unloaded
/// is not dropped.
///
/// # Examples
///
/// ```ignore
/// vfs::global_mutex! {
///     /// Who is there.
///     static GUESTS: KVec<Guest> = KVec::new();
/// }
///
/// GUESTS.lock().push(guest, GFP_KERNEL)?;
/// ```
#[macro_export]
macro_rules! global_mutex {
    ($(#[$attr:meta])* $vis:vis static $name:ident: $type:ty = $value:expr;) => {
        #[doc(hidden)]
        #[allow(non_camel_case_types, unreachable_pub)]
        $vis enum $name {}

        impl $crate::global::GlobalLockBackend for $name {
            const NAME: &'static ::core::ffi::CStr = ::kernel::c_str!(stringify!($name));
            type Item = $type;
            type Backend = ::kernel::sync::lock::mutex::MutexBackend;

            fn get_lock_class() -> ::core::pin::Pin<&'static ::kernel::sync::LockClassKey> {
                ::kernel::static_lock_class!()
            }
        }

        $(#[$attr])*
        $vis static $name: $crate::global::GlobalMutex<$name> = {
            // Not within the unsafe block.
            let value: $type = $value;
            // SAFETY: The type was made for this one.
            unsafe { $crate::global::GlobalMutex::new(value) }
        };
    };
}
