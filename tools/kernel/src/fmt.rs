// SPDX-License-Identifier: GPL-2.0

//! Formatting: the kernel has a `Display` of its own, which on the host is `core`'s.

pub use core::fmt::{
    Arguments,
    Debug,
    Display,
    Error,
    Formatter,
    Result,
    Write, //
};
