// SPDX-License-Identifier: GPL-2.0

//! One page for a browser: no script, nothing from elsewhere, light or dark as the reader's system is.
//!
//! Everything that comes out of a log or a volume goes through [`esc`]; and the page's own policy
//! allows no script, so that even what slipped through would do nothing.

mod heat;
mod stages;
#[cfg(test)]
mod tests;

use super::{
    human,
    model::{Event, OopsRecord, PanicRecord, Report, Scene, VolumeRecord},
    text::{self, plain, show, Death},
};
use std::fmt::{Display, Write as _};

const STYLE: &str = include_str!("html/style.css");

/// The page.
pub(super) fn page(report: &Report) -> String {
    let title = match (&report.panics[..], &report.oopses[..]) {
        ([], []) => "No PermFS panic".to_owned(),
        ([], [one]) => format!("PermFS: oops {}", one.id),
        ([one], []) => format!("PermFS: panic {}", one.id),
        (panics, []) => format!("PermFS: {} panics", panics.len()),
        (panics, oopses) => format!("PermFS: panics {}, oopses {}", panics.len(), oopses.len()),
    };
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n",
        esc(&title)
    );
    if report.panics.is_empty() {
        let places = esc(report.places.join(", "));
        let _ = writeln!(out, "<h1>No PermFS panic</h1>\n<p>Searched: {places}.</p>");
    }
    // The newest is what one comes for.
    for (n, death) in text::deaths(report).into_iter().rev().enumerate() {
        match death {
            Death::Panic(panic) => one_panic(&mut out, report, panic, n == 0),
            Death::Oops(oops) => one_oops(&mut out, oops, n == 0),
        }
    }
    sources(&mut out, report);
    out.push_str("</body>\n</html>\n");
    out
}

