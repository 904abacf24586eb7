// SPDX-License-Identifier: GPL-2.0

//! What becomes of the volumes when the kernel oopses and lives on.
//!
//! A task that oopses dies where it is. If it holds the locks of a volume, that volume is in the middle
//! of a change; if it holds none but was in our code, nobody knows which volume it was at, so all are
//! given up. What is given up refuses everything with `EIO`, for who comes and for who waits, and its
//! gate is closed. See `Documentation/panic-path.md`.

use crate::panic::kernel::Kernel;
use crash::die::{Die, DieNotifier};
use permfs_core::panic::{slot_bit, slots_in_use, Oops, VOLUMES};

/// Fails the volumes of dying tasks.
pub(crate) struct Containment;

impl DieNotifier for Containment {
    fn notify(&self, event: &Die<'_>) {
        if event.kind != Die::OOPS {
            return;
        }
        if event.is_within_panic() {
            // The handler's own fault, or somebody else's in the panic: no volume is to be saved for later.
            event.resume_panic();
            return;
        }
        let (mut held, mut owned) = (0, false);
        for lock in event.locks().filter(|lock| lock.is_owned()) {
            lock.poison();
            held |= slot_bit(lock.tag());
            owned = true;
        }
        let failed = if owned {
            held
        } else if event.concerns(kernel::module::this_module::<crate::Module>()) {
            slots_in_use(&VOLUMES)
        } else {
            return;
        };
        // A volume's other locks, so that it is refused at its door. Where no lock was held, those of
        // volumes without a slot too.
        for lock in event.locks() {
            if !owned || slot_bit(lock.tag()) & failed != 0 {
                lock.poison();
            }
        }
        let oops = Oops {
            message: event.message,
            failed,
            held,
        };
        oops.contain(&Kernel, &Kernel, &VOLUMES);
    }
}
