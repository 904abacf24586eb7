// SPDX-License-Identifier: GPL-2.0

//! Words that the summary and the page share.

use super::model::{
    Drain, Event, FailedVolume, Host, Lane, OopsRecord, Origin, PanicRecord, Report, Scene,
    VolumeRecord,
};
use std::fmt::Display;

pub(super) use crate::plain::plain;

/// A value, or a question mark for one whose line was lost.
pub(super) fn show(value: Option<impl Display>) -> String {
    value.map_or_else(|| "?".into(), |v| v.to_string())
}

/// A span of time with a unit that suits it.
pub(super) fn duration(ns: u64) -> String {
    match ns {
        0..1_000_000 => format!("{}.{:03} µs", ns / 1000, ns % 1000),
        1_000_000..1_000_000_000 => {
            format!("{}.{:03} ms", ns / 1_000_000, ns / 1000 % 1000)
        }
        _ => format!("{}.{:03} s", ns / 1_000_000_000, ns / 1_000_000 % 1000),
    }
}

pub(super) fn message(s: &Scene) -> String {
    match &s.message {
        None => "(message lost)".into(),
        Some(m) if s.message_cut => format!("{} … (longer, see the kernel's own line)", plain(m)),
        Some(m) => plain(m),
    }
}

pub(super) fn when(s: &Scene) -> String {
    let up = s.mono_ns.map(|ns| format!(", {} after boot", duration(ns)));
    format!("{}{}", show(s.time.as_deref()), up.unwrap_or_default())
}

pub(super) fn place(s: &Scene) -> String {
    format!(
        "CPU {}, {} context, task {} (pid {})",
        show(s.cpu),
        show(s.context.as_deref().map(plain)),
        show(s.task.as_deref().map(plain)),
        show(s.pid)
    )
}

pub(super) fn host(h: &Host) -> String {
    let machine = h.machine.as_deref().map(plain);
    format!(
        "{}{}, kernel {}",
        show(h.node.as_deref().map(plain)),
        machine.map_or(String::new(), |uuid| format!(" (machine {uuid})")),
        show(h.kernel.as_deref().map(plain))
    )
}

pub(super) fn origin(o: &Origin) -> String {
    let how = match o.faulted {
        Some(true) => "the instruction at ",
        Some(false) => "panic() called before ",
        None => "",
    };
    let symbol = show(o.symbol.as_deref().map(plain));
    format!("{how}{symbol}, {}", show(o.address.as_deref().map(plain)))
}

/// What the number in an event is.
pub(super) fn argument(kind: Option<&str>) -> &'static str {
    match kind {
        Some("alloc-failed") => "blocks wanted",
        Some("double-free") => "block",
        Some("hint-collision") => "collisions so far",
        Some("pressure") => "blocks left",
        _ => "argument",
    }
}

pub(super) fn event(e: &Event) -> String {
    format!(
        "#{} {} at {} on CPU {}: shard {}, {} {}",
        show(e.seq),
        show(e.kind.as_deref().map(plain)),
        show(e.mono_ns.map(duration)),
        show(e.cpu),
        show(e.shard),
        argument(e.kind.as_deref()),
        show(e.arg),
    )
}

fn stopped(drained: Option<bool>, in_flight: Option<u32>, flush: Option<&str>) -> String {
    let state = match drained {
        Some(true) => "drained".into(),
        Some(false) => format!("NOT drained, {} in flight", show(in_flight)),
        None => "unknown".into(),
    };
    let flush = match flush {
        Some("not-attempted") => "not attempted".into(),
        Some("pending") => "left to the panic lane".into(),
        Some("timeout") => "NOT completed by the deadline".into(),
        Some("failed") => "FAILED".into(),
        other => show(other.map(plain)),
    };
    format!("{state}; cache flush {flush}")
}

/// Why a drain left something in flight.
fn given_up_because(end: Option<&str>) -> &'static str {
    match end {
        Some("deadline") => " at the deadline",
        Some("driver-empty") => ", which the driver did not have",
        _ => "",
    }
}

