// SPDX-License-Identifier: GPL-2.0

//! One line of the panic record, built without allocation and without `core::fmt`.
//!
//! The grammar is in `Documentation/panic-lines.md`. A field that does not fit is left out whole, a
//! quoted text is cut between two of its bytes, and either way the line says ` cut=1`: no line is ever
//! longer than [`LINE_MAX`], and every line ends with the CRC of what is in it.

use crate::crc::crc32c;

/// Bytes of the longest line, without the newline.
pub const LINE_MAX: usize = 199;

const MARK_CUT: &[u8] = b" cut=1";
const MARK_CRC: &[u8] = b" crc=";
/// What is kept free for ` cut=1 crc=XXXXXXXX`.
const TAIL: usize = MARK_CUT.len() + MARK_CRC.len() + 8;
const BODY_MAX: usize = LINE_MAX - TAIL;

/// A line under construction.
pub struct PanicLineBuffer {
    bytes: [u8; LINE_MAX],
    len: usize,
    limit: usize,
    cut: bool,
}

impl PanicLineBuffer {
    /// An empty line.
    #[inline(always)]
    pub const fn new() -> Self {
        Self {
            bytes: [0; LINE_MAX],
            len: 0,
            limit: BODY_MAX,
            cut: false,
        }
    }

    /// Begins the line of record kind `rec`, the `index`th of panic `id`; what was in the buffer goes.
    pub fn start(&mut self, rec: &'static str, id: u32, index: u32) -> &mut Self {
        self.len = 0;
        self.limit = BODY_MAX;
        self.cut = false;
        self.push_all(b"permfs-panic: v=1 rec=");
        self.push_all(rec.as_bytes());
        self.hex_u32("id", id).dec("i", index.into())
    }

    /// ` key=value`, value in decimal.
    pub fn dec(&mut self, key: &'static str, value: u64) -> &mut Self {
        self.field(key, |line| line.push_dec(value))
    }

    /// ` key=value`, value in decimal with a sign where it is negative.
    pub fn signed(&mut self, key: &'static str, value: i32) -> &mut Self {
        self.field(key, |line| {
            (value >= 0 || line.push(b'-')) && line.push_dec(value.unsigned_abs().into())
        })
    }

    /// ` key=1` or ` key=0`.
    pub fn flag(&mut self, key: &'static str, value: bool) -> &mut Self {
        self.dec(key, value.into())
    }

    /// ` key=XXXXXXXX`.
    pub fn hex_u32(&mut self, key: &'static str, value: u32) -> &mut Self {
        self.bytes(key, &value.to_be_bytes())
    }

    /// ` key=` and two hexadecimal digits a byte.
    pub fn bytes(&mut self, key: &'static str, value: &[u8]) -> &mut Self {
        self.field(key, |line| value.iter().all(|&b| line.push_hex(b)))
    }

    /// ` key=word`, for words of this program: letters, digits, `-` and `:`.
    pub fn word(&mut self, key: &'static str, value: &'static str) -> &mut Self {
        self.field(key, |line| line.push_all(value.as_bytes()))
    }

    /// ` key=word` for a word padded with zeroes; `none` if it is empty. What no word has becomes `-`.
    pub fn padded(&mut self, key: &'static str, value: &[u8]) -> &mut Self {
        let empty = value.first().is_none_or(|&b| b == 0);
        let word = if empty { b"none" } else { value };
        // Not `split`, whose counter is checked for overflow by a panic.
        let mut letters = word.iter().take_while(|&&b| b != 0);
        self.field(key, |line| {
            letters.all(|&b| {
                line.push(match b {
                    b'a'..=b'z' | b'0'..=b'9' | b':' => b,
                    _ => b'-',
                })
            })
        })
    }

    /// ` key="text"` for bytes of any origin. Whatever could end the quotes, the line or the field, or
    /// begin another, is written as `\xHH`; so is `=`, so that no text can hold what looks like a line.
    pub fn quoted(&mut self, key: &'static str, value: &[u8]) -> &mut Self {
        // Room for the closing quote is kept back, so that a text that was cut is still closed.
        self.limit = BODY_MAX - 1;
        let opened = self.field_with(key, |line| line.push(b'"'));
        if opened {
            for &b in value {
                let mark = self.len;
                if !self.push_escaped(b) {
                    self.len = mark;
                    self.cut = true;
                    break;
                }
            }
        }
        self.limit = BODY_MAX;
        if opened {
            self.push(b'"');
        }
        self
    }

    /// The whole line with its CRC, to be printed.
    pub fn finish(&mut self) -> &[u8] {
        self.limit = LINE_MAX;
        if self.cut {
            self.push_all(MARK_CUT);
        }
        let crc = crc32c(0, self.written());
        self.push_all(MARK_CRC);
        for b in crc.to_be_bytes() {
            self.push_hex(b);
        }
        self.written()
    }

    /// Whether something did not fit.
    pub fn was_cut(&self) -> bool {
        self.cut
    }

    fn written(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }

    /// ` key=` and what `value` writes, or nothing at all.
    fn field(&mut self, key: &'static str, value: impl FnOnce(&mut Self) -> bool) -> &mut Self {
        self.field_with(key, value);
        self
    }

    fn field_with(&mut self, key: &'static str, value: impl FnOnce(&mut Self) -> bool) -> bool {
        let mark = self.len;
        let fits =
            self.push(b' ') && self.push_all(key.as_bytes()) && self.push(b'=') && value(self);
        if !fits {
            self.len = mark;
            self.cut = true;
        }
        fits
    }

    fn push_escaped(&mut self, b: u8) -> bool {
        match b {
            b'"' | b'\\' | b'=' => self.push_all(b"\\x") && self.push_hex(b),
            b' '..=b'~' => self.push(b),
            _ => self.push_all(b"\\x") && self.push_hex(b),
        }
    }

    fn push_hex(&mut self, b: u8) -> bool {
        self.push(nibble(b >> 4)) && self.push(nibble(b & 15))
    }

    fn push_dec(&mut self, mut value: u64) -> bool {
        // 2^64 has 20 digits.
        let mut digits = [0u8; 20];
        let mut count = 0usize;
        for digit in digits.iter_mut().rev() {
            *digit = b'0'.wrapping_add((value % 10) as u8);
            count = count.wrapping_add(1);
            value /= 10;
            if value == 0 {
                break;
            }
        }
        let skip = digits.len().saturating_sub(count);
        digits.iter().skip(skip).all(|&d| self.push(d))
    }

    fn push_all(&mut self, bytes: &[u8]) -> bool {
        bytes.iter().all(|&b| self.push(b))
    }

    fn push(&mut self, b: u8) -> bool {
        if self.len >= self.limit {
            return false;
        }
        let Some(place) = self.bytes.get_mut(self.len) else {
            return false;
        };
        *place = b;
        self.len = self.len.wrapping_add(1);
        true
    }
}

impl Default for PanicLineBuffer {
    fn default() -> Self {
        Self::new()
    }
}

const fn nibble(n: u8) -> u8 {
    if n < 10 {
        b'0'.wrapping_add(n)
    } else {
        b'a'.wrapping_add(n.wrapping_sub(10))
    }
}
