// SPDX-License-Identifier: GPL-2.0

//! The panic handler, shared by those who hear of panics.

use super::{crash_kernel, devices::Lanes, kernel::Kernel};
use crate::params::Settings;
use crash::Stopped;
use kernel::{prelude::*, sync::Arc};
use permfs_core::panic::{area::PstoreMeta, install_panic_hooks, PanicHooks, PanicSettings};

/// The hooks of `permfs_core` over this kernel; inside a panic over the volumes' lanes, too.
pub(crate) struct Handler(PanicHooks<Kernel, Kernel, Kernel, Kernel>);

impl Handler {
    pub(crate) fn install(settings: &Settings) -> Result<Arc<Self>> {
        crash_kernel::warn();
        let settings = PanicSettings {
            strategy: settings.strategy,
            deadline_ms: settings.deadline_ms,
            breaker_count: settings.loop_count,
            breaker_secs: settings.loop_secs,
        };
        let hooks = install_panic_hooks(Kernel, Kernel, Kernel, Kernel, settings)?;
        Ok(Arc::new(Self(hooks), GFP_KERNEL)?)
    }

    /// Tells of the panic with `message`, and does what can be done.
    pub(crate) fn notify(&self, stopped: Stopped<'_>, message: &[u8]) {
        self.0.in_panic(&Lanes(stopped)).notify(message);
    }

    /// Leaves all that may hang to [`Self::finish_deferred`], or not: see [`PanicHooks::defer`].
    pub(crate) fn defer(&self, deferred: bool) {
        self.0.defer(deferred);
    }

    /// Does what was left.
    pub(crate) fn finish_deferred(&self, stopped: Stopped<'_>) {
        self.0.in_panic(&Lanes(stopped)).finish_deferred();
    }

    /// Bytes of log that [`Self::write_log`] takes at most; 0: no volume has a lane that works.
    pub(crate) fn log_capacity(&self) -> usize {
        self.0.log_capacity()
    }

    /// Writes a piece of the kernel's log to the first volume whose lane can, and gives the sequence of
    /// the record.
    pub(crate) fn write_log(
        &self,
        stopped: Stopped<'_>,
        meta: &PstoreMeta,
        data: &[u8],
    ) -> Result<u64> {
        self.0.in_panic(&Lanes(stopped)).write_log(meta, data)
    }
}