/// How a volume's I/O was stopped.
pub(super) fn drain(d: &Drain) -> String {
    let mut text = stopped(d.drained, d.in_flight, d.flush.as_deref());
    if let Some(lost) = d.lost.filter(|&n| n > 0) {
        text += &format!("; {lost} given up{}", given_up_because(d.end.as_deref()));
    }
    if let Some(way) = &d.way {
        text += &match no_way(way) {
            Some(why) => format!("; no way to collect completions ({why})"),
            None => format!("; by {}", plain(way)),
        };
    }
    if let Some(us) = d.us {
        text += &format!(" in {}", duration(us.saturating_mul(1000)));
    }
    text
}

/// Why there is no way, if that is what the word says.
fn no_way(way: &str) -> Option<String> {
    match way.strip_prefix("none")? {
        "" => Some("the mount had not come so far".into()),
        rest => rest.strip_prefix(':').map(plain),
    }
}

/// How the panic lane fared.
pub(super) fn lane(l: &Lane) -> String {
    if let Some(why) = l.way.as_deref().and_then(no_way) {
        return format!("none ({why})");
    }
    let took = |what: &str, us: Option<u64>| {
        let us = us.map(|us| duration(us.saturating_mul(1000)));
        us.map_or_else(String::new, |us| format!(", {what} {us}"))
    };
    let way = show(l.way.as_deref().map(plain));
    let how = format!(
        "by {way}{}{}",
        took("write", l.write_us),
        took("flush", l.flush_us)
    );
    let why = l.why.as_deref().map(|w| format!(", {}", plain(w)));
    let why = why.unwrap_or_default();
    let record = show(l.sequence);
    match (l.result.as_deref(), l.flush.as_deref()) {
        (Some("ok"), None | Some("ok")) => format!("record {record} written {how}"),
        (Some("ok"), Some(flush)) => {
            let flush = plain(flush);
            format!("record {record} written, NOT known to be durable: flush {flush} ({how})")
        }
        (Some(result), _) => format!("NO record: {}{why} ({how})", plain(result)),
        (None, _) => "unknown".into(),
    }
}

/// The last line of a panic in a sentence.
pub(super) fn outcome(p: &PanicRecord) -> String {
    let Some(o) = &p.outcome else {
        return match p.outcome_deferred {
            true if p.records.is_empty() => "not in this source: it was deferred".into(),
            true => "unknown: the machine wrote its record, and then either did not come to the end or could not write it".into(),
            false => "unknown: the last line is missing".into(),
        };
    };
    format!(
        "{}; handler took {}; then the machine was to {}{}",
        stopped(o.drained, o.in_flight, o.flush.as_deref()),
        show(o.elapsed_ns.map(duration)),
        show(o.next.as_deref().map(plain)),
        match (p.strategy.as_deref(), p.timeout) {
            (Some("kernel"), Some(t)) => format!(" (kernel.panic={t})"),
            (Some(s), _) => format!(" (panic_strategy={})", plain(s)),
            _ => String::new(),
        }
    )
}

/// What a stranger wants to know first: is what was acknowledged safe? And whether that is all good.
///
/// What fsync, sync or O_SYNC acknowledged was flushed before they returned, whatever the panic met. The rest is what
/// the outcome says.
pub(super) fn safety(p: &PanicRecord) -> (Option<bool>, String) {
    let safe = "what fsync and sync acknowledged is safe";
    let Some(o) = &p.outcome else {
        let text = format!("{safe}; what was still on its way is not known");
        return (None, text);
    };
    match (o.drained, o.in_flight, o.flush.as_deref()) {
        (Some(false), n, _) => {
            let text = format!("{safe}; {} request(s) MAY BE LOST{}", show(n), whose(p));
            (Some(false), text)
        }
        (Some(true), _, Some("ok")) => (
            Some(true),
            format!("{safe}, and so is all that was on its way to the disks"),
        ),
        (Some(true), ..) => (
            None,
            format!("{safe}; what else the disks had taken may be lost from their caches"),
        ),
        (None, ..) => (
            None,
            format!("{safe}; what was still on its way is not known"),
        ),
    }
}

