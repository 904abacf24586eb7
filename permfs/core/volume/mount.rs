// SPDX-License-Identifier: GPL-2.0

//! Mounting: the super block, the journal, the root directory, and what the last mount left behind.

use super::{room::kept_for, Saved, Volume};
use crate::{
    alloc::Env,
    device::BlockDevice,
    dir::hash::NameHash,
    format::*,
    geometry::{find_backup, has_state, read_super, ro_compat_unknown, Geometry, SuperError},
    journal::replay::Lost,
    panic::SlotGuard,
    store::Store,
};
use kernel::{fmt, prelude::*};

/// How to mount.
pub struct MountOptions {
    /// Nothing is written, not even what the journal holds.
    pub read_only: bool,
    /// A read-only mount shows what there is although durable epochs are lost.
    pub rescue: bool,
    /// Where the panic handler finds the volume.
    pub slot: SlotGuard,
    /// CPU number and clock for the allocator.
    pub env: Env,
}

/// What a mount did without because it is damaged: each costs what it holds, and not the mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Block of the backup that served for the super block.
    pub backup: Option<u64>,
    /// Shards whose free blocks are not known, and of which nothing is allocated.
    pub shards: u64,
    /// Files that were to be freed or cut, and were not.
    pub orphans: u64,
    /// The orphan tree could not be read to its end: there may be more of them.
    pub orphan_tree: bool,
}

/// Why a volume could not be mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountError {
    /// No usable super block at the start; perhaps there is a whole backup at this block.
    Super(SuperError, Option<u64>),
    /// Features that this driver can only read with: these bits of `feature_ro_compat`.
    RoCompat(u64),
    /// The device takes no writes.
    ReadOnlyDevice,
    /// The log is damaged: these epochs had been durable.
    Lost(Lost),
    /// Journal or state block.
    Store(Error),
    /// The root directory cannot be read, or is none.
    Root(Error),
    /// Freeing what had no name any more.
    Orphans(Error),
}

impl MountError {
    /// What mount(2) gives.
    pub fn errno(&self) -> Error {
        match self {
            Self::Super(e, _) => (*e).into(),
            Self::RoCompat(_) | Self::ReadOnlyDevice => EROFS,
            Self::Lost(_) => EFSCORRUPTED,
            Self::Store(e) | Self::Root(e) | Self::Orphans(e) => *e,
        }
    }
}

impl fmt::Display for MountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, e) = match self {
            Self::Super(e, None) => return fmt::Display::fmt(e, f),
            Self::Super(e, Some(block)) => {
                fmt::Display::fmt(e, f)?;
                return write!(f, "; the backup at block {block} is whole: mount read-only");
            }
            Self::RoCompat(bits) => {
                let bit = bits.trailing_zeros();
                return write!(
                    f,
                    "unknown read-only compatible feature, bit {bit} ({bits:#x}): mount read-only"
                );
            }
            Self::ReadOnlyDevice => {
                return f.write_str("the device is read-only: mount read-only");
            }
            Self::Lost(Lost { first, newest }) => {
                return write!(
                    f,
                    "the log is damaged: epochs {first} to {newest} had been durable and are lost; -o ro,rescue shows what was before them"
                );
            }
            Self::Store(e) => ("journal or state block", e),
            Self::Root(e) => ("root directory", e),
            Self::Orphans(e) => ("files without a name", e),
        };
        let why = if *e == EFSCORRUPTED {
            "damaged"
        } else {
            "cannot be read or written"
        };
        write!(f, "{what}: {why} (errno {})", -e.to_errno())
    }
}

