// SPDX-License-Identifier: GPL-2.0

//! Messages that C passes to those who hear of a panic.

use crate::bindings;
use core::slice;
use kernel::prelude::*;

/// The longest message that is passed on, in bytes; `panic()` itself keeps 1024.
const MAX_MESSAGE: usize = 1024;

/// The bytes of a message, without its NUL and trailing newline. Context: any, NMI included.
///
/// # Safety
///
/// `message` is null or a string with a NUL within its memory, valid for `'a`.
#[inline]
pub(crate) unsafe fn bytes<'a>(message: *const c_char) -> &'a [u8] {
    if message.is_null() {
        return &[];
    }
    // SAFETY: Not null, so it is a string, of which this reads no byte behind the NUL.
    let len = unsafe { bindings::strnlen(message, MAX_MESSAGE) };
    // SAFETY: So many bytes come before the NUL, and they stay for `'a`.
    let bytes = unsafe { slice::from_raw_parts(message.cast::<u8>(), len) };
    bytes.strip_suffix(b"\n").unwrap_or(bytes)
}
