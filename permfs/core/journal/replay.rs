// SPDX-License-Identifier: GPL-2.0

//! Reading the log after a crash.
//!
//! The log is read twice from the tail to the first record that does not follow. The first pass
//! finds, for every block with an image, the newest epoch that holds one and was not revoked since. The
//! second applies, in memory, that image and what follows it (REVOKE). A block's
//! home is never read: by IMAGE FIRST a block without an image in the log needs nothing of it.
//!
//! What cannot be read is taken for torn. But one record at a time is written, and the next only when that is
//! durable: so a whole record of a later epoch behind the end is proof that something was lost that had been
//! durable ([`Lost`]).
//!
//! Memory is taken for blocks with images alone, never for what a revoke names: an entry of 16 bytes may
//! name 256 blocks.
//!
//! Nothing is written here, so a crash during replay changes nothing.

use super::{
    header::HEADER_BLOCKS,
    record::{self, Entry, RecordHeader},
    Pos, Ring, MAX_LSN, MAX_RECORD_BYTES,
};
use crate::{
    device::{is_unreadable, BlockDevice},
    format::*,
    store::block::{self, Block},
};
use kernel::{prelude::*, rbtree::RBTree};

mod scan;

/// Epochs that had been durable and that the log does not give back: what is behind the first of them cannot
/// be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// First epoch that is missing.
    pub first: u64,
    /// Newest of which there is a whole record, or which was durable for some other reason.
    pub newest: u64,
}

/// Blocks of file data by number.
pub type DataBlocks = RBTree<u64, KBox<Block>>;

/// What the log holds.
pub struct Replayed {
    /// Metadata blocks, complete but for LSN and CRC in their headers.
    pub meta: RBTree<u64, KBox<Block>>,
    /// Blocks of file data.
    pub data: DataBlocks,
    /// Where the next record goes, in the epoch after the last one.
    pub head: Pos,
    /// Records found.
    pub records: u64,
    /// What should have been found behind them.
    pub lost: Option<Lost>,
}

/// What the first pass knows: for a block, the epoch of the newest image or file data that no revoke takes
/// back; 0: none is left.
type Images = RBTree<u64, u64>;

/// Reads the records that follow `header`'s tail.
struct Reader<'a, D: BlockDevice> {
    dev: &'a D,
    ring: &'a Ring,
    sb: &'a SuperBlock,
    /// Where the next record is, if there is one.
    next: Pos,
    bytes: KVVec<u8>,
}

impl<'a, D: BlockDevice> Reader<'a, D> {
    fn new(dev: &'a D, ring: &'a Ring, sb: &'a SuperBlock) -> Self {
        Self {
            dev,
            ring,
            sb,
            next: ring.tail,
            bytes: KVVec::new(),
        }
    }

    /// Reads the next record into `self.bytes`. `None` at the log's end.
    fn read_next(&mut self) -> Result<Option<RecordHeader>> {
        let wrapped = self.ring.next_wrap(self.next.lsn);
        for lsn in [self.next.lsn, wrapped] {
            // A record that starts a whole ring behind the tail would have overwritten it.
            if lsn.saturating_sub(self.ring.tail.lsn) >= self.ring.sectors() {
                continue;
            }
            if let Some(head) = self.read_at(lsn)? {
                self.next = Pos {
                    lsn: lsn + u64::from(head.sectors.get()),
                    epoch: self.next.epoch + 1,
                };
                return Ok(Some(head));
            }
        }
        Ok(None)
    }

    /// Reads the record at `lsn`. `None` if there is none, or not all of it, or not the one that follows.
    fn read_at(&mut self, lsn: u64) -> Result<Option<RecordHeader>> {
        let unit = self.dev.sector_size();
        if !self.fill(lsn, unit)? {
            return Ok(None);
        }
        let Some(head) = record::parse_header(&self.bytes, &self.sb.uuid, lsn) else {
            return Ok(None);
        };
        let size = head.sectors.get() as usize * SECTOR_SIZE;
        let in_ring =
            lsn % self.ring.sectors() + u64::from(head.sectors.get()) <= self.ring.sectors();
        let follows =
            head.epoch.get() == self.next.epoch && head.generation.get() == self.ring.generation;
        if !follows || !in_ring || size > MAX_RECORD_BYTES || self.next.epoch >= MAX_LSN {
            return Ok(None);
        }
        let whole = self.fill(lsn, size)? && record::crc_is_right(&self.bytes, &head);
        Ok(whole.then_some(head))
    }

    /// Reads `size` bytes of the ring. False if they are not all there, or cannot be read: a sector that was
    /// torn may read as an error.
    fn fill(&mut self, lsn: u64, size: usize) -> Result<bool> {
        let sectors = size.div_ceil(SECTOR_SIZE) as u64;
        // Not `%`: the kernel's object checker does not know the function that a zero would end in.
        let place = lsn.checked_rem(self.ring.sectors()).ok_or(EFSCORRUPTED)?;
        if place + sectors > self.ring.sectors() {
            return Ok(false);
        }
        self.bytes.resize(size, 0, GFP_KERNEL)?;
        match self.dev.read(self.ring.sector(lsn), &mut self.bytes) {
            Ok(()) => Ok(true),
            Err(e) if is_unreadable(e) => Ok(false),
            Err(e) => Err(e),
        }
    }
}

