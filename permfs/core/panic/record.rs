// SPDX-License-Identifier: GPL-2.0

//! The kinds of panic lines: which keys each has, and in which order.
//!
//! `Documentation/panic-lines.md` is the grammar; `permfs panic` is the reader. What a reader can do
//! least without comes first in a line, text of unknown length last.

use super::{
    lane::{self, Into, Lanes},
    Context, Flush, Host, LaneResult, Origin, PanicDevices, PanicLineBuffer, PanicLogger,
    PanicMachine, PanicQuiesceResult, PanicReport, PanicStrategy, SlotState, Stage, VolumeSlot,
    TASK_LEN,
};
use crate::alloc::{AllocatorPanicReport, Event};

/// The text before the padding.
fn text(padded: &[u8]) -> &[u8] {
    padded.split(|&b| b == 0).next().unwrap_or(&[])
}

/// Where and when the panic happened.
pub(super) struct Scene {
    pub(super) wall_ns: u64,
    pub(super) mono_ns: u64,
    pub(super) cpu: u32,
    pub(super) context: Context,
    pub(super) pid: i32,
    pub(super) task: [u8; TASK_LEN],
    pub(super) strategy: PanicStrategy,
    pub(super) timeout: i32,
    pub(super) deadline_ms: u32,
    pub(super) deferred: bool,
}

/// The last line.
pub(super) struct Outcome {
    pub(super) volumes: u32,
    pub(super) result: PanicQuiesceResult,
    pub(super) elapsed_ns: u64,
    pub(super) reboots: bool,
}

/// Writes numbered lines of one panic: to the log, and to what the lanes will write.
pub(super) struct Writer<'a, L, D, M> {
    pub(super) logger: &'a L,
    pub(super) lanes: Lanes<'a, D, M>,
    pub(super) report: &'a PanicReport,
    pub(super) into: Into,
    pub(super) line: PanicLineBuffer,
}

