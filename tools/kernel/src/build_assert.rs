// SPDX-License-Identifier: GPL-2.0

//! Assertions at build time.

/// Asserts a condition outside functions, at compile time.
#[macro_export]
macro_rules! static_assert {
    ($condition:expr $(,$arg:literal)?) => {
        const _: () = ::core::assert!($condition $(,$arg)?);
    };
}

/// Asserts a condition inside a function, at compile time.
#[macro_export]
macro_rules! const_assert {
    ($condition:expr $(,$arg:literal)?) => {
        const { ::core::assert!($condition $(,$arg)?) }
    };
}

/// Asserts what the kernel's build proves by optimisation; here it is checked when it runs.
#[macro_export]
macro_rules! build_assert {
    ($($arg:tt)*) => {
        ::core::assert!($($arg)*)
    };
}