/// Reads the log of the volume `sb` from the tail of `ring` on. `ended`: the header is whole and says that the
/// log has ended, so nothing behind it is looked for.
///
/// Errors: `EFSCORRUPTED` if a record is whole and makes no sense; `EIO` if more of the ring cannot be read
/// than a torn write explains; `ENOMEM`.
pub fn replay<D: BlockDevice>(
    dev: &D,
    ring: &Ring,
    sb: &SuperBlock,
    ended: bool,
) -> Result<Replayed> {
    let mut images = Images::new();
    let mut reader = Reader::new(dev, ring, sb);
    let mut records = 0u64;
    while let Some(head) = reader.read_next()? {
        survey(&reader.bytes, &head, sb, &mut images)?;
        records += 1;
    }
    let lost = match ended {
        true => None,
        false => scan::lost_behind(dev, ring, sb, reader.next)?,
    };
    let mut replayed = Replayed {
        meta: RBTree::new(),
        data: RBTree::new(),
        head: reader.next,
        records,
        lost,
    };
    let mut reader = Reader::new(dev, ring, sb);
    for _ in 0..records {
        let head = reader.read_next()?.ok_or(EIO)?;
        let epoch = head.epoch.get();
        record::for_each_entry(&reader.bytes, &head, sb.blocks.get(), |entry, bytes| {
            let image = images.get(&entry.block.get()).copied().unwrap_or(0);
            // An image that counts is newer than any revoke, so this drops what is revoked too.
            if image != 0 && epoch >= image {
                replayed.apply(entry, bytes, sb)?;
            }
            Ok(())
        })?;
    }
    Ok(replayed)
}

/// First pass over one record: its images, and then its revokes, which take those back too.
fn survey(bytes: &[u8], head: &RecordHeader, sb: &SuperBlock, images: &mut Images) -> Result {
    let (epoch, blocks) = (head.epoch.get(), sb.blocks.get());
    record::for_each_entry(bytes, head, blocks, |entry, _| {
        let block = entry.block.get();
        if entry.kind != record::REVOKE && !may_be_logged(block, sb) {
            return Err(EFSCORRUPTED);
        }
        if matches!(entry.kind, record::IMAGE | record::DATA) {
            images.try_create_and_insert(block, epoch, GFP_KERNEL)?;
        }
        Ok(())
    })?;
    record::for_each_entry(bytes, head, blocks, |entry, _| {
        if entry.kind != record::REVOKE {
            return Ok(());
        }
        let first = entry.block.get();
        for block in first..first + u64::from(entry.len.get()) {
            if !may_be_logged(block, sb) {
                return Err(EFSCORRUPTED);
            }
            if let Some(image) = images.get_mut(&block) {
                *image = 0;
            }
        }
        Ok(())
    })
}

/// Whether block `block` may change through the log: not the super block, the journal itself, or
/// the panic area.
fn may_be_logged(block: u64, sb: &SuperBlock) -> bool {
    let within = |start: u64, len: u64| block >= start && block - start < len;
    let panic_blocks = u64::from(sb.panic_slots.get()) * u64::from(sb.panic_slot_blocks.get());
    block != SHARD_SUPER
        && !within(sb.journal_header.get(), HEADER_BLOCKS)
        && !within(sb.journal_start.get(), sb.journal_blocks.get())
        && !within(sb.panic_start.get(), panic_blocks)
}

impl Replayed {
    /// Second pass over one entry that counts.
    fn apply(&mut self, entry: &Entry, bytes: &[u8], sb: &SuperBlock) -> Result {
        let number = entry.block.get();
        match entry.kind {
            record::IMAGE => {
                let whole = whole_block(bytes)?;
                if !block::is_claimed(&whole, number, &sb.uuid) {
                    return Err(EFSCORRUPTED);
                }
                self.data.remove(&number);
                self.meta.try_create_and_insert(number, whole, GFP_KERNEL)?;
            }
            record::DATA => {
                let whole = whole_block(bytes)?;
                self.meta.remove(&number);
                self.data.try_create_and_insert(number, whole, GFP_KERNEL)?;
            }
            record::DELTA => {
                let whole = self.meta.get_mut(&number).ok_or(EFSCORRUPTED)?;
                let at = usize::from(entry.offset.get());
                let place = whole.get_mut(at..at + bytes.len()).ok_or(EFSCORRUPTED)?;
                place.copy_from_slice(bytes);
            }
            _ => {}
        }
        Ok(())
    }
}

fn whole_block(bytes: &[u8]) -> Result<KBox<Block>> {
    let mut whole = KBox::<Block>::zeroed(GFP_KERNEL)?;
    whole
        .get_mut(..bytes.len())
        .ok_or(EFSCORRUPTED)?
        .copy_from_slice(bytes);
    Ok(whole)
}
