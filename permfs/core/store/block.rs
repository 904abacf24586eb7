// SPDX-License-Identifier: GPL-2.0

//! The header of a metadata block: stamping it and believing it.

use crate::{crc::crc32c, format::*};
use kernel::prelude::*;

/// A metadata block in memory, header and payload.
pub type Block = [u8; BLOCK_SIZE];

/// Where [`BlockHeader::crc`] is.
const CRC_AT: usize = core::mem::offset_of!(BlockHeader, crc);
const CRC_END: usize = CRC_AT + size_of::<u32>();

/// Gives `bytes` the header of block `block`. [`seal`] makes it complete when it is written.
pub fn stamp(bytes: &mut Block, kind: Kind, block: u64, owner: u64, uuid: &[u8; 16]) {
    let header = BlockHeader {
        magic: MAGIC.into(),
        kind: (kind as u16).into(),
        version: VERSION.into(),
        block: block.into(),
        uuid: *uuid,
        owner: owner.into(),
        ..BlockHeader::default()
    };
    bytes[..HEADER_SIZE].copy_from_slice(header.as_bytes());
}

/// Sets the LSN and, last, the CRC, in a copy that goes to the device.
pub fn seal(bytes: &mut Block, lsn: u64) {
    const LSN_AT: usize = core::mem::offset_of!(BlockHeader, lsn);
    bytes[LSN_AT..LSN_AT + size_of::<u64>()].copy_from_slice(&lsn.to_le_bytes());
    let crc = crc_of(bytes);
    bytes[CRC_AT..CRC_END].copy_from_slice(&crc.to_le_bytes());
}

/// The header of `bytes`.
pub fn header(bytes: &Block) -> Result<BlockHeader> {
    let (header, _) = BlockHeader::read_from_prefix(&bytes[..]).map_err(|_| EFSCORRUPTED)?;
    Ok(header)
}

/// Whether `bytes` claims to be block `block` of this volume, in this version of the format. The CRC
/// is not looked at: blocks in the log have none of their own.
pub fn is_claimed(bytes: &Block, block: u64, uuid: &[u8; 16]) -> bool {
    header(bytes).is_ok_and(|h| {
        h.magic.get() == MAGIC
            && h.version.get() == VERSION
            && h.block.get() == block
            && h.uuid == *uuid
    })
}

/// `EFSCORRUPTED` unless `bytes`, as read from the device, is block `block` of this volume and whole.
pub fn verify(bytes: &Block, block: u64, uuid: &[u8; 16]) -> Result {
    if is_claimed(bytes, block, uuid) && header(bytes)?.crc.get() == crc_of(bytes) {
        Ok(())
    } else {
        Err(EFSCORRUPTED)
    }
}

/// CRC of the block with the CRC field taken as zero.
fn crc_of(bytes: &Block) -> u32 {
    let crc = crc32c(crc32c(0, &bytes[..CRC_AT]), &[0; CRC_END - CRC_AT]);
    crc32c(crc, &bytes[CRC_END..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_caught() {
        let uuid = [9; 16];
        let mut block = [0u8; BLOCK_SIZE];
        stamp(&mut block, Kind::Node, 77, 5, &uuid);
        seal(&mut block, 1234);
        assert_eq!(verify(&block, 77, &uuid), Ok(()));
        assert_eq!(verify(&block, 78, &uuid), Err(EFSCORRUPTED));
        assert_eq!(verify(&block, 77, &[8; 16]), Err(EFSCORRUPTED));
        for bit in 0..BLOCK_SIZE * 8 {
            block[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(verify(&block, 77, &uuid), Err(EFSCORRUPTED), "bit {bit}");
            block[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