/// Text as it may stand in an element or between double quotes.
fn esc(text: impl Display) -> String {
    let mut out = String::new();
    for c in plain(text.to_string()).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn head(out: &mut String, what: &str, id: &str, scene: &Scene, open: bool) {
    let when = scene.time.as_deref().unwrap_or("at an unknown time");
    let _ = writeln!(
        out,
        "<details class=\"panic\"{}>\n<summary><h1>{what} <code>{}</code></h1> <time>{}</time></summary>\n\
         <p class=\"message\">{}</p>",
        if open { " open" } else { "" },
        esc(id),
        esc(when),
        esc(text::message(scene))
    );
}

fn one_panic(out: &mut String, report: &Report, p: &PanicRecord, open: bool) {
    head(out, "Panic", &p.id, &p.scene, open);
    verdict(out, p);
    facts(out, p);
    let oops = report
        .oopses
        .iter()
        .find(|o| p.oops.as_ref() == Some(&o.id));
    stages::section(out, p, oops);
    backtrace(out, &p.backtrace);
    for volume in &p.volumes {
        one_volume(out, volume);
    }
    events(out, p);
    lines(out, &text::completeness(p), &p.raw_lines);
}

fn one_oops(out: &mut String, o: &OopsRecord, open: bool) {
    head(out, "Oops", &o.id, &o.scene, open);
    let failed = show(o.volumes_failed);
    chips(
        out,
        [
            (Some(false), format!("volumes failed: {failed}")),
            (Some(o.complete), text::oops_completeness(o)),
        ],
    );
    out.push_str("<table class=\"facts\">\n");
    fact(out, "when", text::when(&o.scene));
    fact(out, "where", text::place(&o.scene));
    for v in &o.volumes {
        let name = format!("volume {}", show(v.name.as_deref()));
        let uuid = show(v.uuid.as_deref());
        fact(out, &esc(name), format!("{uuid}: {}", text::failed(v)));
    }
    fact(out, "then", text::aftermath(o));
    fact(out, "read from", o.sources.join(", "));
    out.push_str("</table>\n");
    lines(out, &text::oops_completeness(o), &o.raw_lines);
}

/// Where it died, as the kernel has printed it; nothing if that was not read.
fn backtrace(out: &mut String, lines: &[String]) {
    if !lines.is_empty() {
        let lines: Vec<_> = lines.iter().map(esc).collect();
        let _ = writeln!(out, "<h2>Backtrace</h2>\n<pre>{}</pre>", lines.join("\n"));
    }
}

/// The lines themselves, which end the part.
fn lines(out: &mut String, completeness: &str, lines: &[String]) {
    let _ = writeln!(
        out,
        "<h2>Lines</h2>\n<details><summary>{} as they were printed</summary>\n<pre>{}</pre></details>\n</details>",
        esc(completeness),
        lines.iter().map(esc).collect::<Vec<_>>().join("\n")
    );
}

/// What one wants to know first: was I/O stopped, was the cache flushed, is the record whole?
fn verdict(out: &mut String, p: &PanicRecord) {
    let outcome = p.outcome.as_ref();
    let drained = outcome.and_then(|o| o.drained);
    let flush = outcome.and_then(|o| o.flush.as_deref());
    let in_flight = show(outcome.and_then(|o| o.in_flight));
    let state = match drained {
        Some(true) => "I/O drained".into(),
        Some(false) => format!("{in_flight} I/O in flight"),
        None => "I/O: unknown".into(),
    };
    let mut facts = vec![text::safety(p), (drained, state)];
    facts.push(match flush {
        Some("ok") => (Some(true), "caches flushed".into()),
        Some("not-attempted") => (None, "cache flush not attempted".into()),
        Some(word) => (Some(false), format!("cache flush: {word}")),
        None => (None, "cache flush: unknown".into()),
    });
    let good = (!p.outcome_deferred).then_some(p.complete);
    facts.push((good, text::completeness(p)));
    if let Some(next) = outcome.and_then(|o| o.next.as_deref()) {
        facts.push((None, format!("then: {next}")));
    }
    chips(out, facts);
}

/// Words to be seen first, and whether they are good.
fn chips(out: &mut String, chips: impl IntoIterator<Item = (Option<bool>, String)>) {
    out.push_str("<ul class=\"verdict\">\n");
    for (good, text) in chips {
        let class = match good {
            Some(true) => "good",
            Some(false) => "bad",
            None => "unknown",
        };
        let _ = writeln!(out, "<li class=\"{class}\">{}</li>", esc(text));
    }
    out.push_str("</ul>\n");
}

fn facts(out: &mut String, p: &PanicRecord) {
    out.push_str("<table class=\"facts\">\n");
    fact(out, "when", text::when(&p.scene));
    fact(out, "where", text::place(&p.scene));
    if let Some(origin) = &p.origin {
        fact(out, "code", text::origin(origin));
    }
    if let Some(host) = &p.host {
        fact(out, "host", text::host(host));
    }
    fact(
        out,
        "volumes",
        format!("{} mounted or on their way", show(p.volumes_mounted)),
    );
    if let Some(ms) = p.deadline_ms {
        fact(
            out,
            "deadline",
            format!("{ms} ms for draining and the panic lane"),
        );
    }
    for (name, remark) in text::remarks(p) {
        fact(out, name, remark);
    }
    fact(out, "outcome", text::outcome(p));
    fact(out, "read from", p.sources.join(", "));
    out.push_str("</table>\n");
}

fn fact(out: &mut String, name: &str, value: String) {
    let _ = writeln!(
        out,
        "<tr><th scope=\"row\">{name}</th><td>{}</td></tr>",
        esc(value)
    );
}

fn one_volume(out: &mut String, v: &VolumeRecord) {
    let _ = writeln!(
        out,
        "<h2>Volume {} <small>{}</small></h2>\n<table class=\"facts\">",
        esc(show(v.name.as_deref())),
        esc(show(v.uuid.as_deref()))
    );
    let epochs = format!(
        "{}; epoch {} running, {} durable; {} I/O in flight when the gate closed",
        show(v.state.as_deref()),
        show(v.running_epoch),
        show(v.durable_epoch),
        show(v.in_flight)
    );
    fact(out, "state", epochs);
    if let Some(drain) = &v.drain {
        fact(out, "I/O", text::drain(drain));
    }
    if let Some(lane) = &v.lane {
        fact(out, "panic lane", text::lane(lane));
    }
    if let Some(a) = &v.allocator {
        let space = format!(
            "{} blocks free, {} reserved; {} allocations refused, {} double frees",
            show(a.free_blocks),
            show(a.reserved_blocks),
            show(a.failed),
            show(a.double_frees)
        );
        fact(out, "allocator", space);
    }
    out.push_str("</table>\n");
    heat::map(out, v);
}

fn events(out: &mut String, p: &PanicRecord) {
    let mut all: Vec<(&VolumeRecord, &Event)> = p
        .volumes
        .iter()
        .flat_map(|v| v.events.iter().map(move |e| (v, e)))
        .collect();
    all.sort_by_key(|(_, e)| e.mono_ns);
    out.push_str("<h2>Allocator events</h2>\n");
    if all.is_empty() {
        out.push_str("<p>The record has none.</p>\n");
        return;
    }
    out.push_str(
        "<div class=\"wide\"><table class=\"list\">\n<tr><th>since boot</th><th>volume</th><th>event</th>\
         <th>CPU</th><th>shard</th><th>detail</th></tr>\n",
    );
    for (volume, e) in all {
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td>#{} {}</td><td>{}</td><td>{}</td><td>{} {}</td></tr>",
            esc(show(e.mono_ns.map(text::duration))),
            esc(show(volume.name.as_deref())),
            show(e.seq),
            esc(show(e.kind.as_deref())),
            show(e.cpu),
            show(e.shard),
            text::argument(e.kind.as_deref()),
            show(e.arg)
        );
    }
    out.push_str("</table></div>\n");
}

/// Panic areas, and what could not be read or believed.
fn sources(out: &mut String, report: &Report) {
    for area in &report.areas {
        let _ = writeln!(
            out,
            "<section>\n<h2>Panic area of {} <small>{}</small></h2>\n<p>{}.</p>",
            esc(&area.device),
            esc(&area.uuid),
            esc(area.counts())
        );
        if area.super_block != 0 {
            let from = area.super_block;
            let _ = writeln!(out, "<p class=\"bad\">The super block is unusable; read by the backup in block {from}.</p>");
        }
        out.push_str("<ul>\n");
        for record in &area.records {
            let _ = writeln!(out, "<li>{}</li>", esc(human::one_record(record)));
        }
        out.push_str("</ul>\n</section>\n");
    }
    let mut notes = Vec::new();
    if report.damaged_lines > 0 {
        notes.push(format!(
            "{} damaged line(s) were not believed.",
            report.damaged_lines
        ));
    }
    if report.unknown_lines > 0 {
        let n = report.unknown_lines;
        notes.push(format!(
            "{n} line(s) are of a later version: use newer tools."
        ));
    }
    for file in &report.unreadable {
        notes.push(format!("Not read: {}: {}.", file.file, file.reason));
    }
    for note in notes {
        let _ = writeln!(out, "<p class=\"bad\">{}</p>", esc(note));
    }
}
