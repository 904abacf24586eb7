// SPDX-License-Identifier: GPL-2.0

//! The forms that `permfs panic` gives its answer in, and the archive: schema, page, metrics, files.

mod common;

use common::*;
use serde_json::{json, Value};
use std::{fs, path::Path};

const SCHEMA: &str = include_str!("../../../Documentation/panic.schema.json");

/// The schema; with `strict`, a name that it does not have is an error, so that none goes undocumented.
fn validator(strict: bool) -> jsonschema::Validator {
    let mut schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
    if strict {
        forbid_more(&mut schema);
    }
    jsonschema::draft202012::meta::validate(&schema).expect("a JSON Schema");
    jsonschema::validator_for(&schema).expect("a schema without loose ends")
}

fn forbid_more(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.values_mut().for_each(forbid_more);
            if map.get("properties").is_some_and(Value::is_object) && map.contains_key("required") {
                map.insert("additionalProperties".into(), false.into());
            }
        }
        Value::Array(list) => list.iter_mut().for_each(forbid_more),
        _ => {}
    }
}

/// A volume with two panics: one whole, one of which much is lost; and a kernel log, with an oops too.
fn volume() -> Volume {
    let volume = Volume::new(16);
    let (record, tail) = lines();
    volume.breadcrumbs(1, &record);
    volume.tail(1, &tail);
    let other = line(
        0xbad,
        0,
        "begin",
        "wall=1795387000000000000 mono=5 cpu=0 vols=9",
    ) + &line(0xbad, 1, "alloc", "slot=3 shards=2")
        + &line(0xbad, 2, "omit", "vols=1 untracked=0 inflight=2")
        + &line(0xbad, 3, "breaker", "n=3 secs=600")
        + &line(0xbad, 4, "nested", "stage=drain cpu=0")
        + "permfs-panic: v=1 rec=end id=00000bad crc=00000000\n";
    volume.breadcrumbs(2, &other);
    let oops = line(
        0xdead,
        0,
        "oops",
        "wall=1795387568123456789 mono=61123456789 cpu=1 ctx=task vols=1 pid=7 comm=\"bash\" text=\"Oops: 0000\"",
    ) + &line(0xdead, 1, "failed", "slot=0 held=1 inflight=3 run=42 dur=41 uuid=01234567000040008000000000000001 name=\"vda\"");
    let log = deflate(&format!("Panic#1 Part1\n{oops}{record}"));
    volume.record(&log_head(3, &log, 1, true), &log);
    volume
}

#[test]
fn every_json_fits_the_schema_and_the_schema_has_every_name() {
    let volume = volume();
    let strict = validator(true);
    let encrypted = volume.path("dmesg-efi-1.enc.z");
    fs::write(&encrypted, "x").expect("room");
    let nothing = volume.path("nothing");
    fs::write(&nothing, "").expect("room");
    let image: &str = &volume.image;
    let name = |path: &Path| path.to_str().expect("plain").to_owned();
    let (encrypted, nothing) = (name(&encrypted), name(&nothing));
    for (places, status) in [
        (vec![image, &encrypted], 0),
        (vec![&nothing], 1),
        (vec![&encrypted], 2),
    ] {
        let report = json(&places, status);
        let errors: Vec<_> = strict.iter_errors(&report).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
        assert!(validator(false).is_valid(&report));
    }
    let mut report = json(&[image], 0);
    assert_eq!(
        (
            &report["unknown_lines"],
            &report["oopses"][0]["volumes"][0]["lock_held"]
        ),
        (&json!(0), &json!(true))
    );
    assert_eq!(report["panics"][1]["oops"], "0000dead");
    // The schema is not one that everything fits.
    report["panics"][0]["id"] = json!(5);
    assert!(!validator(false).is_valid(&report));
    report["panics"][0]
        .as_object_mut()
        .expect("an object")
        .remove("id");
    assert!(!validator(false).is_valid(&report));
}

#[test]
fn the_page_is_whole_and_tells_of_both_panics() {
    let volume = volume();
    let page = volume.path("page.html");
    let page = page.to_str().expect("plain");
    assert_eq!(text(&["--html", "--out", page, &volume.image], 0), "");
    let page = fs::read_to_string(page).expect("written");
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
    for part in [
        "sysrq triggered crash",
        "5 of 64 shards under pressure",
        "halted instead of rebooting",
        "the handler itself died in stage drain",
        "record 3 in slot 3: kernel-log",
        "Panic <code>00000bad</code>",
        "Oops <code>0000dead</code>",
        "<td>1.000 s before</td>",
    ] {
        assert!(page.contains(part), "{part}");
    }
    for tag in ["details", "table", "ul", "section", "div"] {
        let (opened, closed) = (
            page.matches(&format!("<{tag}")).count(),
            page.matches(&format!("</{tag}>")).count(),
        );
        assert_eq!(opened, closed, "{tag}");
    }
}

