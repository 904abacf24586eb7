// SPDX-License-Identifier: GPL-2.0

//! What system calls on the real module promise, judged on what its disk's log says may be left after a power cut.
//!
//! A program in the test machine makes calls and marks the disk's log when each has returned. Here the log is read ([`log`]), the calls
//! are followed on the simulator's model of a namespace and on one of files' contents ([`history`], [`names`], [`content`]), and every state of
//! the disk that the simulator's [`crash`](crate::crash) makes of the log is judged ([`judge`]). Nothing here knows how the
//! module does it: what is promised are POSIX's and ext4's promises.

pub mod content;
pub mod history;
pub mod journal;
pub mod judge;
pub mod log;
pub mod names;
