// SPDX-License-Identifier: GPL-2.0

//! The stages of the handler with what is known of their times.
//!
//! The handler itself measures draining, writing, flushing and the whole. The rest is known only from
//! the kernel log's time stamps, where a source has them; a stage of which nothing is known says so.

use super::{super::line::Line, PanicRecord, VolumeRecord};
use serde::Serialize;

/// A stage, or a volume's part in one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(in super::super) struct Span {
    /// `gate`, `known`, `drain`, `write`, `flush` or `outcome`.
    pub(in super::super) stage: &'static str,
    /// The volume; `null`: all of them.
    pub(in super::super) slot: Option<u32>,
    /// Begin, in nanoseconds from the first line, by the log's time stamps.
    pub(in super::super) from_ns: Option<u64>,
    /// Length in nanoseconds.
    pub(in super::super) ns: Option<u64>,
    /// Who measured the length: `handler` or `log`.
    pub(in super::super) by: Option<&'static str>,
}

impl Span {
    fn new(stage: &'static str, slot: Option<u32>, from_ns: Option<u64>) -> Self {
        Self {
            stage,
            slot,
            from_ns,
            ns: None,
            by: None,
        }
    }

    fn measured(mut self, us: Option<u64>) -> Self {
        self.ns = us.map(|us| us.saturating_mul(1000));
        self.by = self.ns.map(|_| "handler");
        self
    }

    fn logged(mut self, to_ns: Option<u64>) -> Self {
        self.ns = self
            .from_ns
            .zip(to_ns)
            .and_then(|(from, to)| to.checked_sub(from));
        self.by = self.ns.map(|_| "log");
        self
    }
}

/// The stages that the lines of `panic` tell of.
pub(super) fn of<'a>(panic: &PanicRecord, lines: impl Iterator<Item = &'a Line>) -> Vec<Span> {
    let mut log = Stamps::default();
    let mut seen = [false; 3];
    for line in lines {
        log.add(line);
        seen[0] |= line.kind == "begin";
        seen[1] |= KNOWN.contains(&line.kind.as_str());
        seen[2] |= line.kind == "end";
    }
    let mut spans = Vec::new();
    if seen[0] {
        spans.push(Span::new("gate", None, None));
    }
    if seen[1] {
        spans.push(Span::new("known", None, log.first).logged(log.known));
    }
    for volume in &panic.volumes {
        let Some(lane) = &volume.lane else { continue };
        // A record that was not even begun has no sequence.
        if lane.sequence.is_some() {
            let span = Span::new("write", Some(volume.slot), log.known);
            spans.push(span.measured(lane.write_us));
            spans.push(Span::new("flush", Some(volume.slot), None).measured(lane.flush_us));
        }
    }
    // Behind what pstore keeps of the log, which nothing tells the time of.
    let drained = |v: &VolumeRecord| {
        let drain = v.drain.as_ref()?;
        Some(Span::new("drain", Some(v.slot), None).measured(drain.us))
    };
    spans.extend(panic.volumes.iter().filter_map(drained));
    if seen[2] {
        let before = log.lane.or(log.drained).or(log.known);
        spans.push(Span::new("outcome", None, before).logged(log.end));
    }
    spans
}

/// Kinds of lines that are printed before anything risky.
const KNOWN: [&str; 6] = ["begin", "msg", "vol", "alloc", "event", "deferred"];

/// When the last line of each stage was logged, in nanoseconds from the first line.
#[derive(Default)]
struct Stamps {
    begin_us: Option<u64>,
    first: Option<u64>,
    known: Option<u64>,
    drained: Option<u64>,
    lane: Option<u64>,
    end: Option<u64>,
}

impl Stamps {
    fn add(&mut self, line: &Line) {
        if line.index == 0 {
            self.begin_us = line.log_us;
            self.first = line.log_us.map(|_| 0);
        }
        let at = line
            .log_us
            .zip(self.begin_us)
            .and_then(|(us, begin)| us.checked_sub(begin)?.checked_mul(1000));
        let place = match line.kind.as_str() {
            "drain" | "omit" => &mut self.drained,
            "lane" => &mut self.lane,
            "end" => &mut self.end,
            kind if KNOWN.contains(&kind) => &mut self.known,
            _ => return,
        };
        *place = at.or(*place);
    }
}