#[test]
fn metrics_name_what_is_known_and_nothing_else() {
    let volume = volume();
    let metrics = text(&["--prometheus", &volume.image], 0);
    for sample in [
        "permfs_panics_recorded_total 2",
        "permfs_oopses_recorded_total 1",
        "permfs_oops_last_timestamp_seconds 1795387568.123",
        "permfs_oops_last_volumes_failed 1",
        "permfs_panic_damaged_lines 1",
        "permfs_panic_last_info{id=\"00c0ffee\",context=\"task\",strategy=\"kernel\"} 1",
        "permfs_panic_last_timestamp_seconds 1795387569.123",
        "permfs_panic_last_complete 1",
        "permfs_panic_last_outcome_deferred 0",
        "permfs_panic_last_drained 1",
        "permfs_panic_last_flush_ok 1",
        "permfs_panic_last_in_flight_requests 0",
        "permfs_panic_last_lost_requests 0",
        "permfs_panic_last_handler_seconds 0.021000",
        "permfs_panic_last_volume_record_written{device=\"vda\",uuid=\"01234567-0000-4000-8000-000000000001\"} 1",
    ] {
        assert!(metrics.lines().any(|l| l == sample), "{sample} not in\n{metrics}");
    }
    assert!(
        metrics.contains("state=\"unflushed\"} 2\n") && metrics.contains("state=\"whole\"} 1\n")
    );
    // Every sample has its type in front of it, and each name comes in one block.
    let mut types: Vec<&str> = Vec::new();
    for line in metrics.lines().filter(|l| !l.starts_with("# HELP")) {
        let name = line
            .trim_start_matches("# TYPE ")
            .split([' ', '{'])
            .next()
            .expect("a name");
        if line.starts_with('#') {
            assert!(!types.contains(&name), "{name} twice");
            types.push(name);
        }
        assert_eq!(types.last(), Some(&name));
    }
    let nothing = volume.path("nothing");
    fs::write(&nothing, "").expect("room");
    let metrics = text(&["--prometheus", nothing.to_str().expect("plain")], 0);
    assert!(metrics.contains("permfs_panics_recorded_total 0\n"));
    assert!(metrics.contains("permfs_oopses_recorded_total 0\n") && !metrics.contains("last"));
}

#[test]
fn a_file_is_replaced_at_once_or_left_alone() {
    let volume = volume();
    let folder = volume.path("metrics");
    fs::create_dir(&folder).expect("room");
    let file = folder.join("permfs.prom");
    fs::write(&file, "old").expect("room");
    let name = file.to_str().expect("plain");
    text(&["--prometheus", "--out", name, &volume.image], 0);
    assert!(fs::read_to_string(&file)
        .expect("there")
        .contains("permfs_panics_recorded_total 2"));
    assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 1);
    let (out, code) = panic(&[
        "--prometheus",
        "--out",
        "/nonexistent/x.prom",
        &volume.image,
    ]);
    assert_eq!(code, 2);
    assert!(String::from_utf8_lossy(&out.stderr).contains("cannot write /nonexistent/x.prom"));
    // A place that is not there: the old metrics stay.
    assert_eq!(panic(&["--prometheus", "--out", name, "/nonexistent"]).1, 2);
    assert!(fs::read_to_string(&file)
        .expect("there")
        .contains("permfs_panics_recorded_total 2"));
}

#[test]
fn the_archive_takes_each_panic_once() {
    let volume = volume();
    let folder = volume.path("archive");
    let folder = folder.to_str().expect("plain");
    let archive = || text(&["--archive", folder, &volume.image], 0);
    assert!(archive().ends_with(
        "2 panic(s) added, 0 completed, 0 there already; 1 oops(es) added, 0 completed, 0 there already\n"
    ));
    let stamps = || {
        let files = fs::read_dir(folder)
            .expect("a folder")
            .map(|e| e.expect("an entry"));
        let mut files: Vec<_> = files
            .map(|f| {
                (
                    f.file_name(),
                    f.metadata().expect("there").modified().expect("a time"),
                )
            })
            .collect();
        files.sort();
        files
    };
    let before = stamps();
    let names: Vec<_> = before
        .iter()
        .map(|(name, _)| name.to_str().expect("plain"))
        .collect();
    let both = ["20261122T223640Z-00000bad", "20261122T224609Z-00c0ffee"];
    let oops = "20261122T224608Z-oops-0000dead";
    assert_eq!(
        names,
        [
            format!("{}.json", both[0]),
            format!("{}.txt", both[0]),
            format!("{oops}.json"),
            format!("{oops}.txt"),
            format!("{}.json", both[1]),
            format!("{}.log", both[1]),
            format!("{}.txt", both[1]),
        ]
    );
    assert!(archive().ends_with(
        "0 panic(s) added, 0 completed, 2 there already; 0 oops(es) added, 0 completed, 1 there already\n"
    ));
    assert_eq!(stamps(), before);
    let strict = validator(true);
    for name in both {
        let text =
            fs::read_to_string(Path::new(folder).join(format!("{name}.json"))).expect("there");
        let report: Value = serde_json::from_str(&text).expect("JSON");
        assert!(strict.is_valid(&report));
        assert_eq!(report["panics"].as_array().expect("panics").len(), 1);
    }
    // What the area has lost meanwhile is still counted by who reads the archive too.
    volume.write(volume.slot(1), &[0; 4096]);
    volume.write(volume.slot(3), &[0; 4096]);
    let metrics = text(&["--prometheus", folder, &volume.image], 0);
    assert!(metrics.contains("permfs_panics_recorded_total 2\n"));
    assert!(metrics.contains("permfs_oopses_recorded_total 1\n"));
    let nothing = volume.path("nothing");
    fs::write(&nothing, "").expect("room");
    text(&["--archive", folder, nothing.to_str().expect("plain")], 0);
}

#[test]
fn forms_exclude_each_other() {
    for args in [
        ["--json", "--html"],
        ["--log", "--prometheus"],
        ["--erase-pstore", "-"],
    ] {
        let (out, code) = panic(&args);
        assert_eq!(code, 2, "{args:?}: {out:?}");
    }
}
