// SPDX-License-Identifier: GPL-2.0

//! Names: lookup, creation, removal, renaming, and attributes.
//!
//! The VFS holds the directories' i_rwsem, so one directory changes once at a time. Each change is
//! one operation of the volume, whole or not at all; the VFS inodes follow only when it has succeeded.

use crate::{inode, iomap, mount::Mount, PermFs};
use kernel::prelude::*;
use permfs_core::{
    inode::Inode as Record,
    plant::{self, Fault},
    volume::{NewInode, RenameFlags, Saved},
};
use vfs::{
    dentry::Dentry,
    inode::{Attr, FileType, IRef, Idmap, Inode, Kstat, Locked, New, Write},
    ops::{InodeOperations, Rename},
};

const S_IFLNK: u16 = 0o120000;
/// Size that stat recommends for reading and writing.
const IO_SIZE: u32 = 4096;

/// What is to be created.
struct Creation<'a> {
    mode: u16,
    rdev: u32,
    symlink: Option<&'a [u8]>,
}

/// Enters a new inode in `dir` under the name of `dentry`.
fn create<'a>(
    idmap: &Idmap,
    dir: &'a Locked<'_, PermFs, Write>,
    dentry: &Dentry<PermFs>,
    what: Creation<'_>,
) -> Result<New<'a, PermFs>> {
    let sb = dir.super_block();
    let mount = sb.data();
    let ino = mount.engine().volume()?.allocate_ino();
    let mut inode = sb.new_inode(ino)?;
    // Owner and mode follow the kernel's rules (idmap, set-group-ID folders): it sets, we record.
    inode.init_owner(idmap, dir, what.mode)?;
    if let Some(target) = what.symlink {
        inode.set_link(target)?;
    }
    let new = NewInode {
        ino,
        mode: inode.mode(),
        uid: inode.uid(),
        gid: inode.gid(),
        rdev: u64::from(what.rdev),
        symlink: what.symlink,
        now: inode::time(inode.set_ctime_current()),
        generation: mount.next_generation(),
    };
    let mut volume = mount.engine().volume()?;
    let outcome = volume.create(dir.ino(), dentry.name(), &new);
    dir.data().changed_in(&mut volume);
    inode.data().changed_in(&mut volume);
    let saved = volume.saved();
    drop(volume);
    let record = mount.check(sb, outcome)?;
    inode::fill(&mut inode, &record)?;
    refresh(&mount, dir, &saved, Changed::Content);
    sync_names(dir, &[dentry])?;
    Ok(inode)
}

/// Where names are to be durable when the call returns, what was done last to `dir` is made so.
///
/// It has been done whatever comes of that. So on an error the VFS is not to go by what it knows of `names`,
/// which would be that nothing has happened: the next lookup asks the volume.
fn sync_names(dir: &Inode<PermFs>, names: &[&Dentry<PermFs>]) -> Result {
    if !dir.is_dirsync() || plant::is(Fault::Names) {
        return Ok(());
    }
    inode::commit(dir).inspect_err(|_| names.iter().for_each(|name| name.drop_name()))
}

/// What a change of names did to an inode.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Changed {
    /// Names in it came or went. Its lock is held.
    Content,
    /// It has a name more or less, or another. Where it is a directory that stays in its own, nobody has locked it, and its times may be
    /// set meanwhile.
    Name,
}

/// Copies what a change of names does to an inode (links, size, times) from its record, and no more.
///
/// The change has happened and must not be reported as failed, or the VFS would go on with names and
/// links that are no more. So where the record cannot be read, for want of memory, `saved` has to do,
/// which is what the change has stored; only times that were set since then differ.
fn refresh(mount: &Mount, inode: &Inode<PermFs>, saved: &Saved, changed: Changed) {
    let data = inode.data();
    let mut state = data.state();
    let engine = mount.engine();
    let read = engine
        .volume()
        .and_then(|mut volume| volume.iget(inode.ino()));
    let Some(record) = read.ok().or(saved.get(inode.ino()).copied()) else {
        // It was none of those that have changed.
        return;
    };
    let attr = &record.attr;
    inode.set_nlink(attr.nlink);
    // One that was set meanwhile is not logged yet, and later.
    let ctime = inode::timespec(attr.ctime);
    if ctime > inode.ctime() {
        inode.set_ctime(ctime);
    }
    if changed == Changed::Content {
        inode.size_write(attr.size);
        inode.set_mtime(inode::timespec(attr.mtime));
        inode::show_blocks(inode, attr.blocks);
        state.disk_size = attr.size;
        state.logged.mtime = attr.mtime;
        state.logged.size = attr.size;
    }
    state.logged.nlink = attr.nlink;
    state.logged.ctime = attr.ctime;
}

