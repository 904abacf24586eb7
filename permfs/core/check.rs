// SPDX-License-Identifier: GPL-2.0

//! Checking a volume without changing it.
//!
//! The journal is replayed in memory first, so a volume that was not unmounted is judged as the next
//! mount would find it. Then every structure is reached from the state block, each block is *claimed*
//! by what holds it, and at the end the claims are compared with the bitmaps: a block that is used and
//! not claimed has leaked, one that is claimed and free would be given out twice.
//!
//! Memory follows what is in use: an entry an inode, and a range for each contiguous run of blocks.

use crate::{
    alloc::Env,
    btree::{Fault, Seen, Tree},
    device::BlockDevice,
    format::*,
    geometry::{self, Geometry, SuperError},
    meta::MetaRead,
    panic::{
        area::{Area, SlotState},
        SlotGuard,
    },
    range_set::RangeSet,
    store::Store,
};
use kernel::{prelude::*, rbtree::RBTree};

mod finding;
mod forks;
mod inodes;
mod links;
mod names;
mod space;

pub use finding::{Finding, Problem};

use inodes::{Info, Work};

/// What a check has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Findings reported.
    pub findings: u64,
    /// Inodes in use.
    pub inodes: u64,
    /// Directories among them.
    pub directories: u64,
    /// Regular files.
    pub files: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Inodes that wait to be freed or cut.
    pub orphans: u64,
    /// Blocks of the volume.
    pub blocks: u64,
    /// Blocks in use, fixed areas included, as reached from the state block.
    pub used: u64,
    /// Blocks of files' data among them.
    pub data: u64,
    /// Whether the primary super block was usable.
    pub primary_super: bool,
    /// Newest epoch that is durable.
    pub epoch: u64,
    /// Epochs that were found in the log.
    pub replayed: u64,
}

/// Checks the volume on `dev` and hands everything that is wrong to `report`, in the order found.
///
/// Errors mean that there is no result: memory ran out (`ENOMEM`), or there is no volume at all (`EINVAL`;
/// `EIO` if that is because nothing can be read). Damage is never an error, but a finding, and so is a block
/// that the device does not give ([`Problem::Unreadable`]): what does not hang on it is checked all the same.
/// After one that bars the way ([`Problem::Journal`], [`Problem::State`]) nothing more is looked at.
pub fn check<D: BlockDevice>(dev: D, report: &mut impl FnMut(Finding)) -> Result<Summary> {
    let mut check = Checker::new(report);
    let Some((sb, geometry)) = check.super_blocks(&dev)? else {
        return Ok(check.summary);
    };
    check.geometry = Some(geometry);
    check.summary.blocks = geometry.blocks;
    // First: it hangs on nothing but the super block.
    check.panic_area(&dev, &sb)?;
    let slot = SlotGuard::claim(b"fsck", &sb.uuid);
    let mut store = match Store::mount(dev, sb, true, slot, Env::default()) {
        Ok(store) => store,
        Err(e) => {
            check.barred(Problem::Journal, geometry.journal_header, e)?;
            return Ok(check.summary);
        }
    };
    check.summary.epoch = store.durable_epoch();
    check.summary.replayed = store.replayed();
    if let Some(lost) = store.lost() {
        let count = lost.newest.saturating_sub(lost.first).saturating_add(1);
        check.found(Problem::LostEpochs, 0, 0, count);
    }
    let state = match store.read(STATE_BLOCK, Kind::State, OWNER_VOLUME) {
        Ok(payload) => {
            State::read_from_prefix(payload)
                .map_err(|_| EFSCORRUPTED)?
                .0
        }
        Err(e) => {
            check.barred(Problem::State, STATE_BLOCK, e)?;
            return Ok(check.summary);
        }
    };
    check.inode_tree(&mut store, &state)?;
    check.forks(&mut store)?;
    check.names(&mut store, &state, &sb)?;
    check.orphans(&mut store, &state)?;
    check.links()?;
    check.space(&mut store)?;
    Ok(check.summary)
}

/// Whether an error says that there is no result, rather than that the volume or its device is damaged.
fn is_fatal(e: Error) -> bool {
    e == ENOMEM
}

struct Checker<'a, F> {
    report: &'a mut F,
    summary: Summary,
    geometry: Option<Geometry>,
    /// Every block that something was found to hold.
    claimed: RangeSet,
    inodes: RBTree<u64, Info>,
    /// Trees and chains that hang on inodes, still to be visited.
    work: KVVec<Work>,
}

impl<'a, F: FnMut(Finding)> Checker<'a, F> {
    fn new(report: &'a mut F) -> Self {
        Self {
            report,
            summary: Summary::default(),
            geometry: None,
            claimed: RangeSet::new(),
            inodes: RBTree::new(),
            work: KVVec::new(),
        }
    }

