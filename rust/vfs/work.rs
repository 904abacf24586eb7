// SPDX-License-Identifier: GPL-2.0

//! Work that comes back: periodic writers, reclaimers and the like.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)
//!
//! `kernel::workqueue` has delayed work, but no way to cancel it and wait, which is what unmount
//! needs.

use crate::bindings;
use core::{mem::offset_of, ptr::NonNull};
use kernel::{prelude::*, types::Opaque};

/// What a [`Periodic`] does.
pub trait Task: Send + Sync {
    /// Runs once, in process context, never twice at a time. Gives back after how many milliseconds
    /// to run again, or [`None`] to wait for [`Periodic::schedule`] or [`Periodic::kick`].
    ///
    /// Must not drop the [`Periodic`] that it belongs to: that waits for this.
    fn run(&self) -> Option<u32>;
}

/// A task with a workqueue of its own, which makes progress under memory pressure and rests during
/// suspend.
///
/// # Invariants
///
/// `work` is initialised with `Self::call` as its function, and queued on `queue` only. `queue` is
/// ours.
#[pin_data(PinnedDrop)]
pub struct Periodic<W: Task> {
    task: W,
    queue: NonNull<bindings::workqueue_struct>,
    #[pin]
    work: Opaque<bindings::delayed_work>,
}

// SAFETY: The workqueue functions may be called from any thread; the task is `Send`.
unsafe impl<W: Task> Send for Periodic<W> {}
// SAFETY: They may also be called at the same time, and the task is `Sync`.
unsafe impl<W: Task> Sync for Periodic<W> {}

impl<W: Task> Periodic<W> {
    /// Makes the task and its queue, which has this name in the list of workers. Nothing runs yet.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new<'a>(name: &'a CStr, task: W) -> impl PinInit<Self, Error> + use<'a, W> {
        try_pin_init!(Self {
            task,
            queue: {
                // SAFETY: The name is NUL-terminated and copied.
                let queue = unsafe { bindings::vfs_helper_alloc_workqueue(name.as_char_ptr(), 1) };
                NonNull::new(queue).ok_or(ENOMEM)?
            },
            // INVARIANT: By the call.
            work <- Opaque::ffi_init(|slot: *mut bindings::delayed_work| {
                // SAFETY: `slot` is pinned and valid for writes.
                unsafe { bindings::vfs_helper_init_delayed_work(slot, Some(Self::call)) }
            }),
        })
    }

    /// # Safety
    ///
    /// Called by the workqueue with the work of a `Periodic<W>`, which waits for it before it goes.
    unsafe extern "C" fn call(work: *mut bindings::work_struct) {
        // SAFETY: `new` gives this function to works only that lie in a `Self`, which is pinned; `Drop` waits for it before that goes.
        let this = unsafe {
            let work = bindings::vfs_helper_to_delayed_work(work);
            &*work.byte_sub(offset_of!(Self, work)).cast::<Self>()
        };
        if let Some(ms) = this.task.run() {
            this.schedule(ms);
        }
    }

    /// Runs the task in `ms` milliseconds, unless it is to run sooner already.
    pub fn schedule(&self, ms: u32) {
        // SAFETY: Both live as long as `self`. A work that was disabled is not queued.
        unsafe {
            bindings::vfs_helper_queue_delayed_work(self.queue.as_ptr(), self.work.get(), ms)
        };
    }

    /// Runs the task now, or once more if it is running. Context: any but NMI.
    pub fn kick(&self) {
        // SAFETY: As in `schedule`.
        unsafe { bindings::vfs_helper_mod_delayed_work(self.queue.as_ptr(), self.work.get(), 0) };
    }

    /// Cancels and waits. The task does not run again, whatever is called later.
    pub fn stop(&self) {
        // SAFETY: The work was initialised in `new`. Sleeps, and may be called again.
        unsafe { bindings::disable_delayed_work_sync(self.work.get()) };
    }
}

#[pinned_drop]
impl<W: Task> PinnedDrop for Periodic<W> {
    fn drop(self: Pin<&mut Self>) {
        self.stop();
        // SAFETY: The queue is ours; its only work was disabled, and does not run any more.
        unsafe { bindings::destroy_workqueue(self.queue.as_ptr()) };
    }
}
