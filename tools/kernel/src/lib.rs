// SPDX-License-Identifier: GPL-2.0

//! The subset of Rust-for-Linux's `kernel` crate (7.3) that `permfs_core` uses, over `std`.
//!
//! The names, signatures and errors are those of `rust/kernel`, so that one source serves the module
//! and the host: where the kernel's type is stricter (fallible allocation, flags, no `Clone`), so is this one.
//! Tests may make any allocation fail, see [`alloc::fail_after`].

#![deny(unsafe_code)]

extern crate self as kernel;

pub mod alloc;
mod build_assert;
pub mod error;
pub mod fmt;
pub mod prelude;
pub mod print;
pub mod rbtree;
pub mod sync;

#[cfg(test)]
mod tests;
