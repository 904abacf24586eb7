// SPDX-License-Identifier: GPL-2.0

//! The summary for people.

use super::{
    area::{AreaReport, RecordInfo, RecordState},
    model::{OopsRecord, PanicRecord, Report, VolumeRecord},
    text::{self, plain, show, Death},
};
use std::fmt::Write as _;

/// Everything that was read, as text. Texts out of logs are shown without control characters.
pub(super) fn summary(report: &Report) -> String {
    let mut out = String::new();
    for death in text::deaths(report) {
        match death {
            Death::Panic(panic) => one_panic(&mut out, panic),
            Death::Oops(oops) => one_oops(&mut out, oops),
        }
        out.push('\n');
    }
    if report.panics.is_empty() {
        let places: Vec<_> = report.places.iter().map(plain).collect();
        let _ = writeln!(out, "No PermFS panic record in {}.", places.join(", "));
    }
    for area in &report.areas {
        one_area(&mut out, area);
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
    put(out, "data", text::safety(p).1);
    put(out, "message", text::message(&p.scene));
    put(out, "when", text::when(&p.scene));
    put(out, "where", text::place(&p.scene));
    if let Some(origin) = &p.origin {
        put(out, "code", text::origin(origin));
    }
    if let Some(host) = &p.host {
        put(out, "host", text::host(host));
    }
    let mut mounted = format!("{} mounted or on their way", show(p.volumes_mounted));
    if let Some(ms) = p.deadline_ms {
        mounted += &format!("; deadline for their I/O {ms} ms");
    }
    put(out, "volumes", mounted);
    for volume in &p.volumes {
        one_volume(out, volume);
    }
    for (name, remark) in text::remarks(p) {
        put(out, name, remark);
    }
    put(out, "outcome", text::outcome(p));
    put(
        out,
        "record",
        text::completeness(p) + &from_sources(&p.sources),
    );
    backtrace(out, &p.backtrace);
}

/// Where it died, as the kernel has printed it.
fn backtrace(out: &mut String, lines: &[String]) {
    for (n, line) in lines.iter().enumerate() {
        put(out, if n == 0 { "backtrace" } else { "" }, plain(line));
    }
}

fn one_oops(out: &mut String, o: &OopsRecord) {
    let _ = writeln!(out, "Oops {}", o.id);
    put(out, "message", text::message(&o.scene));
    put(out, "when", text::when(&o.scene));
    put(out, "where", text::place(&o.scene));
    let failed = format!("{} failed with it", show(o.volumes_failed));
    put(out, "volumes", failed);
    for v in &o.volumes {
        let (name, uuid) = (v.name.as_deref().map(plain), v.uuid.as_deref().map(plain));
        let _ = writeln!(
            out,
            "    {} {}  {}",
            show(name),
            show(uuid),
            text::failed(v)
        );
    }
    put(out, "then", text::aftermath(o));
    put(
        out,
        "record",
        text::oops_completeness(o) + &from_sources(&o.sources),
    );
}

fn from_sources(sources: &[String]) -> String {
    let sources: Vec<_> = sources.iter().map(plain).collect();
    match &sources[..] {
        [] => String::new(),
        sources => format!(", from {}", sources.join(", ")),
    }
}

fn put(out: &mut String, name: &str, value: String) {
    let _ = writeln!(out, "  {name:<9} {value}");
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
        let _ = writeln!(out, "      I/O        {}", text::drain(drain));
    }
    if let Some(lane) = &v.lane {
        let _ = writeln!(out, "      lane       {}", text::lane(lane));
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
        let _ = writeln!(out, "      event      {}", text::event(event));
    }
}

fn one_area(out: &mut String, a: &AreaReport) {
    let _ = writeln!(
        out,
        "Panic area of {} ({}): {}",
        plain(&a.device),
        a.uuid,
        a.counts()
    );
    if a.super_block != 0 {
        let _ = writeln!(
            out,
            "  super block UNUSABLE, read from the backup in block {}",
            a.super_block
        );
    }
    for record in &a.records {
        let _ = writeln!(out, "  {}", one_record(record));
    }
}

/// A record of a panic area in a line.
pub(super) fn one_record(r: &RecordInfo) -> String {
    let mut line = format!(
        "record {} in slot {}: {}, {} bytes",
        r.sequence, r.slot, r.kind, r.bytes
    );
    if let Some(id) = r.panic.as_ref() {
        line += &format!(", panic {id}");
    }
    if r.kind == "kernel-log" {
        line += &format!(
            " ({}, part {}{})",
            show(r.reason.as_deref()),
            show(r.part),
            if r.compressed { ", compressed" } else { "" }
        );
    }
    line += match (r.state, r.flushed) {
        (RecordState::Torn, _) => ": TORN, only its whole lines are believed",
        (RecordState::Erased, _) => ": erased, not read",
        (RecordState::Whole, false) => ": flush not known to have completed",
        (RecordState::Whole, true) => "",
    };
    if let Some(trouble) = &r.trouble {
        line += &format!(": {trouble}");
    }
    line
}
