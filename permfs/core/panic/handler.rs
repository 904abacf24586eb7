// SPDX-License-Identifier: GPL-2.0

//! The handler: what is done at a panic, in which order.

use super::record::{Outcome, Scene, Writer};
use super::report::Entry;
use super::{
    allocator_panic_report, drain_for_panic, After, Flush, PanicHalt, PanicLineBuffer, PanicLogger,
    PanicMachine, PanicQuiesce, PanicQuiesceResult, PanicReboot, PanicReport, PanicStrategy,
    SlotState, Stage, VolumeSlot, PERMFS_PANIC_REPORT, SLOTS, TASK_LEN,
};
use crate::crc::crc32c;
use kernel::prelude::*;

/// Volumes that get lines of their own. A serial console takes 7 ms for 80 bytes.
const VOLUMES_SHOWN: usize = 8;
/// Allocator events shown, of one volume and of all.
const EVENTS_PER_VOLUME: usize = 2;
const EVENTS_SHOWN: usize = 8;

/// The panic handler, bound to a platform.
pub struct PanicHooks<L, H, R, M> {
    logger: L,
    halt: H,
    reboot: R,
    machine: M,
    strategy: PanicStrategy,
    report: &'static PanicReport,
}

/// Installs the panic handler: to be done before the first mount. What is returned must be told of
/// panics by [`PanicHooks::notify`]; dropping it uninstalls.
///
/// Errors: `EBUSY` if hooks are installed already, for they own [`PERMFS_PANIC_REPORT`].
pub fn install_panic_hooks<L, H, R, M>(
    logger: L,
    halt: H,
    reboot: R,
    machine: M,
    strategy: PanicStrategy,
) -> Result<PanicHooks<L, H, R, M>>
where
    L: PanicLogger,
    H: PanicHalt,
    R: PanicReboot,
    M: PanicMachine,
{
    let parts = (logger, halt, reboot, machine);
    PanicHooks::install(parts, strategy, &PERMFS_PANIC_REPORT)
}

