// SPDX-License-Identifier: GPL-2.0

//! Lines for the kernel log that are not formatted here.
//!
//! C header: [`include/linux/printk.h`](srctree/include/linux/printk.h)

use crate::bindings;
use kernel::prelude::*;

/// The longest line that [`line()`] prints, in bytes. printk itself cuts at about 1000.
pub const MAX_LINE: usize = 900;

/// Levels of the kernel log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The system is unusable.
    Emerg,
    /// Action must be taken at once.
    Alert,
    /// Critical conditions.
    Crit,
    /// Errors.
    Err,
    /// Warnings.
    Warning,
    /// Worth noting.
    Notice,
    /// Informational.
    Info,
}

impl Level {
    /// Level and format as one string, as `_printk()` wants it.
    const fn format(self) -> &'static CStr {
        match self {
            Self::Emerg => c"\x010%.*s\n",
            Self::Alert => c"\x011%.*s\n",
            Self::Crit => c"\x012%.*s\n",
            Self::Err => c"\x013%.*s\n",
            Self::Warning => c"\x014%.*s\n",
            Self::Notice => c"\x015%.*s\n",
            Self::Info => c"\x016%.*s\n",
        }
    }
}

/// Prints `bytes` as one line, cut at [`MAX_LINE`] bytes or the first NUL.
///
/// Context: any, NMI included. Allocates nothing.
#[inline]
pub fn line(level: Level, bytes: &[u8]) {
    let len = bytes.len().min(MAX_LINE) as c_int;
    let format = kernel::str::as_char_ptr_in_const_context(level.format());
    // SAFETY: The format takes a precision and a string, of which it reads at most that many bytes:
    // no more than `bytes` has.
    unsafe { bindings::_printk(format, len, bytes.as_ptr()) };
}
