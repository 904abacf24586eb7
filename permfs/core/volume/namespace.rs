// SPDX-License-Identifier: GPL-2.0

//! Names: look up, create, link, unlink, rmdir.

use super::{
    view::{must_exist, View},
    NewInode, Unlinked, Volume,
};
use crate::{
    device::BlockDevice,
    dir,
    extent::Fork,
    format::{
        inode::{InodeRecord, LINK_MAX, ORPHAN_DELETE},
        FIRST_INO, NAME_MAX, ROOT_INO,
    },
    inode::{known_type, Inode, Record, Time, NSEC_MAX, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG},
    meta::MetaWrite,
};
use kernel::prelude::*;

impl<D: BlockDevice> Volume<D> {
    /// The inode called `name` in `dir`. Errors: `ENOTDIR`, `ENAMETOOLONG`, `ESTALE`.
    pub fn lookup(&mut self, dir: u64, name: &[u8]) -> Result<Option<u64>> {
        check_name(name)?;
        self.look(|v| {
            let dir = v.load_dir(dir)?;
            Ok(v.find(&dir, name)?.map(|found| found.ino))
        })
    }

    /// Directory that holds directory `dir`; the root's is the root.
    pub fn parent(&mut self, dir: u64) -> Result<u64> {
        self.look(|v| Ok(v.load_dir(dir)?.head.parent.get()))
    }

    /// Makes an inode and names it `name` in `dir`.
    ///
    /// Errors: `EEXIST`, `ENOENT` if `dir` was removed, `EMLINK`, `ENOSPC`, `ENAMETOOLONG`, `EINVAL`.
    pub fn create(&mut self, dir: u64, name: &[u8], new: &NewInode<'_>) -> Result<Inode> {
        check_name(name)?;
        let is_link = new.mode & S_IFMT == S_IFLNK;
        if !known_type(new.mode)
            || is_link != new.symlink.is_some()
            || new.ino < FIRST_INO
            || new.now.nsec > NSEC_MAX
        {
            return Err(EINVAL);
        }
        self.must_have_room_for_name(dir)?;
        self.change(|v| {
            let mut dir = v.load_live_dir(dir)?;
            let mut rec = v.new_record(&dir, new)?;
            v.enter(&mut dir, name, &rec)?;
            if rec.is_dir() {
                v.add_link(&mut dir)?;
            }
            dir.touch(new.now);
            v.save(&mut dir)?;
            v.add(&mut rec)?;
            Ok(rec.inode())
        })
    }

    /// Gives `ino` another name. Errors: `EPERM` for a directory, `EMLINK`, `ENOENT`, as `create`.
    pub fn link(&mut self, ino: u64, dir: u64, name: &[u8], now: Time) -> Result {
        check_name(name)?;
        self.must_have_room_for_name(dir)?;
        self.change(|v| {
            let mut rec = v.load(ino)?;
            if rec.is_dir() {
                return Err(EPERM);
            }
            if rec.head.nlink.get() == 0 {
                return Err(ENOENT);
            }
            v.add_link(&mut rec)?;
            rec.head.ctime = now.into();
            v.save(&mut rec)?;
            let mut dir = v.load_live_dir(dir)?;
            v.enter(&mut dir, name, &rec)?;
            dir.touch(now);
            v.save(&mut dir)
        })
    }

    /// Takes away the name of anything but a directory. Errors: `ENOENT`, `EISDIR`.
    pub fn unlink(&mut self, dir: u64, name: &[u8], now: Time) -> Result<Unlinked> {
        check_name(name)?;
        self.change_removing(|v| {
            let mut dir = v.load_dir(dir)?;
            let found = v.find(&dir, name)?.ok_or(ENOENT)?;
            let rec = v.load_named(dir.ino, &found)?;
            if rec.is_dir() {
                return Err(EISDIR);
            }
            v.leave(&mut dir, found.key, name)?;
            dir.touch(now);
            v.save(&mut dir)?;
            v.drop_link(rec, now)
        })
    }

    /// Takes away an empty directory. Errors: `ENOENT`, `ENOTDIR`, `ENOTEMPTY`.
    pub fn rmdir(&mut self, dir: u64, name: &[u8], now: Time) -> Result<Unlinked> {
        check_name(name)?;
        self.change_removing(|v| {
            let mut dir = v.load_dir(dir)?;
            let found = v.find(&dir, name)?.ok_or(ENOENT)?;
            let rec = v.load_named(dir.ino, &found)?;
            rec.must_be_dir()?;
            v.must_be_empty(&rec)?;
            v.leave(&mut dir, found.key, name)?;
            v.drop_subdir(&mut dir)?;
            dir.touch(now);
            v.save(&mut dir)?;
            v.drop_dir(rec, now)
        })
    }
}

/// Errors: `ENAMETOOLONG`; `EINVAL` for what no directory may hold.
pub(super) fn check_name(name: &[u8]) -> Result {
    if name.len() > NAME_MAX {
        return Err(ENAMETOOLONG);
    }
    dir::valid_name(name).then_some(()).ok_or(EINVAL)
}

