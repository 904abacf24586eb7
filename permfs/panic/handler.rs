// SPDX-License-Identifier: GPL-2.0

//! The panic handler, shared by those who hear of panics.

use super::{crash_kernel, devices::Lanes, kernel::Kernel};
use crate::params::Settings;
use crash::{context, Stopped};
use kernel::{prelude::*, sync::Arc};
use permfs_core::panic::{area::PstoreMeta, install_panic_hooks, PanicHooks, PanicSettings};

/// The hooks of `permfs_core` over this kernel; inside a panic over the volumes' lanes, too.
pub(crate) struct Handler {
    hooks: PanicHooks<Kernel, Kernel, Kernel, Kernel>,
    _policy: Policy,
}

/// The kernel's policy, as far as it was changed for a strategy; with the handler it is what it was before.
struct Policy {
    before: i32,
    chosen: i32,
}

impl Drop for Policy {
    fn drop(&mut self) {
        // Somebody who has set it since knows better.
        if self.before != self.chosen && context::timeout() == self.chosen {
            context::set_timeout(self.before);
        }
    }
}

impl Handler {
    pub(crate) fn install(settings: &Settings) -> Result<Arc<Self>> {
        crash_kernel::warn();
        let settings = PanicSettings {
            strategy: settings.strategy,
            deadline_ms: settings.deadline_ms,
            breaker_count: settings.loop_count,
            breaker_secs: settings.loop_secs,
        };
        let before = context::timeout();
        let hooks = install_panic_hooks(Kernel, Kernel, Kernel, Kernel, settings)?;
        let policy = Policy {
            before,
            chosen: context::timeout(),
        };
        Ok(Arc::new(
            Self {
                hooks,
                _policy: policy,
            },
            GFP_KERNEL,
        )?)
    }

    /// Tells of the panic with `message`, and does what can be done.
    pub(crate) fn notify(&self, stopped: Stopped<'_>, message: &[u8]) {
        self.hooks.in_panic(&Lanes(stopped)).notify(message);
    }

    /// Leaves all that may hang to [`Self::finish_deferred`], or not: see [`PanicHooks::defer`].
    pub(crate) fn defer(&self, deferred: bool) {
        self.hooks.defer(deferred);
    }

    /// Does what was left.
    pub(crate) fn finish_deferred(&self, stopped: Stopped<'_>) {
        self.hooks.in_panic(&Lanes(stopped)).finish_deferred();
    }

    /// Bytes of log that [`Self::write_log`] takes at most; 0: no volume has a lane that works.
    pub(crate) fn log_capacity(&self) -> usize {
        self.hooks.log_capacity()
    }

    /// Writes a piece of the kernel's log to the first volume whose lane can, and gives the sequence of
    /// the record.
    pub(crate) fn write_log(
        &self,
        stopped: Stopped<'_>,
        meta: &PstoreMeta,
        data: &[u8],
    ) -> Result<u64> {
        self.hooks.in_panic(&Lanes(stopped)).write_log(meta, data)
    }
}
