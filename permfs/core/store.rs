// SPDX-License-Identifier: GPL-2.0

//! Metadata blocks with transactions: cache, operations, epochs, commit and checkpoint.
//!
//! Everything that takes `&mut self` is serialised by the volume's lock. Two things may be done
//! without it, so that other operations go on meanwhile: [`Sealed::write`] writes a closed epoch to
//! the log, and [`HomeBatch::write`] writes committed blocks home. Both own copies of what they write.
//!
//! One `Sealed` and one `HomeBatch` may be under way at a time. An operation that finds the log full
//! does not wait for their owners to be scheduled: it writes the sealed record instead of its owner if that has
//! not begun, and waits for the device if it has; and it logs anew what is in the batch, so that it is
//! independent of the batch's fate.

use crate::{
    alloc::Allocator,
    device::BlockDevice,
    format::*,
    geometry::Geometry,
    journal::{header::JournalHeader, record, replay, Pos, Ring, OP_BYTES},
    meta::MetaRead,
    panic::SlotGuard,
    plant::{self, Fault},
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc,
    },
};

pub mod block;
mod buffer;
mod cache;
mod checkpoint;
mod commit;
mod lifecycle;
mod op;
mod space;
#[cfg(test)]
mod tests;
mod undo;

pub use checkpoint::HomeBatch;
pub use commit::Sealed;
pub use op::Op;

use buffer::Buffer;
use cache::Cache;
use undo::Undo;

/// A run of blocks: first block, blocks.
pub type BlockRun = (u64, u32);

/// Damage that cost only what stood in that block: what met it went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The block.
    pub block: u64,
    /// What it holds.
    pub what: &'static str,
    /// `EIO` if it cannot be read, `EFSCORRUPTED` if it cannot be believed.
    pub error: Error,
}

/// What the running epoch changed, besides the buffers.
struct Epoch {
    number: u64,
    /// Blocks whose buffers are touched, each once; a buffer may be gone since.
    touched: KVec<u64>,
    /// Metadata blocks freed, of which older records may hold entries.
    revokes: KVec<u64>,
    /// Blocks freed: they may be reused when the epoch is durable.
    frees: KVec<BlockRun>,
    /// First record that replay needs for one of the freed blocks, while the epoch is not durable.
    pinned: Option<Pos>,
    /// Bytes of the epoch's record, at most.
    bytes: usize,
}

/// An epoch whose record is being written.
struct InFlight {
    record: Arc<record::Record>,
    /// Blocks of which the record holds whole images.
    images: KVec<u64>,
    frees: KVec<BlockRun>,
    pinned: Option<Pos>,
}

/// Transactional metadata on a device.
pub struct Store<D: BlockDevice> {
    dev: D,
    sb: KBox<SuperBlock>,
    geometry: Geometry,
    /// Dropped with the store: the panic handler then forgets the volume.
    slot: SlotGuard,
    cache: Cache,
    allocator: KBox<Allocator>,
    header: JournalHeader,
    ring: Ring,
    epoch: Epoch,
    /// Newest epoch that is durable.
    durable: u64,
    in_flight: Option<InFlight>,
    /// Blocks of the home batch that somebody writes without the lock, sorted.
    batch: Option<KVec<u64>>,
    /// Freed by durable epochs, but in the home batch, or not yet discarded.
    parked: KVec<BlockRun>,
    /// Freed and durable, to be discarded before they are reused.
    discards: KVec<BlockRun>,
    /// Whether freed blocks go by way of `discards`.
    discard: bool,
    /// Where the next home batch begins.
    home_cursor: u64,
    undo: Undo,
    /// Metadata blocks that the last operation took, and that it freed.
    taken: u64,
    freed: u64,
    /// The first damage that was passed by and not yet asked for.
    damage: Option<Damage>,
    /// Whether there is one: seen without the volume's lock.
    alarm: Arc<Atomic<bool>>,
    /// A log write failed: memory and log have parted, nothing more may be promised.
    failed: bool,
    read_only: bool,
    /// Logged file data that replay found, on a read-only mount.
    overlay: replay::DataBlocks,
    /// Records that the mount has replayed.
    records: u64,
    /// Durable epochs that the log did not give back.
    lost: Option<replay::Lost>,
}

