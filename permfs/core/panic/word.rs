// SPDX-License-Identifier: GPL-2.0

//! Short texts in static memory, as words that are read and written without a lock.

use kernel::sync::atomic::{Atomic, Relaxed};

/// Bytes kept of a word: the name of a way, or of a reason.
pub const WORD_LEN: usize = 24;

/// A short word, padded with zeroes; all zero: none.
#[repr(transparent)]
pub(super) struct Word([Atomic<u64>; WORD_LEN / 8]);

impl Word {
    pub(super) const fn new() -> Self {
        Self([const { Atomic::<u64>::new(0) }; WORD_LEN / 8])
    }

    pub(super) fn set(&self, word: &[u8]) {
        pack(&self.0, word);
    }

    pub(super) fn get(&self) -> [u8; WORD_LEN] {
        let mut out = [0; WORD_LEN];
        unpack(&self.0, &mut out);
        out
    }
}

/// Stores `bytes`, cut or padded with zeroes to the words' size.
pub(super) fn pack(words: &[Atomic<u64>], bytes: &[u8]) {
    let mut rest = bytes.iter();
    for word in words {
        let mut le = [0u8; 8];
        for (to, from) in le.iter_mut().zip(&mut rest) {
            *to = *from;
        }
        word.store(u64::from_le_bytes(le), Relaxed);
    }
}

/// The other way round; `out` is cut likewise.
pub(super) fn unpack(words: &[Atomic<u64>], out: &mut [u8]) {
    for (to, word) in out.chunks_mut(8).zip(words) {
        for (to, from) in to.iter_mut().zip(word.load(Relaxed).to_le_bytes()) {
            *to = from;
        }
    }
}
