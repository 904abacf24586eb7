// SPDX-License-Identifier: GPL-2.0

//! Metadata blocks as trees and directories see them.

use crate::format::Kind;
use kernel::prelude::*;

/// Reading metadata, inside an operation or outside of one.
pub trait MetaRead {
    /// The payload (4032 bytes) of `block`, verified to be of `kind` and to belong to `owner`.
    ///
    /// Errors: `EFSCORRUPTED` if the block is out of range or not what it should be, `EIO`, `ENOMEM`.
    fn read(&mut self, block: u64, kind: Kind, owner: u64) -> Result<&[u8]>;
}

/// Changing metadata, inside one operation that happens wholly or not at all.
pub trait MetaWrite: MetaRead {
    /// Changes `bytes.len()` bytes at `offset` within the payload of `block`.
    ///
    /// The block was read or allocated before in the same operation.
    fn write(&mut self, block: u64, offset: usize, bytes: &[u8]) -> Result;

    /// Allocates a block near block `near` (0: no wish), with a zeroed payload.
    fn alloc(&mut self, kind: Kind, owner: u64, near: u64) -> Result<u64>;

    /// Frees a metadata block. It is reused only after the running epoch is durable.
    fn free(&mut self, block: u64) -> Result;
}
