// SPDX-License-Identifier: GPL-2.0

//! What each kind of line adds to a panic's record.

use super::{
    super::{calendar::utc, line::Line},
    Allocator, Breaker, Drain, Event, Host, Lane, Omitted, Origin, Outcome, PanicRecord, Scene,
    VolumeRecord,
};

impl PanicRecord {
    fn volume(&mut self, line: &Line) -> &mut VolumeRecord {
        let slot = line.number("slot").unwrap_or(u32::MAX);
        let at = self.volumes.iter().position(|v| v.slot == slot);
        let at = at.unwrap_or_else(|| {
            self.volumes.push(VolumeRecord {
                slot,
                ..VolumeRecord::default()
            });
            self.volumes.len() - 1
        });
        &mut self.volumes[at]
    }

    /// Takes what the line says. False if its kind is not known.
    pub(super) fn take(&mut self, line: &Line) -> bool {
        match line.kind.as_str() {
            "begin" => self.take_begin(line),
            "msg" => {
                self.scene.message = line.text("text");
                self.scene.message_cut = line.cut();
            }
            "host" => self.take_host(line),
            "origin" => {
                self.origin = Some(Origin {
                    faulted: line.text("of").map(|of| of == "fault"),
                    address: line.text("ip").map(|ip| format!("0x{ip}")),
                    symbol: line.text("at"),
                });
            }
            "vol" => {
                let volume = self.volume(line);
                volume.name = line.text("name");
                volume.uuid = line.text("uuid").map(|u| hyphenated(&u));
                volume.state = line.text("state");
                volume.in_flight = line.number("inflight");
                volume.running_epoch = line.number("run");
                volume.durable_epoch = line.number("dur");
            }
            "alloc" => self.volume(line).allocator = Some(allocator(line)),
            "event" => self.volume(line).events.push(event(line)),
            "drain" => self.volume(line).drain = Some(drain(line)),
            "lane" => self.volume(line).lane = Some(lane(line)),
            "breaker" => {
                self.breaker = Some(Breaker {
                    panics: line.number("n"),
                    seconds: line.number("secs"),
                });
            }
            "omit" => {
                self.omitted = Some(Omitted {
                    volumes: line.number("vols"),
                    untracked: line.number("untracked"),
                    in_flight: line.number("inflight"),
                });
            }
            "end" => {
                self.lines_written = line.number("lines");
                self.outcome = Some(Outcome {
                    drained: line.flag("drained"),
                    in_flight: line.number("inflight"),
                    flush: line.text("flush"),
                    elapsed_ns: line.number("elapsed_ns"),
                    next: line.text("next"),
                });
            }
            "deferred" => self.lines_until_deferral = line.number("lines"),
            "nested" => self.nested_in_stage = line.text("stage"),
            _ => return false,
        }
        true
    }

    fn take_host(&mut self, line: &Line) {
        let known = |key| line.text(key).filter(|text| !text.is_empty());
        self.deadline_ms = line.number("deadline").or(self.deadline_ms);
        self.deferred = line.flag("defer").or(self.deferred);
        self.host = Some(Host {
            node: known("node"),
            machine: known("machine"),
            kernel: known("release"),
        });
    }

    fn take_begin(&mut self, line: &Line) {
        self.scene.take(line);
        self.strategy = line.text("strategy");
        self.timeout = line.number("timeout");
        // Of modules that had no line for the host.
        self.deadline_ms = line.number("deadline");
        self.deferred = line.flag("defer");
        self.volumes_mounted = line.number("vols");
    }
}

impl Scene {
    /// Takes the keys that `begin` and `oops` share.
    pub(super) fn take(&mut self, line: &Line) {
        self.wall_ns = line.number("wall");
        self.time = self.wall_ns.map(utc);
        self.mono_ns = line.number("mono");
        self.cpu = line.number("cpu");
        self.context = line.text("ctx");
        self.pid = line.number("pid");
        self.task = line.text("comm");
    }
}

fn allocator(line: &Line) -> Allocator {
    Allocator {
        shards: line.number("shards"),
        shards_with_pressure: line.number("pressure"),
        free_blocks: line.number("free"),
        reserved_blocks: line.number("reserved"),
        failed: line.number("failed"),
        double_frees: line.number("dfree"),
        events: line.number("events"),
        torn_events: line.number("torn"),
    }
}

fn event(line: &Line) -> Event {
    Event {
        seq: line.number("seq"),
        mono_ns: line.number("t"),
        kind: line.text("kind"),
        cpu: line.number("cpu"),
        shard: line.number("shard"),
        arg: line.number("arg"),
    }
}

fn drain(line: &Line) -> Drain {
    Drain {
        drained: line.flag("drained"),
        in_flight: line.number("inflight"),
        flush: line.text("flush"),
        lost: line.number("lost"),
        way: line.text("way"),
        us: line.number("us"),
        end: line.text("end"),
    }
}

fn lane(line: &Line) -> Lane {
    // Zero stands for what did not complete.
    let micros = |key| line.number(key).filter(|&us: &u64| us > 0);
    Lane {
        way: line.text("way"),
        result: line.text("result"),
        why: line.text("why"),
        flush: line.text("flush"),
        sequence: line.number("seq"),
        write_us: micros("write_us"),
        flush_us: micros("flush_us"),
    }
}

/// A UUID as people write it.
pub(super) fn hyphenated(uuid: &str) -> String {
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32];
    let parts: Option<Vec<_>> = parts.into_iter().map(|range| uuid.get(range)).collect();
    parts.map_or_else(|| uuid.to_owned(), |parts| parts.join("-"))
}
