// SPDX-License-Identifier: GPL-2.0

//! Faults that are planted on purpose, in builds for tests.
//!
//! Each breaks one invariant of `Documentation/crash-consistency.md` or `space.md`, or leaves out one flush on the way of data. Whoever
//! judges crash consistency has to notice every one of them (`make planted`, `Documentation/planted-faults.md`): a judge that
//! cannot is none. One fault at a time is active. The build names it (`--cfg permfs_planted`, with the name in `PERMFS_PLANT`),
//! or, on the host, [`plant`] does. In every other build [`is`] is `false` for the compiler too, and nothing of this is left.

#[cfg(permfs_planted)]
use kernel::sync::atomic::{Atomic, Relaxed};

macro_rules! faults {
    ($($(#[$doc:meta])* $fault:ident = $name:literal,)*) => {
        /// What can be broken.
        #[derive(Clone, Copy, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Fault {
            $($(#[$doc])* $fault,)*
        }

        /// The faults and their names.
        pub const FAULTS: &[(&str, Fault)] = &[$(($name, Fault::$fault),)*];
    };
}

faults! {
    /// COMMITTED HOME: copies are taken of what the running epoch, or a record under way, has changed.
    CommittedHome = "committed-home",
    /// IMAGE FIRST: the first change after a copy was taken is logged as a delta.
    ImageFirst = "image-first",
    /// TAIL FIRST: home writes are not flushed before the header that relies on them.
    TailFirstFlush = "tail-first-flush",
    /// TAIL FIRST: the header is not durable when its write returns.
    TailFirstHeader = "tail-first-header",
    /// DATA FIRST: no flush goes in front of a record.
    DataFirst = "data-first",
    /// FLUSH: a record is not durable when its write returns.
    FlushRecord = "flush-record",
    /// FLUSH: a commit that has nothing to log sends no flush for the data that was written.
    FlushAlone = "flush-alone",
    /// FLUSH: completed writes are not counted, so nobody knows that a flush is needed.
    FlushCount = "flush-count",
    /// FLUSH: a flush is believed to cover what completed while it was under way.
    FlushPoint = "flush-point",
    /// FLUSH: a flush that failed is forgotten.
    FlushFailed = "flush-failed",
    /// TAIL: the zeroes behind a file's end do not go to the device before the size does.
    Tail = "tail",
    /// REVOKE: records do not say which metadata blocks were freed.
    Revoke = "revoke",
    /// PENDING: freed blocks are reused before the epoch that freed them is durable.
    Pending = "pending",
    /// PENDING: freed blocks are reused while a write home to them is under way.
    PendingHome = "pending-home",
    /// PENDING: freed blocks are reused before their discard is done.
    PendingDiscard = "pending-discard",
    /// FREED PIN: the tail passes records of a block whose freeing is not durable.
    FreedPin = "freed-pin",
    /// ONE WRITE: an owner writes its record although somebody has taken that over, who may have acknowledged it.
    OneWrite = "one-write",
    /// ONE WRITE: who needs a record durable that its owner is writing writes it too, instead of waiting.
    OneWriteWait = "one-write-wait",
    /// GENERATION: a mount goes on in the generation of the one before it.
    Generation = "generation",
    /// RESERVE: an operation starts without room for the images of the batch under way.
    ReserveOp = "reserve-op",
    /// RESERVE: a batch begins with more blocks than there is room to log again.
    ReserveBatch = "reserve-batch",
    /// PROMISE: data is promised its blocks, and not those that its map may take.
    Promise = "promise",
    /// REMOVAL: nothing is kept for the orphan tree.
    Removal = "removal",
    /// An operation that fails leaves its changes of blocks behind.
    Undo = "undo",
    /// Replay takes a torn record for a whole one.
    Torn = "torn",
    /// An extent enters the map before its data is on the device.
    MapAfterData = "map-after-data",
    /// A direct write with `O_DSYNC` ends in FUA also where map or size are not durable.
    Settled = "settled",
    /// fsync writes a file's data and does not commit.
    Fsync = "fsync",
    /// fsync asks the inode, and not the open file, what went wrong: who asks first is told, and nobody else.
    Errseq = "errseq",
    /// sync(2) and syncfs(2) write the data and do not commit.
    SyncFs = "sync-fs",
    /// NFS's answers, `dirsync` and `sync` do not wait for the commit.
    Names = "names",
    /// Freezing and the orderly quiesce say that they have flushed, and have not.
    Quiesce = "quiesce",
    /// Who removes or cuts a file keeps the volume until all its blocks are free.
    Steps = "steps",
    /// An inode that leaves memory waits for the volume although it has nothing to forget.
    NothingToForget = "nothing-to-forget",
    /// What replaces a file by rename is not written.
    ReplacedByRename = "replaced-by-rename",
    /// What replaces a file's contents after a truncation to nothing is not written at close.
    ReplacedByTruncation = "replaced-by-truncation",
}

#[cfg(permfs_planted)]
static ACTIVE: Atomic<u32> = Atomic::new(at_build());

/// No fault.
#[cfg(permfs_planted)]
const NONE: u32 = u32::MAX;

/// The fault that `PERMFS_PLANT` names at build time. A name that there is not does not compile.
#[cfg(permfs_planted)]
const fn at_build() -> u32 {
    let Some(wanted) = option_env!("PERMFS_PLANT") else {
        return NONE;
    };
    let mut i = 0;
    while i < FAULTS.len() {
        if is_same(FAULTS[i].0.as_bytes(), wanted.as_bytes()) {
            return FAULTS[i].1 as u32;
        }
        i += 1;
    }
    assert!(wanted.is_empty(), "PERMFS_PLANT names no fault");
    NONE
}

#[cfg(permfs_planted)]
const fn is_same(a: &[u8], b: &[u8]) -> bool {
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}

/// Makes `fault` the one that is active. False: this is no build for planted faults.
pub fn plant(fault: Fault) -> bool {
    #[cfg(permfs_planted)]
    ACTIVE.store(fault as u32, Relaxed);
    let _ = fault;
    cfg!(permfs_planted)
}

/// Whether `fault` is active.
#[inline(always)]
pub fn is(fault: Fault) -> bool {
    #[cfg(permfs_planted)]
    return ACTIVE.load(Relaxed) == fault as u32;
    #[cfg(not(permfs_planted))]
    {
        let _ = fault;
        false
    }
}
