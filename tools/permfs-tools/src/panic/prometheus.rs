// SPDX-License-Identifier: GPL-2.0

//! Metrics for the textfile collector of Prometheus' node exporter.
//!
//! What is not known has no sample: a lost line must not look like a zero.

use super::model::{OopsRecord, PanicRecord, Report};
use std::fmt::{Display, Write as _};

/// All metrics, in the text format 0.0.4.
pub(super) fn metrics(report: &Report) -> String {
    let mut out = Metrics::default();
    let count = report.panics.len();
    out.one(
        "permfs_panics_recorded_total",
        "counter",
        "Panics of which a record was read.",
        Some(count),
    );
    out.one(
        "permfs_oopses_recorded_total",
        "counter",
        "Oopses inside PermFS of which a record was read; those that became panics, too.",
        Some(report.oopses.len()),
    );
    out.one(
        "permfs_panic_damaged_lines",
        "gauge",
        "Panic lines that were torn, cut or overwritten.",
        Some(report.damaged_lines),
    );
    out.one(
        "permfs_panic_unreadable_places",
        "gauge",
        "Files and devices that may hold a panic and could not be read.",
        Some(report.unreadable.len()),
    );
    areas(&mut out, report);
    if let Some(last) = report.panics.last() {
        last_panic(&mut out, last);
    }
    if let Some(last) = report.oopses.last() {
        last_oops(&mut out, last);
    }
    out.text
}

fn areas(out: &mut Metrics, report: &Report) {
    let name = "permfs_panic_area_slots";
    if !report.areas.is_empty() {
        out.head(
            name,
            "gauge",
            "Slots of the panic area, by what is in them.",
        );
    }
    for area in &report.areas {
        let unflushed = area.records.iter().filter(|r| r.is_unflushed()).count() as u32;
        for (state, n) in [
            ("whole", area.whole - unflushed),
            ("unflushed", unflushed),
            ("torn", area.torn),
            ("erased", area.erased),
            ("damaged", area.damaged),
            ("unsigned", area.unsigned),
            ("empty", area.empty),
        ] {
            let labels = [
                ("device", area.device.as_str()),
                ("uuid", &area.uuid),
                ("state", state),
            ];
            out.sample(name, &labels, n);
        }
    }
}

fn last_panic(out: &mut Metrics, p: &PanicRecord) {
    let labels = [
        ("id", p.id.as_str()),
        ("context", p.scene.context.as_deref().unwrap_or("")),
        ("strategy", p.strategy.as_deref().unwrap_or("")),
    ];
    let name = "permfs_panic_last_info";
    out.head(name, "gauge", "The last panic; always 1.");
    out.sample(name, &labels, 1);
    let flag = |value: Option<bool>| value.map(u8::from);
    let outcome = p.outcome.as_ref();
    let time = p.scene.wall_ns.map(stamp);
    out.one(
        "permfs_panic_last_timestamp_seconds",
        "gauge",
        "When the last panic was, in seconds since 1970.",
        time,
    );
    out.one(
        "permfs_panic_last_complete",
        "gauge",
        "1: every line of the last panic was read.",
        Some(u8::from(p.complete)),
    );
    out.one(
        "permfs_panic_last_outcome_deferred",
        "gauge",
        "1: of the last panic only what was left to a kmsg dumper is in no source that was read.",
        Some(u8::from(p.outcome_deferred)),
    );
    out.one(
        "permfs_panic_last_drained",
        "gauge",
        "1: no I/O was in flight any more when the last panic's handler ended.",
        flag(outcome.and_then(|o| o.drained)),
    );
    let flush_ok = outcome.and_then(|o| o.flush.as_deref()).map(|f| f == "ok");
    out.one(
        "permfs_panic_last_flush_ok",
        "gauge",
        "1: every volume's cache flush completed in the last panic.",
        flag(flush_ok),
    );
    out.one(
        "permfs_panic_last_in_flight_requests",
        "gauge",
        "Requests in flight when the last panic's handler ended.",
        outcome.and_then(|o| o.in_flight),
    );
    let drains = p.volumes.iter().filter_map(|v| v.drain.as_ref());
    let lost = drains
        .filter_map(|d| d.lost.map(u64::from))
        .reduce(|a, b| a + b);
    out.one(
        "permfs_panic_last_lost_requests",
        "gauge",
        "Requests that the last panic's handler gave up at its deadline.",
        lost,
    );
    let took = outcome
        .and_then(|o| o.elapsed_ns)
        .map(|ns| seconds(ns / 1000, 1_000_000));
    out.one(
        "permfs_panic_last_handler_seconds",
        "gauge",
        "How long the last panic's handler ran.",
        took,
    );
    out.one(
        "permfs_panic_last_volumes",
        "gauge",
        "Volumes that were mounted or on their way in the last panic.",
        p.volumes_mounted,
    );
    volumes(out, p);
}

fn volumes(out: &mut Metrics, p: &PanicRecord) {
    let name = "permfs_panic_last_volume_record_written";
    let lanes = || p.volumes.iter().filter_map(|v| Some((v, v.lane.as_ref()?)));
    if lanes().next().is_some() {
        out.head(
            name,
            "gauge",
            "1: the last panic's record was written to this volume, and its cache flushed.",
        );
    }
    for (volume, lane) in lanes() {
        let labels = [
            ("device", volume.name.as_deref().unwrap_or("")),
            ("uuid", volume.uuid.as_deref().unwrap_or("")),
        ];
        out.sample(
            name,
            &labels,
            u8::from(lane.result.as_deref() == Some("ok")),
        );
    }
}

fn last_oops(out: &mut Metrics, o: &OopsRecord) {
    out.one(
        "permfs_oops_last_timestamp_seconds",
        "gauge",
        "When the last oops was, in seconds since 1970.",
        o.scene.wall_ns.map(stamp),
    );
    out.one(
        "permfs_oops_last_volumes_failed",
        "gauge",
        "Volumes that failed with the last oops.",
        o.volumes_failed,
    );
}

/// A time in seconds since 1970, to the millisecond.
fn stamp(ns: u64) -> String {
    seconds(ns / 1_000_000, 1000)
}

/// A number of parts as seconds, with all digits.
fn seconds(parts: u64, per_second: u64) -> String {
    let digits = per_second.checked_ilog10().unwrap_or(0) as usize;
    format!("{}.{:0digits$}", parts / per_second, parts % per_second)
}

#[derive(Default)]
struct Metrics {
    text: String,
}

impl Metrics {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<_> = labels
            .iter()
            .map(|(key, value)| format!("{key}=\"{}\"", escaped(value)))
            .collect();
        let _ = writeln!(self.text, "{name}{{{}}} {value}", labels.join(","));
    }

    /// A metric with one sample and no label, if its value is known.
    fn one(&mut self, name: &str, kind: &str, help: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.head(name, kind, help);
            let _ = writeln!(self.text, "{name} {value}");
        }
    }
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
