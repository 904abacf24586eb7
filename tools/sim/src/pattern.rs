// SPDX-License-Identifier: GPL-2.0

//! File data that says whose it is: file, place in the file, and the write that it came with.

use crate::image::SECTOR;

/// One write of a block: its number in the workload, from 1.
pub type WriteId = u32;

/// Sector `sector` of file `ino` as write `id` wrote it.
pub fn sector(ino: u64, sector: u64, id: WriteId) -> [u8; SECTOR] {
    let mut bytes = [0; SECTOR];
    let mut mix = ino
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(sector.wrapping_mul(0xd134_2543_de82_ef95))
        .wrapping_add(u64::from(id));
    for word in bytes.chunks_exact_mut(8) {
        mix = mix.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        word.copy_from_slice(&(mix ^ mix >> 29).to_le_bytes());
    }
    bytes[..8].copy_from_slice(b"simdata:");
    bytes[8..16].copy_from_slice(&ino.to_le_bytes());
    bytes[16..24].copy_from_slice(&sector.to_le_bytes());
    bytes[24..28].copy_from_slice(&id.to_le_bytes());
    bytes
}

/// Says in words what a sector holds.
pub fn describe(bytes: &[u8]) -> String {
    let word = |at: usize| {
        let bytes = bytes.get(at..at + 8).and_then(|b| b.try_into().ok());
        u64::from_le_bytes(bytes.unwrap_or_default())
    };
    if bytes.iter().all(|&b| b == 0) {
        "zeroes".into()
    } else if bytes.starts_with(b"simdata:") {
        let (ino, at, id) = (word(8), word(16), word(24) as WriteId);
        let torn = sector(ino, at, id) != bytes;
        let how = if torn { "torn " } else { "" };
        format!("{how}sector {at} of inode {ino} by write {id}")
    } else {
        format!("{:02x?}…, no file's data", &bytes[..bytes.len().min(8)])
    }
}
