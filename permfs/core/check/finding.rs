// SPDX-License-Identifier: GPL-2.0

//! What can be wrong with a volume, each in a sentence.

use kernel::fmt;

/// Kinds of damage. In a sentence `{ino}`, `{block}` and `{detail}` stand for the [`Finding`]'s fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// Features of a newer version: nothing can be checked.
    Incompatible,
    /// The device is smaller than the volume.
    Truncated,
    /// The super block is unusable, a backup is not.
    PrimarySuper,
    /// A backup differs from the super block.
    BackupSuper,
    /// The journal cannot be used.
    Journal,
    /// The log is damaged in its middle, or its newest header is: epochs that had been durable are missing.
    LostEpochs,
    /// The state block cannot be used.
    State,
    /// A tree's node is not whole.
    Node,
    /// A block that the layout keeps for something else, or that is not on the volume.
    OutOfRange,
    /// Two owners hold a block.
    ClaimedTwice,
    /// A record in the inode tree is not one.
    InodeRecord,
    /// A number that was never given out.
    InodeNumber,
    /// The counter of inodes is wrong.
    InodeCount,
    /// The root directory is not there or is none.
    Root,
    /// An extent is no run of blocks, or overlaps the one before.
    Extent,
    /// The inode's count of blocks is wrong.
    BlockCount,
    /// A link's target cannot be read.
    Symlink,
    /// A directory entry is not one.
    Entry,
    /// An entry is not where its name's hash puts it.
    EntryHash,
    /// A name is twice in a directory.
    DuplicateName,
    /// An entry names an inode that is not there.
    DanglingEntry,
    /// An entry's type is not its inode's.
    EntryType,
    /// The size of a directory is not that of its entries.
    DirectorySize,
    /// A directory has two names.
    DirectoryTwice,
    /// `..` of a directory is not where its name is.
    Parent,
    /// The count of links is wrong.
    LinkCount,
    /// An inode without a name that is no orphan.
    Unreachable,
    /// A directory lies in itself.
    Cycle,
    /// An orphan that has names, is not there, or cannot be read.
    Orphan,
    /// A bitmap cannot be read.
    Bitmap,
    /// A block of the summary table cannot be used.
    SummaryBlock,
    /// Blocks that are used and nobody's.
    Leaked,
    /// Blocks that are somebody's and free.
    FreeInUse,
    /// The summary's count of free blocks is wrong.
    FreeCount,
    /// The device gives an error instead of a block.
    Unreadable,
    /// A slot of the panic area without its signature.
    PanicSlot,
    /// A slot of the panic area whose head is not whole.
    PanicHead,
}

