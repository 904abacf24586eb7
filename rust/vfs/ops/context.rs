// SPDX-License-Identifier: GPL-2.0

//! What is done with a context: `struct fs_context_operations`.

use crate::{
    fs::{param, FileSystem},
    fs_context::FsContext,
    new_super_block::{NewSuperBlock, Ready},
    super_block::SuperBlock,
};
use kernel::{error::VTABLE_DEFAULT_ERROR, prelude::*};

/// `struct fs_context_operations`: how a super block comes about, and is changed by a remount.
#[vtable]
pub trait ContextOperations: FileSystem {
    /// Makes the options that [`Self::parse_param`] then changes. `sb` is the mounted super block
    /// for a remount.
    fn new_options(sb: Option<&SuperBlock<Self>>) -> Result<Self::Options>;

    /// Takes one parameter. `id` is the one given in [`Self::PARAMS`].
    fn parse_param(
        fc: &FsContext,
        options: &mut Self::Options,
        id: u8,
        value: param::Value<'_>,
    ) -> Result;

    /// Reads the volume and makes the root. Called with `s_umount` held exclusively; nobody else
    /// sees the super block.
    ///
    /// On error everything that was given to `sb` is released by `kill_sb`; the caller drops what
    /// it kept.
    fn fill_super<'a>(
        sb: NewSuperBlock<'a, Self>,
        fc: &FsContext,
        options: Self::Options,
    ) -> Result<Ready<'a, Self>>;

    /// Applies `options` to a mounted filesystem; [`FsContext::is_read_only`] says what was asked
    /// for. Dirty data was synced before, and the generic flags are changed by the VFS after an
    /// `Ok`. Optional.
    fn reconfigure(
        _sb: &SuperBlock<Self>,
        _fc: &FsContext,
        _options: &mut Self::Options,
    ) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}
