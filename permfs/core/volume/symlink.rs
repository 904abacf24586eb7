// SPDX-License-Identifier: GPL-2.0

//! Symbolic links: the target in the record, or in a short chain of blocks.

use super::{view::View, Volume};
use crate::{
    device::BlockDevice,
    format::{
        inode::{SymlinkHead, INLINE_MAX},
        Kind, PAYLOAD_SIZE, SYMLINK_MAX,
    },
    inode::{ForkKind, Record, S_IFLNK},
    meta::{MetaRead, MetaWrite},
};
use kernel::prelude::*;

const HEAD: usize = size_of::<SymlinkHead>();
/// Bytes of a target in one block of a chain.
const PIECE: usize = PAYLOAD_SIZE - HEAD;
/// Blocks that the longest target takes.
const CHAIN_MAX: usize = SYMLINK_MAX.div_ceil(PIECE);

impl<D: BlockDevice> Volume<D> {
    /// Appends the target of symbolic link `ino` to `buf`. Errors: `EINVAL` if it is not a link.
    pub fn readlink(&mut self, ino: u64, buf: &mut KVec<u8>) -> Result {
        self.look(|v| {
            let rec = v.load(ino)?;
            if rec.file_type() != S_IFLNK {
                return Err(EINVAL);
            }
            let before = buf.len();
            let outcome = v.read_target(&rec, buf);
            if outcome.is_err() {
                buf.truncate(before);
            }
            v.note(ino, "symbolic link", outcome)
        })
    }
}

impl<M: MetaRead> View<'_, M> {
    fn read_target(&mut self, rec: &Record, buf: &mut KVec<u8>) -> Result {
        let before = buf.len();
        match rec.fork_kind()? {
            ForkKind::Inline => buf.extend_from_slice(&rec.fork, GFP_KERNEL)?,
            _ => self.chain(
                rec,
                |_, piece| Ok(buf.extend_from_slice(piece, GFP_KERNEL)?),
            )?,
        }
        let target = buf.get(before..).unwrap_or_default();
        if target.len() as u64 != rec.head.size.get() || target.contains(&0) {
            return Err(EFSCORRUPTED);
        }
        Ok(())
    }

    /// Calls `f` with each block of a link's chain and the piece of the target in it.
    pub(super) fn chain(
        &mut self,
        rec: &Record,
        mut f: impl FnMut(u64, &[u8]) -> Result,
    ) -> Result {
        let mut block = rec.head.fork_root.get();
        for _ in 0..CHAIN_MAX {
            let payload = self.m.read(block, Kind::Symlink, rec.ino)?;
            let (head, rest) = SymlinkHead::ref_from_prefix(payload).map_err(|_| EFSCORRUPTED)?;
            f(
                block,
                rest.get(..usize::from(head.len.get()))
                    .ok_or(EFSCORRUPTED)?,
            )?;
            block = head.next.get();
            if block == 0 {
                return Ok(());
            }
        }
        Err(EFSCORRUPTED)
    }
}

impl<M: MetaWrite> View<'_, M> {
    /// Gives a new record its target. Errors: `ENAMETOOLONG`, `EINVAL`, `ENOSPC`.
    pub(super) fn set_target(&mut self, rec: &mut Record, target: &[u8]) -> Result {
        if target.len() > SYMLINK_MAX {
            return Err(ENAMETOOLONG);
        }
        if target.is_empty() || target.contains(&0) {
            return Err(EINVAL);
        }
        rec.head.size.set(target.len() as u64);
        if target.len() <= INLINE_MAX {
            return Ok(rec.fork.extend_from_slice(target, GFP_KERNEL)?);
        }
        // From the last piece to the first: each block is written once, its successor known.
        let mut next = 0;
        for piece in target.chunks(PIECE).rev() {
            let block = self
                .m
                .alloc(Kind::Symlink, rec.ino, self.goal(rec.head.home.get()))?;
            let head = SymlinkHead {
                next: next.into(),
                len: (piece.len() as u16).into(),
                ..SymlinkHead::default()
            };
            self.m.write(block, 0, head.as_bytes())?;
            self.m.write(block, HEAD, piece)?;
            next = block;
        }
        rec.head.fork = ForkKind::Chain as u8;
        rec.head.fork_root.set(next);
        Ok(())
    }

    /// Frees the chain of a link that goes away.
    pub(super) fn free_target(&mut self, rec: &Record) -> Result {
        let mut blocks = KVec::new();
        let walked = self.chain(rec, |block, _| Ok(blocks.push(block, GFP_KERNEL)?));
        self.note(rec.ino, "symbolic link", walked)?;
        blocks.iter().try_for_each(|&block| self.m.free(block))
    }
}