/// The volumes whose requests may be lost.
fn whose(p: &PanicRecord) -> String {
    let of = |v: &VolumeRecord| {
        let n = v.drain.as_ref()?.in_flight.filter(|&n| n > 0)?;
        Some(format!("{n} of {}", show(v.name.as_deref().map(plain))))
    };
    let volumes: Vec<_> = p.volumes.iter().filter_map(of).collect();
    match &volumes[..] {
        [] => String::new(),
        volumes => format!(": {}", volumes.join(", ")),
    }
}

/// How much of the record was read.
pub(super) fn completeness(p: &PanicRecord) -> String {
    match (p.complete, p.lines_written) {
        (true, _) => format!("complete, {} lines", p.lines),
        (false, _) if p.outcome_deferred => {
            format!("complete as far as it was not deferred, {} lines", p.lines)
        }
        (false, Some(n)) => format!("INCOMPLETE, {} of {n} lines", p.lines),
        (false, None) if p.lines == 0 => "INCOMPLETE, all lines are lost".into(),
        (false, None) => format!("INCOMPLETE, {} lines", p.lines),
    }
}

/// What the handler did besides, if it did.
pub(super) fn remarks(p: &PanicRecord) -> Vec<(&'static str, String)> {
    let mut out = Vec::new();
    if let Some(id) = &p.oops {
        out.push(("oops", format!("the kernel made this of oops {id}")));
    }
    if p.deferred == Some(true) {
        let text =
            "I/O in flight and outcome left to a kmsg dumper, behind what pstore keeps of the log";
        out.push(("deferred", text.into()));
    }
    if let Some(o) = &p.omitted {
        let rest = format!(
            "{} volume(s), {} without a slot, {} I/O in flight",
            show(o.volumes),
            show(o.untracked),
            show(o.in_flight)
        );
        out.push(("not shown", rest));
    }
    if let Some(b) = &p.breaker {
        let text = format!(
            "{} panics within {} s: halted instead of rebooting",
            show(b.panics),
            show(b.seconds)
        );
        out.push(("breaker", text));
    }
    if let Some(stage) = &p.nested_in_stage {
        let text = format!("the handler itself died in stage {}", plain(stage));
        out.push(("nested", text));
    }
    out
}

/// What became of a volume in an oops.
pub(super) fn failed(v: &FailedVolume) -> String {
    format!(
        "failed, epoch {} running, {} durable; {} I/O in flight; {}",
        show(v.running_epoch),
        show(v.durable_epoch),
        show(v.in_flight),
        match v.lock_held {
            Some(true) => "the task held a lock of it",
            Some(false) => "the task held no volume's lock, so all fail",
            None => "?",
        }
    )
}

/// What became of the machine after an oops.
pub(super) fn aftermath(o: &OopsRecord) -> String {
    match &o.panic {
        Some(id) => format!("the kernel made panic {id} of it"),
        None => "no panic is known to have come of it".into(),
    }
}

/// How much of an oops was read.
pub(super) fn oops_completeness(o: &OopsRecord) -> String {
    match (o.complete, o.lines_written()) {
        (true, _) => format!("complete, {} lines", o.lines),
        (false, Some(n)) => format!("INCOMPLETE, {} of {n} lines", o.lines),
        (false, None) => format!("INCOMPLETE, {} lines", o.lines),
    }
}

/// A panic or an oops.
pub(super) enum Death<'a> {
    Panic(&'a PanicRecord),
    Oops(&'a OopsRecord),
}

/// All of them, oldest first.
pub(super) fn deaths(report: &Report) -> Vec<Death<'_>> {
    let time = |scene: &Scene| (scene.wall_ns, scene.mono_ns);
    let oopses = report
        .oopses
        .iter()
        .map(|o| (time(&o.scene), Death::Oops(o)));
    let panics = report
        .panics
        .iter()
        .map(|p| (time(&p.scene), Death::Panic(p)));
    let mut all: Vec<_> = oopses.chain(panics).collect();
    all.sort_by_key(|(time, _)| *time);
    all.into_iter().map(|(_, death)| death).collect()
}
