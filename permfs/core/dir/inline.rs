// SPDX-License-Identifier: GPL-2.0

//! Directory entries in the inode's record.
//!
//! Packed in the order in which they came, so that a new one changes only the bytes it takes. The area
//! grows by doubling, zeros at its end: then most insertions leave the record's length as it is, and
//! the tree that holds the record need not log it whole.

use super::{hash, valid_name, Entry, Found};
use crate::format::inode::InlineEntry;
use kernel::prelude::*;

/// Bytes of an entry without its name.
pub const HEAD: usize = size_of::<InlineEntry>();
/// Bytes of the smallest area.
const MIN_AREA: usize = 64;

/// Goes over the entries of an area; ends after an error.
pub struct Entries<'a> {
    rest: &'a [u8],
}

/// The entries of `area`, each checked by itself.
pub fn entries(area: &[u8]) -> Entries<'_> {
    Entries { rest: area }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let (head, rest) = InlineEntry::read_from_prefix(self.rest).ok()?;
        let ino = head.ino.get();
        if ino == 0 {
            self.rest = &[];
            return None;
        }
        let key = head.key.get();
        match rest.split_at_checked(usize::from(head.name_len)) {
            Some((name, rest))
                if valid_name(name) && (hash::KEY_MIN..i64::MAX as u64).contains(&key) =>
            {
                self.rest = rest;
                Some(Ok(Entry {
                    key,
                    ino,
                    kind: head.kind,
                    name,
                }))
            }
            _ => {
                self.rest = &[];
                Some(Err(EFSCORRUPTED))
            }
        }
    }
}

/// Looks for `name`, of which the hash is that of `base`.
pub fn find(area: &[u8], base: u64, name: &[u8]) -> Result<Option<Found>> {
    for e in entries(area) {
        let e = e?;
        if e.key / hash::COLLISIONS == base / hash::COLLISIONS && e.name == name {
            return Ok(Some(Found {
                key: e.key,
                ino: e.ino,
                kind: e.kind,
            }));
        }
    }
    Ok(None)
}

/// The entry with the smallest key that is not below `from`.
///
/// A pass over the area for each entry that readdir gives needs no memory, and the area is small.
pub fn at_or_after(area: &[u8], from: u64) -> Result<Option<Entry<'_>>> {
    let mut best: Option<Entry<'_>> = None;
    for e in entries(area) {
        let e = e?;
        if e.key >= from && best.is_none_or(|b| e.key < b.key) {
            best = Some(e);
        }
    }
    Ok(best)
}

/// Bytes in use at the start of `area`.
fn used(area: &[u8]) -> Result<usize> {
    entries(area).try_fold(0, |sum, e| Ok(sum + HEAD + e?.name.len()))
}

/// Where the entry with `key` starts, and its length.
fn place(area: &[u8], key: u64) -> Result<(usize, usize)> {
    let mut at = 0;
    for e in entries(area) {
        let e = e?;
        let len = HEAD + e.name.len();
        if e.key == key {
            return Ok((at, len));
        }
        at += len;
    }
    Err(ENOENT)
}

/// Appends `e` unless the area would grow over `room` bytes; says whether it did.
pub fn push(area: &mut KVec<u8>, room: usize, e: &Entry<'_>) -> Result<bool> {
    let start = used(area)?;
    let end = start + HEAD + e.name.len();
    if end > room {
        return Ok(false);
    }
    if end > area.len() {
        let larger = end.next_power_of_two().max(MIN_AREA).min(room);
        area.resize(larger, 0, GFP_KERNEL)?;
    }
    let head = InlineEntry {
        key: e.key.into(),
        ino: e.ino.into(),
        kind: e.kind,
        name_len: e.name.len() as u8,
    };
    let target = area.get_mut(start..end).ok_or(EFSCORRUPTED)?;
    let (head_bytes, name_bytes) = target.split_at_mut(HEAD);
    head_bytes.copy_from_slice(head.as_bytes());
    name_bytes.copy_from_slice(e.name);
    // What an area of garbage held behind the end must not turn into an entry.
    if let Some(tail) = area.get_mut(end..) {
        tail.fill(0);
    }
    Ok(true)
}

/// Takes out the entry with `key`. Errors: `ENOENT`, `EFSCORRUPTED`.
pub fn remove(area: &mut KVec<u8>, key: u64) -> Result {
    let (at, len) = place(area, key)?;
    let end = used(area)?;
    area.copy_within(at + len..end, at);
    let kept = end - len;
    if let Some(tail) = area.get_mut(kept..) {
        tail.fill(0);
    }
    // Half of it stays free, so that names that come and go do not change the record's length.
    if kept <= area.len() / 4 {
        area.truncate((kept * 2).next_power_of_two().max(MIN_AREA));
    }
    Ok(())
}

/// Points the entry with key `e.key` at `e.ino`. Errors: `ENOENT`, `EFSCORRUPTED`.
pub fn replace(area: &mut KVec<u8>, e: &Entry<'_>) -> Result {
    let (at, _) = place(area, e.key)?;
    let head = area.get_mut(at..at + HEAD).ok_or(EFSCORRUPTED)?;
    let head = InlineEntry::mut_from_bytes(head).map_err(|_| EFSCORRUPTED)?;
    head.ino.set(e.ino);
    head.kind = e.kind;
    Ok(())
}
