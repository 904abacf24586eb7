// SPDX-License-Identifier: GPL-2.0

//! A device node or an image file.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, SeekFrom},
    os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt},
    path::Path,
};

use kernel::prelude::*;
use permfs_core::{
    device::{BlockDevice, Flushes, WriteFlags},
    format::{BLOCK_SIZE, SECTORS_PER_BLOCK, SECTOR_SIZE},
};
use rustix::fs::{fadvise, fallocate, ioctl_blksszget, Advice, FallocateFlags, OFlags};

use crate::checked_offset;

/// What a device is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Looking at it, mounted or not.
    Read,
    /// Changing it: refused with `EBUSY` while a device node is mounted or otherwise held.
    Exclusive,
}

/// A device node or an image file, through the page cache; a flush is an `fsync`.
pub struct FileBlockDevice {
    file: File,
    sectors: u64,
    sector_size: usize,
    read_only: bool,
    is_block: bool,
    flushes: Flushes,
}

impl FileBlockDevice {
    /// Opens `path`. Errors: what open(2) says; `InvalidInput` if it is neither a file nor a block device.
    pub fn open(path: &Path, mode: OpenMode) -> io::Result<Self> {
        let kind = std::fs::metadata(path)?.file_type();
        let is_block = kind.is_block_device();
        if !is_block && !kind.is_file() {
            let what = "neither a block device nor a regular file";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        let mut options = OpenOptions::new();
        options.read(true).write(mode == OpenMode::Exclusive);
        if is_block && mode == OpenMode::Exclusive {
            // On a device node, and without O_CREAT, it means: nobody else holds or mounts it.
            options.custom_flags(OFlags::EXCL.bits() as i32);
        }
        let mut file = options.open(path)?;
        if is_block {
            // A mounted filesystem writes past the page cache of its device: what an earlier reader left
            // there may be stale. Only advice: without it an old state is shown, and nothing worse.
            let _ = fadvise(&file, 0, None, Advice::DontNeed);
        }
        // BLKGETSIZE64 by another name, and it serves files too.
        let bytes = file.seek(SeekFrom::End(0))?;
        let sector_size = if is_block {
            ioctl_blksszget(&file)? as usize
        } else {
            SECTOR_SIZE
        };
        Ok(Self {
            file,
            sectors: bytes / SECTOR_SIZE as u64,
            sector_size,
            read_only: mode == OpenMode::Read,
            is_block,
            flushes: Flushes::new(),
        })
    }

    /// Whether it is a device node.
    pub fn is_block_device(&self) -> bool {
        self.is_block
    }
}

/// The kernel's error for an error of the host.
fn error(e: io::Error) -> Error {
    e.raw_os_error()
        .map_or(EIO, |errno| Error::from_errno(-errno))
}

impl BlockDevice for FileBlockDevice {
    fn sectors(&self) -> u64 {
        self.sectors
    }

    fn sector_size(&self) -> usize {
        self.sector_size
    }

    fn has_write_cache(&self) -> bool {
        true
    }

    fn has_fua(&self) -> bool {
        false
    }

    fn read_only(&self) -> bool {
        self.read_only
    }

    fn read(&self, sector: u64, buf: &mut [u8]) -> Result {
        let offset = checked_offset(sector, buf.len(), self.sectors)?;
        self.file.read_exact_at(buf, offset).map_err(error)
    }

    fn write(&self, sector: u64, buf: &[u8], flags: WriteFlags) -> Result {
        if self.read_only {
            return Err(EROFS);
        }
        let offset = checked_offset(sector, buf.len(), self.sectors)?;
        if flags.preflush {
            self.flush()?;
        }
        self.file.write_all_at(buf, offset).map_err(error)?;
        self.flushes.wrote();
        if flags.fua {
            self.flush()?;
        }
        Ok(())
    }

    fn write_blocks(&self, batch: &[(u64, &[u8])]) -> Result {
        for &(block, bytes) in batch {
            let sector = block.checked_mul(SECTORS_PER_BLOCK).ok_or(EIO)?;
            self.write(sector, bytes, WriteFlags::default())?;
        }
        Ok(())
    }

    fn needs_flush(&self) -> bool {
        self.flushes.pending()
    }

    fn flush(&self) -> Result {
        self.flushes.flush(|| self.file.sync_data().map_err(error))
    }

    fn discard(&self, block: u64, count: u64) -> Result {
        if self.read_only {
            return Err(EROFS);
        }
        let size = BLOCK_SIZE as u64;
        let (offset, len) = (
            block.checked_mul(size).ok_or(EINVAL)?,
            count.checked_mul(size).ok_or(EINVAL)?,
        );
        let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&self.file, how, offset, len).map_err(|e| error(e.into()))
    }
}