impl<L, H, R, M> PanicHooks<L, H, R, M>
where
    L: PanicLogger,
    H: PanicHalt,
    R: PanicReboot,
    M: PanicMachine,
{
    pub(super) fn install(
        (logger, halt, reboot, machine): (L, H, R, M),
        strategy: PanicStrategy,
        report: &'static PanicReport,
    ) -> Result<Self> {
        if !report.install(strategy) {
            return Err(EBUSY);
        }
        match strategy {
            PanicStrategy::Kernel => {}
            PanicStrategy::Halt => halt.chosen(),
            PanicStrategy::Reboot => reboot.chosen(),
        }
        Ok(Self {
            logger,
            halt,
            reboot,
            machine,
            strategy,
            report,
        })
    }

    /// The kernel panics with `message`; to be called once the other CPUs were stopped. Returns for the
    /// kernel to go on, unless the strategy is to halt or reboot there and then.
    pub fn notify(&self, message: &[u8]) {
        let cpu = self.machine.cpu();
        match self.report.enter(cpu) {
            Entry::First => self.handle(cpu, message),
            Entry::Nested(stage) => self.writer().nested(stage, cpu),
            Entry::Again => {}
        }
    }

    fn handle(&self, cpu: u32, message: &[u8]) {
        self.report.reach(Stage::Gate);
        let start = self.machine.now_ns();
        PanicQuiesce::panic_freeze(self.report.volumes());

        self.report.reach(Stage::Known);
        let mut writer = self.writer();
        let volumes = self.tell_known(&mut writer, cpu, start, message);

        self.report.reach(Stage::Drain);
        let result = self.drain(&mut writer);

        self.report.reach(Stage::Outcome);
        // The clock may step back; it is not to be told as five hundred years then.
        let end = self.machine.now_ns();
        self.report.finish(result.in_flight, end);
        writer.end(&Outcome {
            volumes,
            result,
            elapsed_ns: end.saturating_sub(start),
            reboots: self.reboots(),
        });

        self.report.reach(Stage::Stop);
        self.stop();
        self.report.reach(Stage::Done);
    }

    fn writer(&self) -> Writer<'_, L> {
        Writer {
            logger: &self.logger,
            report: self.report,
            line: PanicLineBuffer::new(),
        }
    }

    /// Prints what is known before anything risky; returns the number of mounted volumes.
    fn tell_known(&self, writer: &mut Writer<'_, L>, cpu: u32, start: u64, message: &[u8]) -> u32 {
        let mut task = [0; TASK_LEN];
        let scene = Scene {
            wall_ns: self.machine.wall_ns(),
            mono_ns: start,
            cpu,
            context: self.machine.context(),
            pid: self.machine.task(&mut task),
            task,
            strategy: self.strategy,
            timeout: self.machine.panic_timeout(),
        };
        self.report.begin(panic_id(&scene), scene.wall_ns, start);
        let in_slots = self.mounted().fold(0u32, |n, (_, slot)| {
            n.saturating_add(u32::from(in_use(slot)))
        });
        let volumes = in_slots.saturating_add(self.report.volumes().untracked());
        writer.begin(&scene, volumes);
        writer.message(message);

        let mut events_left = EVENTS_SHOWN;
        for (number, slot) in self.mounted().take(VOLUMES_SHOWN) {
            writer.volume(number, slot);
            if slot.state() == SlotState::Claimed {
                continue;
            }
            let report = allocator_panic_report(slot);
            writer.allocator(number, &report, slot.events().pushed());
            let newest = report.last_errors.iter().take(report.drained.events).rev();
            for event in newest.take(EVENTS_PER_VOLUME.min(events_left)) {
                writer.event(number, event);
                events_left = events_left.saturating_sub(1);
            }
        }
        volumes
    }

    /// Drains every volume and prints how far that went; returns the sum of it.
    fn drain(&self, writer: &mut Writer<'_, L>) -> PanicQuiesceResult {
        let table = self.report.volumes();
        let rest = drain_for_panic(table.overflow());
        let (mut all, mut drained) = (rest.in_flight, rest.drained);
        let (mut volumes_omitted, mut omitted) = (0u32, rest.in_flight);
        let mut shown = 0usize;
        for (number, slot) in self.mounted() {
            let result = drain_for_panic(slot.gate());
            all = all.saturating_add(result.in_flight);
            drained &= result.drained;
            if shown < VOLUMES_SHOWN {
                shown = shown.saturating_add(1);
                writer.drain(number, &result);
            } else {
                volumes_omitted = volumes_omitted.saturating_add(1);
                omitted = omitted.saturating_add(result.in_flight);
            }
        }
        let untracked = table.untracked();
        if volumes_omitted > 0 || untracked > 0 {
            writer.omitted(volumes_omitted, untracked, omitted);
        }
        PanicQuiesceResult {
            drained,
            in_flight: all,
            flush_issued: Flush::NotAttempted,
        }
    }

    /// Slots that are not free, with their numbers. No CPU but this one changes them any more.
    fn mounted(&self) -> impl Iterator<Item = (u32, &'static VolumeSlot)> {
        let slots = self.report.volumes().slots();
        // Not `enumerate`, whose counter is checked for overflow by a panic.
        (0..SLOTS as u32)
            .zip(slots)
            .filter(|(_, slot)| slot.state() != SlotState::Free)
    }

    /// Whether the machine will come up again by itself.
    fn reboots(&self) -> bool {
        match self.strategy {
            PanicStrategy::Kernel => self.machine.panic_timeout() != 0,
            PanicStrategy::Halt => false,
            PanicStrategy::Reboot => true,
        }
    }

    fn stop(&self) {
        let after = match self.strategy {
            PanicStrategy::Kernel => return,
            PanicStrategy::Halt => self.halt.halt(),
            PanicStrategy::Reboot => self.reboot.reboot(),
        };
        if after == After::Failed {
            // Not back to the kernel, which might run on where the operator wanted a stop.
            loop {
                self.machine.relax();
            }
        }
    }
}

impl<L, H, R, M> Drop for PanicHooks<L, H, R, M> {
    fn drop(&mut self) {
        self.report.uninstall();
    }
}

/// Whether the slot is a volume's: a retired one is not, though its I/O counts.
fn in_use(slot: &VolumeSlot) -> bool {
    slot.state() != SlotState::Retired
}

/// Tells the lines of one panic from those of another in the same log.
fn panic_id(scene: &Scene) -> u32 {
    let id = crc32c(0, &scene.wall_ns.to_le_bytes());
    let id = crc32c(id, &scene.mono_ns.to_le_bytes());
    crc32c(id, &scene.cpu.to_le_bytes())
}
