// SPDX-License-Identifier: GPL-2.0

//! Inodes: from the volume's records to the VFS and back.

use crate::{engine::VolumeGuard, PermFs};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Relaxed, Release},
        Mutex, MutexGuard,
    },
};
use permfs_core::{
    inode::{Attr, Inode as Record, Time},
    write_map::WriteMap,
};
use vfs::{
    inode::{IRef, Inode, Lookup, New},
    scope::{NoFs, NoFsGuard},
    super_block::SuperBlock,
    time::Timespec,
};

/// What PermFS keeps beside each VFS inode.
#[pin_data]
pub(crate) struct InodeData {
    #[pin]
    state: Mutex<FileState>,
    /// Epoch of the last change of this inode: what fsync has to make durable.
    epoch: Atomic<u64>,
    /// Counts changes of where the file's blocks are, for iomap's cached mappings.
    sequence: Atomic<u64>,
    /// The file was cut to nothing and not closed since: what is written now replaces what it had.
    emptied: Atomic<bool>,
}

/// State of a file that its lock serialises: writers, writeback and its completion.
pub(crate) struct FileState {
    /// Blocks without a place in the extent map yet.
    pub(crate) map: WriteMap,
    /// Size in the volume's record; the VFS inode's may be ahead by data not written yet.
    pub(crate) disk_size: u64,
    /// Attributes as the volume has them, so that unchanged ones are not logged again.
    pub(crate) logged: Attr,
}

impl InodeData {
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            state <- new_mutex!(FileState {
                map: WriteMap::new(),
                disk_size: 0,
                logged: Attr::default(),
            }, "permfs::file"),
            epoch: Atomic::new(0),
            sequence: Atomic::new(0),
            emptied: Atomic::new(false),
        })
    }

    /// Locks the file's state. Memory is allocated without entering the filesystem again while it is
    /// held: reclaim may evict another inode, and that takes its state.
    pub(crate) fn state(self: Pin<&Self>) -> NoFsGuard<MutexGuard<'_, FileState>> {
        let scope = NoFs::enter();
        scope.with(self.get_ref().state.lock())
    }

    /// The file was cut to nothing.
    pub(crate) fn note_emptied(&self) {
        self.emptied.store(true, Relaxed);
    }

    /// Whether the file was cut to nothing since the last call.
    pub(crate) fn take_emptied(&self) -> bool {
        self.emptied.load(Relaxed) && self.emptied.xchg(false, Relaxed)
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Acquire)
    }

    /// The operation that has just run changed this inode. The volume is still locked, so its running
    /// epoch is that operation's.
    pub(crate) fn changed_in(&self, volume: &mut VolumeGuard<'_>) {
        self.epoch.store(volume.store().running_epoch(), Release);
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.sequence.load(Acquire)
    }

    /// Mappings handed out before are stale. The state's lock is held.
    pub(crate) fn blocks_moved(&self) {
        self.sequence.fetch_add(1u64, Release);
    }
}

pub(crate) fn timespec(t: Time) -> Timespec {
    Timespec {
        sec: t.sec,
        nsec: t.nsec,
    }
}

pub(crate) fn time(t: Timespec) -> Time {
    Time {
        sec: t.sec,
        nsec: t.nsec,
    }
}

/// Finds inode `ino` in the cache, or reads it. Errors: `ESTALE` if there is none, or if it has no name and
/// nobody has it open: then it is only there to be freed.
pub(crate) fn iget(sb: &SuperBlock<PermFs>, ino: u64) -> Result<IRef<'_, PermFs>> {
    match sb.iget_locked(ino)? {
        Lookup::Cached(inode) => Ok(inode),
        Lookup::New(mut inode) => {
            let mount = sb.data();
            let mut volume = mount.engine().volume()?;
            let record = volume.iget(ino)?;
            if record.attr.nlink == 0 {
                return Err(ESTALE);
            }
            // Its last change may not be durable yet: an fsync must not take it for one that is.
            inode.data().changed_in(&mut volume);
            if record.is_symlink() {
                let mut target = KVec::new();
                volume.readlink(ino, &mut target)?;
                inode.set_link(&target)?;
            }
            drop(volume);
            fill(&mut inode, &record)?;
            inode.unlock_new()
        }
    }
}

/// Copies a record into an inode that nobody else sees yet.
pub(crate) fn fill(inode: &mut New<'_, PermFs>, record: &Record) -> Result {
    let attr = &record.attr;
    inode.set_mode(attr.mode)?;
    inode.set_owner(attr.uid, attr.gid);
    inode.set_generation(attr.generation);
    // Device numbers are stored as `new_encode_dev` makes them: 32 bits.
    inode.set_rdev(u32::try_from(attr.rdev).map_err(|_| EFSCORRUPTED)?);
    inode.set_nlink(attr.nlink);
    inode.size_write(attr.size);
    show_blocks(inode, attr.blocks);
    inode.set_atime(timespec(attr.atime));
    inode.set_mtime(timespec(attr.mtime));
    inode.set_ctime(timespec(attr.ctime));
    let data = inode.data();
    let mut state = data.state();
    state.disk_size = attr.size;
    state.logged = *attr;
    Ok(())
}

/// Sets what stat shows as blocks, from blocks of the volume.
pub(crate) fn show_blocks(inode: &Inode<PermFs>, blocks: u64) {
    inode.set_blocks(blocks.saturating_mul(permfs_core::format::SECTORS_PER_BLOCK));
}

/// Logs the attributes that have changed since they were logged last.
///
/// The size is not among them: it follows the data, see [`crate::iomap`].
pub(crate) fn write_inode(inode: &Inode<PermFs>) -> Result {
    let sb = inode.super_block();
    let mount = sb.data();
    let data = inode.data();
    let mut state = data.state();
    let attr = Attr {
        mode: inode.mode(),
        uid: inode.uid(),
        gid: inode.gid(),
        atime: time(inode.atime()),
        mtime: time(inode.mtime()),
        ctime: time(inode.ctime()),
        size: state.disk_size,
        nlink: inode.nlink(),
        ..state.logged
    };
    if attr == state.logged {
        return Ok(());
    }
    let mut volume = mount.engine().volume()?;
    let outcome = volume.set_attr(inode.ino(), &attr);
    data.changed_in(&mut volume);
    drop(volume);
    mount.check(sb, outcome)?;
    state.logged = attr;
    Ok(())
}

/// Makes every change of the inode that was logged durable.
pub(crate) fn commit(inode: &Inode<PermFs>) -> Result {
    let sb = inode.super_block();
    let mount = sb.data();
    mount.commit_through(sb, inode.data().epoch())
}
