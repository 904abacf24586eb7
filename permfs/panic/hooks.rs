// SPDX-License-Identifier: GPL-2.0

//! The panic handler's hooks in the kernel.

use super::{handler::Handler, later::Later};
use crate::{oops::Containment, params::Settings, pstore::Pstore};
use crash::{
    die::DieRegistration,
    panic::{Notifier, Registration},
    Stopped,
};
use kernel::{prelude::*, sync::Arc};

/// The handler as panic notifier.
struct Hook(Arc<Handler>);

impl Notifier for Hook {
    fn notify(&self, stopped: Stopped<'_>, message: &[u8]) {
        self.0.notify(stopped, message);
    }
}

/// The hooks, for as long as the module is loaded.
#[pin_data]
pub(crate) struct Hooks {
    // Dropped in this order: who calls the handler goes before it does.
    _pstore: Pstore,
    _later: Later,
    #[pin]
    oopses: DieRegistration<Containment>,
    #[pin]
    registration: Registration<Hook>,
}

impl Hooks {
    /// Installs the handler.
    pub(crate) fn new(settings: Settings) -> Result<impl PinInit<Self, Error>> {
        let handler = Handler::install(&settings)?;
        Ok(try_pin_init!(Self {
            registration <- Registration::new(Hook(handler.clone())),
            oopses <- DieRegistration::new(Containment),
            _later: Later::new(handler.clone())?,
            _pstore: Pstore::new(handler, settings.pstore),
        }))
    }
}
