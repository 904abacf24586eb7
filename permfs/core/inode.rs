// SPDX-License-Identifier: GPL-2.0

//! Inodes: their attributes, and the record that the inode tree holds of each.
//!
//! A [`Record`] is a checked copy of the tree's value. It is loaded, changed and stored again within
//! one operation; since the tree writes only the bytes that differ, storing all of it logs little.

pub use crate::format::inode::{ForkKind, InodeRecord, INLINE_MAX, LINK_MAX};
use crate::{
    btree::Tree,
    format::inode::{DiskTime, FILE_SIZE_MAX},
};
use kernel::prelude::*;

mod fork;

/// Type bits of a mode.
pub const S_IFMT: u16 = 0o170000;
/// Socket.
pub const S_IFSOCK: u16 = 0o140000;
/// Symbolic link.
pub const S_IFLNK: u16 = 0o120000;
/// Regular file.
pub const S_IFREG: u16 = 0o100000;
/// Block device.
pub const S_IFBLK: u16 = 0o060000;
/// Directory.
pub const S_IFDIR: u16 = 0o040000;
/// Character device.
pub const S_IFCHR: u16 = 0o020000;
/// FIFO.
pub const S_IFIFO: u16 = 0o010000;

/// Largest number of nanoseconds in a time.
pub const NSEC_MAX: u32 = 999_999_999;
/// Bytes of the fixed part.
pub const HEAD_SIZE: usize = size_of::<InodeRecord>();
/// Bytes of the largest record.
pub const RECORD_MAX: usize = HEAD_SIZE + INLINE_MAX;

/// Point in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Seconds since 1970.
    pub sec: i64,
    /// Nanoseconds, below 10^9.
    pub nsec: u32,
}

impl From<DiskTime> for Time {
    fn from(t: DiskTime) -> Self {
        Self {
            sec: t.sec.get(),
            nsec: t.nsec.get(),
        }
    }
}

impl From<Time> for DiskTime {
    fn from(t: Time) -> Self {
        Self {
            sec: t.sec.into(),
            // A record with more would be refused as damaged.
            nsec: t.nsec.min(NSEC_MAX).into(),
        }
    }
}

/// Attributes of an inode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attr {
    /// Type and permissions.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Links.
    pub nlink: u32,
    /// Bytes.
    pub size: u64,
    /// Last access.
    pub atime: Time,
    /// Last change of the contents.
    pub mtime: Time,
    /// Last change of the inode.
    pub ctime: Time,
    /// Birth.
    pub btime: Time,
    /// Generation, for file handles.
    pub generation: u32,
    /// Device number of a device node.
    pub rdev: u64,
    /// `FS_*_FL` attribute flags.
    pub flags: u32,
    /// Blocks of data.
    pub blocks: u64,
}

/// An inode as the module sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inode {
    /// Number.
    pub ino: u64,
    /// Attributes.
    pub attr: Attr,
}

impl Inode {
    /// Whether this is a directory.
    pub fn is_dir(&self) -> bool {
        self.attr.mode & S_IFMT == S_IFDIR
    }

    /// Whether this is a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.attr.mode & S_IFMT == S_IFLNK
    }
}

/// Whether `mode` has exactly one of the seven types.
pub fn known_type(mode: u16) -> bool {
    matches!(
        mode & S_IFMT,
        S_IFSOCK | S_IFLNK | S_IFREG | S_IFBLK | S_IFDIR | S_IFCHR | S_IFIFO
    )
}

/// `DT_*` of `mode`.
pub fn entry_kind(mode: u16) -> u8 {
    (mode >> 12) as u8
}

/// An inode's record in memory.
pub struct Record {
    /// Number, the key in the tree.
    pub ino: u64,
    /// Fixed part; its `fork_len` follows from `fork` only when the record is encoded.
    pub head: InodeRecord,
    /// Inline fork.
    pub fork: KVec<u8>,
    /// Inline extended attributes, carried along.
    xattrs: KVec<u8>,
}

impl Record {
    /// A new record without contents.
    pub fn new(ino: u64, head: InodeRecord) -> Self {
        Self {
            ino,
            head,
            fork: KVec::new(),
            xattrs: KVec::new(),
        }
    }

    /// Copies the tree's value for `ino`. Errors: `EFSCORRUPTED`, `ENOMEM`.
    pub fn decode(ino: u64, value: &[u8]) -> Result<Self> {
        let (head, rest) = InodeRecord::read_from_prefix(value).map_err(|_| EFSCORRUPTED)?;
        let fork_len = usize::from(head.fork_len.get());
        let (data, attrs) = rest.split_at_checked(fork_len).ok_or(EFSCORRUPTED)?;
        if attrs.len() != usize::from(head.xattr_len.get()) || rest.len() > INLINE_MAX {
            return Err(EFSCORRUPTED);
        }
        check_head(&head)?;
        let mut fork = KVec::new();
        fork.extend_from_slice(data, GFP_KERNEL)?;
        let mut xattrs = KVec::new();
        xattrs.extend_from_slice(attrs, GFP_KERNEL)?;
        Ok(Self {
            ino,
            head,
            fork,
            xattrs,
        })
    }