impl<D: BlockDevice> Store<D> {
    /// The device.
    pub fn device(&self) -> &D {
        &self.dev
    }

    /// The super block, as it was at mount.
    pub fn super_block(&self) -> &SuperBlock {
        &self.sb
    }

    /// The block allocator.
    pub fn allocator(&self) -> &Allocator {
        &self.allocator
    }

    /// What the panic handler sees of the volume.
    pub fn slot(&self) -> &SlotGuard {
        &self.slot
    }

    /// Epoch that takes changes now.
    pub fn running_epoch(&self) -> u64 {
        self.epoch.number
    }

    /// Newest epoch that is durable. Changes of epoch e are safe when this is e or more.
    pub fn durable_epoch(&self) -> u64 {
        self.durable
    }

    /// Whether a log write has failed: changes are refused with `EIO` until the next mount.
    pub fn failed(&self) -> bool {
        self.failed
    }

    /// Epochs that the mount found in the log.
    pub fn replayed(&self) -> u64 {
        self.records
    }

    /// Epochs that had been durable and that the mount did not find in the log, because it is damaged. Only on
    /// a read-only mount: see [`Store::mount`].
    pub fn lost(&self) -> Option<replay::Lost> {
        self.lost
    }

    /// Whether changes are refused with `EROFS`.
    pub fn read_only(&self) -> bool {
        self.read_only
    }

    /// Whether blocks that are freed are handed out for discarding ([`Store::take_discards`]).
    pub fn set_discard(&mut self, on: bool) {
        self.discard = on;
    }

    /// Metadata blocks that the last operation took; those that it freed are not taken off.
    pub fn blocks_taken(&self) -> u64 {
        self.taken
    }

    /// Metadata blocks that the last operation freed: for reuse when its epoch is durable.
    pub fn blocks_freed(&self) -> u64 {
        self.freed
    }

    /// What the log holds for data block `block` and home does not. Only on a read-only mount.
    pub fn data_overlay(&self, block: u64) -> Option<&block::Block> {
        self.overlay.get(&block).map(|bytes| &**bytes)
    }