impl<M: MetaWrite> View<'_, M> {
    /// A directory that new names may enter. Errors: `ENOENT` if it was removed.
    pub(super) fn load_live_dir(&mut self, ino: u64) -> Result<Record> {
        let dir = self.load_dir(ino)?;
        (dir.head.nlink.get() != 0).then_some(dir).ok_or(ENOENT)
    }

    fn new_record(&mut self, dir: &Record, new: &NewInode<'_>) -> Result<Record> {
        let is_dir = new.mode & S_IFMT == S_IFDIR;
        let head = InodeRecord {
            mode: new.mode.into(),
            uid: new.uid.into(),
            gid: new.gid.into(),
            nlink: if is_dir { 2 } else { 1 }.into(),
            mtime: new.now.into(),
            ctime: new.now.into(),
            atime: new.now.into(),
            btime: new.now.into(),
            generation: new.generation.into(),
            rdev: new.rdev.into(),
            parent: if is_dir { dir.ino } else { 0 }.into(),
            home: self.home(dir, new.ino, is_dir).into(),
            ..InodeRecord::default()
        };
        let mut rec = Record::new(new.ino, head);
        if new.mode & S_IFMT == S_IFREG {
            rec.set_extents(&Fork::empty())?;
        }
        if let Some(target) = new.symlink {
            self.set_target(&mut rec, target)?;
        }
        let next = new.ino.checked_add(1).ok_or(EOVERFLOW)?;
        if next > self.state.next_ino.get() {
            self.state.next_ino.set(next);
        }
        Ok(rec)
    }

    /// Shard for the blocks of a new inode.
    ///
    /// Trees that start in the root spread over the volume; what is below stays together.
    fn home(&self, dir: &Record, ino: u64, is_dir: bool) -> u32 {
        if !is_dir || dir.ino != ROOT_INO {
            return dir.head.home.get();
        }
        // Fibonacci hashing: neighbours in number end up far apart.
        let spread = ino.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        ((spread * self.geometry.shards.min(1 << 32)) >> 32) as u32
    }

    /// Enters `rec` as `name` in `dir`; neither is stored.
    pub(super) fn enter(&mut self, dir: &mut Record, name: &[u8], rec: &Record) -> Result {
        let base = self.hash.base(name);
        let outcome = dir::insert(self.m, dir, base, name, rec.ino, rec.entry_kind());
        self.note(dir.ino, "directory entries", outcome)
    }

    /// Takes the entry at `key`, which is `name`, out of `dir`, which is not stored.
    pub(super) fn leave(&mut self, dir: &mut Record, key: u64, name: &[u8]) -> Result {
        let outcome = must_exist(dir::remove(self.m, dir, key, name));
        self.note(dir.ino, "directory entries", outcome)
    }

    pub(super) fn must_be_empty(&mut self, rec: &Record) -> Result {
        let empty = dir::is_empty(rec);
        let empty = self.note(rec.ino, "directory entries", empty)?;
        empty.then_some(()).ok_or(ENOTEMPTY)
    }

    /// Counts a link in. Errors: `EMLINK`.
    pub(super) fn add_link(&mut self, rec: &mut Record) -> Result {
        let links = rec.head.nlink.get();
        if links >= LINK_MAX {
            return Err(EMLINK);
        }
        rec.head.nlink.set(links + 1);
        Ok(())
    }

    /// Counts out the `..` of a directory that leaves `dir`.
    pub(super) fn drop_subdir(&mut self, dir: &mut Record) -> Result {
        let left = dir
            .head
            .nlink
            .get()
            .checked_sub(1)
            .filter(|&n| n >= 2)
            .ok_or(EFSCORRUPTED);
        let left = self.note(dir.ino, "link count", left)?;
        dir.head.nlink.set(left);
        Ok(())
    }

    /// Takes a link from anything but a directory, and stores it; the last one makes it an orphan.
    pub(super) fn drop_link(&mut self, mut rec: Record, now: Time) -> Result<Unlinked> {
        let left = rec.head.nlink.get().checked_sub(1).ok_or(EFSCORRUPTED);
        let left = self.note(rec.ino, "link count", left)?;
        rec.head.nlink.set(left);
        rec.head.ctime = now.into();
        self.save(&mut rec)?;
        if left == 0 {
            self.delete_later(rec.ino)?;
        }
        Ok(Unlinked {
            ino: rec.ino,
            nlink: left,
        })
    }

    /// Takes both links from an empty directory: an orphan, in which nothing can be made any more.
    pub(super) fn drop_dir(&mut self, mut rec: Record, now: Time) -> Result<Unlinked> {
        rec.head.nlink.set(0);
        rec.touch(now);
        self.save(&mut rec)?;
        self.delete_later(rec.ino)?;
        Ok(Unlinked {
            ino: rec.ino,
            nlink: 0,
        })
    }

    fn delete_later(&mut self, ino: u64) -> Result {
        // A truncation that is not finished is part of the deletion from now on.
        if self.orphan(ino)?.is_some() {
            self.remove_orphan(ino)?;
        }
        self.add_orphan(ino, ORPHAN_DELETE, 0)
    }
}
