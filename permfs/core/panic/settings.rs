// SPDX-License-Identifier: GPL-2.0

//! What an operator may choose.

use super::{area::RECENT, PanicStrategy, VolumeTable};

/// Settings of the panic handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PanicSettings {
    /// How the machine stops.
    pub strategy: PanicStrategy,
    /// Milliseconds for drain, record and flush of all volumes together: 1 to 2000.
    pub deadline_ms: u32,
    /// Panics within [`PanicSettings::breaker_secs`] after which the machine still reboots, if it is to; one
    /// more halts. 0: it always reboots.
    pub breaker_count: u32,
    /// Seconds back in which panics count.
    pub breaker_secs: u32,
}

impl PanicSettings {
    /// What an operator who says nothing gets.
    pub const DEFAULT: Self = Self {
        strategy: PanicStrategy::Kernel,
        deadline_ms: 500,
        breaker_count: 5,
        breaker_secs: 600,
    };
    /// The longest deadline.
    pub const DEADLINE_MAX_MS: u32 = 2000;
    /// The most panics that a volume remembers.
    pub const BREAKER_MAX: u32 = RECENT as u32;

    /// The same, with what is out of range brought into it.
    pub fn clamped(self) -> Self {
        Self {
            deadline_ms: self.deadline_ms.clamp(1, Self::DEADLINE_MAX_MS),
            breaker_count: self.breaker_count.min(Self::BREAKER_MAX),
            ..self
        }
    }

    /// The panic-loop breaker: how many panics there were within the time set, this one at `wall_ns`
    /// included, if that is one too many for another reboot, `timeout` being the kernel's. The volume that remembers most decides.
    ///
    /// A time in the future counts like one as far in the past: the clock may have been set back.
    pub(super) fn breaks(&self, volumes: &VolumeTable, wall_ns: u64, timeout: i32) -> Option<u32> {
        if !self.strategy.reboots(timeout) || self.breaker_count == 0 {
            return None;
        }
        let reach = u64::from(self.breaker_secs).saturating_mul(1_000_000_000);
        let count = |slot: &super::VolumeSlot| {
            let near = slot
                .recent_panics()
                .filter(|&time| time.abs_diff(wall_ns) <= reach);
            near.fold(0u32, |n, _| n.saturating_add(1))
        };
        let most = volumes.slots().iter().map(count).fold(0, u32::max);
        let with_this = most.saturating_add(1);
        (with_this > self.breaker_count).then_some(with_this)
    }
}

impl Default for PanicSettings {
    fn default() -> Self {
        Self::DEFAULT
    }
}
