// SPDX-License-Identifier: GPL-2.0

//! The handler: what is done at a panic, in which order.

use super::deadline::{FOR_ACCOUNT, FOR_ALL, FOR_FLUSH};
use super::lane::{self, Into, Lanes, Stamp};
use super::record::{Outcome, Writer};
use super::report::{id_of, Entry};
use super::{
    area::{PstoreMeta, RecordKind},
    After, Context, Deadline, PanicDevices, PanicHalt, PanicLineBuffer, PanicLogger, PanicMachine,
    PanicQuiesce, PanicReboot, PanicReport, PanicSettings, PanicStrategy, SlotState, Stage,
    VolumeSlot, PERMFS_PANIC_REPORT, SLOTS,
};
use core::ops::Deref;
use kernel::prelude::*;

mod log;
mod tell;

const NS_PER_MS: u64 = 1_000_000;

/// The panic handler, bound to a platform.
pub struct PanicHooks<L, H, R, M> {
    logger: L,
    halt: H,
    reboot: R,
    machine: M,
    settings: PanicSettings,
    report: &'static PanicReport,
}

/// The panic handler inside a panic, with the devices that can be used only there.
pub struct InPanic<'a, L, H, R, M, D> {
    hooks: &'a PanicHooks<L, H, R, M>,
    devices: &'a D,
}

impl<L, H, R, M, D> Deref for InPanic<'_, L, H, R, M, D> {
    type Target = PanicHooks<L, H, R, M>;

    #[inline(always)]
    fn deref(&self) -> &Self::Target {
        self.hooks
    }
}

/// Installs the panic handler: to be done before the first mount. What is returned must be told of
/// panics by [`InPanic::notify`]; dropping it uninstalls.
///
/// Errors: `EBUSY` if hooks are installed already, for they own [`PERMFS_PANIC_REPORT`].
pub fn install_panic_hooks<L, H, R, M>(
    logger: L,
    halt: H,
    reboot: R,
    machine: M,
    settings: PanicSettings,
) -> Result<PanicHooks<L, H, R, M>>
where
    L: PanicLogger,
    H: PanicHalt,
    R: PanicReboot,
    M: PanicMachine,
{
    let parts = (logger, halt, reboot, machine);
    PanicHooks::install_in(&PERMFS_PANIC_REPORT, parts, settings)
}

impl<L, H, R, M> PanicHooks<L, H, R, M>
where
    L: PanicLogger,
    H: PanicHalt,
    R: PanicReboot,
    M: PanicMachine,
{
    /// [`install_panic_hooks`] with any report, and so any table of volumes.
    pub fn install_in(
        report: &'static PanicReport,
        (logger, halt, reboot, machine): (L, H, R, M),
        settings: PanicSettings,
    ) -> Result<Self> {
        if !report.install(settings.strategy) {
            return Err(EBUSY);
        }
        match settings.strategy {
            PanicStrategy::Kernel => {}
            PanicStrategy::Halt => halt.chosen(),
            PanicStrategy::Reboot => reboot.chosen(),
        }
        Ok(Self {
            logger,
            halt,
            reboot,
            machine,
            settings: settings.clamped(),
            report,
        })
    }

    /// Whether [`InPanic::notify`] is only to gate and to say what is known, with the records to come in
    /// [`InPanic::finish_deferred`], too: another pstore backend is there, and nothing that could hang
    /// may come before what it keeps. Context: any.
    pub fn defer(&self, deferred: bool) {
        self.report.set_deferred(deferred);
    }

    /// Bytes of data that [`InPanic::write_log`] takes at most: what the largest slots of the volumes
    /// with a working lane hold; 0: there is none. Context: any.
    pub fn log_capacity(&self) -> usize {
        let slots = self.report.volumes().slots().iter();
        let areas = slots.filter_map(|slot| lane::of(slot).map(|(_, area)| area.capacity()));
        areas.fold(0, usize::max)
    }

    /// The kernel panics: this is what can be done then, `devices` being those of that moment.
    pub fn in_panic<'a, D: PanicDevices>(&'a self, devices: &'a D) -> InPanic<'a, L, H, R, M, D> {
        InPanic {
            hooks: self,
            devices,
        }
    }
}

