// SPDX-License-Identifier: GPL-2.0

//! A volume on a device in memory, mounted, checked and mounted again at will.

use crate::{
    alloc::Env,
    check::check,
    device::{BlockDevice, WriteFlags},
    format::{BLOCK_SIZE, SECTORS_PER_BLOCK, SECTOR_SIZE},
    geometry::Wishes,
    inode::{Inode, Time, S_IFDIR, S_IFLNK, S_IFREG},
    mkfs::{self, MkfsParams},
    panic::SlotGuard,
    volume::{MountError, MountOptions, NewInode, Volume, Which},
    write_map::WriteMap,
};
use kernel::prelude::*;
use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet},
    rc::Rc,
};

/// A sparse device; clones share the contents. Writes are durable at once.
#[derive(Clone)]
pub(super) struct Dev {
    blocks: u64,
    pub(super) read_only: bool,
    data: Rc<RefCell<HashMap<u64, std::vec::Vec<u8>>>>,
    written: Rc<Cell<u64>>,
    /// Blocks that give `EIO`.
    unreadable: Rc<RefCell<HashSet<u64>>>,
}

impl Dev {
    pub(super) fn new(blocks: u64) -> Self {
        Self {
            blocks,
            read_only: false,
            data: Rc::default(),
            written: Rc::default(),
            unreadable: Rc::default(),
        }
    }

    /// From now on `block` cannot be read, also not where it is a part of more.
    pub(super) fn make_unreadable(&self, block: u64) {
        self.unreadable.borrow_mut().insert(block);
    }

    /// Every block can be read again.
    pub(super) fn heal(&self) {
        self.unreadable.borrow_mut().clear();
    }

    /// A device with a copy of the contents.
    pub(super) fn copy(&self) -> Self {
        let data = Rc::new(RefCell::new(self.data.borrow().clone()));
        let unreadable = Rc::new(RefCell::new(self.unreadable.borrow().clone()));
        Self {
            data,
            unreadable,
            ..self.clone()
        }
    }

    /// Bytes written so far.
    pub(super) fn written(&self) -> u64 {
        self.written.get()
    }

    /// Changes the contents of `block` behind the volume's back.
    pub(super) fn damage(&self, block: u64, f: impl FnOnce(&mut [u8])) {
        let mut data = self.data.borrow_mut();
        f(data.entry(block).or_insert_with(|| vec![0; BLOCK_SIZE]));
    }
}

impl BlockDevice for Dev {
    fn sectors(&self) -> u64 {
        self.blocks * SECTORS_PER_BLOCK
    }

    fn sector_size(&self) -> usize {
        SECTOR_SIZE
    }

    fn has_write_cache(&self) -> bool {
        false
    }

    fn has_fua(&self) -> bool {
        true
    }

    fn read_only(&self) -> bool {
        self.read_only
    }

    fn read(&self, sector: u64, buf: &mut [u8]) -> Result {
        let data = self.data.borrow();
        for (i, piece) in buf.chunks_mut(SECTOR_SIZE).enumerate() {
            let at = sector + i as u64;
            let bad = self.unreadable.borrow();
            if at >= self.sectors() || bad.contains(&(at / SECTORS_PER_BLOCK)) {
                return Err(EIO);
            }
            let inside = (at % SECTORS_PER_BLOCK) as usize * SECTOR_SIZE;
            match data.get(&(at / SECTORS_PER_BLOCK)) {
                Some(block) => piece.copy_from_slice(&block[inside..inside + SECTOR_SIZE]),
                None => piece.fill(0),
            }
        }
        Ok(())
    }

    fn write(&self, sector: u64, buf: &[u8], _: WriteFlags) -> Result {
        assert!(!self.read_only, "write to a read-only device");
        self.written.set(self.written.get() + buf.len() as u64);
        let mut data = self.data.borrow_mut();
        for (i, piece) in buf.chunks(SECTOR_SIZE).enumerate() {
            let at = sector + i as u64;
            if at >= self.sectors() {
                return Err(EIO);
            }
            let inside = (at % SECTORS_PER_BLOCK) as usize * SECTOR_SIZE;
            let block = data
                .entry(at / SECTORS_PER_BLOCK)
                .or_insert_with(|| vec![0; BLOCK_SIZE]);
            block[inside..inside + SECTOR_SIZE].copy_from_slice(piece);
        }
        Ok(())
    }

    fn write_blocks(&self, batch: &[(u64, &[u8])]) -> Result {
        for &(block, bytes) in batch {
            self.write(block * SECTORS_PER_BLOCK, bytes, WriteFlags::default())?;
        }
        Ok(())
    }

    fn needs_flush(&self) -> bool {
        false
    }

    fn flush(&self) -> Result {
        Ok(())
    }

    fn discard(&self, _: u64, _: u64) -> Result {
        Ok(())
    }
}

/// xorshift64*: the tests must not depend on anything outside.
pub(super) struct Rng(pub(super) u64);

