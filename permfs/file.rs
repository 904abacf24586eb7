// SPDX-License-Identifier: GPL-2.0

//! Open files: reading directories, and fsync.

use crate::{inode, ioctl, PermFs};
use kernel::prelude::*;
use permfs_core::plant::{self, Fault};
use vfs::{
    file::{DirContext, File},
    inode::{FileType, Inode, Locked, Read},
    ops::FileOperations,
};

/// Entries copied out of the volume in one go.
const READDIR_BATCH: usize = 64;
/// Cookies below this are for `.` and `..`; the volume's own are far above.
const FIRST_COOKIE: u64 = 2;
/// Behind the last entry.
const END: u64 = i64::MAX as u64;

struct Listed {
    name: KVec<u8>,
    ino: u64,
    kind: u8,
    next: u64,
}

#[vtable]
impl FileOperations for PermFs {
    fn iterate_shared(
        file: &File<Self>,
        dir: &Locked<'_, Self, Read>,
        ctx: &mut DirContext<'_>,
    ) -> Result {
        if !ctx.emit_dots(file) {
            return Ok(());
        }
        let sb = dir.super_block();
        let mount = sb.data();
        if mount.engine().disk().is_shut_down() {
            return Err(EIO);
        }
        loop {
            // `emit` may fault, and the fault may come back here for the volume's lock: copy first.
            let mut batch = KVec::with_capacity(READDIR_BATCH, GFP_KERNEL)?;
            let from = ctx.pos().max(FIRST_COOKIE);
            let mut failed = None;
            let outcome = mount.engine().volume()?.readdir(
                dir.ino(),
                from,
                |name, ino, kind, next| match list(&mut batch, name, ino, kind, next) {
                    Ok(()) => batch.len() < READDIR_BATCH,
                    Err(e) => {
                        failed = Some(e);
                        false
                    }
                },
            );
            mount.check(sb, outcome)?;
            if let Some(e) = failed.filter(|_| batch.is_empty()) {
                return Err(e);
            }
            if batch.is_empty() {
                ctx.set_pos(END);
                return Ok(());
            }
            for entry in batch.iter() {
                let kind = FileType::from_dt(entry.kind).ok_or(EFSCORRUPTED)?;
                // The position behind the entry before is this one's, and not what follows that.
                ctx.set_pos(entry.next - 1);
                if !ctx.emit(&entry.name, entry.ino, kind) {
                    return Ok(());
                }
                ctx.set_pos(entry.next);
            }
        }
    }

    fn fsync(
        file: &File<Self>,
        inode: &Inode<Self>,
        start: u64,
        end: u64,
        _datasync: bool,
    ) -> Result {
        // Waits for the completion of each write, which enters the extents in the running epoch. What went
        // wrong is the file's to report, so that every open file reports it once.
        match plant::is(Fault::Errseq) {
            false => file.write_and_wait_range(start, end)?,
            true => inode.write_and_wait_range(start, end)?,
        }
        // The size and the map are logged by then; times cost a few bytes in the same record.
        inode::write_inode(inode)?;
        if plant::is(Fault::Fsync) {
            return Ok(());
        }
        inode::commit(inode)
    }

    fn release(inode: &Inode<Self>, _file: &File<Self>) {
        // What an error of this writeback was, fsync tells.
        if inode.data().take_emptied() && !plant::is(Fault::ReplacedByTruncation) {
            let _ = inode.start_writeback();
        }
    }

    fn ioctl(_file: &File<Self>, inode: &Inode<Self>, cmd: u32, arg: usize) -> Result<isize> {
        ioctl::ioctl(inode.super_block(), cmd, arg)
    }
}

fn list(batch: &mut KVec<Listed>, name: &[u8], ino: u64, kind: u8, next: u64) -> Result {
    let mut copy = KVec::with_capacity(name.len(), GFP_KERNEL)?;
    copy.extend_from_slice(name, GFP_KERNEL)?;
    let entry = Listed {
        name: copy,
        ino,
        kind,
        next,
    };
    Ok(batch.push(entry, GFP_KERNEL)?)
}
