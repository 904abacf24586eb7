// SPDX-License-Identifier: GPL-2.0

//! Mount options.

use kernel::prelude::*;
use vfs::{
    fs::param::{Choice, Spec, Table, Value},
    fs_context::FsContext,
};

/// What is done about corruption and about errors in writing metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum OnError {
    /// The volume becomes read-only.
    RemountRo = 0,
    /// Every further operation fails with `EIO`.
    Shutdown = 1,
    /// The kernel panics.
    Panic = 2,
}

impl OnError {
    /// The choice with this number; the numbers come from [`ON_ERROR`] alone.
    pub(crate) fn from_u32(n: u32) -> Self {
        match n {
            1 => Self::Shutdown,
            2 => Self::Panic,
            _ => Self::RemountRo,
        }
    }

    /// Name in `/proc/mounts`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RemountRo => "remount-ro",
            Self::Shutdown => "shutdown",
            Self::Panic => "panic",
        }
    }
}

const ON_ERROR: &[Choice] = &[
    Choice::new(c"remount-ro", OnError::RemountRo as u16),
    Choice::new(c"shutdown", OnError::Shutdown as u16),
    Choice::new(c"panic", OnError::Panic as u16),
    Choice::END,
];

const ERRORS: u8 = 0;
const DISCARD: u8 = 1;
const RESCUE: u8 = 2;
const EMERGENCY_RO: u8 = 3;

/// Options of one mount.
#[derive(Clone, Copy)]
pub(crate) struct Options {
    pub(crate) on_error: OnError,
    /// Tell the device of freed blocks once that is durable.
    pub(crate) discard: bool,
    /// With `ro`: show what there is, although the log has lost epochs that had been durable.
    pub(crate) rescue: bool,
}

impl Options {
    pub(crate) const PARAMS: Table = Table::new(&[
        Spec::choice(c"errors", ERRORS, ON_ERROR),
        Spec::flag_no(c"discard", DISCARD),
        Spec::flag(c"rescue", RESCUE),
        Spec::flag(c"emergency_ro", EMERGENCY_RO),
        Spec::END,
    ]);

    pub(crate) fn parse(&mut self, fc: &FsContext, id: u8, value: Value<'_>) -> Result {
        match (id, value) {
            (ERRORS, Value::Choice(n)) => self.on_error = OnError::from_u32(n),
            (DISCARD, Value::Flag(on)) => self.discard = on,
            (RESCUE, Value::Flag(on)) => self.rescue = on,
            // mount(8) gives back at a remount what it was shown.
            (EMERGENCY_RO, Value::Flag(_)) => {}
            _ => return Err(fc.invalid(fmt!("option {id} has no such form"))),
        }
        Ok(())
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            on_error: OnError::RemountRo,
            discard: false,
            rescue: false,
        }
    }
}
