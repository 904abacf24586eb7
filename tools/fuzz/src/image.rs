// SPDX-License-Identifier: GPL-2.0

//! A volume with something of everything on it, and what makes its checksums right after a change.

use kernel::prelude::*;
use permfs_core::{
    alloc::Env,
    crc::crc32c,
    format::*,
    geometry::{Geometry, Wishes},
    inode::{Time, S_IFDIR, S_IFLNK, S_IFREG},
    mkfs::{format, MkfsParams},
    panic::SlotGuard,
    store::block,
    volume::{MountError, MountOptions, NewInode, Volume},
};
use permfs_hostdev::MemoryBlockDevice;

/// A volume in memory.
pub type Memory = Volume<MemoryBlockDevice>;

/// Blocks of the volume: two shards, so that the super block has a backup.
const BLOCKS: u64 = SHARD_BLOCKS + 2000;
/// Bytes in front of a head's CRC, in every metadata block.
const CRC_AT: usize = 8;
const LSN_AT: usize = 24;

/// A moment.
pub const NOW: Time = Time {
    sec: 1_700_000_000,
    nsec: 1,
};

/// An empty volume with the smallest journal.
pub fn empty() -> (MemoryBlockDevice, Geometry) {
    let dev = MemoryBlockDevice::new(BLOCKS);
    let params = MkfsParams {
        label: [0; 64],
        uuid: *b"fuzzed volume id",
        blocks: None,
        wishes: Wishes {
            journal_blocks: Some(128),
            panic_slots: Some(2),
            panic_slot_blocks: Some(4),
        },
        hash_seed: *b"fuzzed hash seed",
        generation: 7,
        now: NOW,
        root_owner: (0, 0),
    };
    let geometry = format(&dev, &params).expect("the layout is possible");
    (dev, geometry)
}

/// Mounts the volume on `dev`.
pub fn mount(dev: &MemoryBlockDevice, read_only: bool) -> Result<Memory, MountError> {
    let options = MountOptions {
        read_only,
        rescue: false,
        slot: SlotGuard::claim(b"fuzz", &[0; 16]),
        env: Env::default(),
    };
    Volume::mount(dev.clone(), options)
}

/// Makes an inode with a name.
pub fn create(
    v: &mut Memory,
    dir: u64,
    name: &[u8],
    mode: u16,
    target: Option<&[u8]>,
) -> Result<u64> {
    let new = NewInode {
        ino: v.allocate_ino(),
        mode: mode | 0o644,
        uid: 0,
        gid: 0,
        rdev: 0,
        symlink: target,
        now: NOW,
        generation: 1,
    };
    v.create(dir, name, &new).map(|inode| inode.ino)
}

/// Gives file `ino` blocks for `len` blocks from `logical` on.
pub fn write(v: &mut Memory, ino: u64, logical: u32, len: u32) -> Result {
    let (phys, got) = v.reserve_extent(ino, logical, len, false)?;
    let end = u64::from(logical + got) * BLOCK_SIZE as u64;
    v.commit_extent(ino, logical, phys, got, Some(end), None)
}

/// A volume that was unmounted, and the same one with a log that waits for its replay.
pub fn populated() -> [MemoryBlockDevice; 2] {
    let (dev, _) = empty();
    let mut v = mount(&dev, false).expect("a new volume");
    let fill = |v: &mut Memory| -> Result {
        let dir = create(v, ROOT_INO, b"dir", S_IFDIR, None)?;
        for i in 0..120 {
            let name = format!("a file with a longer name, number {i}");
            create(v, dir, name.as_bytes(), S_IFREG, None)?;
        }
        let list = create(v, ROOT_INO, b"list", S_IFREG, None)?;
        let tree = create(v, ROOT_INO, b"tree", S_IFREG, None)?;
        for i in 0..40 {
            write(v, if i < 3 { list } else { tree }, i * 2, 1)?;
        }
        create(v, ROOT_INO, b"short", S_IFLNK, Some(b"list"))?;
        create(v, ROOT_INO, b"long", S_IFLNK, Some(&[b't'; 4095]))?;
        let open = create(v, ROOT_INO, b"open", S_IFREG, None)?;
        for i in 0..30 {
            write(v, open, i * 2, 1)?;
        }
        v.unlink(ROOT_INO, b"open", NOW).map(drop)
    };
    fill(&mut v).expect("room");
    v.sync().expect("a device that works");
    let crashed = dev.snapshot();
    v.unmount().expect("a device that works");
    [dev, crashed]
}

/// Makes the checksums of block `at` right, whatever it holds.
pub fn seal(dev: &MemoryBlockDevice, at: u64) {
    let mut bytes = dev.block(at);
    match u16::from_le_bytes([bytes[4], bytes[5]]) {
        // A slot, whose checksum is of its sector.
        kind if kind == Kind::JournalHeader as u16 => put_crc(&mut bytes[..SECTOR_SIZE]),
        kind if kind == Kind::JournalRecord as u16 => return seal_record(dev, at),
        _ => {
            let lsn = bytes[LSN_AT..LSN_AT + 8].try_into().expect("8 bytes");
            block::seal(&mut bytes, u64::from_le_bytes(lsn));
        }
    }
    dev.set_block(at, bytes);
}

/// A record goes on over many blocks.
fn seal_record(dev: &MemoryBlockDevice, at: u64) {
    const SECTORS_AT: usize = 80;
    let head = dev.block(at);
    let sectors = head[SECTORS_AT..SECTORS_AT + 4]
        .try_into()
        .expect("4 bytes");
    let len = (u32::from_le_bytes(sectors) as usize % 2048).max(1) * SECTOR_SIZE;
    let last = (at + len.div_ceil(BLOCK_SIZE) as u64).min(BLOCKS);
    let mut bytes: std::vec::Vec<u8> = (at..last).flat_map(|b| dev.block(b)).collect();
    let len = len.min(bytes.len());
    put_crc(&mut bytes[..len]);
    for (b, piece) in (at..).zip(bytes.chunks_exact(BLOCK_SIZE)) {
        dev.set_block(b, piece.try_into().expect("a block"));
    }
}

fn put_crc(bytes: &mut [u8]) {
    bytes[CRC_AT..CRC_AT + 4].fill(0);
    let crc = crc32c(0, bytes);
    bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
}
