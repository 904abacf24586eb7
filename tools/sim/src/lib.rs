// SPDX-License-Identifier: GPL-2.0

//! Crash simulator: PermFS's core on a disk that forgets, tears and reorders.
//!
//! A workload made from a seed runs once on a disk that logs every write and flush ([`disk`]), beside
//! an oracle that knows what every moment should look like ([`oracle`], [`model`]). Then every state that
//! a crash could have left on the disk is made from the log ([`crash`]), mounted, checked by fsck, and
//! compared: it must be the state after some operation that was done, at the end of an epoch, and not
//! before the last one acknowledged ([`verify`]). All of it follows from the seed.
//!
//! The states that the real module's writes make possible are judged as well, by what its system calls promise ([`syscalls`]).

#![forbid(unsafe_code)]

pub mod crash;
pub mod disk;
pub mod driver;
pub mod image;
pub mod model;
pub mod oracle;
pub mod pattern;
pub mod rng;
pub mod runner;
pub mod syscalls;
pub mod verify;
pub mod workload;
