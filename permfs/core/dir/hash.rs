// SPDX-License-Identifier: GPL-2.0

//! Keyed hash of names: SipHash-2-4 (Aumasson and Bernstein, 2012).
//!
//! Keyed per volume, so that nobody who does not know the key can make names that collide.

/// Collision numbers of one hash.
pub const COLLISIONS: u64 = 128;
/// Smallest key of an entry; smaller cookies are free for `.` and `..`.
pub const KEY_MIN: u64 = 4096;
/// Largest key of an entry. The cookie behind it still is a positive `loff_t`.
pub const KEY_MAX: u64 = i64::MAX as u64 - COLLISIONS;

/// The volume's key for names.
#[derive(Clone, Copy)]
pub struct NameHash {
    k0: u64,
    k1: u64,
}

fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |w, &b| (w << 8) | u64::from(b))
}

fn rounds(v: &mut [u64; 4], count: usize) {
    let [mut a, mut b, mut c, mut d] = *v;
    for _ in 0..count {
        a = a.wrapping_add(b);
        b = b.rotate_left(13) ^ a;
        a = a.rotate_left(32);
        c = c.wrapping_add(d);
        d = d.rotate_left(16) ^ c;
        a = a.wrapping_add(d);
        d = d.rotate_left(21) ^ a;
        c = c.wrapping_add(b);
        b = b.rotate_left(17) ^ c;
        c = c.rotate_left(32);
    }
    *v = [a, b, c, d];
}

impl NameHash {
    /// Takes the super block's `hash_seed`.
    pub fn new(seed: &[u8; 16]) -> Self {
        let (lo, hi) = seed.split_at(8);
        Self {
            k0: word(lo),
            k1: word(hi),
        }
    }

    /// SipHash-2-4 of `data`.
    fn sip(&self, data: &[u8]) -> u64 {
        let mut v = [
            self.k0 ^ 0x736f_6d65_7073_6575,
            self.k1 ^ 0x646f_7261_6e64_6f6d,
            self.k0 ^ 0x6c79_6765_6e65_7261,
            self.k1 ^ 0x7465_6462_7974_6573,
        ];
        let mut absorb = |m: u64| {
            v[3] ^= m;
            rounds(&mut v, 2);
            v[0] ^= m;
        };
        let mut words = data.chunks_exact(8);
        for w in &mut words {
            absorb(word(w));
        }
        absorb(word(words.remainder()) | ((data.len() as u64) << 56));
        v[2] ^= 0xff;
        rounds(&mut v, 4);
        v[0] ^ v[1] ^ v[2] ^ v[3]
    }

    /// Key of the first of the [`COLLISIONS`] places where `name` may stand: 56 bits of hash << 7.
    pub fn base(&self, name: &[u8]) -> u64 {
        (self.sip(name) >> 8).clamp(KEY_MIN / COLLISIONS, KEY_MAX / COLLISIONS) * COLLISIONS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::Hasher;

    fn key() -> [u8; 16] {
        std::array::from_fn(|i| i as u8)
    }

    #[test]
    fn reference_vectors() {
        // vectors_sip64 of the reference implementation: inputs 00, 01, 02 ... of growing length.
        let h = NameHash::new(&key());
        let input: Vec<u8> = (0..15).collect();
        assert_eq!(h.sip(&[]), 0x726f_db47_dd0e_0e31);
        assert_eq!(h.sip(&input[..1]), 0x74f8_39c5_93dc_67fd);
        assert_eq!(h.sip(&input[..2]), 0x0d6c_8009_d9a9_4f5a);
        assert_eq!(h.sip(&input), 0xa129_ca61_49be_45e5);
    }

    #[test]
    #[allow(deprecated)]
    fn equals_the_standard_library_at_every_length() {
        let data: Vec<u8> = (0..255u32).map(|i| (i * 31 + 7) as u8).collect();
        let (k0, k1) = (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
        for len in 0..=data.len() {
            let mut std = std::hash::SipHasher::new_with_keys(k0, k1);
            std.write(&data[..len]);
            assert_eq!(
                NameHash::new(&key()).sip(&data[..len]),
                std.finish(),
                "length {len}"
            );
        }
    }

    #[test]
    fn keys_leave_room_for_dots_and_a_next_cookie() {
        let h = NameHash::new(&key());
        for i in 0..10_000u32 {
            let base = h.base(&i.to_le_bytes());
            assert!(base >= KEY_MIN && base % COLLISIONS == 0);
            assert!(i64::try_from(base + COLLISIONS).is_ok());
        }
    }
}
