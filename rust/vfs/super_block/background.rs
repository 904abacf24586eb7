// SPDX-License-Identifier: GPL-2.0

//! Work of a super block that runs in a worker.

use super::SuperBlock;
use crate::{
    bindings,
    fs::FileSystem,
    work::{Periodic, Task},
};
use kernel::{prelude::*, sync::Arc};

/// What a [`Background`] runs.
///
/// # Invariants
///
/// `sb` is a super block of type `T`. It is born of [`NewSuperBlock::init`](crate::new_super_block::NewSuperBlock::init),
/// which gives no handle out before the data is set, and the work is stopped for good before the super
/// block dies: so that whenever it runs, the invariants of [`SuperBlock`] hold.
pub(crate) struct SuperTask<T: FileSystem> {
    sb: *mut bindings::super_block,
    number: usize,
    run: fn(&SuperBlock<T>, usize) -> Option<u32>,
}

// SAFETY: The super block is used from whichever thread the worker is, and `SuperBlock` is `Sync`.
unsafe impl<T: FileSystem> Send for SuperTask<T> {}
// SAFETY: There is nothing in it that changes.
unsafe impl<T: FileSystem> Sync for SuperTask<T> {}

impl<T: FileSystem> Task for SuperTask<T> {
    fn run(&self) -> Option<u32> {
        // SAFETY: The work was scheduled through a handle, and those come from a `SuperBlock`, which has its data. The super block
        // waits for the work before it goes: `put_super` or `kill_sb` stop it for good.
        (self.run)(unsafe { SuperBlock::from_raw(self.sb) }, self.number)
    }
}

/// Handle on one of a super block's [background tasks](crate::ops::SuperOperations::BACKGROUND). It may be kept
/// past unmount: it does nothing then.
pub struct Background<T: FileSystem>(Arc<Periodic<SuperTask<T>>>);

impl<T: FileSystem> Background<T> {
    /// Runs the task in `ms` milliseconds, unless it is to run sooner already.
    pub fn schedule(&self, ms: u32) {
        self.0.schedule(ms);
    }

    /// Runs the task now, or once more if it is running. Context: any but NMI.
    pub fn kick(&self) {
        self.0.kick();
    }
}

impl<T: FileSystem> Clone for Background<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// All tasks of a super block.
pub(crate) struct Tasks<T: FileSystem>(KVec<Background<T>>);

impl<T: FileSystem> Tasks<T> {
    /// Makes the tasks of `sb`, which have these names and all `run`. None runs yet.
    ///
    /// # Safety
    ///
    /// `sb` is a super block of type `T`; no task is scheduled before its data is set, and
    /// [`Tasks::stop`] is called before it dies.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) unsafe fn new(
        sb: *mut bindings::super_block,
        names: &[&CStr],
        run: fn(&SuperBlock<T>, usize) -> Option<u32>,
    ) -> Result<Self> {
        let mut tasks = KVec::with_capacity(names.len(), GFP_KERNEL)?;
        for (number, name) in names.iter().enumerate() {
            // INVARIANT: The caller vouches for it.
            let task = SuperTask { sb, number, run };
            let task = Arc::pin_init(Periodic::new(name, task), GFP_KERNEL)?;
            tasks.push(Background(task), GFP_KERNEL)?;
        }
        Ok(Self(tasks))
    }

    /// Cancels all tasks and waits for them. None runs again, whoever holds a handle.
    pub(crate) fn stop(&self) {
        for task in self.0.iter() {
            task.0.stop();
        }
    }

    pub(crate) fn get(&self, number: usize) -> Option<&Background<T>> {
        self.0.get(number)
    }
}
