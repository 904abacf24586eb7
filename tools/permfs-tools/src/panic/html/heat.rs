// SPDX-License-Identifier: GPL-2.0

//! The heat map of a volume's shards.

use super::{
    super::model::VolumeRecord,
    esc, //
};
use std::fmt::Write as _;

/// Cells of a map at most; each stands for several shards where there are more.
const CELLS: u64 = 480;
/// Shades that the style sheet has.
const SHADES: u64 = 4;

/// Where the events were, and how many shards are under pressure.
pub(super) fn map(out: &mut String, v: &VolumeRecord) {
    let Some(allocator) = &v.allocator else {
        return;
    };
    let Some(shards) = allocator.shards.filter(|&n| n > 0) else {
        return;
    };
    if let Some(pressed) = allocator.shards_with_pressure {
        let share = pressed.min(shards) as f64 * 100.0 / shards as f64;
        let _ = writeln!(
            out,
            "<p class=\"pressure\"><span>{pressed} of {shards} shards under pressure</span>\
             <span class=\"meter\"><span style=\"width:{share:.1}%\"></span></span></p>"
        );
    }
    let each = shards.div_ceil(CELLS);
    let _ = writeln!(out, "<div class=\"heat\">");
    for cell in 0..shards.div_ceil(each) {
        let first = cell * each;
        let last = first.saturating_add(each - 1).min(shards - 1);
        let events = v
            .events
            .iter()
            .filter(|e| e.shard.is_some_and(|shard| (first..=last).contains(&shard)));
        let kinds: Vec<_> = events.filter_map(|e| e.kind.as_deref()).collect();
        let name = if first == last {
            format!("shard {first}")
        } else {
            format!("shards {first} to {last}")
        };
        let what = if kinds.is_empty() {
            "no event in the record".to_owned()
        } else {
            kinds.join(", ")
        };
        let _ = write!(
            out,
            "<i class=\"h{}\" title=\"{}\"></i>",
            (kinds.len() as u64).min(SHADES),
            esc(format!("{name}: {what}"))
        );
    }
    let told = v.events.len();
    let ever = allocator
        .events
        .map_or_else(|| "an unknown number of".into(), |n| n.to_string());
    let scale = match each {
        1 => "A cell is a shard".to_owned(),
        n => format!("A cell is {n} shards"),
    };
    let _ = writeln!(
        out,
        "</div>\n<p class=\"note\">{scale}; its shade is the number of events there, of the {told} that the record has. \
         The volume has seen {} since it was mounted; the record keeps the newest few. It counts the shards under pressure and \
         does not say which they are.</p>",
        esc(format!("{ever} events"))
    );
}
