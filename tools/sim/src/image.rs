// SPDX-License-Identifier: GPL-2.0

//! Contents of a disk, copied when they change: an image costs what differs from the one it came of.

use std::{collections::BTreeSet, rc::Rc};

/// Bytes in a sector.
pub const SECTOR: usize = 512;
/// Bytes in a block.
pub const BLOCK: usize = 4096;
/// Sectors in a block.
pub const PER_BLOCK: u64 = (BLOCK / SECTOR) as u64;

/// Contents of a disk.
#[derive(Clone)]
pub struct Image {
    blocks: Vec<Rc<[u8; BLOCK]>>,
    /// Sectors that read as an error until they are written.
    unreadable: BTreeSet<u64>,
}

impl Image {
    /// A disk of `blocks` blocks of zeroes.
    pub fn new(blocks: u64) -> Self {
        let zero = Rc::new([0; BLOCK]);
        Self {
            blocks: (0..blocks).map(|_| zero.clone()).collect(),
            unreadable: BTreeSet::new(),
        }
    }

    /// Size in sectors.
    pub fn sectors(&self) -> u64 {
        self.blocks.len() as u64 * PER_BLOCK
    }

    /// Reads sectors from `sector` on. False if they are not all there, or one of them cannot be read.
    pub fn read(&self, sector: u64, buf: &mut [u8]) -> bool {
        let end = sector + (buf.len() / SECTOR) as u64;
        if self.unreadable.range(sector..end).next().is_some() {
            return false;
        }
        for (at, piece) in (sector..).zip(buf.chunks_mut(SECTOR)) {
            let Some(bytes) = self.sector(at) else {
                return false;
            };
            piece.copy_from_slice(&bytes[..piece.len()]);
        }
        true
    }

    /// One sector.
    pub fn sector(&self, sector: u64) -> Option<&[u8]> {
        let block = self.blocks.get((sector / PER_BLOCK) as usize)?;
        let at = (sector % PER_BLOCK) as usize * SECTOR;
        Some(&block[at..at + SECTOR])
    }

    /// Makes sectors from `sector` on read as an error until they are written.
    pub fn spoil(&mut self, sector: u64, sectors: u64) {
        self.unreadable.extend(sector..sector + sectors);
    }

    /// Writes sectors from `sector` on, which must be there.
    pub fn write(&mut self, sector: u64, data: &[u8]) {
        if !self.unreadable.is_empty() {
            let end = sector + (data.len() / SECTOR) as u64;
            self.unreadable.retain(|s| !(sector..end).contains(s));
        }
        for (at, piece) in (sector..).zip(data.chunks(SECTOR)) {
            let block = Rc::make_mut(&mut self.blocks[(at / PER_BLOCK) as usize]);
            let at = (at % PER_BLOCK) as usize * SECTOR;
            block[at..at + piece.len()].copy_from_slice(piece);
        }
    }

    /// A number that differs, in all likelihood, where the contents differ from `base`'s.
    pub fn fingerprint(&self, base: &Image) -> u64 {
        let mut sum = 0u64;
        for sector in &self.unreadable {
            sum = sum.wrapping_add(hash(*sector, &[0xbd; 8]));
        }
        for (n, (block, old)) in self.blocks.iter().zip(&base.blocks).enumerate() {
            if !Rc::ptr_eq(block, old) {
                sum = sum.wrapping_add(hash(n as u64, &block[..]));
            }
        }
        sum
    }
}

/// 64-bit hash of `bytes`, of whole words only.
pub fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let mut h = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x51_7c_c1_b7_27_22_0a_95;
    for word in bytes.chunks_exact(8) {
        let word = u64::from_le_bytes(word.try_into().unwrap_or_default());
        h = (h ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
        h ^= h >> 32;
    }
    h
}
