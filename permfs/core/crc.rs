// SPDX-License-Identifier: GPL-2.0

//! CRC32C (Castagnoli, RFC 3720 appendix B.4), as iSCSI, ext4, XFS and btrfs use it.
//!
//! Slicing by eight with tables made at compile time. It serves the panic path too, so it neither
//! allocates nor uses vector registers, which a notifier may not touch.

const POLY: u32 = 0x82f6_3b78;

const fn make_tables() -> [[u32; 256]; 8] {
    let mut t = [[0u32; 256]; 8];
    let mut i = 0;
    while i < 256 {
        let mut c = i as u32;
        let mut k = 0;
        while k < 8 {
            c = if c & 1 != 0 { (c >> 1) ^ POLY } else { c >> 1 };
            k += 1;
        }
        t[0][i] = c;
        i += 1;
    }
    let mut s = 1;
    while s < 8 {
        let mut i = 0;
        while i < 256 {
            let prev = t[s - 1][i];
            t[s][i] = (prev >> 8) ^ t[0][(prev & 0xff) as usize];
            i += 1;
        }
        s += 1;
    }
    t
}

static TABLES: [[u32; 256]; 8] = make_tables();

#[inline(always)]
fn table(slice: usize, byte: u32) -> u32 {
    // Both indices are masked to the arrays' sizes: no bounds check, hence no panic, is left.
    TABLES[slice & 7][(byte & 0xff) as usize]
}

/// CRC32C of `data`, going on from `crc` (0 to start): `crc32c(crc32c(0, a), b)` is that of `a` then `b`.
pub fn crc32c(crc: u32, data: &[u8]) -> u32 {
    let mut c = !crc;
    let mut words = data.chunks_exact(8);
    for w in &mut words {
        let mut lo = [0u8; 4];
        let mut hi = [0u8; 4];
        for (dst, src) in lo.iter_mut().chain(hi.iter_mut()).zip(w) {
            *dst = *src;
        }
        let lo = u32::from_le_bytes(lo) ^ c;
        let hi = u32::from_le_bytes(hi);
        c = table(7, lo)
            ^ table(6, lo >> 8)
            ^ table(5, lo >> 16)
            ^ table(4, lo >> 24)
            ^ table(3, hi)
            ^ table(2, hi >> 8)
            ^ table(1, hi >> 16)
            ^ table(0, hi >> 24);
    }
    for &b in words.remainder() {
        c = (c >> 8) ^ table(0, c ^ u32::from(b));
    }
    !c
}

#[cfg(test)]
mod tests {
    use super::crc32c;

    #[test]
    fn rfc3720_vectors() {
        assert_eq!(crc32c(0, &[0u8; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(0, &[0xffu8; 32]), 0x62a8_ab43);
        let up: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c(0, &up), 0x46dd_794e);
        assert_eq!(crc32c(0, b"123456789"), 0xe306_9283);
    }

    #[test]
    fn pieces_equal_the_whole() {
        let data: Vec<u8> = (0..1000u32).map(|i| (i * 7 + 3) as u8).collect();
        let whole = crc32c(0, &data);
        for cut in [0, 1, 7, 8, 9, 500, 999, 1000] {
            assert_eq!(crc32c(crc32c(0, &data[..cut]), &data[cut..]), whole);
        }
    }
}