    /// The value for the inode tree. Errors: `ENOMEM`, `EFBIG` if the forks do not fit.
    pub fn encode(&mut self) -> Result<KVec<u8>> {
        if self.fork.len() + self.xattrs.len() > INLINE_MAX {
            return Err(EFBIG);
        }
        self.head.fork_len.set(self.fork.len() as u16);
        self.head.xattr_len.set(self.xattrs.len() as u16);
        let mut out =
            KVec::with_capacity(HEAD_SIZE + self.fork.len() + self.xattrs.len(), GFP_KERNEL)?;
        out.extend_from_slice(self.head.as_bytes(), GFP_KERNEL)?;
        out.extend_from_slice(&self.fork, GFP_KERNEL)?;
        out.extend_from_slice(&self.xattrs, GFP_KERNEL)?;
        Ok(out)
    }

    /// Attributes.
    pub fn inode(&self) -> Inode {
        let h = &self.head;
        Inode {
            ino: self.ino,
            attr: Attr {
                mode: h.mode.get(),
                uid: h.uid.get(),
                gid: h.gid.get(),
                nlink: h.nlink.get(),
                size: h.size.get(),
                atime: h.atime.into(),
                mtime: h.mtime.into(),
                ctime: h.ctime.into(),
                btime: h.btime.into(),
                generation: h.generation.get(),
                rdev: h.rdev.get(),
                flags: h.flags.get(),
                blocks: h.blocks.get(),
            },
        }
    }

    /// Type bits.
    pub fn file_type(&self) -> u16 {
        self.head.mode.get() & S_IFMT
    }

    /// Whether this is a directory.
    pub fn is_dir(&self) -> bool {
        self.file_type() == S_IFDIR
    }

    /// `DT_*` in the entries that name this inode.
    pub fn entry_kind(&self) -> u8 {
        entry_kind(self.head.mode.get())
    }

    /// Errors: `ENOTDIR`.
    pub fn must_be_dir(&self) -> Result {
        self.is_dir().then_some(()).ok_or(ENOTDIR)
    }

    /// Where the contents stand.
    pub fn fork_kind(&self) -> Result<ForkKind> {
        ForkKind::from_byte(self.head.fork).ok_or(EFSCORRUPTED)
    }

    /// Bytes that the inline fork may take.
    pub fn inline_room(&self) -> usize {
        INLINE_MAX - self.xattrs.len()
    }

    /// The fork's tree.
    pub fn tree(&self) -> Tree {
        Tree {
            root: self.head.fork_root.get(),
            level: self.head.fork_level,
            owner: self.ino,
        }
    }

    /// Remembers `tree` as the fork's tree.
    pub fn set_tree(&mut self, tree: &Tree) {
        self.head.fork = ForkKind::Tree as u8;
        self.head.fork_root.set(tree.root);
        self.head.fork_level = tree.level;
    }

    /// Makes the file `size` bytes large if it is smaller. Errors: `EFBIG`.
    pub fn grow(&mut self, size: u64) -> Result {
        if size > FILE_SIZE_MAX {
            return Err(EFBIG);
        }
        if size > self.head.size.get() {
            self.head.size.set(size);
        }
        Ok(())
    }

    /// Sets mtime and ctime.
    pub fn touch(&mut self, now: Time) {
        self.head.mtime = now.into();
        self.head.ctime = now.into();
    }
}

/// What holds of every record, whatever bytes the device gave.
fn check_head(h: &InodeRecord) -> Result {
    let mode = h.mode.get();
    let size = h.size.get();
    let fork = ForkKind::from_byte(h.fork).ok_or(EFSCORRUPTED)?;
    let fork_len = u64::from(h.fork_len.get());
    let times = [&h.atime, &h.mtime, &h.ctime, &h.btime];
    let fork_fits = match mode & S_IFMT {
        S_IFREG => matches!(fork, ForkKind::List | ForkKind::Tree) && size <= FILE_SIZE_MAX,
        S_IFDIR => matches!(fork, ForkKind::Inline | ForkKind::Tree) && h.parent.get() != 0,
        S_IFLNK => match fork {
            ForkKind::Inline => size == fork_len && size > 0,
            ForkKind::Chain => {
                size > 0
                    && size <= crate::format::SYMLINK_MAX as u64
                    && h.fork_root.get() != 0
                    && fork_len == 0
            }
            _ => false,
        },
        _ => fork == ForkKind::Inline && fork_len == 0 && size == 0,
    };
    if !known_type(mode)
        || !fork_fits
        || (fork == ForkKind::Tree && fork_len != 0)
        || h.nlink.get() > LINK_MAX
        || times.iter().any(|t| t.nsec.get() > NSEC_MAX)
    {
        return Err(EFSCORRUPTED);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
