// SPDX-License-Identifier: GPL-2.0

//! Filesystem abstractions that the `kernel` crate does not have yet.
//!
//! A filesystem implements [`fs::FileSystem`] and the traits of [`ops`] for one type, and registers it with
//! [`registration::Registration`]. From the bottom up: the type (`fs`); the objects that are generic over it (`super_block`,
//! `inode`, `dentry`, `file`, `iomap`, `fs_context`, `new_super_block`); the operations on them (`ops`); C's tables, which call
//! those (`tables`); the registration, which knows all of them. The C operation tables are kept one to one; what C
//! leaves to discipline (who fails a half-made inode, who frees `s_fs_info`, what must have
//! finished before the inode cache goes) is in types here.
//!
//! All `unsafe` code of the module that links this crate is in this crate and in crate `crash` beside
//! it, which serves those who must do something when the kernel panics. What this crate knows of that
//! is one flag, [`stopped`].

#![crate_name = "vfs"]
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
    include!(env!("BINDINGS_RS"));
}

/// Prefix of this crate's lines in the kernel log.
const __LOG_PREFIX: &[u8] = b"vfs\0";

pub mod block;
pub mod cred;
pub mod dentry;
pub mod file;
pub mod fs;
pub mod fs_context;
pub mod global;
pub mod inode;
pub mod iomap;
pub mod module_param;
pub mod new_super_block;
pub mod ops;
pub mod registration;
pub mod scope;
pub mod stopped;
pub mod super_block;
pub mod sync;
mod tables;
pub mod time;
pub mod work;
