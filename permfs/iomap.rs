// SPDX-License-Identifier: GPL-2.0

//! Where a file's bytes are, for reading, writing and writeback.
//!
//! The rule that everything here serves: an extent enters the file's map, through the journal, only
//! after its data is on the device. Until then its blocks are in the file's `WriteMap`, first as a
//! promise of space, from writeback on as chosen blocks. A file's state lock serialises the two maps
//! against each other: a block is found in exactly one of them.

use crate::{
    engine::VolumeGuard,
    inode::{self, FileState},
    mount::Mount,
    PermFs,
};
use kernel::prelude::*;
use permfs_core::{
    extent::Mapping as Place,
    format::BLOCK_SIZE,
    plant::{self, Fault},
    volume::Which,
    write_map::{Run, State, WriteMap},
};
use vfs::{
    inode::Inode,
    iomap::{BeginFlags, Io, Ioend, MapFlags, MapKind, Mapping},
    ops::IomapOperations,
    super_block::SuperBlock,
};

const BLOCK: u64 = BLOCK_SIZE as u64;
/// Blocks chosen in one go for delayed data, at most: 32 MiB.
const CHOOSE_MAX: u64 = 8192;

/// Blocks `[first, end)` of a file.
#[derive(Clone, Copy)]
struct Blocks {
    first: u64,
    end: u64,
}

impl Blocks {
    /// Those that bytes `[pos, pos + len)` touch.
    fn touching(pos: u64, len: u64) -> Self {
        Self {
            first: pos / BLOCK,
            end: pos.saturating_add(len).div_ceil(BLOCK),
        }
    }

    fn len(&self) -> u64 {
        self.end.saturating_sub(self.first)
    }
}

/// One call's view of a file: the inode, its locked state, its mount.
struct Op<'a> {
    inode: &'a Inode<PermFs>,
    mount: &'a Mount,
    state: &'a mut FileState,
}

