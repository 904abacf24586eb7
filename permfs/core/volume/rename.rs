// SPDX-License-Identifier: GPL-2.0

//! Rename, in all its cases, as one operation.

use super::{
    namespace::check_name,
    view::{must_exist, View},
    RenameFlags, Renamed, Volume,
};
use crate::{
    device::BlockDevice,
    dir::{self, Entry, Found},
    format::ROOT_INO,
    inode::{Record, Time},
    meta::MetaWrite,
};
use kernel::prelude::*;

/// One name of a rename, as it was found.
struct Place<'a> {
    dir: u64,
    name: &'a [u8],
}

impl<D: BlockDevice> Volume<D> {
    /// Renames `old_name` in `old_dir` to `new_name` in `new_dir`.
    ///
    /// Errors: `ENOENT`; `EEXIST` with `noreplace`; `EISDIR`, `ENOTDIR`, `ENOTEMPTY` for what cannot
    /// be replaced; `EINVAL` if a directory would get into itself, or for both flags at once;
    /// `EMLINK`; and those of `create`.
    pub fn rename(
        &mut self,
        old_dir: u64,
        old_name: &[u8],
        new_dir: u64,
        new_name: &[u8],
        flags: RenameFlags,
        now: Time,
    ) -> Result<Renamed> {
        check_name(old_name)?;
        check_name(new_name)?;
        if flags.exchange && flags.noreplace {
            return Err(EINVAL);
        }
        let (old, new) = (
            Place {
                dir: old_dir,
                name: old_name,
            },
            Place {
                dir: new_dir,
                name: new_name,
            },
        );
        if let Err(e) = self.must_have_room_for_name(new.dir) {
            // A rename over a name enters none: like a removal it may use what is kept for those.
            if e != ENOSPC || self.lookup(new.dir, new.name)?.is_none() {
                return Err(e);
            }
        }
        self.change_removing(|v| {
            let source = v.find_in(&old)?.ok_or(ENOENT)?;
            v.load_live_dir(new.dir)?;
            let target = v.find_in(&new)?;
            match target {
                None if flags.exchange => Err(ENOENT),
                Some(_) if flags.noreplace => Err(EEXIST),
                // Two names of one inode: POSIX wants both kept.
                Some(target) if target.ino == source.ino => Ok(Renamed::default()),
                Some(target) if flags.exchange => v.exchange(&old, source, &new, target, now),
                target => v.move_over(&old, source, &new, target, now),
            }
        })
    }
}

impl<M: MetaWrite> View<'_, M> {
    fn find_in(&mut self, place: &Place<'_>) -> Result<Option<Found>> {
        let dir = self.load_dir(place.dir)?;
        self.find(&dir, place.name)
    }

    /// Errors: `EINVAL` if `ino` is `dir` or above it.
    fn must_not_be_above(&mut self, ino: u64, dir: u64) -> Result {
        let mut at = dir;
        // Brent's algorithm: `mark` is set anew at every power of two, so a loop comes back to it.
        let (mut mark, mut steps, mut limit) = (0, 0u64, 1);
        while at != ino {
            if at == ROOT_INO {
                return Ok(());
            }
            if at == mark {
                return self.note(dir, "path to the root", Err(EFSCORRUPTED));
            }
            if steps == limit {
                (mark, steps, limit) = (at, 0, limit.saturating_mul(2));
            }
            steps += 1;
            at = self.load_dir(at)?.head.parent.get();
        }
        Err(EINVAL)
    }

    fn move_over(
        &mut self,
        old: &Place<'_>,
        source: Found,
        new: &Place<'_>,
        target: Option<Found>,
        now: Time,
    ) -> Result<Renamed> {
        let mut moved = self.load_named(old.dir, &source)?;
        let moves_dir = moved.is_dir() && old.dir != new.dir;
        if moves_dir {
            self.must_not_be_above(moved.ino, new.dir)?;
        }
        let victim = match target {
            Some(target) => Some(self.load_victim(&moved, new.dir, &target)?),
            None => None,
        };

        let mut dir = self.load_dir(old.dir)?;
        self.leave(&mut dir, source.key, old.name)?;
        if moves_dir {
            self.drop_subdir(&mut dir)?;
        }
        dir.touch(now);
        self.save(&mut dir)?;

        // Loaded only now: it may be the same directory.
        let mut dir = self.load_dir(new.dir)?;
        match target {
            Some(target) => self.point(&mut dir, &target, new.name, &moved)?,
            None => self.enter(&mut dir, new.name, &moved)?,
        }
        if victim.as_ref().is_some_and(Record::is_dir) {
            self.drop_subdir(&mut dir)?;
        }
        if moves_dir {
            self.add_link(&mut dir)?;
            moved.head.parent.set(new.dir);
        }
        dir.touch(now);
        self.save(&mut dir)?;
        moved.head.ctime = now.into();
        self.save(&mut moved)?;

        let replaced = match victim {
            Some(victim) if victim.is_dir() => Some(self.drop_dir(victim, now)?),
            Some(victim) => Some(self.drop_link(victim, now)?),
            None => None,
        };
        Ok(Renamed { replaced })
    }

    /// What `moved` is to replace. Errors: `EISDIR`, `ENOTDIR`, `ENOTEMPTY`.
    fn load_victim(&mut self, moved: &Record, dir: u64, target: &Found) -> Result<Record> {
        let victim = self.load_named(dir, target)?;
        match (moved.is_dir(), victim.is_dir()) {
            (false, true) => Err(EISDIR),
            (true, false) => Err(ENOTDIR),
            (true, true) => self.must_be_empty(&victim).map(|()| victim),
            (false, false) => Ok(victim),
        }
    }

    fn exchange(
        &mut self,
        old: &Place<'_>,
        source: Found,
        new: &Place<'_>,
        target: Found,
        now: Time,
    ) -> Result<Renamed> {
        let mut there = self.load_named(old.dir, &source)?;
        let mut here = self.load_named(new.dir, &target)?;
        for (moved, to) in [(&there, new.dir), (&here, old.dir)] {
            if moved.is_dir() && old.dir != new.dir {
                self.must_not_be_above(moved.ino, to)?;
            }
        }
        self.swap_in(old, &source, &here, &there, now)?;
        self.swap_in(new, &target, &there, &here, now)?;
        for (moved, to) in [(&mut there, new.dir), (&mut here, old.dir)] {
            if moved.is_dir() {
                moved.head.parent.set(to);
            }
            moved.head.ctime = now.into();
            self.save(moved)?;
        }
        Ok(Renamed::default())
    }

    /// Points the entry at `place` at `comes` instead of `goes`, and counts `..`.
    fn swap_in(
        &mut self,
        place: &Place<'_>,
        found: &Found,
        comes: &Record,
        goes: &Record,
        now: Time,
    ) -> Result {
        let mut dir = self.load_dir(place.dir)?;
        self.point(&mut dir, found, place.name, comes)?;
        match (comes.is_dir(), goes.is_dir()) {
            (true, false) => self.add_link(&mut dir)?,
            (false, true) => self.drop_subdir(&mut dir)?,
            _ => (),
        }
        dir.touch(now);
        self.save(&mut dir)
    }

    /// Points the entry `found`, called `name`, at `rec`; `dir` is not stored.
    fn point(&mut self, dir: &mut Record, found: &Found, name: &[u8], rec: &Record) -> Result {
        let entry = Entry {
            key: found.key,
            ino: rec.ino,
            kind: rec.entry_kind(),
            name,
        };
        let outcome = must_exist(dir::replace(self.m, dir, &entry));
        self.note(dir.ino, "directory entries", outcome)
    }
}
