// SPDX-License-Identifier: GPL-2.0

//! What the lines of a panic mean together. Its JSON form is documented in `Documentation/panic-lines.md`.

use super::{
    line::Line,
    scan,
    source::{Logs, Unreadable},
};
use serde::Serialize;
use std::collections::BTreeMap;

/// Everything that was read. A value that was in no whole line is `null`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Version of this document's shape.
    pub(super) version: u32,
    /// The panics, oldest first.
    pub(super) panics: Vec<PanicRecord>,
    /// Lines torn, cut or overwritten: nothing of them was believed.
    pub(super) damaged_lines: u64,
    /// Whole lines of a later version of the format.
    pub(super) unknown_lines: u64,
    /// Files that could not be read.
    pub(super) unreadable: Vec<Unreadable>,
    /// Where was searched.
    pub(super) places: Vec<String>,
}

/// One panic.
#[derive(Debug, Default, Serialize)]
pub(super) struct PanicRecord {
    /// Number that all its lines carry, hexadecimal.
    pub(super) id: String,
    /// All its lines were read.
    pub(super) complete: bool,
    /// Lines read, and lines written if the last one is there.
    pub(super) lines: u32,
    /// Lines that the handler wrote.
    pub(super) lines_written: Option<u32>,
    /// Nanoseconds since 1970.
    pub(super) wall_ns: Option<u64>,
    /// The same, in UTC, as RFC 3339 has it.
    pub(super) time: Option<String>,
    /// Nanoseconds since the kernel started.
    pub(super) mono_ns: Option<u64>,
    /// The panic's message.
    pub(super) message: Option<String>,
    /// The message was longer.
    pub(super) message_cut: bool,
    /// The CPU that panicked.
    pub(super) cpu: Option<u32>,
    /// `task`, `softirq`, `hardirq` or `nmi`.
    pub(super) context: Option<String>,
    /// The task's PID.
    pub(super) pid: Option<i32>,
    /// The task's name.
    pub(super) task: Option<String>,
    /// `kernel`, `halt` or `reboot`.
    pub(super) strategy: Option<String>,
    /// The kernel's panic timeout, seconds.
    pub(super) timeout: Option<i32>,
    /// Volumes mounted.
    pub(super) volumes_mounted: Option<u32>,
    /// Volumes that were told of.
    pub(super) volumes: Vec<VolumeRecord>,
    /// Volumes that were not.
    pub(super) omitted: Option<Omitted>,
    /// How it ended.
    pub(super) outcome: Option<Outcome>,
    /// The handler itself panicked, in the stage named.
    pub(super) nested_in_stage: Option<String>,
    /// Files that its lines were in.
    pub(super) sources: Vec<String>,
}

/// One volume.
#[derive(Debug, Default, Serialize)]
pub(super) struct VolumeRecord {
    /// Its number in the table of volumes.
    pub(super) slot: u32,
    /// Its device.
    pub(super) name: Option<String>,
    /// Its UUID.
    pub(super) uuid: Option<String>,
    /// `claimed`, `mounting`, `mounted`, `unmounting`, `failed` or `retired`.
    pub(super) state: Option<String>,
    /// I/O in flight when the lines were printed.
    pub(super) in_flight: Option<u32>,
    /// Epoch that took changes.
    pub(super) running_epoch: Option<u64>,
    /// Newest epoch that was durable.
    pub(super) durable_epoch: Option<u64>,
    /// Its allocator.
    pub(super) allocator: Option<Allocator>,
    /// Its allocator's last events, newest first.
    pub(super) events: Vec<Event>,
    /// How its I/O was stopped.
    pub(super) drain: Option<Drain>,
}

/// Allocator of a volume.
#[derive(Debug, Serialize)]
pub(super) struct Allocator {
    /// Shards.
    pub(super) shards: Option<u64>,
    /// Shards with little space.
    pub(super) shards_with_pressure: Option<u64>,
    /// Free blocks of 4 KiB.
    pub(super) free_blocks: Option<u64>,
    /// Blocks promised.
    pub(super) reserved_blocks: Option<u64>,
    /// Allocations refused.
    pub(super) failed: Option<u64>,
    /// Blocks freed while free.
    pub(super) double_frees: Option<u64>,
    /// Events ever.
    pub(super) events: Option<u64>,
    /// Events that were being written.
    pub(super) torn_events: Option<u64>,
}

/// An allocator event.
#[derive(Debug, Serialize)]
pub(super) struct Event {
    /// Place in the order of events.
    pub(super) seq: Option<u64>,
    /// Nanoseconds since the kernel started.
    pub(super) mono_ns: Option<u64>,
    /// `alloc-failed`, `double-free`, `hint-collision` or `pressure`.
    pub(super) kind: Option<String>,
    /// CPU.
    pub(super) cpu: Option<u32>,
    /// Shard.
    pub(super) shard: Option<u64>,
    /// Depends on the kind.
    pub(super) arg: Option<u64>,
}