impl<L: PanicLogger, D: PanicDevices, M: PanicMachine> Writer<'_, L, D, M> {
    fn start(&mut self, rec: &'static str) -> &mut PanicLineBuffer {
        let index = self.report.next_line();
        self.line.start(rec, self.report.id(), index)
    }

    fn print(&mut self) {
        let line = self.line.finish();
        self.logger.print_line(line);
        self.lanes.stage_line(self.into, line);
    }

    pub(super) fn begin(&mut self, scene: &Scene, volumes: u32) {
        self.start("begin")
            .dec("wall", scene.wall_ns)
            .dec("mono", scene.mono_ns)
            .dec("cpu", scene.cpu.into())
            .word("ctx", scene.context.name())
            .word("strategy", scene.strategy.name())
            .signed("timeout", scene.timeout)
            .dec("vols", volumes.into())
            .signed("pid", scene.pid)
            .quoted("comm", text(&scene.task));
        self.print();
    }

    pub(super) fn message(&mut self, message: &[u8]) {
        self.start("msg").quoted("text", message);
        self.print();
    }

    pub(super) fn host(&mut self, scene: &Scene) {
        self.start("host")
            .flag("defer", scene.deferred)
            .dec("deadline", scene.deadline_ms.into());
        for (key, what) in [
            ("release", Host::Release),
            ("machine", Host::Machine),
            ("node", Host::Node),
        ] {
            let value = self.lanes.machine.host(what);
            self.line.quoted(key, text(&value));
        }
        self.print();
    }

    pub(super) fn origin(&mut self, origin: &Origin) {
        self.start("origin")
            .word("of", if origin.faulted { "fault" } else { "call" })
            .bytes("ip", &origin.address.to_be_bytes())
            .quoted("at", text(&origin.symbol));
        self.print();
    }

    pub(super) fn volume(&mut self, number: u32, slot: &VolumeSlot) {
        let state = slot.state();
        self.start("vol")
            .dec("slot", number.into())
            .word("state", state.name())
            .dec("inflight", slot.gate().in_flight().into())
            .dec("run", slot.running_epoch())
            .dec("dur", slot.durable_epoch());
        // A slot that is just being claimed still has a part of the last volume's name.
        if state != SlotState::Claimed {
            self.line
                .bytes("uuid", &slot.uuid())
                .quoted("name", text(&slot.name()));
        }
        self.print();
    }

    pub(super) fn allocator(&mut self, number: u32, report: &AllocatorPanicReport, events: u64) {
        self.start("alloc")
            .dec("slot", number.into())
            .dec("shards", report.shards_total)
            .dec("pressure", report.shards_with_pressure)
            .dec("free", report.free_blocks)
            .dec("reserved", report.reserved)
            .dec("failed", report.alloc_failed)
            .dec("dfree", report.double_frees)
            .dec("events", events)
            .dec("torn", report.drained.torn);
        self.print();
    }

    pub(super) fn event(&mut self, number: u32, event: &Event) {
        self.start("event")
            .dec("slot", number.into())
            .dec("seq", event.seq)
            .dec("t", event.time_ns)
            .word("kind", event.kind.name())
            .dec("cpu", event.cpu.into())
            .dec("shard", event.shard)
            .dec("arg", event.arg);
        self.print();
    }

    /// The panic-loop breaker halts the machine after `count` panics within `secs` seconds.
    pub(super) fn breaker(&mut self, count: u32, secs: u32) {
        self.start("breaker")
            .dec("n", count.into())
            .dec("secs", secs.into());
        self.print();
    }

    /// Who has this line, and those before it, lost none: the rest comes from a kmsg dumper.
    pub(super) fn deferred(&mut self) {
        self.start("deferred");
        let lines = self.report.lines();
        self.line.dec("lines", lines.into());
        self.print();
    }

    pub(super) fn drain(&mut self, number: u32, slot: &'static VolumeSlot) {
        let in_flight = slot.gate().in_flight();
        // Whether a lane that writes has flushed is said in its own line, even if it was given up before this.
        let flush = if lane::writes(slot) {
            Flush::Pending
        } else {
            Flush::NotAttempted
        };
        self.start("drain")
            .dec("slot", number.into())
            .flag("drained", in_flight == 0)
            .dec("inflight", in_flight.into())
            .word("flush", flush.name())
            .dec("lost", slot.progress().lost().into())
            .padded("way", &slot.collects())
            .dec("us", slot.progress().drain_us().into())
            .word("end", slot.progress().drain_end().name());
        self.print();
    }

    pub(super) fn lane(&mut self, number: u32, slot: &VolumeSlot) {
        let progress = slot.progress();
        let result = progress.result();
        self.start("lane")
            .dec("slot", number.into())
            .padded("way", &slot.writes())
            .word("result", result.name());
        if result != LaneResult::Ok {
            self.line.padded("why", &progress.why());
        }
        self.line.word("flush", progress.flush().name());
        if progress.sequence() != 0 {
            self.line
                .dec("seq", progress.sequence())
                .dec("write_us", progress.write_us().into())
                .dec("flush_us", progress.flush_us().into());
        }
        self.print();
    }

    pub(super) fn omitted(&mut self, volumes: u32, untracked: u32, in_flight: u32) {
        self.start("omit")
            .dec("vols", volumes.into())
            .dec("untracked", untracked.into())
            .dec("inflight", in_flight.into());
        self.print();
    }

    pub(super) fn end(&mut self, outcome: &Outcome) {
        let result = &outcome.result;
        let next = if outcome.reboots { "reboot" } else { "halt" };
        self.start("end")
            .dec("vols", outcome.volumes.into())
            .flag("drained", result.drained)
            .dec("inflight", result.in_flight.into())
            .word("flush", result.flush_issued.name())
            .dec("elapsed_ns", outcome.elapsed_ns)
            .word("next", next);
        let lines = self.report.lines();
        self.line.dec("lines", lines.into());
        self.print();
    }

    pub(super) fn nested(&mut self, stage: Stage, cpu: u32) {
        self.start("nested")
            .word("stage", stage.name())
            .dec("cpu", cpu.into());
        self.print();
    }
}
