// SPDX-License-Identifier: GPL-2.0

//! Puts lines together, whatever order and however many copies of them there are.

use super::{
    super::{
        area::RecordState,
        backtrace,
        calendar::utc,
        line::Line,
        scan,
        source::{text_of, Logs},
    },
    oops, timeline, OopsRecord, PanicRecord, RecordRef, Report,
};
use std::{collections::BTreeMap, mem::take};

/// The panics and oopses that the logs read so far tell of.
#[derive(Default)]
pub(in super::super) struct Builder {
    panics: BTreeMap<u32, Lines>,
    oopses: BTreeMap<u32, Lines>,
    damaged: u64,
    unknown: u64,
}

#[derive(Default)]
struct Lines {
    by_index: BTreeMap<u32, Line>,
    sources: Vec<String>,
    records: Vec<RecordRef>,
    /// Clocks at the panic as a record's head has them: wall, monotonic.
    head_ns: Option<(u64, u64)>,
}

impl Builder {
    /// Reads everything that was found; the logs' texts stay where they are.
    pub(in super::super) fn read(logs: &mut Logs) -> Report {
        let mut builder = Self::default();
        for log in &logs.logs {
            builder.add(&log.name, &log.text);
        }
        builder.add_records(logs);
        builder.finish(logs)
    }

    fn add(&mut self, name: &str, text: &[u8]) {
        let found = scan::scan(text);
        self.damaged += found.damaged;
        self.unknown += found.unknown;
        for line in found.lines {
            let of = match oops::KINDS.contains(&line.kind.as_str()) {
                true => &mut self.oopses,
                false => &mut self.panics,
            };
            let lines = of.entry(line.id).or_default();
            if lines.sources.last().map(String::as_str) != Some(name) {
                lines.sources.push(name.to_owned());
            }
            match lines.by_index.get_mut(&line.index) {
                // The same line in another log, which may be the one that has a time.
                Some(known) if *known == line => known.log_us = known.log_us.or(line.log_us),
                // Two lines in one place: one of them is not of this panic.
                Some(_) => self.damaged += 1,
                None => {
                    lines.by_index.insert(line.index, line);
                }
            }
        }
    }

    /// A record's head names its panic and has its time, even where the lines in it are lost.
    fn add_records(&mut self, logs: &Logs) {
        for area in &logs.areas {
            let of_panics = area.records.iter().filter(|r| {
                let lines_or_log = r.kind == "panic-lines" || r.reason.as_deref() == Some("panic");
                lines_or_log && r.state != RecordState::Erased
            });
            for record in of_panics {
                let Some(id) = record.panic_id.filter(|&id| id != 0) else {
                    continue;
                };
                let lines = self.panics.entry(id).or_default();
                lines.records.push(RecordRef {
                    device: area.device.clone(),
                    sequence: record.sequence,
                });
                lines.head_ns = lines.head_ns.or(record.wall_ns.zip(record.mono_ns));
            }
        }
    }

    fn finish(mut self, logs: &mut Logs) -> Report {
        let mut panics = Vec::new();
        for (id, lines) in take(&mut self.panics) {
            let (record, unknown) = lines.panic(id);
            self.unknown += unknown;
            panics.extend(record);
        }
        panics.sort_by_key(|p| (p.scene.wall_ns, p.scene.mono_ns));
        let oopses = take(&mut self.oopses).into_iter();
        let mut oopses: Vec<_> = oopses.map(|(id, lines)| lines.oops(id)).collect();
        oopses.sort_by_key(|o| (o.scene.wall_ns, o.scene.mono_ns));
        oops::link(&mut oopses, &mut panics);
        for panic in &mut panics {
            panic.backtrace = backtrace_of(panic, logs);
        }
        Report {
            version: 1,
            panics,
            oopses,
            damaged_lines: self.damaged,
            unknown_lines: self.unknown,
            areas: take(&mut logs.areas),
            unreadable: take(&mut logs.unreadable),
            places: take(&mut logs.places),
        }
    }
}

/// Out of pieces of its kernel log, or of whatever log its lines were in.
fn backtrace_of(panic: &PanicRecord, logs: &Logs) -> Vec<String> {
    let is_source = |name: &String| panic.sources.contains(name);
    let mut pieces: Vec<_> = logs
        .kernel_logs
        .iter()
        .filter(|log| log.panic.as_ref() == Some(&panic.id) || is_source(&log.name))
        .collect();
    pieces.sort_by_key(|log| std::cmp::Reverse(log.part));
    let kept = text_of(&pieces);
    let others = logs.logs.iter().filter(|log| is_source(&log.name));
    let texts = std::iter::once(&kept[..]).chain(others.map(|log| &log.text[..]));
    texts
        .map(|text| backtrace::of_panic(text, &panic.id))
        .find(|lines| !lines.is_empty())
        .unwrap_or_default()
}

impl Lines {
    /// The panic, and how many of its lines are of a kind that is not known. If all are, and no record says
    /// that it is one, it is none.
    fn panic(self, id: u32) -> (Option<PanicRecord>, u64) {
        let mut unknown = 0;
        let mut record = PanicRecord {
            id: format!("{id:08x}"),
            sources: self.sources,
            records: self.records,
            ..PanicRecord::default()
        };
        for line in self.by_index.values() {
            record.lines += 1;
            if !record.take(line) {
                unknown += 1;
            }
        }
        // The last line's own number is the count less one, so none can be missing in between.
        record.complete = record.lines_written == Some(record.lines);
        // So is the number of the line that says this.
        record.outcome_deferred = record.lines_until_deferral == Some(record.lines);
        if u64::from(record.lines) == unknown && record.records.is_empty() {
            return (None, unknown);
        }
        if let (None, Some((wall, mono))) = (record.scene.wall_ns, self.head_ns) {
            record.scene.wall_ns = Some(wall);
            record.scene.time = Some(utc(wall));
            record.scene.mono_ns = Some(mono);
        }
        record.timeline = timeline::of(&record, self.by_index.values());
        record.raw_lines = self.by_index.into_values().map(|line| line.raw).collect();
        (Some(record), unknown)
    }

    fn oops(self, id: u32) -> OopsRecord {
        let mut oops = OopsRecord {
            id: format!("{id:08x}"),
            sources: self.sources,
            ..OopsRecord::default()
        };
        for line in self.by_index.into_values() {
            oops.lines += u32::from(oops.take(&line));
            oops.raw_lines.push(line.raw);
        }
        oops.complete = oops.lines_written() == Some(oops.lines);
        oops
    }
}
