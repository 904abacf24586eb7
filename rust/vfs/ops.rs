// SPDX-License-Identifier: GPL-2.0

//! What a filesystem implements: C's tables of operations, one trait each.

mod context;
mod file;
mod inode;
mod iomap;
mod super_block;

pub use self::{
    context::ContextOperations,
    file::FileOperations,
    inode::{InodeOperations, Rename},
    iomap::IomapOperations,
    super_block::SuperOperations,
};

/// Everything that a registered filesystem implements.
pub trait Complete:
    ContextOperations + SuperOperations + InodeOperations + FileOperations + IomapOperations
{
}

impl<T> Complete for T where
    T: ContextOperations + SuperOperations + InodeOperations + FileOperations + IomapOperations
{
}
