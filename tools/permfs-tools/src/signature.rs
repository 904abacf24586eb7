// SPDX-License-Identifier: GPL-2.0

//! What a device holds now, so that nobody's data is overwritten unasked.
//!
//! blkid(8) knows hundreds of formats and is asked first; where it is missing, a list of the most
//! common ones must do.

use std::{path::Path, process::Command};

use permfs_core::{device::BlockDevice, format::SECTOR_SIZE};

/// A magic number: what it means, where it is (negative: from the end), and its bytes.
struct Magic {
    name: &'static str,
    offset: i64,
    bytes: &'static [u8],
}

const fn magic(name: &'static str, offset: i64, bytes: &'static [u8]) -> Magic {
    Magic {
        name,
        offset,
        bytes,
    }
}

const MAGICS: &[Magic] = &[
    magic("PermFS filesystem", 0, b"PmFS"),
    magic("ext2/ext3/ext4 filesystem", 0x438, b"\x53\xef"),
    magic("XFS filesystem", 0, b"XFSB"),
    magic("btrfs filesystem", 0x1_0040, b"_BHRfS_M"),
    magic("F2FS filesystem", 0x400, b"\x10\x20\xf5\xf2"),
    magic(
        "bcachefs filesystem",
        0x1018,
        b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca",
    ),
    magic("NTFS filesystem", 3, b"NTFS    "),
    magic("exFAT filesystem", 3, b"EXFAT   "),
    magic("FAT filesystem", 0x52, b"FAT32   "),
    magic("FAT filesystem", 0x36, b"FAT16   "),
    magic("ISO 9660 filesystem", 0x8001, b"CD001"),
    magic("squashfs filesystem", 0, b"hsqs"),
    magic("EROFS filesystem", 0x400, b"\xe2\xe1\xf5\xe0"),
    magic("JFS filesystem", 0x8000, b"JFS1"),
    magic("ReiserFS filesystem", 0x1_0034, b"ReIsEr"),
    magic("swap space", 4096 - 10, b"SWAPSPACE2"),
    magic("LVM physical volume", 0x218, b"LVM2 001"),
    magic("LUKS encrypted device", 0, b"LUKS\xba\xbe"),
    magic("MD RAID member (1.2)", 0x1000, b"\xfc\x4e\x2b\xa9"),
    magic("MD RAID member (1.1)", 0, b"\xfc\x4e\x2b\xa9"),
    magic("GUID partition table", 0x200, b"EFI PART"),
    magic("backup of a GUID partition table", -0x200, b"EFI PART"),
    magic("partition table (DOS)", 0x1fe, b"\x55\xaa"),
];

/// What `dev`, opened from `path`, seems to hold.
pub fn probe<D: BlockDevice>(dev: &D, path: &Path) -> Option<String> {
    blkid(path).or_else(|| own(dev))
}

/// blkid's low-level probe: `TYPE` or `PTTYPE` of what it finds.
fn blkid(path: &Path) -> Option<String> {
    let found = ["blkid", "/sbin/blkid", "/usr/sbin/blkid"]
        .iter()
        .find_map(|program| {
            Command::new(program)
                .args(["-p", "-o", "export"])
                .arg(path)
                .output()
                .ok()
        })?;
    let text = String::from_utf8_lossy(&found.stdout);
    if let Some(kind) = text.lines().find_map(|line| line.strip_prefix("TYPE=")) {
        return Some(format!("{kind} filesystem or volume"));
    }
    if let Some(kind) = text.lines().find_map(|line| line.strip_prefix("PTTYPE=")) {
        return Some(format!("partition table ({kind})"));
    }
    // Status 8: several signatures that contradict each other.
    (found.status.code() == Some(8)).then(|| "several signatures".to_string())
}

fn own<D: BlockDevice>(dev: &D) -> Option<String> {
    let size = i64::try_from(dev.sectors().checked_mul(SECTOR_SIZE as u64)?).ok()?;
    MAGICS
        .iter()
        .find(|magic| holds(dev, size, magic))
        .map(|magic| magic.name.to_string())
}

/// Whether `magic` is there; what cannot be read holds nothing.
fn holds<D: BlockDevice>(dev: &D, size: i64, magic: &Magic) -> bool {
    let offset = if magic.offset < 0 {
        size + magic.offset
    } else {
        magic.offset
    };
    let end = offset + magic.bytes.len() as i64;
    if offset < 0 || end > size {
        return false;
    }
    let (sector, inside) = (
        offset as u64 / SECTOR_SIZE as u64,
        offset as usize % SECTOR_SIZE,
    );
    let mut buf = [0; SECTOR_SIZE];
    dev.read(sector, &mut buf).is_ok() && buf[inside..].starts_with(magic.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use permfs_hostdev::MemoryBlockDevice;

    #[test]
    fn each_magic_is_found_where_it_is() {
        for magic in MAGICS {
            let dev = MemoryBlockDevice::new(64);
            let size = 64 * 4096;
            let at = if magic.offset < 0 {
                size + magic.offset
            } else {
                magic.offset
            } as usize;
            let mut block = [0; 4096];
            block[at % 4096..at % 4096 + magic.bytes.len()].copy_from_slice(magic.bytes);
            dev.set_block(at as u64 / 4096, block);
            assert_eq!(own(&dev).as_deref(), Some(magic.name));
        }
    }

    #[test]
    fn small_and_empty_devices_hold_nothing() {
        assert_eq!(own(&MemoryBlockDevice::new(0)), None);
        assert_eq!(own(&MemoryBlockDevice::new(1)), None);
        assert_eq!(own(&MemoryBlockDevice::new(64)), None);
    }
}