    /// Runs `f` as one operation: all of its changes happen, in memory and on the device, or none.
    ///
    /// Makes room in the log first, which may commit and checkpoint. Errors are those of `f`, and
    /// `EROFS`, `EIO` after [`Store::failed`], and what making room may give.
    pub fn run<T>(&mut self, f: impl FnOnce(&mut Op<'_, D>) -> Result<T>) -> Result<T> {
        self.check_writable()?;
        self.make_room()?;
        self.undo.begin(&self.epoch);
        (self.taken, self.freed) = (0, 0);
        let result = f(&mut Op { store: self });
        match &result {
            Ok(_) => self.finish_op(),
            Err(_) => self.roll_back(),
        }
        result
    }

    fn check_writable(&self) -> Result {
        if self.failed {
            Err(EIO)
        } else if self.read_only {
            Err(EROFS)
        } else {
            Ok(())
        }
    }

    /// Makes sure that one more operation fits the running epoch's record and its record the ring.
    fn make_room(&mut self) -> Result {
        let limit = self.ring.record_limit();
        if record::HEADER_BYTES + self.epoch.bytes + OP_BYTES > limit {
            self.commit()?;
        }
        // An operation that frees may need a block to do so: the last ones are not for waiting.
        if self.allocator.free_blocks() < LOW_SPACE {
            self.reclaim()?;
        }
        if !self.has_room() {
            self.commit()?;
            self.checkpoint_now()?;
        }
        if !self.has_room() {
            self.log_batch_again()?;
        }
        if self.has_room() {
            Ok(())
        } else {
            // RESERVE forbids it, and MIN_JOURNAL_BLOCKS.
            Err(EIO)
        }
    }

    /// Makes what was freed so far free for reuse, as far as it can be. Returns whether there was any.
    pub fn reclaim(&mut self) -> Result<bool> {
        let pending = !self.epoch.frees.is_empty() || self.in_flight.is_some();
        if pending {
            self.commit()?;
        }
        // A discard is advice; who needs the block does not wait for it.
        let discards = self.take_discards();
        let any = pending || !discards.is_empty();
        self.discards_done(discards);
        Ok(any)
    }

    /// Whether the ring takes the running epoch's record with one more operation in it, and then the
    /// images of a home batch that is under way (RESERVE).
    fn has_room(&self) -> bool {
        let batch = match &self.batch {
            Some(blocks) if !plant::is(Fault::ReserveOp) => blocks.len(),
            _ => 0,
        };
        self.has_room_with(OP_BYTES, batch)
    }

    /// Whether the ring takes the running epoch's record as it is, and then the images of a home batch of
    /// `blocks` blocks. What holds when a batch begins holds until it ends: operations keep it
    /// ([`Self::has_room`]), and a record that turns out shorter moves nothing that follows it further.
    fn has_room_for_batch(&self, blocks: usize) -> bool {
        self.has_room_with(0, blocks)
    }

    fn has_room_with(&self, more: usize, batch: usize) -> bool {
        let running = record::HEADER_BYTES + self.epoch.bytes + more;
        let again = match batch {
            0 => 0,
            n => record::HEADER_BYTES + n * (record::ENTRY_SIZE + BLOCK_SIZE),
        };
        self.ring.fits(&[running, again])
    }

    /// Whether a commit should be made soon by somebody who need not wait for it: the running epoch's
    /// record is half as long as it may be.
    pub fn wants_commit(&self) -> bool {
        self.epoch.bytes > self.ring.record_limit() / 2
    }

    /// Whether a checkpoint should be made soon: half of the ring is in use.
    pub fn wants_checkpoint(&self) -> bool {
        self.ring.used() > self.ring.sectors() / 2
    }

    /// Whether memory holds changes that are not durable.
    pub fn is_dirty(&self) -> bool {
        !self.epoch.is_empty() || self.in_flight.is_some() || self.dev.needs_flush()
    }

    /// Buffer of `block`, verified to be of `kind` and to belong to `owner`.
    fn checked(&mut self, block: u64, kind: Kind, owner: u64) -> Result<&Buffer> {
        let buffer = self.cache.load(&self.dev, &self.sb, block)?;
        buffer.check(kind, owner)?;
        Ok(buffer)
    }

    /// Set when something was damaged and the operation went on all the same: somebody should ask
    /// [`Store::take_damage`].
    pub fn alarm(&self) -> Arc<Atomic<bool>> {
        self.alarm.clone()
    }

    /// The first damage that was passed by since the last call.
    pub fn take_damage(&mut self) -> Option<Damage> {
        self.alarm.store(false, Relaxed);
        self.damage.take()
    }

    /// Notes damage that is passed by.
    fn note_damage(&mut self, block: u64, what: &'static str, error: Error) {
        let damage = Damage { block, what, error };
        self.damage.get_or_insert(damage);
        self.alarm.store(true, Relaxed);
    }

    /// The block leaves memory, if it is home.
    #[cfg(test)]
    pub(crate) fn forget_buffer(&mut self, block: u64) {
        let dirty = self.cache.get(block).is_some_and(Buffer::is_dirty);
        assert!(!dirty, "block {block} is not home");
        self.cache.remove(block);
    }

    /// Tells the panic handler where the journal stands.
    fn publish_epochs(&self) {
        self.slot.set_epochs(self.epoch.number, self.durable);
    }

    /// From now on changes are refused, with `EIO`.
    pub fn fail(&mut self) {
        self.failed = true;
        self.slot.failed();
    }
}

/// Free blocks below which pending frees are committed before an operation starts.
const LOW_SPACE: u64 = 256;

impl<D: BlockDevice> MetaRead for Store<D> {
    fn read(&mut self, block: u64, kind: Kind, owner: u64) -> Result<&[u8]> {
        Ok(self.checked(block, kind, owner)?.payload())
    }
}

impl Epoch {
    fn new(number: u64) -> Self {
        Self {
            number,
            touched: KVec::new(),
            revokes: KVec::new(),
            frees: KVec::new(),
            pinned: None,
            bytes: 0,
        }
    }

    fn is_empty(&self) -> bool {
        self.touched.is_empty() && self.revokes.is_empty() && self.frees.is_empty()
    }
}
