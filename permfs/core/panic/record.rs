// SPDX-License-Identifier: GPL-2.0

//! The kinds of panic lines: which keys each has, and in which order.
//!
//! `Documentation/panic-lines.md` is the grammar; `permfs panic` is the reader. What a reader can do
//! least without comes first in a line, text of unknown length last.

use super::{
    Context, PanicLineBuffer, PanicLogger, PanicQuiesceResult, PanicReport, PanicStrategy,
    SlotState, Stage, VolumeSlot, TASK_LEN,
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
}

/// The last line.
pub(super) struct Outcome {
    pub(super) volumes: u32,
    pub(super) result: PanicQuiesceResult,
    pub(super) elapsed_ns: u64,
    pub(super) reboots: bool,
}

/// Writes numbered lines of one panic.
pub(super) struct Writer<'a, L> {
    pub(super) logger: &'a L,
    pub(super) report: &'a PanicReport,
    pub(super) line: PanicLineBuffer,
}

impl<L: PanicLogger> Writer<'_, L> {
    fn start(&mut self, rec: &'static str) -> &mut PanicLineBuffer {
        let index = self.report.next_line();
        self.line.start(rec, self.report.id(), index)
    }

    fn print(&mut self) {
        self.logger.print_line(self.line.finish());
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

    pub(super) fn drain(&mut self, number: u32, result: &PanicQuiesceResult) {
        self.start("drain")
            .dec("slot", number.into())
            .flag("drained", result.drained)
            .dec("inflight", result.in_flight.into())
            .word("flush", result.flush_issued.name());
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
