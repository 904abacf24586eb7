// SPDX-License-Identifier: GPL-2.0

//! What the handler says, volume by volume.

use super::{
    super::{
        allocator_panic_report, drain_for_panic,
        lane::Into,
        record::{Scene, Writer},
        Deadline, Flush, PanicDevices, PanicHalt, PanicLogger, PanicMachine, PanicQuiesceResult,
        PanicReboot, SlotState, Stage, VolumeSlot, TASK_LEN,
    },
    InPanic,
};
use crate::alloc::AllocatorPanicReport;

/// Volumes that get lines of their own. A serial console takes 7 ms for 80 bytes.
const VOLUMES_SHOWN: usize = 8;
/// Allocator events shown, of one volume and of all.
const EVENTS_PER_VOLUME: usize = 2;
const EVENTS_SHOWN: usize = 8;

impl<L, H, R, M, D> InPanic<'_, L, H, R, M, D>
where
    L: PanicLogger,
    H: PanicHalt,
    R: PanicReboot,
    M: PanicMachine,
    D: PanicDevices,
{
    /// Prints what is known before anything risky.
    // Not inlined, here and below: the phases would add up on the stack.
    #[inline(never)]
    pub(super) fn tell_known(&self, cpu: u32, message: &[u8]) {
        let mut task = [0; TASK_LEN];
        let scene = Scene {
            wall_ns: self.report.wall_ns(),
            mono_ns: self.report.start_ns(),
            cpu,
            context: self.machine.context(),
            pid: self.machine.task(&mut task),
            task,
            strategy: self.settings.strategy,
            timeout: self.machine.panic_timeout(),
            deadline_ms: self.settings.deadline_ms,
            deferred: self.defers(),
        };
        let mut writer = self.writer(Into::Record);
        writer.begin(&scene, self.volumes());
        writer.message(message);
        writer.host(&scene);
        let volumes = self.report.volumes();
        if let Some(count) = self.settings.breaks(volumes, scene.wall_ns, scene.timeout) {
            self.report.set_breaker(count);
            writer.breaker(count, self.settings.breaker_secs);
        }

        let mut events_left = EVENTS_SHOWN;
        for (number, slot) in self.mounted().take(VOLUMES_SHOWN) {
            writer.volume(number, slot);
            if slot.state() != SlotState::Claimed {
                tell_allocator(&mut writer, number, slot, &mut events_left);
            }
        }
    }

    /// Prints where the code is that panicked. Last of what is known: a stack is walked for it.
    #[inline(never)]
    pub(super) fn tell_origin(&self) {
        if let Some(origin) = self.machine.origin() {
            self.writer(Into::Record).origin(&origin);
        }
    }

    /// Prints that the rest is left for later.
    #[inline(never)]
    pub(super) fn tell_deferred(&self) {
        self.writer(Into::Record).deferred();
    }

    /// Prints that the handler itself has panicked, in `stage`.
    #[inline(never)]
    pub(super) fn tell_nested(&self, stage: Stage, cpu: u32) {
        self.identify(cpu);
        self.writer(Into::Nothing).nested(stage, cpu);
    }

    /// Drains every volume and prints how far that went; returns the sum of it.
    #[inline(never)]
    pub(super) fn drain(&self, deadline: &mut Deadline) -> PanicQuiesceResult {
        let table = self.report.volumes();
        let result = drain_for_panic(table, self.devices, &self.machine, deadline);
        // The records are on the disks.
        let mut writer = self.writer(Into::Tail);
        let (mut volumes_omitted, mut omitted) = (0u32, table.overflow().in_flight());
        let mut shown = 0usize;
        for (number, slot) in self.mounted() {
            if shown < VOLUMES_SHOWN {
                shown = shown.saturating_add(1);
                writer.drain(number, slot);
            } else {
                volumes_omitted = volumes_omitted.saturating_add(1);
                omitted = omitted.saturating_add(slot.gate().in_flight());
            }
        }
        let untracked = table.untracked();
        if volumes_omitted > 0 || untracked > 0 {
            writer.omitted(volumes_omitted, untracked, omitted);
        }
        result
    }

    /// Prints what became of every volume's record; returns what became of all their flushes.
    #[inline(never)]
    pub(super) fn tell_lanes(&self) -> Flush {
        let mut writer = self.writer(Into::Tail);
        for (number, slot) in self.mounted().take(VOLUMES_SHOWN) {
            writer.lane(number, slot);
        }
        let flushes = self.mounted().map(|(_, slot)| slot.progress().flush());
        let all = flushes.fold(None, |all: Option<Flush>, flush| {
            Some(all.map_or(flush, |all| all.and(flush)))
        });
        let all = all.unwrap_or(Flush::NotAttempted);
        if self.report.volumes().untracked() > 0 {
            all.and(Flush::NotAttempted)
        } else {
            all
        }
    }
}

#[inline(never)]
fn tell_allocator<L: PanicLogger, D: PanicDevices, M: PanicMachine>(
    writer: &mut Writer<'_, L, D, M>,
    number: u32,
    slot: &VolumeSlot,
    events_left: &mut usize,
) {
    let mut report = AllocatorPanicReport::EMPTY;
    allocator_panic_report(slot, &mut report);
    writer.allocator(number, &report, slot.events().pushed());
    let newest = report.last_errors.iter().take(report.drained.events).rev();
    for event in newest.take(EVENTS_PER_VOLUME.min(*events_left)) {
        writer.event(number, event);
        *events_left = events_left.saturating_sub(1);
    }
}
