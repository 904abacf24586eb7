// SPDX-License-Identifier: GPL-2.0

//! Oopses inside PermFS: the machine may have lived on, the volumes named did not.

use super::{super::line::Line, take::hyphenated, PanicRecord, Scene};
use serde::Serialize;

/// An oops.
#[derive(Debug, Default, Clone, Serialize)]
pub(in super::super) struct OopsRecord {
    /// Number that all its lines carry, hexadecimal.
    pub(in super::super) id: String,
    /// All its lines were read.
    pub(in super::super) complete: bool,
    /// Lines read.
    pub(in super::super) lines: u32,
    /// Where and when.
    #[serde(flatten)]
    pub(in super::super) scene: Scene,
    /// Volumes that failed with it.
    pub(in super::super) volumes_failed: Option<u32>,
    /// Those whose line was read.
    pub(in super::super) volumes: Vec<FailedVolume>,
    /// Id of the panic that the kernel made of it.
    pub(in super::super) panic: Option<String>,
    /// Files and records that its lines were in.
    pub(in super::super) sources: Vec<String>,
    /// The lines themselves, in their order.
    pub(in super::super) raw_lines: Vec<String>,
}

/// A volume that failed.
#[derive(Debug, Default, Clone, Serialize)]
pub(in super::super) struct FailedVolume {
    /// Its number in the table of volumes.
    pub(in super::super) slot: u32,
    /// Its device.
    pub(in super::super) name: Option<String>,
    /// Its UUID.
    pub(in super::super) uuid: Option<String>,
    /// The task held a lock of it; false: it was somewhere in PermFS, so that any volume may be half changed.
    pub(in super::super) lock_held: Option<bool>,
    /// I/O in flight.
    pub(in super::super) in_flight: Option<u32>,
    /// Epoch that took changes.
    pub(in super::super) running_epoch: Option<u64>,
    /// Newest epoch that was durable.
    pub(in super::super) durable_epoch: Option<u64>,
}

/// Kinds of lines that are an oops's. Its ids and the numbers of its lines are not those of panics.
pub(super) const KINDS: [&str; 2] = ["oops", "failed"];

impl OopsRecord {
    /// Takes what the line says. False if its kind is none of an oops.
    pub(super) fn take(&mut self, line: &Line) -> bool {
        match line.kind.as_str() {
            "oops" => {
                self.scene.take(line);
                self.scene.message = line.text("text");
                self.scene.message_cut = line.cut();
                self.volumes_failed = line.number("vols");
            }
            "failed" => self.volumes.push(FailedVolume {
                slot: line.number("slot").unwrap_or(u32::MAX),
                name: line.text("name"),
                uuid: line.text("uuid").map(|u| hyphenated(&u)),
                lock_held: line.flag("held"),
                in_flight: line.number("inflight"),
                running_epoch: line.number("run"),
                durable_epoch: line.number("dur"),
            }),
            _ => return false,
        }
        true
    }

    /// Lines that it has in all: its own, and one a volume.
    pub(in super::super) fn lines_written(&self) -> Option<u32> {
        self.volumes_failed?.checked_add(1)
    }

    /// Whether the kernel panicked of it, as it is set to with `panic_on_oops`: the same task, which an oops
    /// does not let live, in the same boot, a little later.
    fn became(&self, panic: &Scene) -> bool {
        let oops = &self.scene;
        let Some((from, to)) = oops.mono_ns.zip(panic.mono_ns) else {
            return false;
        };
        let booted = |scene: &Scene| scene.wall_ns?.checked_sub(scene.mono_ns?);
        let Some((one, other)) = booted(oops).zip(booted(panic)) else {
            return false;
        };
        let late = to.checked_sub(from).is_none_or(|ns| ns > AFTER_NS);
        !late && one.abs_diff(other) <= CLOCKS_NS && oops.pid == panic.pid
    }
}

/// What the kernel may take to print an oops on a slow console.
const AFTER_NS: u64 = 60_000_000_000;
/// What the wall clock may have been set by in between.
const CLOCKS_NS: u64 = 1_000_000_000;

/// Tells each oops and the panic that it became of each other.
pub(super) fn link(oopses: &mut [OopsRecord], panics: &mut [PanicRecord]) {
    for panic in panics {
        // The latest: a task may have oopsed again while it died.
        let cause = oopses.iter_mut().rev().find(|o| o.became(&panic.scene));
        if let Some(oops) = cause {
            panic.oops = Some(oops.id.clone());
            oops.panic = Some(panic.id.clone());
        }
    }
}
