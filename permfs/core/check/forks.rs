// SPDX-License-Identifier: GPL-2.0

//! Second pass: extents of files and targets of symbolic links.

use super::{inodes::Work, Checker, Finding, Problem};
use crate::{
    extent::{ExtentValue, Run},
    format::{inode::*, *},
    inode::{Record, S_IFLNK, S_IFREG},
    meta::MetaRead,
};
use kernel::prelude::*;

/// Blocks that the longest target of a symbolic link takes.
const CHAIN_MAX: usize = SYMLINK_MAX.div_ceil(PAYLOAD_SIZE - size_of::<SymlinkHead>());

/// Extents of one file, so far.
#[derive(Default)]
struct Extents {
    /// File block behind the last extent.
    end: u64,
    /// Blocks of data.
    blocks: u64,
}

impl<F: FnMut(Finding)> Checker<'_, F> {
    /// Checks the extents that stand in a record.
    pub(super) fn extent_list(&mut self, record: &Record) -> Result {
        let mut so_far = Extents::default();
        let places = record.fork.chunks_exact(size_of::<Extent>());
        if !places.remainder().is_empty() {
            self.found(Problem::Extent, record.ino, 0, 0);
        }
        for place in places {
            let extent = Extent::read_from_bytes(place).map_err(|_| EFSCORRUPTED)?;
            if extent.len.get() == 0 {
                break;
            }
            let (logical, phys, len) = (extent.logical.get(), extent.phys.get(), extent.len.get());
            self.extent(
                record.ino,
                logical.into(),
                Run::new(logical, phys, len),
                &mut so_far,
            )?;
        }
        self.block_count(record.ino, record.head.blocks.get(), &so_far);
        Ok(())
    }

    /// Visits every fork that stands outside of its record, directories' excepted.
    pub(super) fn forks<S: MetaRead>(&mut self, store: &mut S) -> Result {
        let work = core::mem::take(&mut self.work);
        for fork in &work {
            match fork.kind {
                S_IFREG => self.extent_tree(store, fork)?,
                S_IFLNK => self.chain(store, fork)?,
                _ => {}
            }
        }
        self.work = work;
        Ok(())
    }

    fn extent_tree<S: MetaRead>(&mut self, store: &mut S, fork: &Work) -> Result {
        let mut so_far = Extents::default();
        self.tree(store, &fork.tree(), fork.ino, |c, key, value| {
            let run = ExtentValue::read_from_bytes(value)
                .ok()
                .and_then(|v| Run::new(u32::try_from(key).ok()?, v.phys.get(), v.len.get()));
            c.extent(fork.ino, key, run, &mut so_far)
        })?;
        self.block_count(fork.ino, fork.blocks, &so_far);
        Ok(())
    }

    /// One extent of `ino`, `None` if its numbers are none of a run.
    fn extent(&mut self, ino: u64, key: u64, run: Option<Run>, so_far: &mut Extents) -> Result {
        let Some(run) = run.filter(|run| u64::from(run.logical()) >= so_far.end) else {
            self.found(Problem::Extent, ino, 0, key);
            return Ok(());
        };
        so_far.end = run.end();
        let len = u64::from(run.blocks());
        so_far.blocks += len;
        if self.claim(ino, run.phys(), len)? {
            self.summary.data += len;
        }
        Ok(())
    }

    fn block_count(&mut self, ino: u64, recorded: u64, so_far: &Extents) {
        if recorded != so_far.blocks {
            self.found(Problem::BlockCount, ino, 0, so_far.blocks);
        }
    }

    /// Follows the blocks of a long symbolic link.
    fn chain<S: MetaRead>(&mut self, store: &mut S, fork: &Work) -> Result {
        let (mut block, mut bytes, mut zero) = (fork.root, 0u64, false);
        for _ in 0..CHAIN_MAX {
            if block == 0 {
                break;
            }
            let head = match store.read(block, Kind::Symlink, fork.ino) {
                Ok(payload) => {
                    let (head, rest) =
                        SymlinkHead::read_from_prefix(payload).map_err(|_| EFSCORRUPTED)?;
                    let piece = rest.get(..usize::from(head.len.get()));
                    zero |= piece.is_none_or(|piece| piece.contains(&0));
                    head
                }
                Err(e) => return self.bad_block(e, Problem::Symlink, fork.ino, block, 0),
            };
            self.claim(fork.ino, block, 1)?;
            bytes += u64::from(head.len.get());
            block = head.next.get();
        }
        if block != 0 || zero || bytes != fork.size {
            self.found(Problem::Symlink, fork.ino, fork.root, 0);
        }
        Ok(())
    }
}
