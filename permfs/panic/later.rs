// SPDX-License-Identifier: GPL-2.0

//! What the handler leaves for after the other kmsg dumpers.

use super::handler::Handler;
use crash::{
    kmsg::{Dump, Dumper, Reason},
    Stopped,
};
use kernel::{prelude::*, sync::Arc};

vfs::global_mutex! {
    static DUMPER: Option<Pin<KBox<Dumper<Finish>>>> = None;
}

/// What the handler leaves for after the other kmsg dumpers, pstore's among them.
struct Finish(Arc<Handler>);

impl Dump for Finish {
    const MAX_REASON: Reason = Reason::Panic;

    fn dump(&self, _reason: Reason, stopped: Option<Stopped<'_>>, _message: &[u8]) {
        if let Some(stopped) = stopped {
            self.0.finish_deferred(stopped);
        }
    }
}

/// The kmsg dumper, for as long as the module is loaded.
pub(crate) struct Later(());

impl Later {
    pub(crate) fn new(handler: Arc<Handler>) -> Result<Self> {
        let dumper = KBox::pin_init(Dumper::new(Finish(handler)), GFP_KERNEL)?;
        *DUMPER.lock() = Some(dumper);
        Ok(Self(()))
    }

    /// Dumpers may have come since it was registered: another one goes behind them, and only then this.
    /// A panic while both are there has the first of them do the work.
    pub(crate) fn goes_last() {
        let mut dumper = DUMPER.lock();
        let Some(old) = dumper.as_ref() else {
            return;
        };
        let later = Dumper::new(Finish(old.get().0.clone()));
        // Without memory it stays where it is: behind those that were there when it came.
        if let Ok(new) = KBox::pin_init(later, GFP_KERNEL) {
            *dumper = Some(new);
        }
    }
}

impl Drop for Later {
    fn drop(&mut self) {
        *DUMPER.lock() = None;
    }
}
