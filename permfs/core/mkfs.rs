// SPDX-License-Identifier: GPL-2.0

//! Making a volume.
//!
//! The super block is the last thing written and the first thing destroyed: a device on which mkfs was
//! interrupted holds no volume, neither the old nor half a new one.

use crate::{
    btree::Tree,
    device::{BlockDevice, WriteFlags},
    format::{inode::*, *},
    geometry::{copies, set_bits, Geometry, Invalid, Wishes},
    inode::{Record, Time, S_IFDIR},
    journal::header,
    store::block::{seal, stamp, Block},
};
use kernel::{fmt, prelude::*};

mod nodes;

use nodes::Nodes;

/// Bytes at either end of the device in which old signatures may stand.
const WIPE: u64 = 1 << 20;

/// What a new volume shall be.
#[derive(Clone, Copy, Debug)]
pub struct MkfsParams {
    /// UTF-8, padded with zeros.
    pub label: [u8; 64],
    /// UUID of the volume.
    pub uuid: [u8; 16],
    /// Blocks of the device to use at most; `None`: all.
    pub blocks: Option<u64>,
    /// Sizes of the fixed areas.
    pub wishes: Wishes,
    /// Key of the directory hash: random, or names can be made to collide.
    pub hash_seed: [u8; 16],
    /// Random: tells this volume's log from what an older one left in the same place.
    pub generation: u64,
    /// Time of birth.
    pub now: Time,
    /// Owner and group of the root directory.
    pub root_owner: (u32, u32),
}

/// Why no volume was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MkfsError {
    /// The layout is not possible.
    Layout(Invalid),
    /// More blocks were asked for than the device has.
    DeviceTooSmall {
        /// Blocks of the device.
        device: u64,
        /// Blocks asked for.
        wanted: u64,
    },
    /// The device failed, or there was no memory.
    Device(Error),
}

impl From<Error> for MkfsError {
    fn from(e: Error) -> Self {
        MkfsError::Device(e)
    }
}

impl fmt::Display for MkfsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MkfsError::Layout(why) => fmt::Display::fmt(why, f),
            MkfsError::DeviceTooSmall { device, wanted } => {
                write!(
                    f,
                    "the device has {device} blocks of 4 KiB, {wanted} were asked for"
                )
            }
            MkfsError::Device(e) => write!(f, "the device failed (errno {})", -e.to_errno()),
        }
    }
}

/// The layout that [`format()`] would make, without writing anything.
pub fn plan<D: BlockDevice>(dev: &D, params: &MkfsParams) -> Result<Geometry, MkfsError> {
    let device = dev.sectors() / SECTORS_PER_BLOCK;
    let wanted = params.blocks.unwrap_or(device);
    if wanted > device {
        return Err(MkfsError::DeviceTooSmall { device, wanted });
    }
    Geometry::new(wanted, &params.wishes).map_err(MkfsError::Layout)
}

/// Makes a volume on `dev` and returns its layout. What was on the device is lost.
pub fn format<D: BlockDevice>(dev: &D, params: &MkfsParams) -> Result<Geometry, MkfsError> {
    let geometry = plan(dev, params)?;
    let mut mkfs = Mkfs {
        dev,
        params,
        geometry,
        image: KBox::zeroed(GFP_KERNEL).map_err(Error::from)?,
    };
    mkfs.wipe()?;
    let (inodes, nodes_end) = mkfs.root_directory()?;
    mkfs.state(&inodes)?;
    mkfs.bitmap(nodes_end)?;
    mkfs.summary(nodes_end)?;
    mkfs.journal()?;
    mkfs.panic_area()?;
    mkfs.super_blocks()?;
    Ok(geometry)
}

struct Mkfs<'a, D> {
    dev: &'a D,
    params: &'a MkfsParams,
    geometry: Geometry,
    /// The block that is being made: too large for the stack.
    image: KBox<Block>,
}

