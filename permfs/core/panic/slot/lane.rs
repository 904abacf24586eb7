// SPDX-License-Identifier: GPL-2.0

//! What a mount leaves for the panic lane: where the area is, which lane leads there, what was there.

use crate::panic::{
    area::{Area, Survey, RECENT},
    word::{Word, WORD_LEN},
};
use kernel::sync::atomic::{Atomic, Relaxed};

/// The lane to a volume's panic area, as a mount has found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneInfo {
    /// Its number, by which the panic handler asks for it; `None`: there is none.
    pub number: Option<u32>,
    /// How it collects what is in flight, or `none:<reason>`.
    pub collects: &'static str,
    /// How it writes, or `none:<reason>`.
    pub writes: &'static str,
}

/// The lane's facts in a volume's slot.
#[repr(C)]
pub(super) struct LaneFacts {
    start: Atomic<u64>,
    /// 0: no area is known.
    slots: Atomic<u32>,
    slot_blocks: Atomic<u32>,
    next_sequence: Atomic<u64>,
    collects: Word,
    writes: Word,
    recent: [Atomic<u64>; RECENT],
}

impl LaneFacts {
    pub(super) const fn new() -> Self {
        Self {
            start: Atomic::<u64>::new(0),
            slots: Atomic::<u32>::new(0),
            slot_blocks: Atomic::<u32>::new(0),
            next_sequence: Atomic::<u64>::new(0),
            collects: Word::new(),
            writes: Word::new(),
            recent: [const { Atomic::<u64>::new(0) }; RECENT],
        }
    }

    pub(super) fn reset(&self) {
        self.slots.store(0, Relaxed);
        self.set_ways("", "");
        for time in &self.recent {
            time.store(0, Relaxed);
        }
    }

    pub(super) fn set_ways(&self, collects: &str, writes: &str) {
        self.collects.set(collects.as_bytes());
        self.writes.set(writes.as_bytes());
    }

    pub(super) fn set_area(&self, area: &Area, survey: &Survey) {
        self.start.store(area.start, Relaxed);
        self.slot_blocks.store(area.slot_blocks, Relaxed);
        self.next_sequence.store(survey.next_sequence, Relaxed);
        for (place, time) in self.recent.iter().zip(survey.recent) {
            place.store(time, Relaxed);
        }
        self.slots.store(area.slots, Relaxed);
    }

    pub(super) fn area(&self, uuid: [u8; 16]) -> Option<Area> {
        let area = Area {
            start: self.start.load(Relaxed),
            slots: self.slots.load(Relaxed),
            slot_blocks: self.slot_blocks.load(Relaxed),
            uuid,
        };
        (area.slots != 0).then_some(area)
    }

    pub(super) fn collects(&self) -> [u8; WORD_LEN] {
        self.collects.get()
    }

    pub(super) fn writes(&self) -> [u8; WORD_LEN] {
        self.writes.get()
    }

    pub(super) fn take_sequence(&self) -> u64 {
        self.next_sequence.fetch_add(1u64, Relaxed)
    }

    pub(super) fn recent(&self) -> impl Iterator<Item = u64> + '_ {
        self.recent.iter().map(|time| time.load(Relaxed))
    }
}

#[cfg(test)]
mod layout {
    use super::LaneFacts;
    use core::mem::{offset_of, size_of};

    /// crash and drgn scripts depend on it: `Documentation/panic-path.md`, where 80 is to be added.
    #[test]
    fn facts_are_as_documented() {
        let offsets = [
            (offset_of!(LaneFacts, start), 0),
            (offset_of!(LaneFacts, slots), 8),
            (offset_of!(LaneFacts, slot_blocks), 12),
            (offset_of!(LaneFacts, next_sequence), 16),
            (offset_of!(LaneFacts, collects), 24),
            (offset_of!(LaneFacts, writes), 48),
            (offset_of!(LaneFacts, recent), 72),
            (size_of::<LaneFacts>(), 200),
        ];
        for (is, documented) in offsets {
            assert_eq!(is, documented);
        }
    }
}