impl Rng {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// A moment, later with each `n`.
pub(super) fn at(n: u64) -> Time {
    Time {
        sec: 1_700_000_000 + n as i64,
        nsec: (n % 1_000_000_000) as u32,
    }
}

/// Makes a volume of `blocks` blocks with the smallest journal.
pub(super) fn format(blocks: u64) -> Dev {
    let dev = Dev::new(blocks);
    let params = MkfsParams {
        label: [0; 64],
        uuid: *b"volume tests uid",
        blocks: None,
        wishes: Wishes {
            journal_blocks: Some(256),
            panic_slots: Some(1),
            panic_slot_blocks: Some(4),
        },
        hash_seed: *b"volume hash seed",
        generation: 7,
        now: at(0),
        root_owner: (0, 0),
    };
    mkfs::format(&dev, &params).unwrap();
    dev
}

pub(super) fn try_mount(dev: &Dev, read_only: bool) -> Result<Volume<Dev>, MountError> {
    let options = MountOptions {
        read_only,
        rescue: false,
        slot: SlotGuard::claim(b"test", &[0; 16]),
        env: Env::default(),
    };
    Volume::mount(dev.clone(), options)
}

pub(super) fn mount(dev: &Dev) -> Volume<Dev> {
    try_mount(dev, false).unwrap_or_else(|e| panic!("mount: {e}"))
}

/// Fails the test if the volume is not whole. Returns the number of orphans.
pub(super) fn fsck(dev: &Dev) -> u64 {
    let mut findings = std::vec::Vec::new();
    let summary = check(dev.copy(), &mut |f| findings.push(format!("{f}"))).unwrap();
    assert!(findings.is_empty(), "{findings:#?}");
    summary.orphans
}

/// Commits, and checks what a crash right now would leave.
pub(super) fn commit_and_check(v: &mut Volume<Dev>) -> u64 {
    v.sync().unwrap();
    let dev = v.store().device().clone();
    fsck(&dev)
}

/// The power goes after a commit: what is in memory is lost, and the volume is mounted again.
pub(super) fn crash(mut v: Volume<Dev>) -> Volume<Dev> {
    v.sync().unwrap();
    let dev = v.store().device().clone();
    drop(v);
    fsck(&dev);
    mount(&dev)
}

/// Unmounts and mounts.
pub(super) fn remount(mut v: Volume<Dev>) -> Volume<Dev> {
    v.unmount().unwrap();
    let dev = v.store().device().clone();
    drop(v);
    fsck(&dev);
    mount(&dev)
}

pub(super) fn make(v: &mut Volume<Dev>, dir: u64, name: &[u8], mode: u16) -> Result<Inode> {
    let new = NewInode {
        ino: v.allocate_ino(),
        mode: mode | 0o644,
        uid: 1,
        gid: 2,
        rdev: 0,
        symlink: None,
        now: at(1),
        generation: 3,
    };
    v.create(dir, name, &new)
}

pub(super) fn file(v: &mut Volume<Dev>, dir: u64, name: &[u8]) -> u64 {
    make(v, dir, name, S_IFREG).unwrap().ino
}

pub(super) fn mkdir(v: &mut Volume<Dev>, dir: u64, name: &[u8]) -> u64 {
    make(v, dir, name, S_IFDIR).unwrap().ino
}

pub(super) fn symlink(v: &mut Volume<Dev>, dir: u64, name: &[u8], target: &[u8]) -> Result<Inode> {
    let new = NewInode {
        ino: v.allocate_ino(),
        mode: S_IFLNK | 0o777,
        uid: 0,
        gid: 0,
        rdev: 0,
        symlink: Some(target),
        now: at(1),
        generation: 1,
    };
    v.create(dir, name, &new)
}

/// Chooses, as if written, and enters `len` blocks from `logical` on, in as many runs as it takes.
pub(super) fn write(v: &mut Volume<Dev>, ino: u64, logical: u32, len: u32) -> Result {
    let mut map = WriteMap::new();
    let mut done = 0;
    while done < len {
        let first = u64::from(logical + done);
        let (_, got) = v.choose(ino, &mut map, first, len - done, false)?;
        done += got;
        let size = u64::from(logical + done) * BLOCK_SIZE as u64;
        let run = (first, u64::from(got));
        let entered = v.enter(ino, &mut map, run, Some(size), Some(at(5)));
        if entered.is_err() {
            v.forget(&mut map, run, Which::All)?;
            return entered;
        }
    }
    Ok(())
}

/// Entries of a directory: name, inode, `DT_*`, cookie; from a single pass.
pub(super) fn list(v: &mut Volume<Dev>, dir: u64) -> std::vec::Vec<(String, u64, u8, u64)> {
    let mut all = std::vec::Vec::new();
    v.readdir(dir, 2, |name, ino, kind, next| {
        all.push((String::from_utf8_lossy(name).into_owned(), ino, kind, next));
        true
    })
    .unwrap();
    all
}
