// error: E0310 the parameter type `T` may not live long enough

// SPDX-License-Identifier: GPL-2.0

//! A registration may be leaked, and stays on the list then: what it has must not be somebody's stack.

use crash::{panic::Notifier, Stopped};

pub struct Hook<T>(pub T);

#[cfg(wrong)]
impl<T: Send + Sync> Notifier for Hook<T> {
    fn notify(&self, _stopped: Stopped<'_>, _message: &[u8]) {}
}

#[cfg(not(wrong))]
impl<T: Send + Sync + 'static> Notifier for Hook<T> {
    fn notify(&self, _stopped: Stopped<'_>, _message: &[u8]) {}
}
