// SPDX-License-Identifier: GPL-2.0

//! A mounted volume: files and directories over the [`Store`].
//!
//! Every change is one operation of the store: wholly in one epoch of the journal or not at all, in
//! memory as on the device. What would be too large for one (freeing a big file) is cut into bounded
//! operations; the orphan tree remembers what is left, and the next mount goes on there.
//!
//! Nothing here locks: the caller serialises all of `&mut self`.

use crate::{
    device::BlockDevice,
    dir::hash::NameHash,
    format::*,
    geometry::Geometry,
    inode::{Attr, Inode, Time, NSEC_MAX, S_IFMT, S_IFREG},
    panic::area::{Area, Survey},
    store::{Op, Store},
};
use kernel::prelude::*;
use view::{View, Watched};

mod file;
mod mount;
mod namespace;
mod orphan;
mod promise;
mod readdir;
mod rename;
mod room;
mod saved;
mod symlink;
mod view;

pub use mount::{Left, MountError, MountOptions};
pub use promise::Which;
pub use saved::Saved;

/// Damage that was met: what the caller needs for one useful line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Inode that was being looked at, 0 if none.
    pub ino: u64,
    /// Block that is damaged, 0 if it is not a block of its own.
    pub block: u64,
    /// What was being looked at.
    pub what: &'static str,
    /// `EIO` if it cannot be read, `EFSCORRUPTED` if it cannot be believed.
    pub error: Error,
}

/// A new inode and its name's attributes.
#[derive(Clone, Copy)]
pub struct NewInode<'a> {
    /// Number from [`Volume::allocate_ino`].
    pub ino: u64,
    /// Type and permissions.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number of a device node.
    pub rdev: u64,
    /// Target of a symbolic link, 1 to 4095 bytes without NUL.
    pub symlink: Option<&'a [u8]>,
    /// All four times.
    pub now: Time,
    /// Generation for file handles.
    pub generation: u32,
}

/// An inode that has lost a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unlinked {
    /// Inode.
    pub ino: u64,
    /// Links that are left; at 0 it is an orphan until [`Volume::evict`].
    pub nlink: u32,
}

/// How to rename.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RenameFlags {
    /// Fail with `EEXIST` if the new name is there.
    pub noreplace: bool,
    /// Both names are there and change places.
    pub exchange: bool,
}

/// What a rename did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Renamed {
    /// The inode that had the new name.
    pub replaced: Option<Unlinked>,
}

/// Numbers for statfs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statfs {
    /// Blocks in the volume.
    pub blocks: u64,
    /// Free blocks, those included that are promised or kept for metadata.
    pub blocks_free: u64,
    /// Blocks that file data may still get.
    pub blocks_available: u64,
    /// Inodes in use, and those for which there would be room.
    pub files: u64,
    /// Inodes for which there would be room.
    pub files_free: u64,
    /// From the UUID.
    pub fsid: u64,
}

/// Inodes that fit a block, about: nothing but space limits their number.
const INODES_PER_BLOCK: u64 = 16;

/// A mounted volume.
pub struct Volume<D: BlockDevice> {
    store: Store<D>,
    sb: SuperBlock,
    geometry: Geometry,
    hash: NameHash,
    read_only: bool,
    /// Next inode number; the state block follows when the inode is made.
    next_ino: u64,
    /// Truncations that an error has stopped midway; see `orphan`.
    cutting: KVec<u64>,
    /// The orphan tree could not be read to its end: any file may wait to be cut.
    cutting_unknown: bool,
    /// What the mount did without.
    left: Left,
    report: Option<Report>,
    saved: Saved,
    /// Blocks promised for the nodes of files' maps.
    map_nodes: u64,
}

impl<D: BlockDevice> Volume<D> {
    /// The metadata store, for commits and checkpoints.
    pub fn store(&mut self) -> &mut Store<D> {
        &mut self.store
    }

    /// The super block as it was at mount.
    pub fn super_block(&self) -> &SuperBlock {
        &self.sb
    }

    /// UUID of the volume.
    pub fn uuid(&self) -> [u8; 16] {
        self.sb.uuid
    }

    /// Inode number of the root directory.
    pub fn root_ino(&self) -> u64 {
        ROOT_INO
    }

    /// Where everything fixed is.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Where panics are recorded.
    pub fn panic_area(&self) -> Area {
        Area::of(&self.sb, &self.geometry)
    }

    /// Looks at the panic area, and tells the panic handler where it is and what is in it. Errors: `EIO`,
    /// `ENOMEM`; without the area there is no record of a panic, and no other harm.
    pub fn survey_panic_area(&mut self) -> Result<Survey> {
        let area = self.panic_area();
        let survey = area.survey(self.store.device())?;
        self.store.slot().set_area(&area, &survey);
        Ok(survey)
    }

    /// Whether changes are refused.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// The first damage met since the last call, also such that no operation has failed for.
    pub fn take_report(&mut self) -> Option<Report> {
        let passed_by = self.store.take_damage().map(|damage| Report {
            ino: 0,
            block: damage.block,
            what: damage.what,
            error: damage.error,
        });
        self.report.take().or(passed_by)
    }