/// Gives `inode` the name of `dentry` or takes it away, by `operation` of the volume.
fn change_link(
    dir: &Locked<'_, PermFs, Write>,
    dentry: &Dentry<PermFs>,
    inode: &Inode<PermFs>,
    operation: impl FnOnce(&mut crate::engine::VolumeGuard<'_>, permfs_core::inode::Time) -> Result,
) -> Result {
    let sb = dir.super_block();
    let mount = sb.data();
    let now = inode::time(dir.set_ctime_current());
    let mut volume = mount.engine().volume()?;
    let outcome = operation(&mut volume, now);
    dir.data().changed_in(&mut volume);
    inode.data().changed_in(&mut volume);
    let saved = volume.saved();
    drop(volume);
    mount.check(sb, outcome)?;
    refresh(&mount, dir, &saved, Changed::Content);
    refresh(&mount, inode, &saved, Changed::Name);
    sync_names(dir, &[dentry])
}

#[vtable]
impl InodeOperations for PermFs {
    fn lookup<'a>(dir: &'a Inode<Self>, dentry: &Dentry<Self>) -> Result<Option<IRef<'a, Self>>> {
        let sb = dir.super_block();
        let mount = sb.data();
        let outcome = mount.engine().volume()?.lookup(dir.ino(), dentry.name());
        let Some(ino) = mount.check(sb, outcome)? else {
            return Ok(None);
        };
        // A name without an inode behind it is corruption, not a stale handle.
        let found = inode::iget(sb, ino).map_err(|e| if e == ESTALE { EFSCORRUPTED } else { e });
        mount.check(sb, found).map(Some)
    }

    fn create<'a>(
        idmap: &Idmap,
        dir: &'a Locked<'_, Self, Write>,
        dentry: &Dentry<Self>,
        mode: u16,
    ) -> Result<New<'a, Self>> {
        Self::mknod(idmap, dir, dentry, mode, 0)
    }

    fn mkdir<'a>(
        idmap: &Idmap,
        dir: &'a Locked<'_, Self, Write>,
        dentry: &Dentry<Self>,
        mode: u16,
    ) -> Result<New<'a, Self>> {
        Self::mknod(idmap, dir, dentry, mode, 0)
    }

    fn mknod<'a>(
        idmap: &Idmap,
        dir: &'a Locked<'_, Self, Write>,
        dentry: &Dentry<Self>,
        mode: u16,
        rdev: u32,
    ) -> Result<New<'a, Self>> {
        let what = Creation {
            mode,
            rdev,
            symlink: None,
        };
        create(idmap, dir, dentry, what)
    }

    fn symlink<'a>(
        idmap: &Idmap,
        dir: &'a Locked<'_, Self, Write>,
        dentry: &Dentry<Self>,
        target: &CStr,
    ) -> Result<New<'a, Self>> {
        let what = Creation {
            mode: S_IFLNK | 0o777,
            rdev: 0,
            symlink: Some(target.to_bytes()),
        };
        create(idmap, dir, dentry, what)
    }

    fn link(
        inode: &Locked<'_, Self, Write>,
        dir: &Locked<'_, Self, Write>,
        dentry: &Dentry<Self>,
    ) -> Result {
        change_link(dir, dentry, inode, |volume, now| {
            volume.link(inode.ino(), dir.ino(), dentry.name(), now)
        })
    }

    fn unlink(
        dir: &Locked<'_, Self, Write>,
        dentry: &Dentry<Self>,
        inode: &Locked<'_, Self, Write>,
    ) -> Result {
        change_link(dir, dentry, inode, |volume, now| {
            volume.unlink(dir.ino(), dentry.name(), now).map(|_| ())
        })
    }

    fn rmdir(
        dir: &Locked<'_, Self, Write>,
        dentry: &Dentry<Self>,
        inode: &Locked<'_, Self, Write>,
    ) -> Result {
        change_link(dir, dentry, inode, |volume, now| {
            volume.rmdir(dir.ino(), dentry.name(), now).map(|_| ())
        })
    }

    fn rename(_idmap: &Idmap, r: &Rename<'_, Self>) -> Result {
        let sb = r.old_dir.super_block();
        let mount = sb.data();
        let now = inode::time(r.inode.set_ctime_current());
        let flags = RenameFlags {
            noreplace: r.noreplace,
            exchange: r.exchange,
        };
        let changed: [(Option<&Inode<Self>>, Changed); 4] = [
            (Some(r.old_dir), Changed::Content),
            (Some(r.new_dir), Changed::Content),
            (Some(r.inode), Changed::Name),
            (r.target, Changed::Name),
        ];
        // A program that replaces a file by rename means old or new contents, though it has not asked for
        // them to be durable: without this the name would be, long before the data. As in ext4.
        let replaces = r.target.is_some() && !r.exchange && r.inode.is_reg();
        if replaces && !plant::is(Fault::ReplacedByRename) {
            let _ = r.inode.start_writeback();
        }
        let mut volume = mount.engine().volume()?;
        let outcome = volume.rename(
            r.old_dir.ino(),
            r.old.name(),
            r.new_dir.ino(),
            r.new.name(),
            flags,
            now,
        );
        for inode in changed.iter().filter_map(|(inode, _)| *inode) {
            inode.data().changed_in(&mut volume);
        }
        let saved = volume.saved();
        drop(volume);
        mount.check(sb, outcome)?;
        for (inode, changed) in changed {
            if let Some(inode) = inode {
                refresh(&mount, inode, &saved, changed);
            }
        }
        // One operation has changed both: one epoch.
        sync_names(r.old_dir, &[r.old, r.new])?;
        sync_names(r.new_dir, &[r.old, r.new])
    }

    fn getattr(inode: &Inode<Self>, stat: &mut Kstat, _request_mask: u32) -> Result {
        let data = inode.data();
        let state = data.state();
        stat.set_btime(inode::timespec(state.logged.btime));
        stat.set_blksize(IO_SIZE);
        // Space promised to data in memory counts, as in ext4 and XFS: cp takes a file of no blocks
        // for a hole.
        let delayed = state.map.delayed() * permfs_core::format::SECTORS_PER_BLOCK;
        stat.set_blocks(inode.blocks() + delayed);
        Ok(())
    }

    fn setattr(inode: &Locked<'_, Self, Write>, attr: &Attr<'_, Self>) -> Result {
        attr.prepare()?;
        if let Some(size) = attr.size() {
            if inode.file_type() == FileType::Regular && size != inode.size() {
                set_size(inode, size)?;
            }
        }
        attr.copy();
        inode::write_inode(inode)?;
        if inode.is_sync() && !plant::is(Fault::Names) {
            inode::commit(inode)?;
        }
        Ok(())
    }
}