/// The super block to go by, and if it is a backup, the block of that. A damaged one is replaced by a
/// backup, to read only: what damaged it may have damaged more, and nothing should be written before
/// somebody has looked.
fn find_super<D: BlockDevice>(
    dev: &D,
    read_only: bool,
) -> Result<(SuperBlock, Geometry, Option<u64>), MountError> {
    let error = match read_super(dev) {
        Ok((sb, geometry)) => return Ok((sb, geometry, None)),
        Err(e) => e,
    };
    let backup = match error {
        SuperError::Damaged | SuperError::Geometry(_) | SuperError::Io(_) => find_backup(dev),
        // Another filesystem may stand here now, with an old backup of ours behind it.
        SuperError::NotPermfs => find_backup(dev).filter(|(_, sb, _)| has_state(dev, &sb.uuid)),
        _ => None,
    };
    match backup {
        Some((block, sb, geometry)) if read_only => Ok((sb, geometry, Some(block))),
        backup => Err(MountError::Super(error, backup.map(|(block, ..)| block))),
    }
}

fn may_write<D: BlockDevice>(dev: &D, sb: &SuperBlock) -> Result<(), MountError> {
    match ro_compat_unknown(sb) {
        0 if dev.read_only() => Err(MountError::ReadOnlyDevice),
        0 => Ok(()),
        bits => Err(MountError::RoCompat(bits)),
    }
}

impl<D: BlockDevice> Volume<D> {
    /// Mounts the volume on `dev`: checks the super block, replays the journal, and, unless read-only,
    /// goes on with deletions and truncations that were not finished.
    pub fn mount(dev: D, options: MountOptions) -> Result<Self, MountError> {
        let MountOptions {
            read_only,
            rescue,
            slot,
            env,
        } = options;
        let (sb, geometry, backup) = find_super(&dev, read_only)?;
        if !read_only {
            may_write(&dev, &sb)?;
        }
        slot.set_uuid(&sb.uuid);
        // Read-only first: what the log has lost is known before anything is written.
        let mut store = Store::mount(dev, sb, true, slot, env).map_err(MountError::Store)?;
        if let Some(lost) = store.lost().filter(|_| !(read_only && rescue)) {
            return Err(MountError::Lost(lost));
        }
        if !read_only {
            store.make_writable().map_err(MountError::Store)?;
        }
        let mut volume = Self {
            store,
            sb,
            geometry,
            hash: NameHash::new(&sb.hash_seed),
            read_only,
            next_ino: FIRST_INO,
            cutting: KVec::new(),
            cutting_unknown: false,
            left: Left {
                backup,
                ..Left::default()
            },
            report: None,
            saved: Saved::default(),
            map_nodes: 0,
        };
        let (next, inodes) = volume
            .look(|v| Ok((v.state.next_ino.get(), v.inode_count())))
            .map_err(MountError::Store)?;
        volume.store.allocator().keep(kept_for(inodes));
        volume.next_ino = next.max(FIRST_INO);
        match volume.iget(ROOT_INO) {
            Ok(root) if root.is_dir() => (),
            Ok(_) => return Err(MountError::Root(EFSCORRUPTED)),
            // A volume without a root is damaged, whatever a lookup calls it.
            Err(e) if e == ESTALE => return Err(MountError::Root(EFSCORRUPTED)),
            Err(e) => return Err(MountError::Root(e)),
        }
        if !read_only {
            volume.resume().map_err(MountError::Orphans)?;
        }
        volume.store.slot().mounted();
        Ok(volume)
    }

    /// Makes everything durable and home. The volume is read-only afterwards.
    pub fn unmount(&mut self) -> Result {
        self.store.unmount()?;
        self.read_only = true;
        Ok(())
    }

    /// Goes on read-only; the device holds all of the volume afterwards, and its log is empty.
    pub fn remount_ro(&mut self) -> Result {
        self.store.make_read_only()?;
        self.read_only = true;
        Ok(())
    }

    /// Goes on read-write, with what a read-write mount would have done first.
    pub fn remount_rw(&mut self) -> Result<(), MountError> {
        if !self.read_only {
            return Ok(());
        }
        // A backup may have served so far: now it must be the real one.
        let (sb, geometry, _) = find_super(self.store.device(), false)?;
        may_write(self.store.device(), &sb)?;
        if sb.as_bytes() != self.sb.as_bytes() {
            return Err(MountError::Store(EFSCORRUPTED));
        }
        self.geometry = geometry;
        self.store.make_writable().map_err(MountError::Store)?;
        self.read_only = false;
        self.resume().map_err(MountError::Orphans)
    }
}
