// SPDX-License-Identifier: GPL-2.0

//! One mounted volume, as the panic handler sees it: atomics in static memory.

#[cfg(permfs_panic)]
use super::progress::Progress;
use super::{
    area::{Area, Survey},
    word::{pack, unpack, WORD_LEN},
    Gate, //
};
use crate::alloc::{AllocCounters, EventRing, Telemetry, EVENTS};
use kernel::sync::atomic::{Acquire, Atomic, Full, Relaxed, Release};

mod lane;

use self::lane::LaneFacts;
pub use self::lane::LaneInfo;

/// [`VolumeSlot::lane`] is not there.
const NO_LANE: u32 = 0;

/// Bytes kept of a volume's name.
pub const NAME_LEN: usize = 32;

/// Where a volume is between mount and unmount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotState {
    /// Nobody's.
    Free,
    /// Being claimed: name and UUID are not yet to be believed.
    Claimed,
    /// Mount has begun: replay may be under way.
    Mounting,
    /// In use.
    Mounted,
    /// Unmount has begun.
    Unmounting,
    /// The volume has failed and refuses changes.
    Failed,
    /// Let go with I/O still counted, or with its gate closed: never used again.
    Retired,
}

impl SlotState {
    pub(super) const fn as_u32(self) -> u32 {
        match self {
            SlotState::Free => 0,
            SlotState::Claimed => 1,
            SlotState::Mounting => 2,
            SlotState::Mounted => 3,
            SlotState::Unmounting => 4,
            SlotState::Failed => 5,
            SlotState::Retired => 6,
        }
    }

    const fn from_u32(n: u32) -> Self {
        match n {
            0 => SlotState::Free,
            1 => SlotState::Claimed,
            2 => SlotState::Mounting,
            3 => SlotState::Mounted,
            4 => SlotState::Unmounting,
            5 => SlotState::Failed,
            _ => SlotState::Retired,
        }
    }

    /// Name as printed in panic lines.
    pub const fn name(self) -> &'static str {
        match self {
            SlotState::Free => "free",
            SlotState::Claimed => "claimed",
            SlotState::Mounting => "mounting",
            SlotState::Mounted => "mounted",
            SlotState::Unmounting => "unmounting",
            SlotState::Failed => "failed",
            SlotState::Retired => "retired",
        }
    }
}

/// An entry of the table of volumes.
///
/// The layout up to `events` is stable (`Documentation/panic-path.md`): crash and drgn read it.
#[repr(C)]
pub struct VolumeSlot {
    state: Atomic<u32>,
    /// Number of the lane, plus one.
    lane: Atomic<u32>,
    gate: Gate,
    name: [Atomic<u64>; NAME_LEN / 8],
    uuid: [Atomic<u64>; 2],
    running: Atomic<u64>,
    durable: Atomic<u64>,
    facts: LaneFacts,
    #[cfg(permfs_panic)]
    progress: Progress,
    /// That of the pieces of the kernel's log, which come between the record and its tail.
    #[cfg(permfs_panic)]
    log_progress: Progress,
    counters: AllocCounters,
    events: EventRing<EVENTS>,
}

impl VolumeSlot {
    /// A free slot.
    pub const fn new() -> Self {
        Self {
            state: Atomic::<u32>::new(0),
            lane: Atomic::<u32>::new(NO_LANE),
            gate: Gate::new(),
            name: [const { Atomic::<u64>::new(0) }; NAME_LEN / 8],
            uuid: [const { Atomic::<u64>::new(0) }; 2],
            running: Atomic::<u64>::new(0),
            durable: Atomic::<u64>::new(0),
            facts: LaneFacts::new(),
            #[cfg(permfs_panic)]
            progress: Progress::new(),
            #[cfg(permfs_panic)]
            log_progress: Progress::new(),
            counters: AllocCounters::new(),
            events: EventRing::new(),
        }
    }

    /// Where the volume is. Name and UUID are whole in every state but `Free` and `Claimed`.
    pub fn state(&self) -> SlotState {
        SlotState::from_u32(self.state.load(Acquire))
    }

    /// Gate and in-flight count.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Epoch that takes changes now; 0 before the journal is read.
    pub fn running_epoch(&self) -> u64 {
        self.running.load(Relaxed)
    }

    /// Newest epoch known to be durable.
    pub fn durable_epoch(&self) -> u64 {
        self.durable.load(Relaxed)
    }

    /// The volume's UUID; zero until the super block is read.
    pub fn uuid(&self) -> [u8; 16] {
        let mut out = [0; 16];
        unpack(&self.uuid, &mut out);
        out
    }

    /// The volume's name (of its device), padded with zeroes.
    pub fn name(&self) -> [u8; NAME_LEN] {
        let mut out = [0; NAME_LEN];
        unpack(&self.name, &mut out);
        out
    }

    /// Number of the lane to the volume's panic area.
    pub fn lane(&self) -> Option<u32> {
        // `NO_LANE` is 0.
        self.lane.load(Acquire).checked_sub(1)
    }

    /// How the lane collects what is in flight, or `none:<reason>`; empty: no lane was looked for yet.
    pub fn collects(&self) -> [u8; WORD_LEN] {
        self.facts.collects()
    }

    /// How the lane writes, or `none:<reason>`; empty: no lane was looked for yet.
    pub fn writes(&self) -> [u8; WORD_LEN] {
        self.facts.writes()
    }

