// SPDX-License-Identifier: GPL-2.0

//! Printing: the kernel's log goes to standard error where `PERMFS_KMSG` is set, and nowhere otherwise.

use std::{
    fmt::Arguments,
    sync::OnceLock, //
};

/// Prints one message of the kernel's log.
#[doc(hidden)]
pub fn print(level: &str, args: Arguments<'_>) {
    static ON: OnceLock<bool> = OnceLock::new();
    if *ON.get_or_init(|| std::env::var_os("PERMFS_KMSG").is_some()) {
        eprint!("<{level}> {args}");
    }
}

/// Prints a message of level 0.
#[macro_export]
macro_rules! pr_emerg {
    ($($arg:tt)*) => { $crate::print::print("emerg", ::core::format_args!($($arg)*)) };
}

/// Prints a message of level 1.
#[macro_export]
macro_rules! pr_alert {
    ($($arg:tt)*) => { $crate::print::print("alert", ::core::format_args!($($arg)*)) };
}

/// Prints a message of level 2.
#[macro_export]
macro_rules! pr_crit {
    ($($arg:tt)*) => { $crate::print::print("crit", ::core::format_args!($($arg)*)) };
}

/// Prints a message of level 3.
#[macro_export]
macro_rules! pr_err {
    ($($arg:tt)*) => { $crate::print::print("err", ::core::format_args!($($arg)*)) };
}

/// Prints a message of level 4.
#[macro_export]
macro_rules! pr_warn {
    ($($arg:tt)*) => { $crate::print::print("warn", ::core::format_args!($($arg)*)) };
}

/// Prints a message of level 5.
#[macro_export]
macro_rules! pr_notice {
    ($($arg:tt)*) => { $crate::print::print("notice", ::core::format_args!($($arg)*)) };
}

/// Prints a message of level 6.
#[macro_export]
macro_rules! pr_info {
    ($($arg:tt)*) => { $crate::print::print("info", ::core::format_args!($($arg)*)) };
}

/// Prints a message of level 7.
#[macro_export]
macro_rules! pr_debug {
    ($($arg:tt)*) => { $crate::print::print("debug", ::core::format_args!($($arg)*)) };
}