    /// What the mount did without because it is damaged.
    pub fn left(&self) -> Left {
        Left {
            shards: self.store.allocator().lost_shards(),
            ..self.left
        }
    }

    /// Everything so far durable.
    pub fn sync(&mut self) -> Result {
        if self.read_only {
            return Ok(());
        }
        self.store.commit()
    }

    /// Number for a new inode. One that is not used in the end is lost: there are 2^64.
    pub fn allocate_ino(&mut self) -> u64 {
        let ino = self.next_ino;
        self.next_ino = ino.saturating_add(1);
        ino
    }

    /// Space and inodes.
    ///
    /// Never fails: if the state block cannot be read, that is reported, and no inode is counted.
    pub fn statfs(&mut self) -> Statfs {
        let used = self.look(|v| Ok(v.state.inode_count.get())).unwrap_or(0);
        let available = self.store.allocator().available();
        let files_free = available.saturating_mul(INODES_PER_BLOCK);
        Statfs {
            blocks: self.sb.blocks.get(),
            blocks_free: self.store.allocator().free_blocks(),
            blocks_available: available,
            files: used.saturating_add(files_free),
            files_free,
            fsid: self
                .sb
                .uuid
                .iter()
                .rev()
                .fold(0, |id: u64, &b| id.rotate_left(8) ^ u64::from(b)),
        }
    }

    /// Promises `blocks` blocks to data in memory. Errors: `ENOSPC`, `EROFS`, those of a commit.
    ///
    /// What was freed comes back with a commit; `ENOSPC` only after that has been tried.
    pub fn reserve_space(&mut self, blocks: u64) -> Result {
        if self.read_only {
            return Err(EROFS);
        }
        match self.store.allocator().reserve(blocks) {
            Err(e) if e == ENOSPC && self.store.reclaim()? => {
                self.store.allocator().reserve(blocks)
            }
            outcome => outcome,
        }
    }

    /// Takes a promise back.
    pub fn unreserve_space(&self, blocks: u64) {
        self.store.allocator().unreserve(blocks);
    }

    /// The inodes that the last successful change has stored, as they are now. It takes no memory to ask.
    pub fn saved(&self) -> Saved {
        self.saved
    }

    /// Attributes of `ino`. Errors: `ESTALE` if there is no such inode.
    pub fn iget(&mut self, ino: u64) -> Result<Inode> {
        self.look(|v| Ok(v.load(ino)?.inode()))
    }

    /// Sets permissions, owner, flags and times, and the size if it is larger.
    ///
    /// Type, generation, device, links and blocks are the volume's own and stay. Errors: `EINVAL` for
    /// another type or bad nanoseconds, `EFBIG`.
    pub fn set_attr(&mut self, ino: u64, attr: &Attr) -> Result {
        self.finish_cut(ino)?;
        self.change(|v| {
            let mut rec = v.load(ino)?;
            let times = [attr.atime, attr.mtime, attr.ctime, attr.btime];
            if (attr.mode ^ rec.head.mode.get()) & S_IFMT != 0
                || times.iter().any(|t| t.nsec > NSEC_MAX)
            {
                return Err(EINVAL);
            }
            let h = &mut rec.head;
            h.mode.set(attr.mode);
            h.uid.set(attr.uid);
            h.gid.set(attr.gid);
            h.flags.set(attr.flags);
            h.atime = attr.atime.into();
            h.mtime = attr.mtime.into();
            h.ctime = attr.ctime.into();
            h.btime = attr.btime.into();
            if rec.file_type() == S_IFREG {
                rec.grow(attr.size)?;
            }
            v.save(&mut rec)
        })
    }

    /// Runs `f` as one operation. On an error nothing has changed.
    fn change<T>(&mut self, f: impl FnOnce(&mut View<'_, Op<'_, D>>) -> Result<T>) -> Result<T> {
        if self.read_only {
            return Err(EROFS);
        }
        let Self {
            store,
            geometry,
            hash,
            report,
            saved,
            ..
        } = self;
        let (out, stored, inodes) = store.run(|op| {
            let mut watched = Watched::new(op);
            let mut view = View::new(&mut watched, geometry, *hash, report)?;
            let out = f(&mut view)?;
            view.finish()?;
            Ok((out, view.saved, view.inode_count()))
        })?;
        store.allocator().keep(room::kept_for(inodes));
        *saved = stored;
        Ok(out)
    }

    /// Runs `f` to look only.
    fn look<T>(&mut self, f: impl FnOnce(&mut View<'_, Store<D>>) -> Result<T>) -> Result<T> {
        let Self {
            store,
            geometry,
            hash,
            report,
            ..
        } = self;
        let mut watched = Watched::new(store);
        let mut view = View::new(&mut watched, geometry, *hash, report)?;
        f(&mut view)
    }
}

#[cfg(test)]
mod tests;
