// SPDX-License-Identifier: GPL-2.0

//! The summary for people.

use super::model::{Drain, Event, PanicRecord, Report, VolumeRecord};
use std::fmt::{Display, Write as _};

/// Everything that was read, as text. Texts out of logs are shown without control characters.
pub(super) fn summary(report: &Report) -> String {
    let mut out = String::new();
    for panic in &report.panics {
        one_panic(&mut out, panic);
        out.push('\n');
    }
    if report.panics.is_empty() {
        let _ = writeln!(
            out,
            "No PermFS panic record in {}.",
            report.places.join(", ")
        );
    }
    if report.damaged_lines > 0 {
        let _ = writeln!(
            out,
            "{} damaged line(s) were not believed.",
            report.damaged_lines
        );
    }
    if report.unknown_lines > 0 {
        let _ = writeln!(
            out,
            "{} line(s) are of a later version: use newer tools.",
            report.unknown_lines
        );
    }
    for file in &report.unreadable {
        let _ = writeln!(out, "Not read: {}: {}.", plain(&file.file), file.reason);
    }
    out
}

fn one_panic(out: &mut String, p: &PanicRecord) {
    let _ = writeln!(out, "Panic {}", p.id);
    put(out, "message", message(p));
    put(out, "when", when(p));
    put(out, "where", place(p));
    let mounted = format!("{} mounted or on their way", show(p.volumes_mounted));
    put(out, "volumes", mounted);
    for volume in &p.volumes {
        one_volume(out, volume);
    }
    if let Some(o) = &p.omitted {
        let rest = format!(
            "{} volume(s), {} without a slot, {} I/O in flight",
            show(o.volumes),
            show(o.untracked),
            show(o.in_flight)
        );
        put(out, "not shown", rest);
    }
    if let Some(stage) = &p.nested_in_stage {
        let text = format!("the handler itself panicked in stage {}", plain(stage));
        put(out, "nested", text);
    }
    put(out, "outcome", outcome(p));
    put(out, "record", completeness(p));
}

fn put(out: &mut String, name: &str, value: String) {
    let _ = writeln!(out, "  {name:<9} {value}");
}

fn place(p: &PanicRecord) -> String {
    format!(
        "CPU {}, {} context, task {} (pid {})",
        show(p.cpu),
        show(p.context.as_deref().map(plain)),
        show(p.task.as_deref().map(plain)),
        show(p.pid)
    )
}

fn message(p: &PanicRecord) -> String {
    match &p.message {
        None => "(message lost)".into(),
        Some(m) if p.message_cut => format!("{} … (longer, see the kernel's own line)", plain(m)),
        Some(m) => plain(m),
    }
}

fn when(p: &PanicRecord) -> String {
    let up = p.mono_ns.map(|ns| format!(", {} after boot", duration(ns)));
    format!("{}{}", show(p.time.as_deref()), up.unwrap_or_default())
}

fn one_volume(out: &mut String, v: &VolumeRecord) {
    let _ = writeln!(
        out,
        "    {} {}  {}, epoch {} running, {} durable",
        show(v.name.as_deref().map(plain)),
        show(v.uuid.as_deref().map(plain)),
        show(v.state.as_deref().map(plain)),
        show(v.running_epoch),
        show(v.durable_epoch),
    );
    if let Some(drain) = &v.drain {
        let _ = writeln!(out, "      I/O        {}", stopped(drain));
    }
    if let Some(a) = &v.allocator {
        let _ = writeln!(
            out,
            "      allocator  {} blocks free, {} reserved; {} shards, {} under pressure; \
             {} refused, {} double frees",
            show(a.free_blocks),
            show(a.reserved_blocks),
            show(a.shards),
            show(a.shards_with_pressure),
            show(a.failed),
            show(a.double_frees),
        );
        if let Some(torn) = a.torn_events.filter(|&n| n > 0) {
            let _ = writeln!(out, "      events     {torn} were being written");
        }
    }
    for event in &v.events {
        let _ = writeln!(out, "      event      {}", one_event(event));
    }
}

fn one_event(e: &Event) -> String {
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

fn argument(kind: Option<&str>) -> &'static str {
    match kind {
        Some("alloc-failed") => "blocks wanted",
        Some("double-free") => "block",
        Some("hint-collision") => "collisions so far",
        Some("pressure") => "blocks left",
        _ => "argument",
    }
}

fn stopped(d: &Drain) -> String {
    let state = match d.drained {
        Some(true) => "drained".into(),
        Some(false) => format!("NOT drained, {} in flight", show(d.in_flight)),
        None => "unknown".into(),
    };
    let flush = match d.flush.as_deref() {
        Some("not-attempted") => "cache flush not attempted".into(),
        other => format!("cache flush {}", show(other.map(plain))),
    };
    format!("{state}; {flush}")
}

fn outcome(p: &PanicRecord) -> String {
    let Some(o) = &p.outcome else {
        return "unknown: the last line is missing".into();
    };
    format!(
        "{}; handler took {}; then the machine was to {}{}",
        stopped(&o.drain),
        show(o.elapsed_ns.map(duration)),
        show(o.next.as_deref().map(plain)),
        match (p.strategy.as_deref(), p.timeout) {
            (Some("kernel"), Some(t)) => format!(" (kernel.panic={t})"),
            (Some(s), _) => format!(" (panic_strategy={})", plain(s)),
            _ => String::new(),
        }
    )
}

fn completeness(p: &PanicRecord) -> String {
    let sources: Vec<_> = p.sources.iter().map(plain).collect();
    let from = sources.join(", ");
    match (p.complete, p.lines_written) {
        (true, _) => format!("complete, {} lines, from {from}", p.lines),
        (false, Some(n)) => format!("INCOMPLETE, {} of {n} lines, from {from}", p.lines),
        (false, None) => format!("INCOMPLETE, {} lines, from {from}", p.lines),
    }
}

fn show(value: Option<impl Display>) -> String {
    value.map_or_else(|| "?".into(), |v| v.to_string())
}

/// Text out of a log without what could drive a terminal.
fn plain(text: impl AsRef<str>) -> String {
    let mut out = String::new();
    for c in text.as_ref().chars() {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

fn duration(ns: u64) -> String {
    match ns {
        0..1_000_000 => format!("{}.{:03} µs", ns / 1000, ns % 1000),
        1_000_000..1_000_000_000 => {
            format!("{}.{:03} ms", ns / 1_000_000, ns / 1000 % 1000)
        }
        _ => format!("{}.{:03} s", ns / 1_000_000_000, ns / 1_000_000 % 1000),
    }
}