/// Something that is wrong with a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind of damage.
    pub problem: Problem,
    /// Inode that it is about, 0: none.
    pub ino: u64,
    /// Block that it is about, 0: none.
    pub block: u64,
    /// What the sentence adds: a count, an inode, a block.
    pub detail: u64,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            problem,
            ino,
            block,
            detail,
        } = *self;
        match problem {
            Problem::Incompatible => {
                write!(
                    f,
                    "incompatible feature bits {detail:#x} are unknown: nothing was checked"
                )
            }
            Problem::Truncated => {
                write!(
                    f,
                    "the device is smaller than the volume, which has {detail} blocks"
                )
            }
            Problem::PrimarySuper => {
                write!(
                    f,
                    "super block is unusable; the backup in block {detail} was taken"
                )
            }
            Problem::BackupSuper => {
                write!(
                    f,
                    "backup of the super block in block {block} differs or is damaged"
                )
            }
            Problem::Journal => write!(
                f,
                "journal (header in block {block}) is unusable, errno {detail}: \
                 nothing more was checked"
            ),
            Problem::LostEpochs => write!(
                f,
                "the log is damaged: {detail} epochs that had been durable are missing behind the last one that \
                 can be read; what follows is as of that"
            ),
            Problem::State => {
                write!(
                    f,
                    "state block {block} is unusable, errno {detail}: nothing more was checked"
                )
            }
            Problem::Node => {
                write!(
                    f,
                    "{}tree node in block {block} (level {detail}) is damaged",
                    Owner(ino)
                )
            }
            Problem::OutOfRange => {
                write!(
                    f,
                    "{}{detail} blocks from {block} cannot belong to it",
                    Owner(ino)
                )
            }
            Problem::ClaimedTwice => write!(
                f,
                "{}{detail} blocks at or behind {block} already belong to something else",
                Owner(ino)
            ),
            Problem::InodeRecord => write!(f, "inode {ino}: its record is damaged"),
            Problem::InodeNumber => {
                write!(
                    f,
                    "inode {ino}: never given out, the next number is {detail}"
                )
            }
            Problem::InodeCount => write!(f, "the state block counts {detail} inodes wrongly"),
            Problem::Root => write!(f, "inode {ino}: there is no root directory"),
            Problem::Extent => write!(f, "inode {ino}: extent at file block {detail} is damaged"),
            Problem::BlockCount => {
                write!(
                    f,
                    "inode {ino}: it has {detail} blocks of data, its record says otherwise"
                )
            }
            Problem::Symlink => write!(f, "inode {ino}: target of the symbolic link is damaged"),
            Problem::Entry => {
                write!(f, "directory {ino}: entry with key {detail:#x} is damaged")
            }
            Problem::EntryHash => write!(
                f,
                "directory {ino}: entry for inode {detail} is not where its hash puts it"
            ),
            Problem::DuplicateName => {
                write!(
                    f,
                    "directory {ino}: the name of inode {detail} is there twice"
                )
            }
            Problem::DanglingEntry => {
                write!(
                    f,
                    "directory {ino}: entry for inode {detail}, which does not exist"
                )
            }
            Problem::EntryType => {
                write!(
                    f,
                    "directory {ino}: entry for inode {detail} has the wrong type"
                )
            }
            Problem::DirectorySize => {
                write!(
                    f,
                    "directory {ino}: its entries take {detail} bytes, not its size"
                )
            }
            Problem::DirectoryTwice => {
                write!(
                    f,
                    "directory {ino}: has a second name in directory {detail}"
                )
            }
            Problem::Parent => {
                write!(
                    f,
                    "directory {ino}: '..' is not directory {detail}, where its name is"
                )
            }
            Problem::LinkCount => {
                write!(
                    f,
                    "inode {ino}: {detail} links were found, its record says otherwise"
                )
            }
            Problem::Unreachable => write!(f, "inode {ino}: no directory names it"),
            Problem::Cycle => write!(f, "directory {ino}: cannot be reached from the root"),
            Problem::Orphan => {
                write!(
                    f,
                    "inode {ino}: its state does not agree with the orphan tree"
                )
            }
            Problem::Bitmap => write!(f, "bitmap in block {block} is unusable"),
            Problem::SummaryBlock => write!(
                f,
                "block {block} of the summary table is unusable: the bitmaps of its shards were not checked"
            ),
            Problem::Leaked => {
                write!(
                    f,
                    "{detail} blocks from {block} are marked used and belong to nothing"
                )
            }
            Problem::FreeInUse => {
                write!(f, "{detail} blocks from {block} are in use and marked free")
            }
            Problem::FreeCount => write!(
                f,
                "summary of the shard with bitmap {block}: {detail} blocks are free, \
                 the summary says otherwise"
            ),
            Problem::Unreadable => write!(
                f,
                "{}block {block} cannot be read (input/output error)",
                Owner(ino)
            ),
            Problem::PanicSlot => write!(
                f,
                "slot {detail} of the panic area (block {block}) has no signature: no panic is recorded in it"
            ),
            Problem::PanicHead => write!(
                f,
                "slot {detail} of the panic area (block {block}) has a damaged head: its record is lost"
            ),
        }
    }
}

/// "inode N: ", or nothing for what belongs to the volume.
struct Owner(u64);

impl core::fmt::Display for Owner {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            0 => Ok(()),
            ino => write!(f, "inode {ino}: "),
        }
    }
}