/// Runs `f` with the file's state locked.
fn locked<T>(inode: &Inode<PermFs>, f: impl FnOnce(Op<'_>) -> Result<T>) -> Result<T> {
    let data = inode.data();
    let mut state = data.state();
    let sb = inode.super_block();
    let mount = sb.data();
    let outcome = f(Op {
        inode,
        mount: &mount,
        state: &mut state,
    });
    // Choosing blocks and writeback meet damage as well as everything else does.
    mount.check(sb, outcome)
}

impl Op<'_> {
    fn mapping(&self, first: u64, len: u64, kind: MapKind, flags: MapFlags) -> Mapping {
        Mapping {
            offset: first * BLOCK,
            len: len * BLOCK,
            kind,
            flags,
            cookie: self.inode.data().sequence(),
        }
    }

    /// Where blocks from `want.first` on are: a run that starts there and is not longer than `want`.
    fn find(&mut self, want: Blocks) -> Result<Mapping> {
        let run = self.state.map.at_or_after(want.first);
        let run = run.filter(|run| run.logical < want.end);
        match run {
            Some(run) if run.logical <= want.first => Ok(self.of_run(run, want)),
            next => {
                let end = next.map_or(want.end, |run| run.logical);
                self.of_extent(Blocks { end, ..want })
            }
        }
    }

    /// `want.first` lies in `run` of the write map. Chosen blocks are new until their data has ended up
    /// in the extent map: whatever the page cache does not hold of them was never written.
    fn of_run(&self, run: Run, want: Blocks) -> Mapping {
        let skip = want.first - run.logical;
        let len = (run.len - skip).min(want.len());
        let (kind, flags) = match run.state {
            State::Delayed => (MapKind::Delalloc, MapFlags::NONE),
            State::Chosen(phys) => (MapKind::Mapped((phys + skip) * BLOCK), MapFlags::NEW),
        };
        self.mapping(want.first, len, kind, flags)
    }

    /// None of `want` is in the write map: the extent map tells.
    fn of_extent(&self, want: Blocks) -> Result<Mapping> {
        let Ok(logical) = u32::try_from(want.first) else {
            return Ok(self.mapping(want.first, want.len(), MapKind::Hole, MapFlags::NONE));
        };
        let max = u32::try_from(want.len()).unwrap_or(u32::MAX);
        let place = self
            .mount
            .engine()
            .volume()?
            .map(self.inode.ino(), logical, max)?;
        Ok(match place {
            Place::Data { phys, len } => self.mapping(
                want.first,
                u64::from(len).min(want.len()),
                MapKind::Mapped(phys * BLOCK),
                MapFlags::NONE,
            ),
            Place::Hole { len } => self.mapping(
                want.first,
                u64::from(len).min(want.len()),
                MapKind::Hole,
                MapFlags::NONE,
            ),
        })
    }

    /// Asks the volume for blocks. What it frees by itself it has tried before it refuses; blocks that
    /// a commit has freed and is discarding are the committer's until it is done, so then once more.
    fn ask_for_space<T>(
        &mut self,
        mut ask: impl FnMut(&mut VolumeGuard<'_>, &mut WriteMap) -> Result<T>,
    ) -> Result<T> {
        let engine = self.mount.engine();
        let first = ask(&mut engine.volume()?, &mut self.state.map);
        match first {
            Err(e) if e == ENOSPC => {
                engine.wait_for_commit()?;
                ask(&mut engine.volume()?, &mut self.state.map)
            }
            outcome => outcome,
        }
    }

    /// Promises space for a hole that is about to be written through the page cache, or for the front of it.
    fn delay(&mut self, hole: Mapping) -> Result<Mapping> {
        let (first, len) = (hole.offset / BLOCK, hole.len / BLOCK);
        let ino = self.inode.ino();
        let len = self.ask_for_space(|volume, map| volume.delay(ino, map, (first, len), 1))?;
        Ok(self.mapping(first, len, MapKind::Delalloc, MapFlags::NEW))
    }

    /// Promises space for all holes in `want`, which are about to be dirty, or for none: a fault makes a whole folio dirty
    /// when it has the first of its mappings, and does not make it clean again if it gets no other.
    fn delay_all(&mut self, want: Blocks) -> Result {
        let ino = self.inode.ino();
        let mut delayed = KVec::new();
        let mut at = want;
        while at.len() > 0 {
            let found = self.find(at)?;
            let run = (at.first, found.len / BLOCK);
            at.first += run.1;
            if !matches!(found.kind, MapKind::Hole) {
                continue;
            }
            delayed.reserve(1, GFP_KERNEL)?;
            let outcome = self.ask_for_space(|volume, map| volume.delay(ino, map, run, run.1));
            if let Err(e) = outcome {
                for (first, len) in delayed {
                    let end = first + len;
                    self.forget(Blocks { first, end }, Which::Delayed)?;
                }
                return Err(e);
            }
            delayed.push(run, GFP_KERNEL)?;
        }
        Ok(())
    }

    /// Whether data written to `mapping` is found after a crash if it is durable itself: the blocks are the
    /// file's, and so are the bytes up to `end`, in an epoch that is durable. Otherwise a write with
    /// `O_DSYNC` has to end in fsync, and not in FUA.
    fn is_settled(&self, mapping: &Mapping, end: u64) -> bool {
        if plant::is(Fault::Settled) {
            return true;
        }
        let is_durable = || self.inode.data().epoch() <= self.mount.engine().durable_epoch();
        !mapping.flags.contains(MapFlags::NEW) && end <= self.state.disk_size && is_durable()
    }

    /// Chooses blocks for up to `want` from its first on, none of which is in the extent map. Either
    /// all of them are delayed, so `promised`, or none is.
    fn choose(&mut self, want: Blocks, promised: bool) -> Result<Mapping> {
        let len = u32::try_from(want.len().min(CHOOSE_MAX)).map_err(|_| EFBIG)?;
        let ino = self.inode.ino();
        let (phys, len) =
            self.ask_for_space(|volume, map| volume.choose(ino, map, want.first, len, promised))?;
        self.inode.data().blocks_moved();
        if plant::is(Fault::MapAfterData) {
            self.settle(want.first * BLOCK, u64::from(len) * BLOCK)?;
        }
        Ok(self.mapping(
            want.first,
            u64::from(len),
            MapKind::Mapped(phys * BLOCK),
            MapFlags::NEW,
        ))
    }

    /// Data of bytes `[pos, pos + len)` is on the device: its blocks enter the extent map, and the size.
    fn settle(&mut self, pos: u64, len: u64) -> Result {
        let blocks = Blocks::touching(pos, len);
        let end = pos.saturating_add(len);
        let grown = (end > self.state.disk_size).then_some(end);
        let has_chosen = self.state.map.has_chosen(blocks.first, blocks.len());
        if !has_chosen && grown.is_none() {
            return Ok(());
        }
        let ino = self.inode.ino();
        let mtime = Some(inode::time(self.inode.mtime()));
        let mut volume = self.mount.engine().volume()?;
        let run = (blocks.first, blocks.len());
        let outcome = volume.enter(ino, &mut self.state.map, run, grown, mtime);
        self.inode.data().changed_in(&mut volume);
        // What was durable must not be reported as lost for want of memory to look it up.
        let saved = volume.saved();
        drop(volume);
        self.inode.data().blocks_moved();
        outcome?;
        if let Some(size) = grown {
            self.state.disk_size = size;
        }
        if let Some(record) = saved.get(ino) {
            inode::show_blocks(self.inode, record.attr.blocks);
        }
        Ok(())
    }

    /// Drops what `which` says of `blocks` in the write map.
    fn forget(&mut self, blocks: Blocks, which: Which) -> Result {
        // Most inodes leave memory so: they do not wait for the volume.
        if self.state.map.is_empty() && !plant::is(Fault::NothingToForget) {
            return Ok(());
        }
        let run = (blocks.first, blocks.len());
        let mut volume = self.mount.engine().volume()?;
        volume.forget(&mut self.state.map, run, which)
    }

    /// The data write of these bytes failed: blocks chosen for them are given back.
    fn forget_failed(&mut self, pos: u64, len: u64) -> Result {
        self.forget(Blocks::touching(pos, len), Which::Chosen)?;
        self.inode.data().blocks_moved();
        Ok(())
    }
}

/// The inode leaves memory.
pub(crate) fn forget_all(inode: &Inode<PermFs>) {
    let all = Blocks {
        first: 0,
        end: u64::MAX,
    };
    // Cutting at 0 and at the very end splits no run, so nothing is allocated and nothing can fail.
    let _ = locked(inode, |mut op| op.forget(all, Which::All));
}

/// The file is cut to `size`: what is behind it will never be written. Page cache and direct I/O are
/// out of the way already.
pub(crate) fn forget_behind(inode: &Inode<PermFs>, size: u64) -> Result {
    let blocks = Blocks {
        first: size.div_ceil(BLOCK),
        end: u64::MAX,
    };
    locked(inode, |mut op| op.forget(blocks, Which::All))
}

/// Bytes from `pos` to the end of their block were zeroed in the page cache, `pos` being the file's end or
/// about to become it. Puts the zeroes on the device, so that a size behind them cannot be durable before
/// they are (TAIL). Where the device has nothing of the block yet, there is nothing to come back.
pub(crate) fn write_tail(inode: &Inode<PermFs>, pos: u64) -> Result {
    if pos % BLOCK == 0 || plant::is(Fault::Tail) {
        return Ok(());
    }
    let found = locked(inode, |mut op| op.find(Blocks::touching(pos, 1)))?;
    match found.kind {
        MapKind::Mapped(_) => inode.write_and_wait_range(pos, pos),
        _ => Ok(()),
    }
}

/// New blocks read as zeroes: the device still has there what was in them before.
fn to_read(found: Mapping) -> Mapping {
    match found.kind {
        MapKind::Mapped(addr) if found.flags.contains(MapFlags::NEW) => Mapping {
            kind: MapKind::Unwritten(addr),
            flags: MapFlags::NONE,
            ..found
        },
        _ => found,
    }
}

#[vtable]
impl IomapOperations for PermFs {
    fn begin(inode: &Inode<Self>, pos: u64, len: u64, flags: BeginFlags) -> Result<Mapping> {
        locked(inode, |mut op| {
            let want = Blocks::touching(pos, len.max(1));
            if flags.write() && flags.fault() {
                op.delay_all(want)?;
            }
            let found = op.find(want)?;
            let hole = matches!(found.kind, MapKind::Hole);
            if !flags.write() || flags.report() || (flags.zero() && hole) {
                return Ok(to_read(found));
            }
            let run = Blocks {
                first: found.offset / BLOCK,
                end: found.offset / BLOCK + found.len / BLOCK,
            };
            let mapping = match (found.kind, flags.direct()) {
                (MapKind::Hole, false) => op.delay(found),
                (MapKind::Hole | MapKind::Delalloc, true) if flags.overwrite_only() => Err(EAGAIN),
                (kind @ (MapKind::Hole | MapKind::Delalloc), true) => {
                    op.choose(run, matches!(kind, MapKind::Delalloc))
                }
                _ if flags.overwrite_only() && run.end < want.end => Err(EAGAIN),
                _ => Ok(found),
            }?;
            if flags.direct() && !op.is_settled(&mapping, pos.saturating_add(len)) {
                let flags = mapping.flags | MapFlags::DIRTY;
                return Ok(Mapping { flags, ..mapping });
            }
            Ok(mapping)
        })
    }

    fn mapping_valid(inode: &Inode<Self>, cookie: u64) -> bool {
        inode.data().sequence() == cookie
    }

    fn punch_delalloc(inode: &Inode<Self>, start: u64, end: u64) {
        // A failure leaves space promised until the inode goes: not lost, and nothing to report to.
        let (first, end) = (start.div_ceil(BLOCK), end.div_ceil(BLOCK));
        let blocks = Blocks { first, end };
        let _ = locked(inode, |mut op| op.forget(blocks, Which::Delayed));
    }

    fn writeback_map(inode: &Inode<Self>, pos: u64, len: u64) -> Result<Mapping> {
        locked(inode, |mut op| {
            let want = Blocks::touching(pos, len);
            let run = op.state.map.at_or_after(want.first);
            if let Some(run) = run.filter(|r| r.logical <= want.first) {
                if run.state == State::Delayed {
                    // All of the run, not just this folio: a file written in order stays in order.
                    let end = run.logical + run.len;
                    return op.choose(Blocks { end, ..want }, true);
                }
            }
            let found = op.find(want)?;
            let dirty_hole = matches!(found.kind, MapKind::Hole) && pos < inode.size();
            if !dirty_hole {
                return Ok(found);
            }
            // Dirty again after its blocks were given back, by a write error: there is no promise.
            let end = want.first + found.len / BLOCK;
            op.choose(Blocks { end, ..want }, false)
        })
    }

    fn writeback_done(inode: &Inode<Self>, io: &Ioend) -> Result {
        locked(inode, |mut op| match io.error {
            None => op.settle(io.pos, io.len),
            Some(_) => op.forget_failed(io.pos, io.len),
        })
    }

    fn direct_done(inode: &Inode<Self>, pos: u64, len: u64, error: Option<Error>) -> Result {
        locked(inode, |mut op| match error {
            None => op.settle(pos, len),
            Some(_) => op.forget_failed(pos, len),
        })
    }

    fn eof_zeroed(inode: &Inode<Self>, size: u64) -> Result {
        write_tail(inode, size)
    }

    fn no_space(inode: &Inode<Self>) -> bool {
        let sb = inode.super_block();
        let mount = sb.data();
        // Of what is promised to maps the data that is written back takes a small part as a rule.
        let promised = mount
            .engine()
            .volume()
            .map_or(0, |volume| volume.promised_to_maps());
        promised > 0 && sb.try_writeback()
    }

    fn submit_io(sb: &SuperBlock<Self>, _io: Io) -> Result {
        sb.data().engine().disk().begin_io()
    }

    fn end_io(sb: &SuperBlock<Self>, io: Io) {
        let mount = sb.data();
        let disk = mount.engine().disk();
        if io.write {
            disk.data_written();
        }
        disk.end_io();
    }
}
