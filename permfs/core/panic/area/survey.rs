// SPDX-License-Identifier: GPL-2.0

//! What a mount wants to know of the panic area.

use super::{Area, Found, Record, RecordKind, Scan, SlotState};
use crate::{crc::crc32c, device::BlockDevice};
use core::fmt::Write as _;
use kernel::{fmt, prelude::*};

/// Panics whose times a survey gives.
pub const RECENT: usize = 16;

/// The newest panic that the area tells of.
pub struct LastPanic {
    /// Its id, as in its lines.
    pub id: u32,
    /// Nanoseconds since 1970.
    pub wall_ns: u64,
    /// Its message, if the line with it is whole. Bytes of any kind; at the end some may be missing.
    pub message: Option<KVec<u8>>,
}

impl fmt::Display for LastPanic {
    /// One line, whatever bytes the message has.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.wall_ns / 1_000_000_000;
        write!(f, "panic {:08x}, {seconds} s after 1970", self.id)?;
        if let Some(message) = &self.message {
            f.write_str(": ")?;
            for piece in message.escape_ascii() {
                f.write_char(char::from(piece))?;
            }
        }
        Ok(())
    }
}

/// What a mount wants to know of the panic area.
pub struct Survey {
    /// The sequence that the next record gets.
    pub next_sequence: u64,
    /// The newest panic with breadcrumbs that were not erased.
    pub last: Option<LastPanic>,
    /// Times of the newest panics with breadcrumbs that were not erased, nanoseconds since 1970, newest
    /// first; 0: no more.
    pub recent: [u64; RECENT],
    /// Slots that the panic path will leave alone, for want of its signature or because they cannot be read.
    pub unsigned: u32,
}

impl Area {
    /// Looks at all heads, and at the newest panic's lines. Errors: `ENOMEM`; damage is none.
    pub fn survey<D: BlockDevice>(&self, dev: &D) -> Result<Survey> {
        let scan = self.scan(dev)?;
        let panics = || scan.heads.iter().rev().filter(|found| is_panic(found));
        let mut recent = [0; RECENT];
        for (place, found) in recent.iter_mut().zip(panics()) {
            *place = found.head.wall_ns;
        }
        let last = match panics().next() {
            Some(newest) => Some(LastPanic {
                id: newest.head.id,
                wall_ns: newest.head.wall_ns,
                message: self.read(dev, newest)?.message()?,
            }),
            None => None,
        };
        Ok(Survey {
            next_sequence: scan.next_sequence(),
            last,
            recent,
            unsigned: scan.unsigned(),
        })
    }
}

impl Scan {
    fn unsigned(&self) -> u32 {
        let bad = |s: &&SlotState| matches!(s, SlotState::Unsigned | SlotState::Unreadable);
        // Lossless: there are 1024 slots at most.
        self.states.iter().filter(bad).count() as u32
    }
}

fn is_panic(found: &Found) -> bool {
    found.head.kind == RecordKind::Breadcrumbs && !found.head.erased
}

impl Record {
    /// The panic's message, out of breadcrumbs. The line's own CRC decides whether it is believed, so that
    /// a torn record may have one too.
    pub fn message(&self) -> Result<Option<KVec<u8>>> {
        if self.head.kind != RecordKind::Breadcrumbs {
            return Ok(None);
        }
        for line in self.data.split(|&b| b == b'\n') {
            if let Some(text) = message_of(line) {
                return unescape(text).map(Some);
            }
        }
        Ok(None)
    }
}

/// The quoted text of a whole line of kind `msg`. No quoted text holds a quote, a `=` or a backslash that
/// is not an escape's, so what is found is no part of another field.
fn message_of(line: &[u8]) -> Option<&[u8]> {
    const CRC: &[u8] = b" crc=";
    let (body, tail) = line.split_at_checked(find(line, CRC)?)?;
    let digits: &[u8; 8] = tail.get(CRC.len()..)?.try_into().ok()?;
    let crc = digits
        .iter()
        .try_fold(0, |crc, &b| Some(crc << 4 | digit(b)?));
    if crc? != crc32c(0, body) {
        return None;
    }
    find(body, b" rec=msg ")?;
    const TEXT: &[u8] = b" text=\"";
    let text = body.get(find(body, TEXT)? + TEXT.len()..)?;
    text.get(..text.iter().position(|&b| b == b'"')?)
}

fn unescape(text: &[u8]) -> Result<KVec<u8>> {
    let mut out = KVec::with_capacity(text.len(), GFP_KERNEL)?;
    let mut rest = text;
    while let [b, tail @ ..] = rest {
        rest = tail;
        let mut byte = *b;
        if let (b'\\', [b'x', high, low, tail @ ..]) = (byte, rest) {
            if let (Some(high), Some(low)) = (digit(*high), digit(*low)) {
                // Lossless: both are below 16.
                byte = (high << 4 | low) as u8;
                rest = tail;
            }
        }
        out.push(byte, GFP_KERNEL)?;
    }
    Ok(out)
}

fn digit(hex: u8) -> Option<u32> {
    char::from(hex).to_digit(16)
}

fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    text.windows(needle.len()).position(|w| w == needle)
}
