// SPDX-License-Identifier: GPL-2.0

//! The fuzzer's bytes, one number after the other. At their end all numbers are zero.

/// What is left of the bytes.
pub struct Plan<'a>(pub &'a [u8]);

impl<'a> Plan<'a> {
    /// Whether nothing is left.
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// Up to `n` bytes.
    pub fn bytes(&mut self, n: usize) -> &'a [u8] {
        let (front, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        front
    }

    fn number<const N: usize>(&mut self) -> [u8; N] {
        let mut number = [0; N];
        let bytes = self.bytes(N);
        number[..bytes.len()].copy_from_slice(bytes);
        number
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        u8::from_le_bytes(self.number())
    }

    /// Two bytes.
    pub fn short(&mut self) -> u16 {
        u16::from_le_bytes(self.number())
    }

    /// Eight bytes.
    pub fn long(&mut self) -> u64 {
        u64::from_le_bytes(self.number())
    }

    /// A number below `n`, of two bytes.
    pub fn below(&mut self, n: usize) -> usize {
        usize::from(self.short()) % n.max(1)
    }
}
