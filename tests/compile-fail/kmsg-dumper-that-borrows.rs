// error: E0310 the parameter type `T` may not live long enough

// SPDX-License-Identifier: GPL-2.0

//! As for panics: a dumper that is leaked stays on the list.

use crash::{
    kmsg::{Dump, Reason},
    Stopped,
};

pub struct Hook<T>(pub T);

#[cfg(wrong)]
impl<T: Send + Sync> Dump for Hook<T> {
    const MAX_REASON: Reason = Reason::Panic;

    fn dump(&self, _reason: Reason, _stopped: Option<Stopped<'_>>, _message: &[u8]) {}
}

#[cfg(not(wrong))]
impl<T: Send + Sync + 'static> Dump for Hook<T> {
    const MAX_REASON: Reason = Reason::Panic;

    fn dump(&self, _reason: Reason, _stopped: Option<Stopped<'_>>, _message: &[u8]) {}
}