    /// Reports `problem` with an inode, a block (0: none) and what the problem's sentence wants to know.
    fn found(&mut self, problem: Problem, ino: u64, block: u64, detail: u64) {
        self.summary.findings += 1;
        (self.report)(Finding {
            problem,
            ino,
            block,
            detail,
        });
    }

    /// Reports what bars the way, unless memory is to blame.
    fn barred(&mut self, problem: Problem, block: u64, e: Error) -> Result {
        if is_fatal(e) {
            return Err(e);
        }
        self.found(problem, 0, block, e.to_errno().unsigned_abs().into());
        Ok(())
    }

    /// Reports that `block`, which is `ino`'s, was read with error `e`: as [`Problem::Unreadable`] if the
    /// device did not give it, else as `problem`.
    fn bad_block(
        &mut self,
        e: Error,
        problem: Problem,
        ino: u64,
        block: u64,
        detail: u64,
    ) -> Result {
        match e {
            e if is_fatal(e) => return Err(e),
            EIO => self.found(Problem::Unreadable, ino, block, 0),
            _ => self.found(problem, ino, block, detail),
        }
        Ok(())
    }

    /// The super block to go by, after comparing all copies.
    fn super_blocks<D: BlockDevice>(&mut self, dev: &D) -> Result<Option<(SuperBlock, Geometry)>> {
        let (sb, geometry) = match geometry::read_super(dev) {
            Ok(found) => {
                self.summary.primary_super = true;
                found
            }
            Err(SuperError::Io(e)) if is_fatal(e) => return Err(e),
            // What a newer mkfs made, or an image that was cut off: a backup would say the same.
            Err(SuperError::Incompat(bits)) => {
                self.found(Problem::Incompatible, 0, 0, bits);
                return Ok(None);
            }
            Err(SuperError::Truncated { volume, .. }) => {
                self.found(Problem::Truncated, 0, 0, volume);
                return Ok(None);
            }
            Err(why) => {
                let none = match why {
                    SuperError::Io(e) => e,
                    _ => EINVAL,
                };
                let (block, sb, geometry) = geometry::find_backup(dev).ok_or(none)?;
                if matches!(why, SuperError::Io(_)) {
                    self.found(Problem::Unreadable, 0, 0, 0);
                }
                self.found(Problem::PrimarySuper, 0, 0, block);
                (sb, geometry)
            }
        };
        for shard in geometry::copies(geometry.shards).skip(1) {
            let block = shard * SHARD_BLOCKS;
            match geometry::read_at(dev, block) {
                Ok((copy, _)) if copy.as_bytes() == sb.as_bytes() => {}
                Err(SuperError::Io(e)) => self.bad_block(e, Problem::BackupSuper, 0, block, 0)?,
                _ => self.found(Problem::BackupSuper, 0, block, 0),
            }
        }
        Ok(Some((sb, geometry)))
    }

    /// Looks at the head of every slot. What a panic left in the slots is nobody's damage; a head that is
    /// odd takes its slot, or the record in it, from the panic path.
    fn panic_area<D: BlockDevice>(&mut self, dev: &D, sb: &SuperBlock) -> Result {
        let area = Area::of(sb, &self.geometry.ok_or(EINVAL)?);
        let scan = area.scan(dev)?;
        for (slot, state) in (0..).zip(&scan.states) {
            let problem = match state {
                SlotState::Unsigned => Problem::PanicSlot,
                SlotState::Damaged => Problem::PanicHead,
                SlotState::Unreadable => Problem::Unreadable,
                SlotState::Empty | SlotState::Record(_) => continue,
            };
            self.found(problem, 0, area.head_block(slot), slot.into());
        }
        Ok(())
    }

    /// Claims `len` blocks from `block` for `ino` (0: the volume). False if they cannot be its.
    fn claim(&mut self, ino: u64, block: u64, len: u64) -> Result<bool> {
        let geometry = self.geometry.ok_or(EINVAL)?;
        if !geometry.may_hold_data(block, len) {
            self.found(Problem::OutOfRange, ino, block, len);
            return Ok(false);
        }
        let new = self.claimed.insert(block, len)?;
        if new != len {
            self.found(Problem::ClaimedTwice, ino, block, len - new);
        }
        Ok(true)
    }

    /// Visits all of `tree`, claims its nodes for `ino`, reports its faults and hands the entries to `f`.
    fn tree<S: MetaRead>(
        &mut self,
        store: &mut S,
        tree: &Tree,
        ino: u64,
        mut f: impl FnMut(&mut Self, u64, &[u8]) -> Result,
    ) -> Result {
        tree.check(store, |seen| match seen {
            Seen::Node { block, .. } => self.claim(ino, block, 1).map(|_| ()),
            Seen::Entry { key, value } => f(self, key, value),
            Seen::Fault {
                fault: Fault::Unreadable(e),
                block,
                level,
            } => self.bad_block(e, Problem::Node, ino, block, level.into()),
            Seen::Fault { block, level, .. } => {
                self.found(Problem::Node, ino, block, level.into());
                Ok(())
            }
        })
    }
}
