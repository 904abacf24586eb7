// SPDX-License-Identifier: GPL-2.0

//! The timeline of the panic path.

use super::{
    super::{
        model::{OopsRecord, PanicRecord, Span},
        text::{duration, show},
    },
    esc,
};
use std::fmt::Write as _;

/// What each stage is, in the order of the handler.
const STAGES: [(&str, &str); 6] = [
    ("gate", "the I/O gate closes"),
    ("known", "facts are printed"),
    ("write", "record is written"),
    ("flush", "cache is flushed"),
    ("drain", "I/O is collected"),
    ("outcome", "outcome is printed"),
];

/// Stages that the handler always measures.
const LANE: [&str; 2] = ["write", "flush"];

/// A stage's bar: nanoseconds from the first line, or less of it where that is not known.
struct Bar<'a> {
    span: &'a Span,
    from: u64,
    len: u64,
}

impl Bar<'_> {
    /// Where it ends. The numbers are a log's, so they may be anything.
    fn end(&self) -> u64 {
        self.from.saturating_add(self.len)
    }
}

/// The section with a row for each stage, and one for each volume where volumes differ. First comes the `oops`
/// that the panic was made of: it was before the handler, so it has no bar.
pub(super) fn section(out: &mut String, p: &PanicRecord, oops: Option<&OopsRecord>) {
    out.push_str("<h2>The panic path</h2>\n");
    let bars = place(&p.timeline);
    let elapsed = p.outcome.as_ref().and_then(|o| o.elapsed_ns);
    let end = bars.iter().map(Bar::end).max().unwrap_or(0);
    let whole = end.max(elapsed.unwrap_or(0)).max(1);
    out.push_str("<table class=\"stages\">\n");
    if let Some(oops) = oops {
        let before = p.scene.mono_ns.zip(oops.scene.mono_ns);
        let before = before.and_then(|(panic, oops)| panic.checked_sub(oops));
        let what = format!(
            "oops {}: {} volume(s) fail",
            oops.id,
            show(oops.volumes_failed)
        );
        let before = format!("{} before", show(before.map(duration)));
        row(out, "oops", &what, "", &before);
    }
    for (stage, what) in STAGES {
        let mut of_stage = bars.iter().filter(|b| b.span.stage == stage).peekable();
        if of_stage.peek().is_none() {
            row(out, stage, what, "", "the record does not tell");
        }
        for bar in of_stage {
            let name = match bar.span.slot {
                None => what.to_owned(),
                Some(slot) => format!("{what}: {}", volume(p, slot)),
            };
            let (length, track) = match bar.span.ns {
                None if LANE.contains(&stage) => ("did not complete".to_owned(), String::new()),
                None => ("not measured".to_owned(), String::new()),
                Some(ns) => (length(ns, bar.span.by), track(bar, whole)),
            };
            row(out, stage, &name, &track, &length);
        }
    }
    let total = show(elapsed.map(duration));
    let _ = writeln!(
        out,
        "</table>\n<p class=\"note\">The handler ran for {total}. Drain, write and flush were measured by the handler; \
         printing is known only by the log's time stamps, if a log with such was read. Where the log \
         does not say when a stage began, its bar stands behind the stage before.</p>"
    );
}

fn row(out: &mut String, stage: &str, what: &str, track: &str, length: &str) {
    let _ = writeln!(
        out,
        "<tr><th scope=\"row\">{stage}</th><td>{}</td><td class=\"track\">{track}</td><td>{length}</td></tr>",
        esc(what)
    );
}

fn length(ns: u64, by: Option<&str>) -> String {
    let by = if by == Some("log") { " (log)" } else { "" };
    format!("{}{by}", duration(ns))
}

/// A bar in per cent of the whole; a very short one can still be seen.
fn track(bar: &Bar<'_>, whole: u64) -> String {
    let percent = |ns: u64| ns as f64 * 100.0 / whole as f64;
    let left = percent(bar.from).min(99.5);
    let width = percent(bar.len).clamp(0.5, 100.0 - left);
    format!(
        "<div class=\"{}\" style=\"margin-left:{left:.2}%;width:{width:.2}%\"></div>",
        bar.span.stage
    )
}

fn volume(p: &PanicRecord, slot: u32) -> String {
    let found = p.volumes.iter().find(|v| v.slot == slot);
    let name = found.and_then(|v| v.name.clone());
    name.unwrap_or_else(|| format!("slot {slot}"))
}

/// Gives every span a place: its own, or the end of the stage before; a flush follows its volume's write.
fn place(spans: &[Span]) -> Vec<Bar<'_>> {
    let mut bars: Vec<Bar<'_>> = Vec::new();
    for span in spans {
        let before = bars.iter().filter(|b| b.span.stage != span.stage);
        let before = match span.stage {
            "flush" => before
                .filter(|b| b.span.stage == "write" && b.span.slot == span.slot)
                .map(Bar::end)
                .max(),
            // The lanes of several volumes stand side by side.
            "write" => before
                .filter(|b| b.span.stage != "flush")
                .map(Bar::end)
                .max(),
            _ => before.map(Bar::end).max(),
        };
        bars.push(Bar {
            span,
            from: span.from_ns.or(before).unwrap_or(0),
            len: span.ns.unwrap_or(0),
        });
    }
    bars
}
