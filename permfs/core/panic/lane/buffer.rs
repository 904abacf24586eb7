// SPDX-License-Identifier: GPL-2.0

//! What a lane puts into its buffer: lines or data, and head, guard and tail around them.

use super::{Into, Lane, Stamp};
use crate::{
    crc::crc32c,
    format::{panic::*, *},
    panic::{area::Head, PanicDevices, PanicMachine},
};
use core::mem::offset_of;
use kernel::prelude::*;

/// Bytes that are zeroed or summed up at once.
const PIECE: usize = 128;
static ZEROS: [u8; PIECE] = [0; PIECE];

impl<D: PanicDevices, M: PanicMachine> Lane<'_, D, M> {
    fn stage(&self, at: usize, bytes: &[u8]) -> bool {
        self.devices.stage(self.number, at, bytes)
    }

    /// Where a tail is in the buffer.
    pub(super) fn tail_at(&self) -> usize {
        self.area.slot_bytes().saturating_sub(BLOCK_SIZE)
    }

    /// Adds a line, if there is room for all of it.
    pub(super) fn stage_line(&self, into: Into, line: &[u8]) {
        let (at, room) = match into {
            Into::Nothing => return,
            Into::Record => (BLOCK_SIZE, self.area.capacity()),
            Into::Tail => {
                let text = HEADER_SIZE.saturating_add(size_of::<PanicTail>());
                (self.tail_at().saturating_add(text), TAIL_TEXT_MAX)
            }
        };
        let at = at.saturating_add(self.progress().staged() as usize);
        let used = self.progress().staged() as usize;
        if used.saturating_add(line.len()) < room && self.stage(at, line) {
            let newline = at.saturating_add(line.len());
            if self.stage(newline, b"\n") {
                self.count(line);
                self.count(b"\n");
            }
        }
    }

    /// Adds data that is not a line. False if there is no room for all of it.
    pub(in crate::panic) fn stage_data(&self, data: &[u8]) -> bool {
        let fits = data.len() <= self.area.capacity() && self.stage(BLOCK_SIZE, data);
        if fits {
            self.count(data);
        }
        fits
    }

    fn count(&self, bytes: &[u8]) {
        let progress = self.progress();
        // Lossless: a slot has 1 MiB at most.
        let len = bytes.len() as u32;
        progress.set_staged(progress.staged().saturating_add(len));
        progress.set_crc(crc32c(progress.crc(), bytes));
    }

    /// Puts head, guard and padding around the data. Returns the bytes to write: whole blocks.
    pub(super) fn compose(&self, stamp: &Stamp, block: u64) -> Option<usize> {
        let progress = self.progress();
        let (sequence, len) = (progress.sequence(), progress.staged());
        let head = Head {
            kind: stamp.kind,
            erased: false,
            sequence,
            id: stamp.id,
            len,
            crc: progress.crc(),
            wall_ns: stamp.wall_ns,
            mono_ns: stamp.mono_ns,
            pstore: stamp.pstore,
        };
        let guard = PanicGuard {
            magic: GUARD_MAGIC.into(),
            len: len.into(),
            sequence: sequence.into(),
        };
        let at = BLOCK_SIZE.saturating_add(len as usize);
        let end = at.saturating_add(size_of::<PanicGuard>());
        let whole = end.saturating_add(BLOCK_SIZE - 1) & !(BLOCK_SIZE - 1);
        let composed = self.put_block(0, block, sequence, head.to_disk().as_bytes(), 0)
            && self.stage(at, guard.as_bytes())
            && self.zero(end, whole);
        composed.then_some(whole)
    }

    /// Makes a metadata block of the slot at `at` in the buffer: header, `payload`, `text` bytes that are
    /// there already, zeros.
    pub(super) fn put_block(
        &self,
        at: usize,
        block: u64,
        lsn: u64,
        payload: &[u8],
        text: usize,
    ) -> bool {
        let header = BlockHeader {
            magic: MAGIC.into(),
            kind: (Kind::PanicSlot as u16).into(),
            version: VERSION.into(),
            block: block.into(),
            lsn: lsn.into(),
            uuid: self.area.uuid,
            owner: OWNER_VOLUME.into(),
            ..BlockHeader::default()
        };
        let body = at.saturating_add(HEADER_SIZE);
        let end = at.saturating_add(BLOCK_SIZE);
        let rest = body.saturating_add(payload.len()).saturating_add(text);
        if !self.stage(at, header.as_bytes()) || !self.stage(body, payload) || !self.zero(rest, end)
        {
            return false;
        }
        let crc_at = at.saturating_add(offset_of!(BlockHeader, crc));
        self.crc_of_block(at)
            .is_some_and(|crc| self.stage(crc_at, &crc.to_le_bytes()))
    }

    /// Zeroes `[from, to)` of the buffer, at most a block.
    fn zero(&self, from: usize, to: usize) -> bool {
        let mut at = from;
        for _ in 0..BLOCK_SIZE / PIECE + 1 {
            let len = to.saturating_sub(at).min(PIECE);
            if len == 0 {
                return true;
            }
            if !ZEROS.get(..len).is_some_and(|zeros| self.stage(at, zeros)) {
                return false;
            }
            at = at.saturating_add(len);
        }
        false
    }

    fn crc_of_block(&self, at: usize) -> Option<u32> {
        let mut piece = [0; PIECE];
        let mut crc = 0;
        for n in 0..BLOCK_SIZE / PIECE {
            let place = at.saturating_add(n.saturating_mul(PIECE));
            if !self.devices.peek(self.number, place, &mut piece) {
                return None;
            }
            crc = crc32c(crc, &piece);
        }
        Some(crc)
    }
}