/// How far I/O was stopped.
#[derive(Debug, Serialize)]
pub(super) struct Drain {
    /// Nothing was in flight any more.
    pub(super) drained: Option<bool>,
    /// What was.
    pub(super) in_flight: Option<u32>,
    /// What became of the cache flush.
    pub(super) flush: Option<String>,
}

/// What had no lines of its own.
#[derive(Debug, Serialize)]
pub(super) struct Omitted {
    /// Volumes in the table.
    pub(super) volumes: Option<u32>,
    /// Volumes for which the table had no room.
    pub(super) untracked: Option<u32>,
    /// I/O in flight in them.
    pub(super) in_flight: Option<u32>,
}

/// The last line.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    /// Of all volumes.
    #[serde(flatten)]
    pub(super) drain: Drain,
    /// From the handler's begin to this line.
    pub(super) elapsed_ns: Option<u64>,
    /// `halt` or `reboot`.
    pub(super) next: Option<String>,
}

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

    fn take(&mut self, line: &Line) -> bool {
        match line.kind.as_str() {
            "begin" => self.take_begin(line),
            "msg" => {
                self.message = line.text("text");
                self.message_cut = line.cut();
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
                    drain: drain(line),
                    elapsed_ns: line.number("elapsed_ns"),
                    next: line.text("next"),
                });
            }
            "nested" => self.nested_in_stage = line.text("stage"),
            _ => return false,
        }
        true
    }

    fn take_begin(&mut self, line: &Line) {
        self.wall_ns = line.number("wall");
        self.time = self.wall_ns.map(utc);
        self.mono_ns = line.number("mono");
        self.cpu = line.number("cpu");
        self.context = line.text("ctx");
        self.pid = line.number("pid");
        self.task = line.text("comm");
        self.strategy = line.text("strategy");
        self.timeout = line.number("timeout");
        self.volumes_mounted = line.number("vols");
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
    }
}

/// Puts lines together, whatever order and however many copies of them there are.
#[derive(Default)]
pub(super) struct Builder {
    panics: BTreeMap<u32, Lines>,
    damaged: u64,
    unknown: u64,
}

#[derive(Default)]
struct Lines {
    by_index: BTreeMap<u32, Line>,
    sources: Vec<String>,
}

impl Builder {
    pub(super) fn read(logs: Logs) -> Report {
        let mut builder = Self::default();
        for log in &logs.logs {
            builder.add(&log.name, &log.text);
        }
        builder.finish(logs)
    }

    fn add(&mut self, name: &str, text: &[u8]) {
        let found = scan::scan(text);
        self.damaged += found.damaged;
        self.unknown += found.unknown;
        for line in found.lines {
            let lines = self.panics.entry(line.id).or_default();
            if lines.sources.last().map(String::as_str) != Some(name) {
                lines.sources.push(name.to_owned());
            }
            match lines.by_index.get(&line.index) {
                // The same line in another log.
                Some(known) if *known == line => {}
                // Two lines in one place: one of them is not of this panic.
                Some(_) => self.damaged += 1,
                None => {
                    lines.by_index.insert(line.index, line);
                }
            }
        }
    }

    fn finish(mut self, logs: Logs) -> Report {
        let mut panics = Vec::new();
        for (id, lines) in std::mem::take(&mut self.panics) {
            let mut record = PanicRecord {
                id: format!("{id:08x}"),
                sources: lines.sources,
                ..PanicRecord::default()
            };
            for line in lines.by_index.values() {
                if record.take(line) {
                    record.lines += 1;
                } else {
                    self.unknown += 1;
                }
            }
            // The last line's own number is the count less one, so none can be missing in between.
            record.complete = record.lines_written == Some(record.lines);
            panics.push(record);
        }
        panics.sort_by_key(|p| (p.wall_ns, p.mono_ns));
        Report {
            version: 1,
            panics,
            damaged_lines: self.damaged,
            unknown_lines: self.unknown,
            unreadable: logs.unreadable,
            places: logs.places,
        }
    }
}

fn hyphenated(uuid: &str) -> String {
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32];
    let parts: Option<Vec<_>> = parts.into_iter().map(|range| uuid.get(range)).collect();
    parts.map_or_else(|| uuid.to_owned(), |parts| parts.join("-"))
}

/// Nanoseconds since 1970 as RFC 3339, in UTC. The calendar is Howard Hinnant's `civil_from_days`.
fn utc(ns: u64) -> String {
    let (secs, millis) = (ns / 1_000_000_000, ns / 1_000_000 % 1000);
    let (days, of_day) = (secs / 86_400, secs % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod calendar {
    use super::utc;

    #[test]
    fn days_are_in_the_right_year() {
        assert_eq!(utc(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(utc(951_782_400_000_000_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(utc(1_795_387_569_123_456_789), "2026-11-22T22:46:09.123Z");
        assert_eq!(utc(4_107_542_399_999_999_999), "2100-02-28T23:59:59.999Z");
    }
}