impl<L, H, R, M, D> InPanic<'_, L, H, R, M, D>
where
    L: PanicLogger,
    H: PanicHalt,
    R: PanicReboot,
    M: PanicMachine,
    D: PanicDevices,
{
    /// The kernel panics with `message`; to be called once the other CPUs were stopped. Returns for the
    /// kernel to go on, unless the strategy is to halt or reboot there and then.
    pub fn notify(&self, message: &[u8]) {
        let cpu = self.machine.cpu();
        match self.report.enter(cpu) {
            Entry::First => self.handle(cpu, message),
            Entry::Nested(stage) => {
                self.tell_nested(stage, cpu);
                // The strategy stands, and the breaker's word, if that was given.
                self.stop();
            }
            Entry::Again => {}
        }
    }

    /// Does what [`InPanic::notify`] has left for later, on the same CPU; nothing if it left nothing.
    /// To be called by a kmsg dumper that comes after those of others.
    pub fn finish_deferred(&self) {
        let stage = self.report.stage();
        if !self.report.is_owner(self.machine.cpu()) {
            return;
        }
        if stage == Stage::Deferred {
            self.record();
        }
        if matches!(stage, Stage::Deferred | Stage::Recorded) {
            self.finish();
        }
    }

    fn handle(&self, cpu: u32, message: &[u8]) {
        self.reach(Stage::Gate);
        self.identify(cpu);
        PanicQuiesce::panic_freeze(self.report.volumes());

        self.reach(Stage::Known);
        self.tell_known(cpu, message);
        self.tell_origin();
        let later = self.defers();
        if later {
            self.tell_deferred();
        }
        if later && self.report.is_deferred() {
            self.reach(Stage::Deferred);
            return;
        }
        self.record();
        if later {
            self.reach(Stage::Recorded);
        } else {
            self.finish();
        }
    }

    /// Gives the panic its times and, of these, the id that all its lines carry; once. It comes first, so that
    /// the line of a panic within the handler has it too; and if that came of the clocks, then with that line.
    fn identify(&self, cpu: u32) {
        if self.report.id() == 0 {
            let (start, wall) = (self.machine.now_ns(), self.machine.wall_ns());
            self.report.begin(id_of(wall, start, cpu), wall, start);
        }
    }

    /// Writes what was said so far to every volume, and flushes it. Nothing of what others have in flight
    /// ends in that. The time for the disk begins here: what was printed before took time of its own.
    fn record(&self) {
        self.reach(Stage::Lane);
        let limit = u64::from(self.settings.deadline_ms).saturating_mul(NS_PER_MS);
        let mut deadline = self.deadline(limit);
        let stamp = self.stamp(RecordKind::Breadcrumbs, PstoreMeta::default());
        let lanes = self.lanes();
        lanes.make_room(&mut deadline);
        lanes.begin();
        lanes.run_or_give_up(&stamp, &mut deadline, FOR_ACCOUNT);
        self.report
            .set_left_ns(deadline.left_ns(self.machine.now_ns()));
    }

    /// Collects what was in flight, flushes again, says how all went, and stops; in the time that the
    /// records have left.
    fn finish(&self) {
        let mut deadline = self.deadline(self.report.left_ns());
        self.reach(Stage::Drain);
        let mut result = self.drain(&mut deadline);

        self.reach(Stage::Flush);
        let stamp = self.stamp(RecordKind::Breadcrumbs, PstoreMeta::default());
        let lanes = self.lanes();
        lanes.begin_flushes();
        lanes.run_or_give_up(&stamp, &mut deadline, FOR_FLUSH);

        self.reach(Stage::Outcome);
        result.flush_issued = self.tell_lanes();
        // The clock may step back; it is not to be told as five hundred years then.
        let end = self.machine.now_ns();
        self.report.finish(&result, end);
        self.writer(Into::Tail).end(&Outcome {
            volumes: self.volumes(),
            result,
            elapsed_ns: end.saturating_sub(self.report.start_ns()),
            reboots: self.reboots(),
        });
        if deadline.turn(self.machine.now_ns(), 0, FOR_ALL) {
            lanes.begin_tails();
            lanes.run(&stamp, &mut deadline, FOR_ALL);
        }

        self.reach(Stage::Stop);
        self.stop();
        self.reach(Stage::Done);
    }

    /// Begins with `stage`, which is stored before anything of it is done.
    fn reach(&self, stage: Stage) {
        self.report.reach(stage);
        self.machine.reached(stage);
    }

    /// So much time from now on.
    fn deadline(&self, limit_ns: u64) -> Deadline {
        let deadline = Deadline::new(self.machine.now_ns(), limit_ns);
        self.report.set_deadline_ns(deadline.end_ns());
        deadline
    }

    fn lanes(&self) -> Lanes<'_, D, M> {
        Lanes {
            volumes: self.report.volumes(),
            devices: self.devices,
            machine: &self.machine,
            log: false,
        }
    }

    // In place: a line is the larger part of a frame.
    #[inline(always)]
    fn writer(&self, into: Into) -> Writer<'_, L, D, M> {
        Writer {
            logger: &self.logger,
            lanes: self.lanes(),
            report: self.report,
            into,
            line: PanicLineBuffer::new(),
        }
    }

    fn stamp(&self, kind: RecordKind, pstore: PstoreMeta) -> Stamp {
        Stamp {
            kind,
            id: self.report.id(),
            wall_ns: self.report.wall_ns(),
            mono_ns: self.report.start_ns(),
            pstore,
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

    /// Whether a part is left for a kmsg dumper: what could hang. Nothing could without any device to
    /// ask, nor in an NMI, where lanes refuse all that takes a lock which others take.
    fn defers(&self) -> bool {
        let nmi = self.machine.context().0 & Context::NMI != 0;
        !nmi && self.mounted().any(|(_, slot)| slot.lane().is_some())
    }

    /// Volumes that are mounted or on their way.
    fn volumes(&self) -> u32 {
        let in_slots = self.mounted().fold(0u32, |n, (_, slot)| {
            n.saturating_add(u32::from(in_use(slot)))
        });
        in_slots.saturating_add(self.report.volumes().untracked())
    }

    /// What is done at the end: the strategy, unless the panic-loop breaker has spoken.
    fn strategy(&self) -> PanicStrategy {
        if self.report.is_broken() {
            PanicStrategy::Halt
        } else {
            self.settings.strategy
        }
    }

    /// Whether the machine will come up again by itself.
    fn reboots(&self) -> bool {
        self.strategy().reboots(self.machine.panic_timeout())
    }

    fn stop(&self) {
        let after = match self.strategy() {
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
