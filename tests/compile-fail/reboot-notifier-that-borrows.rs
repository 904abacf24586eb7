// error: E0310 the parameter type `T` may not live long enough

// SPDX-License-Identifier: GPL-2.0

//! As for panics: a registration that is leaked stays on the chain.

use crash::reboot::{Event, Notifier};

pub struct Hook<T>(pub T);

#[cfg(wrong)]
impl<T: Send + Sync> Notifier for Hook<T> {
    fn notify(&self, _event: Event) {}
}

#[cfg(not(wrong))]
impl<T: Send + Sync + 'static> Notifier for Hook<T> {
    fn notify(&self, _event: Event) {}
}
