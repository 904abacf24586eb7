// error: E0310 the parameter type `T` may not live long enough

// SPDX-License-Identifier: GPL-2.0

//! As for panics: a registration that is leaked stays on the list.

use crash::die::{Die, DieNotifier};

pub struct Hook<T>(pub T);

#[cfg(wrong)]
impl<T: Send + Sync> DieNotifier for Hook<T> {
    fn notify(&self, _event: &Die<'_>) {}
}

#[cfg(not(wrong))]
impl<T: Send + Sync + 'static> DieNotifier for Hook<T> {
    fn notify(&self, _event: &Die<'_>) {}
}