/// Cuts or extends a regular file.
fn set_size(inode: &Locked<'_, PermFs, Write>, size: u64) -> Result {
    let sb = inode.super_block();
    let mount = sb.data();
    let old = inode.size();
    inode.dio_wait();
    let inode = inode.lock_invalidate();
    if size > old {
        // The tail of the old last block becomes visible: it must be zero, in memory and, before the
        // larger size can be durable, on the device.
        inode.truncate_page(old)?;
        iomap::write_tail(&inode, old)?;
        inode.truncate_setsize(size);
    } else {
        inode.truncate_page(size)?;
        // Before the cut is logged: when it is durable, the zeroes are, and later growth is free to come.
        iomap::write_tail(&inode, size)?;
        // Waits for writeback behind the new end, so no completion for it can come any more.
        inode.truncate_setsize(size);
    }
    if size == 0 {
        inode.data().note_emptied();
    }
    let outcome = log_size(&inode, &mount, old, size);
    if outcome.is_err() && inode.data().state().disk_size != size {
        // As the device has it: what is behind the end would come to light when the file grows again.
        inode.truncate_setsize(old);
    }
    mount.check(sb, outcome)
}

/// The part of [`set_size`] behind the page cache. On an error the size may be the old one or the new
/// one; the file's state says which.
fn log_size(inode: &Inode<PermFs>, mount: &Mount, old: u64, size: u64) -> Result {
    if size < old {
        iomap::forget_behind(inode, size)?;
    }
    let now = inode::time(inode.set_ctime_current());
    let data = inode.data();
    let mut state = data.state();
    let mut volume = mount.engine().volume()?;
    let mut outcome = volume.begin_truncate(inode.ino(), size, now);
    data.changed_in(&mut volume);
    let mut saved = volume.saved();
    if outcome.is_ok() {
        volume.follow_cut(inode.ino(), &mut state.map);
    }
    drop(volume);
    // Step by step: a large file takes many, and whoever waits for the volume has it in between. The file's
    // own state stays locked, and the orphan tree remembers what is left.
    while let Ok(false) = outcome {
        let mut volume = mount.engine().volume()?;
        outcome = volume.truncate_step(inode.ino());
        while plant::is(Fault::Steps) && outcome == Ok(false) {
            outcome = volume.truncate_step(inode.ino());
        }
        data.changed_in(&mut volume);
        saved = volume.saved();
        if outcome.is_ok() {
            volume.follow_cut(inode.ino(), &mut state.map);
        }
    }
    data.blocks_moved();
    if let Some(Record { attr, .. }) = saved.get(inode.ino()) {
        inode::show_blocks(inode, attr.blocks);
        state.disk_size = attr.size;
        state.logged.size = attr.size;
        state.logged.mtime = attr.mtime;
        state.logged.ctime = attr.ctime;
        inode.set_mtime(inode::timespec(attr.mtime));
    }
    outcome.map(drop)
}
