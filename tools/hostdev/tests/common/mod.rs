// SPDX-License-Identifier: GPL-2.0

//! A volume with something of everything on it, and a surgeon who changes its metadata behind its back.

#![allow(dead_code, reason = "each test program uses its part")]

use kernel::prelude::*;
use permfs_core::{
    alloc::Env,
    check::{check, Finding, Summary},
    format::*,
    geometry::{self, Wishes},
    inode::{Inode, Time, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG},
    meta::{MetaRead, MetaWrite},
    mkfs::{format, MkfsParams},
    panic::SlotGuard,
    store::block::{seal, verify},
    volume::{MountOptions, NewInode, Volume},
};
use permfs_hostdev::MemoryBlockDevice;

pub const NOW: Time = Time {
    sec: 1_700_000_000,
    nsec: 123_456_789,
};

pub fn params() -> MkfsParams {
    let mut label = [0; 64];
    label[..5].copy_from_slice(b"tests");
    MkfsParams {
        label,
        uuid: *b"permfs test uuid",
        blocks: None,
        wishes: Wishes::default(),
        hash_seed: *b"sixteen byte key",
        generation: 0x1234_5678,
        now: NOW,
        root_owner: (0, 0),
    }
}

pub fn mount(dev: &MemoryBlockDevice) -> Volume<MemoryBlockDevice> {
    let options = MountOptions {
        read_only: false,
        rescue: false,
        slot: SlotGuard::claim(b"test", &[0; 16]),
        env: Env::default(),
    };
    Volume::mount(dev.clone(), options).expect("a whole volume")
}

pub fn checked(dev: &MemoryBlockDevice) -> (Summary, std::vec::Vec<Finding>) {
    let mut findings = std::vec::Vec::new();
    let summary = check(dev.read_only_view(), &mut |f| findings.push(f)).expect("a result");
    (summary, findings)
}

pub fn create(
    v: &mut Volume<MemoryBlockDevice>,
    dir: u64,
    name: &str,
    mode: u16,
    symlink: Option<&[u8]>,
) -> Inode {
    let new = NewInode {
        ino: v.allocate_ino(),
        mode: mode | 0o644,
        uid: 1000,
        gid: 1000,
        rdev: 0,
        symlink,
        now: NOW,
        generation: 7,
    };
    v.create(dir, name.as_bytes(), &new).expect("room")
}

/// Gives file `ino` `runs` extents of one block each, with a hole behind each.
pub fn fragment(v: &mut Volume<MemoryBlockDevice>, ino: u64, runs: u32) {
    for i in 0..runs {
        let (phys, len) = v.reserve_extent(ino, 2 * i, 1, false).expect("room");
        let size = u64::from(2 * i + 1) * BLOCK_SIZE as u64;
        v.commit_extent(ino, 2 * i, phys, len, Some(size), Some(NOW))
            .expect("room");
    }
}

/// Inodes of [`populated`].
pub struct Inos {
    /// Directory with its entries in a tree: 300 files, and `sub`.
    pub big: u64,
    /// Directory in `big` with two entries in its record.
    pub sub: u64,
    /// File in `sub` with another name, `second`, in the root.
    pub linked: u64,
    /// File with a tree of extents.
    pub fragmented: u64,
    /// File with three extents in its record.
    pub listed: u64,
    /// Symbolic link in a chain of blocks.
    pub long_link: u64,
    /// File without a name that nobody has evicted.
    pub orphan: u64,
}

/// A volume of 64 MiB, unmounted, with an orphan.
pub fn populated() -> (MemoryBlockDevice, Inos) {
    let dev = MemoryBlockDevice::new(16384);
    format(&dev, &params()).expect("mkfs");
    let mut v = mount(&dev);
    let root = v.root_ino();
    let big = create(&mut v, root, "big", S_IFDIR, None).ino;
    for i in 0..300 {
        let name = std::format!("a file with a name of some length, number {i}");
        create(&mut v, big, &name, S_IFREG, None);
    }
    let sub = create(&mut v, big, "sub", S_IFDIR, None).ino;
    create(&mut v, sub, "fifo", S_IFIFO, None);
    let linked = create(&mut v, sub, "first", S_IFREG, None).ino;
    v.link(linked, root, b"second", NOW).expect("room");
    let fragmented = create(&mut v, root, "fragmented", S_IFREG, None).ino;
    fragment(&mut v, fragmented, 400);
    let listed = create(&mut v, root, "listed", S_IFREG, None).ino;
    fragment(&mut v, listed, 3);
    let target = std::vec![b'x'; SYMLINK_MAX];
    let long_link = create(&mut v, root, "long", S_IFLNK, Some(&target)).ino;
    create(&mut v, root, "short", S_IFLNK, Some(b"big/sub"));
    let orphan = create(&mut v, root, "gone", S_IFREG, None).ino;
    fragment(&mut v, orphan, 2);
    v.unlink(root, b"gone", NOW).expect("a name");
    v.unmount().expect("a working device");
    let inos = Inos {
        big,
        sub,
        linked,
        fragmented,
        listed,
        long_link,
        orphan,
    };
    (dev, inos)
}

/// Changes metadata on the device and makes every header right again: what only a check can find.
pub struct Surgeon {
    pub dev: MemoryBlockDevice,
    payload: std::vec::Vec<u8>,
}

impl Surgeon {
    pub fn new(dev: &MemoryBlockDevice) -> Self {
        Self {
            dev: dev.clone(),
            payload: std::vec::Vec::new(),
        }
    }

    pub fn state(&mut self) -> State {
        let payload = self
            .read(STATE_BLOCK, Kind::State, OWNER_VOLUME)
            .expect("state");
        State::read_from_prefix(payload).expect("long enough").0
    }

    pub fn set_state(&mut self, state: &State) {
        self.write(STATE_BLOCK, 0, state.as_bytes())
            .expect("in range");
    }
}

impl MetaRead for Surgeon {
    fn read(&mut self, block: u64, _kind: Kind, _owner: u64) -> Result<&[u8]> {
        let uuid = geometry::read_super(&self.dev)
            .map_err(|_| EFSCORRUPTED)?
            .0
            .uuid;
        let bytes = self.dev.block(block);
        verify(&bytes, block, &uuid)?;
        self.payload = bytes[HEADER_SIZE..].to_vec();
        Ok(&self.payload)
    }
}

impl MetaWrite for Surgeon {
    fn write(&mut self, block: u64, offset: usize, bytes: &[u8]) -> Result {
        let mut image = self.dev.block(block);
        image[HEADER_SIZE + offset..HEADER_SIZE + offset + bytes.len()].copy_from_slice(bytes);
        let lsn = permfs_core::store::block::header(&image)?.lsn.get();
        seal(&mut image, lsn);
        self.dev.set_block(block, image);
        Ok(())
    }

    fn alloc(&mut self, _kind: Kind, _owner: u64, _near: u64) -> Result<u64> {
        Err(ENOSPC)
    }

    fn free(&mut self, _block: u64) -> Result {
        Ok(())
    }
}
