// SPDX-License-Identifier: GPL-2.0

//! What a module can do when the kernel panics or oopses.
//!
//! - Hearing of it: [`mod@panic`], [`die`], [`kmsg`]; and of an orderly [`reboot`].
//! - Knowing where one is: [`context`]; and who panicked: [`origin`].
//! - Saying something: [`printk`]; and keeping the kernel's log for the next boot: [`pstore`].
//! - Writing to a disk although nothing of the block layer runs any more: [`lane`].
//! - Putting something aside for when the machine lives on: [`stash`].
//! - Not leaving a lock behind for ever with a task that dies: [`poison`].
//!
//! What is sound only once the machine has stopped takes a [`Stopped`] as proof, and what is sound
//! only while a task dies a [`die::Die`]. Nobody makes these but the functions that the kernel calls
//! then, and they end with that call.
//!
//! # Panic context
//!
//! Interrupts are off, the other CPUs are stopped wherever they were, any lock may be held for ever,
//! and the CPU may be in an NMI. Code that runs there must not sleep, allocate, or take a lock that
//! another context takes; its loops must be bounded. What is safe there says so: "Context: any, NMI
//! included", or it takes a [`Stopped`].

#![crate_name = "crash"]
#![deny(missing_docs)]

/// Kernel bindings, and on top of them the headers that the kernel's own bindings leave out.
///
/// bindgen writes it from `bindings_helper.h`; types that both have are the kernel's.
mod bindings {
    #![allow(
        missing_docs,
        non_camel_case_types,
        non_upper_case_globals,
        non_snake_case,
        dead_code,
        unreachable_pub,
        unsafe_op_in_unsafe_fn,
        improper_ctypes,
        unnameable_types,
        clippy::all,
        clippy::cast_lossless,
        clippy::ptr_as_ptr,
        clippy::ref_as_ptr,
        clippy::undocumented_unsafe_blocks
    )]
    include!(env!("CRASH_BINDINGS_RS"));
}

/// Prefix of this crate's lines in the kernel log.
const __LOG_PREFIX: &[u8] = b"crash\0";

pub mod context;
pub mod die;
pub mod kmsg;
pub mod lane;
mod message;
pub mod origin;
pub mod panic;
pub mod poison;
pub mod printk;
pub mod pstore;
pub mod reboot;
mod refault;
pub mod stash;
mod stopped;

pub use self::stopped::Stopped;