    /// The panic area, if the mount has come so far as to read it.
    pub fn area(&self) -> Option<Area> {
        self.facts.area(self.uuid())
    }

    /// The area, if a record may be written there while the machine lives: the volume is mounted, a panic might
    /// write there too, and no oops has failed it.
    pub fn takes_records(&self) -> Option<Area> {
        let writes = self.writes();
        let fit = self.state() == SlotState::Mounted && !self.gate().is_closed();
        let lane = self.lane().is_some() && !writes.starts_with(b"none:");
        self.area()
            .filter(|area| fit && lane && area.capacity() > 0)
    }

    /// The sequence that the next record gets, taken: each is given out once, to who writes in a panic or before.
    pub fn take_sequence(&self) -> u64 {
        self.facts.take_sequence()
    }

    /// Panics that the area tells of, nanoseconds since 1970.
    pub fn recent_panics(&self) -> impl Iterator<Item = u64> + '_ {
        self.facts.recent().filter(|&time| time != 0)
    }

    /// How far the panic lane came.
    #[cfg(permfs_panic)]
    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// How far it came with the kernel's log.
    #[cfg(permfs_panic)]
    pub(super) fn log_progress(&self) -> &Progress {
        &self.log_progress
    }

    /// The allocator's counters.
    pub fn counters(&self) -> &AllocCounters {
        &self.counters
    }

    /// The allocator's events.
    pub fn events(&self) -> &EventRing<EVENTS> {
        &self.events
    }

    /// What an allocator of this volume writes to.
    pub fn telemetry(&'static self) -> Telemetry {
        Telemetry {
            counters: &self.counters,
            events: &self.events,
        }
    }

    /// Takes a free slot. One caller at a time wins; only it may call the rest.
    pub(super) fn claim(&self, name: &[u8], uuid: &[u8; 16]) -> bool {
        let (free, claimed) = (SlotState::Free.as_u32(), SlotState::Claimed.as_u32());
        if self.state.cmpxchg(free, claimed, Full).is_err() {
            return false;
        }
        // The gate is left as it is: open, or closed by a panic that has begun.
        pack(&self.name, name);
        pack(&self.uuid, uuid);
        self.set_epochs(0, 0);
        self.lane.store(NO_LANE, Release);
        self.facts.reset();
        #[cfg(permfs_panic)]
        self.progress.reset();
        #[cfg(permfs_panic)]
        self.log_progress.reset();
        self.counters.reset();
        self.events.reset();
        // Release: who sees `Mounting` sees the name.
        self.set_state(SlotState::Mounting);
        true
    }

    /// Gives the slot back, unless I/O is still counted in it, whose completion would be counted against
    /// the next volume, or an oops has closed its gate, which no volume opens again. An oops that comes
    /// later than this look makes the slot [`SlotState::Failed`], and nobody claims it then either.
    pub(super) fn release(&self) {
        self.lane.store(NO_LANE, Release);
        if self.gate.in_flight() == 0 && !self.gate.is_closed() {
            self.set_state(SlotState::Free);
        } else {
            self.set_state(SlotState::Retired);
        }
    }

    /// The lane is there, or is not any more: for the volume whose slot it is, whatever state that is in.
    /// The ways are for the panic lines.
    pub fn set_lane(&self, info: &LaneInfo) {
        self.lane.store(NO_LANE, Release);
        self.facts.set_ways(info.collects, info.writes);
        let lane = info.number.map_or(NO_LANE, |n| n.wrapping_add(1));
        // Release: who sees the lane sees its ways.
        self.lane.store(lane, Release);
    }

    pub(super) fn set_area(&self, area: &Area, survey: &Survey) {
        self.facts.set_area(area, survey);
    }

    /// The volume has gone and could not let go of the slot, which is not used again.
    pub fn retire(&self) {
        self.set_state(SlotState::Retired);
    }

    pub(super) fn set_state(&self, state: SlotState) {
        self.state.store(state.as_u32(), Release);
    }

    pub(super) fn set_uuid(&self, uuid: &[u8; 16]) {
        pack(&self.uuid, uuid);
    }

    pub(super) fn set_epochs(&self, running: u64, durable: u64) {
        self.running.store(running, Relaxed);
        self.durable.store(durable, Relaxed);
    }
}

impl Default for VolumeSlot {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod layout {
    use super::VolumeSlot;
    use core::mem::offset_of;

    /// crash and drgn scripts depend on it: `Documentation/panic-path.md`.
    #[test]
    fn the_slot_is_as_documented() {
        assert_eq!(offset_of!(VolumeSlot, state), 0);
        assert_eq!(offset_of!(VolumeSlot, gate), 8);
        assert_eq!(offset_of!(VolumeSlot, name), 16);
        assert_eq!(offset_of!(VolumeSlot, uuid), 48);
        assert_eq!(offset_of!(VolumeSlot, running), 64);
        assert_eq!(offset_of!(VolumeSlot, durable), 72);
        assert_eq!(offset_of!(VolumeSlot, lane), 4);
        assert_eq!(offset_of!(VolumeSlot, facts), 80);
        #[cfg(permfs_panic)]
        assert_eq!(offset_of!(VolumeSlot, progress), 280);
        #[cfg(permfs_panic)]
        assert_eq!(offset_of!(VolumeSlot, log_progress), 368);
        #[cfg(permfs_panic)]
        assert_eq!(offset_of!(VolumeSlot, counters), 456);
    }
}
