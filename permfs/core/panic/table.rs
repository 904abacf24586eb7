// SPDX-License-Identifier: GPL-2.0

//! The static table of mounted volumes, and the guard by which a mount owns its entry.

use super::{
    area::{Area, Survey},
    Gate,
    LaneInfo,
    SlotState,
    VolumeSlot, //
};
use crate::alloc::Telemetry;
use kernel::sync::atomic::{Acquire, Atomic, Relaxed};

/// Volumes that the panic handler can tell of; further ones are gated and counted together.
pub const SLOTS: usize = 32;

/// The volumes of this kernel.
pub static VOLUMES: VolumeTable = VolumeTable::new();

/// A table of volumes.
#[repr(C)]
pub struct VolumeTable {
    slots: [VolumeSlot; SLOTS],
    /// Gate of all volumes that found no slot.
    overflow: Gate,
    /// How many those are.
    untracked: Atomic<u32>,
}

impl VolumeTable {
    /// All free.
    pub const fn new() -> Self {
        Self {
            slots: [const { VolumeSlot::new() }; SLOTS],
            overflow: Gate::new(),
            untracked: Atomic::<u32>::new(0),
        }
    }

    /// All slots, also the free ones.
    pub fn slots(&self) -> &[VolumeSlot; SLOTS] {
        &self.slots
    }

    /// Mounted volumes without a slot.
    pub fn untracked(&self) -> u32 {
        self.untracked.load(Acquire)
    }

    /// The gate of those.
    pub fn overflow(&self) -> &Gate {
        &self.overflow
    }
}

impl Default for VolumeTable {
    fn default() -> Self {
        Self::new()
    }
}

/// A mounted volume's hold on its slot, from the begin of the mount to the end of the unmount.
///
/// Without a free slot the mount goes on: the volume shares [`VolumeTable::overflow`], is counted as
/// untracked, and its allocator keeps counters of its own.
pub struct SlotGuard {
    table: &'static VolumeTable,
    slot: Option<&'static VolumeSlot>,
}

impl SlotGuard {
    /// Claims a slot of this kernel's table for a volume on device `name`. A UUID that is not known
    /// yet is zero: see [`SlotGuard::set_uuid`].
    pub fn claim(name: &[u8], uuid: &[u8; 16]) -> Self {
        Self::claim_in(&VOLUMES, name, uuid)
    }

    /// Claims a slot of any table.
    pub fn claim_in(table: &'static VolumeTable, name: &[u8], uuid: &[u8; 16]) -> Self {
        let slot = table.slots.iter().find(|s| s.claim(name, uuid));
        if slot.is_none() {
            table.untracked.fetch_add(1u32, Relaxed);
        }
        Self { table, slot }
    }

    /// The slot, if there was one.
    pub fn slot(&self) -> Option<&'static VolumeSlot> {
        self.slot
    }

    /// Number of that slot in the table.
    pub fn number(&self) -> Option<u32> {
        let slot = self.slot?;
        let at = |&(_, other): &(u32, &VolumeSlot)| core::ptr::eq(slot, other);
        let (number, _) = (0..SLOTS as u32).zip(&self.table.slots).find(at)?;
        Some(number)
    }

    /// Where the allocator puts counters and events.
    pub fn telemetry(&self) -> Option<Telemetry> {
        self.slot.map(VolumeSlot::telemetry)
    }

    /// The gate that every submission of the volume passes. It outlives the mount, so a completion
    /// may keep the reference.
    pub fn gate(&self) -> &'static Gate {
        self.slot.map_or(&self.table.overflow, VolumeSlot::gate)
    }

    /// The super block was read.
    pub fn set_uuid(&self, uuid: &[u8; 16]) {
        if let Some(slot) = self.slot {
            slot.set_uuid(uuid);
        }
    }

    /// The panic area was looked at: where it is, and what is in it.
    pub fn set_area(&self, area: &Area, survey: &Survey) {
        if let Some(slot) = self.slot {
            slot.set_area(area, survey);
        }
    }

    /// The lane to the panic area is there; or, without a number, it is not or not any more: to be told
    /// before the lane goes.
    pub fn set_lane(&self, info: &LaneInfo) {
        if let Some(slot) = self.slot {
            slot.set_lane(info);
        }
    }

    /// The mount is complete.
    pub fn mounted(&self) {
        self.set_state(SlotState::Mounted);
    }

    /// The unmount begins.
    pub fn unmounting(&self) {
        self.set_state(SlotState::Unmounting);
    }

    /// The volume refuses changes from now on.
    pub fn failed(&self) {
        self.set_state(SlotState::Failed);
    }

    /// The journal's epochs: the one that takes changes, and the newest that is durable. They are two
    /// words: a reader on another CPU may see one of them newer than the other.
    pub fn set_epochs(&self, running: u64, durable: u64) {
        if let Some(slot) = self.slot {
            slot.set_epochs(running, durable);
        }
    }

    fn set_state(&self, state: SlotState) {
        if let Some(slot) = self.slot {
            slot.set_state(state);
        }
    }
}

impl Drop for SlotGuard {
    fn drop(&mut self) {
        match self.slot {
            Some(slot) => slot.release(),
            None => {
                self.table.untracked.fetch_sub(1u32, Relaxed);
            }
        }
    }
}