impl<D: BlockDevice> Mkfs<'_, D> {
    /// Makes a block of `kind` in the image, its payload zero.
    fn begin(&mut self, kind: Kind, block: u64) -> &mut [u8] {
        self.image.fill(0);
        stamp(
            &mut self.image,
            kind,
            block,
            OWNER_VOLUME,
            &self.params.uuid,
        );
        self.image.get_mut(HEADER_SIZE..).unwrap_or_default()
    }

    /// Writes the image to `block`.
    fn end(&mut self, block: u64) -> Result {
        seal(&mut self.image, 0);
        self.dev.write_blocks(&[(block, &self.image[..])])
    }

    /// Writes zeros over `[sector, end)`.
    fn zero(&self, sector: u64, end: u64) -> Result {
        let zeros = KVVec::zeroed(64 * BLOCK_SIZE, GFP_KERNEL)?;
        let mut at = sector;
        while at < end {
            let count = (end - at).min((zeros.len() / SECTOR_SIZE) as u64);
            let piece = zeros
                .get(..count as usize * SECTOR_SIZE)
                .unwrap_or_default();
            self.dev.write(at, piece, WriteFlags::default())?;
            at += count;
        }
        Ok(())
    }

    /// Destroys whatever can be recognised at the ends of the device, super block first.
    fn wipe(&self) -> Result {
        let sectors = self.dev.sectors();
        let grain = (self.dev.sector_size() / SECTOR_SIZE) as u64;
        self.zero(0, SECTORS_PER_BLOCK)?;
        self.dev.flush()?;
        let reach = WIPE / SECTOR_SIZE as u64;
        self.zero(SECTORS_PER_BLOCK, reach.min(sectors))?;
        let tail = sectors.saturating_sub(reach).next_multiple_of(grain);
        self.zero(tail.max(reach).min(sectors), sectors)?;
        // Every backup that an older volume left is destroyed too, or repair could take it for ours.
        for shard in copies((sectors / SECTORS_PER_BLOCK).div_ceil(SHARD_BLOCKS)) {
            let start = shard * SHARD_BLOCKS * SECTORS_PER_BLOCK;
            self.zero(start, (start + SECTORS_PER_BLOCK).min(sectors))?;
        }
        Ok(())
    }

    /// Writes the inode tree with the root directory in it. Returns the tree and the block behind it.
    fn root_directory(&mut self) -> Result<(Tree, u64)> {
        let now: DiskTime = self.params.now.into();
        let (uid, gid) = self.params.root_owner;
        let head = InodeRecord {
            mode: (S_IFDIR | 0o755).into(),
            fork: ForkKind::Inline as u8,
            uid: uid.into(),
            gid: gid.into(),
            nlink: 2.into(),
            mtime: now,
            ctime: now,
            atime: now,
            btime: now,
            parent: ROOT_INO.into(),
            ..InodeRecord::default()
        };
        let mut nodes = Nodes::new(self.params.uuid, self.geometry.data_start);
        let mut inodes = Tree::empty(OWNER_INODES);
        let value = Record::new(ROOT_INO, head).encode()?;
        inodes.insert(&mut nodes, ROOT_INO, &value)?;
        let end = nodes.write(self.dev)?;
        Ok((inodes, end))
    }

    fn state(&mut self, inodes: &Tree) -> Result {
        let state = State {
            inodes: inodes.to_disk(),
            next_ino: FIRST_INO.into(),
            inode_count: 1.into(),
            ..State::default()
        };
        let payload = self.begin(Kind::State, STATE_BLOCK);
        state.write_to_prefix(payload).map_err(|_| EINVAL)?;
        self.end(STATE_BLOCK)
    }

    /// Writes the bitmap of shard 0. The others' follow from the layout until they are first changed.
    fn bitmap(&mut self, nodes_end: u64) -> Result {
        let geometry = self.geometry;
        let payload = self.begin(Kind::Bitmap, SHARD_BITMAP);
        geometry.fill_bitmap(0, payload);
        set_bits(payload, geometry.data_start, nodes_end);
        self.end(SHARD_BITMAP)
    }

    fn summary(&mut self, nodes_end: u64) -> Result {
        let geometry = self.geometry;
        let nodes = nodes_end - geometry.data_start;
        for i in 0..geometry.summary_blocks {
            let first = i * SUMMARY_PER_BLOCK;
            let payload = self.begin(Kind::Summary, SUMMARY_START + i);
            let places = payload.chunks_exact_mut(size_of::<SummaryEntry>());
            for (shard, place) in (first..geometry.shards).zip(places) {
                let used = if shard == 0 { nodes } else { 0 };
                let entry = SummaryEntry {
                    // A shard has 32256 blocks.
                    free: ((geometry.free_at_start(shard) - used) as u32).into(),
                    flags: if shard == 0 { 0 } else { SUMMARY_UNINIT }.into(),
                    ..SummaryEntry::default()
                };
                entry.write_to(place).map_err(|_| EINVAL)?;
            }
            self.end(SUMMARY_START + i)?;
        }
        Ok(())
    }

    /// Writes the journal's header. Its generation keeps what an older log left in the ring from being
    /// taken for records of this volume, as does the UUID in each of them.
    fn journal(&mut self) -> Result {
        let block = self.geometry.journal_header;
        let mut second = KBox::<Block>::zeroed(GFP_KERNEL)?;
        header::format(
            [&mut self.image, &mut second],
            block,
            &self.params.uuid,
            self.params.generation,
        );
        self.dev
            .write_blocks(&[(block, &self.image[..]), (block + 1, &second[..])])
    }

    /// Writes the signature of each slot of the panic area: without it the panic lane writes nothing.
    fn panic_area(&mut self) -> Result {
        let step = u64::from(self.geometry.panic_slot_blocks);
        for slot in 0..u64::from(self.geometry.panic_slots) {
            let block = self.geometry.panic_start + slot * step;
            self.begin(Kind::PanicSlot, block);
            self.end(block)?;
        }
        Ok(())
    }

    /// Writes the backups, and when all else is durable, the super block.
    fn super_blocks(&mut self) -> Result {
        for shard in copies(self.geometry.shards).filter(|&shard| shard != 0) {
            self.super_block(shard * SHARD_BLOCKS)?;
        }
        self.dev.flush()?;
        self.super_block(0)?;
        self.dev.flush()
    }

    fn super_block(&mut self, block: u64) -> Result {
        let g = self.geometry;
        let sb = SuperBlock {
            uuid: self.params.uuid,
            label: self.params.label,
            feature_compat: 0.into(),
            feature_ro_compat: 0.into(),
            feature_incompat: 0.into(),
            blocks: g.blocks.into(),
            block_size: (BLOCK_SIZE as u32).into(),
            shard_blocks: (SHARD_BLOCKS as u32).into(),
            shards: g.shards.into(),
            summary_blocks: g.summary_blocks.into(),
            journal_header: g.journal_header.into(),
            journal_start: g.journal_start.into(),
            journal_blocks: g.journal_blocks.into(),
            panic_start: g.panic_start.into(),
            panic_slots: g.panic_slots.into(),
            panic_slot_blocks: g.panic_slot_blocks.into(),
            hash_seed: self.params.hash_seed,
            created: self.params.now.sec.unsigned_abs().into(),
            reserved: [0; 64],
        };
        let payload = self.begin(Kind::Super, block);
        sb.write_to_prefix(payload).map_err(|_| EINVAL)?;
        self.end(block)
    }
}
