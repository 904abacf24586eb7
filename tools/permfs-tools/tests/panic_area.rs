// SPDX-License-Identifier: GPL-2.0

//! `permfs panic` on volumes: what it reads out of a panic area, what it believes, and how it says so.

mod common;

use common::*;
use permfs_core::panic::area::{Head, RecordKind};
use serde_json::json;
use std::fs;

#[test]
fn a_record_and_its_tail_are_one_whole_panic() {
    let volume = Volume::new(16);
    assert!(text(&[&volume.image], 1).starts_with("No PermFS panic record in "));
    let (record, tail) = lines();
    volume.breadcrumbs(1, &record);
    volume.tail(1, &tail);
    let report = json(&[&volume.image], 0);
    let panic = &report["panics"][0];
    assert_eq!(
        (&panic["id"], &panic["complete"]),
        (&json!("00c0ffee"), &json!(true))
    );
    assert_eq!(
        (&panic["deadline_ms"], &panic["deferred"]),
        (&json!(500), &json!(false))
    );
    let drain = json!({"drained": true, "in_flight": 0, "flush": "pending", "lost": 0, "way": "virtio-poll", "us": 1250, "end": "done"});
    assert_eq!(panic["volumes"][0]["drain"], drain);
    let lane = json!({"way": "virtio-poll", "result": "ok", "why": null, "flush": "ok", "sequence": 1, "write_us": 940, "flush_us": 4100});
    assert_eq!(panic["volumes"][0]["lane"], lane);
    assert_eq!(panic["outcome"]["flush"], "ok");
    assert_eq!(
        panic["records"],
        json!([{"device": volume.image, "sequence": 1}])
    );
    assert_eq!(panic["raw_lines"].as_array().expect("lines").len(), 11);
    let area = &report["areas"][0];
    assert_eq!(
        (&area["slots"], &area["whole"], &area["empty"]),
        (&json!(4), &json!(1), &json!(3))
    );
    assert_eq!(area["records"][0]["flushed"], true);
    let shown = text(&[&volume.image], 0);
    for part in [
        "data      what fsync and sync acknowledged is safe, and so is all that was on its way",
        "sysrq triggered crash",
        "deadline for their I/O 500 ms",
        "drained; cache flush left to the panic lane; by virtio-poll in 1.250 ms",
        "lane       record 1 written by virtio-poll, write 940.000 µs, flush 4.100 ms",
        "outcome   drained; cache flush ok; handler took 21.000 ms; then the machine was to reboot",
        "complete, 11 lines, from ",
        "record 1 in slot 1: panic-lines, ",
    ] {
        assert!(shown.contains(part), "{part} not in\n{shown}");
    }
    assert!(!shown.contains("not known"), "{shown}");
}

#[test]
fn without_a_tail_nobody_says_that_the_record_was_flushed() {
    let volume = Volume::new(16);
    volume.breadcrumbs(1, &lines().0);
    // A tail of an earlier record in this slot is not this one's.
    volume.tail(5, &lines().1);
    let report = json(&[&volume.image], 0);
    assert_eq!(report["panics"][0]["complete"], false);
    assert_eq!(report["panics"][0]["outcome"], json!(null));
    assert_eq!(report["areas"][0]["records"][0]["flushed"], false);
    assert!(text(&[&volume.image], 0).contains("flush not known to have completed"));
}

#[test]
fn the_beginning_of_an_image_is_enough() {
    let volume = Volume::new(16);
    let (record, tail) = lines();
    volume.breadcrumbs(1, &record);
    volume.tail(1, &tail);
    let whole = fs::read(&volume.image).expect("readable");
    // Slot 1 has the record; what is behind slot 2's head is cut off, and not in the middle of a sector.
    let end = (volume.area.head_block(2) + 1) as usize * 4096;
    fs::write(&volume.image, &whole[..end]).expect("room");
    let report = json(&[&volume.image], 0);
    assert_eq!(report["panics"][0]["complete"], true);
    let area = &report["areas"][0];
    assert_eq!(
        (&area["missing"], &area["damaged"], &area["whole"]),
        (&json!(1), &json!(0), &json!(1))
    );
    assert!(text(&[&volume.image], 0).contains("1 slot(s) behind the end of the image"));
}

#[test]
fn a_torn_record_gives_only_its_whole_lines() {
    let volume = Volume::new(16);
    let (record, _) = lines();
    let head = head(RecordKind::Breadcrumbs, 2, record.as_bytes());
    let mut torn = record.clone().into_bytes();
    let cut = record.find("rec=alloc").expect("there") + 4;
    torn[cut..].fill(0);
    volume.record(&head, &torn);
    let report = json(&[&volume.image], 0);
    let area = &report["areas"][0];
    assert_eq!((&area["torn"], &area["whole"]), (&json!(1), &json!(0)));
    assert_eq!(
        (&report["damaged_lines"], &report["panics"][0]["lines"]),
        (&json!(1), &json!(4))
    );
    assert!(text(&[&volume.image], 0).contains("TORN"));
    // Nothing of it is left but the head: that there was a panic, and when.
    volume.record(&head, &vec![0; record.len()]);
    let report = json(&[&volume.image], 0);
    let panic = &report["panics"][0];
    assert_eq!(
        (&panic["lines"], &panic["time"]),
        (&json!(0), &json!("2026-11-22T22:46:09.123Z"))
    );
    assert!(text(&[&volume.image], 0).contains("all lines are lost"));
}

#[test]
fn damaged_heads_are_counted_and_erased_records_left_alone() {
    let volume = Volume::new(16);
    volume.breadcrumbs(1, &lines().0);
    volume.write(volume.slot(1) + 70, &[0xff]);
    let report = json(&[&volume.image], 2);
    assert_eq!(
        (&report["panics"], &report["areas"][0]["damaged"]),
        (&json!([]), &json!(1))
    );
    assert!(text(&[&volume.image], 2).contains("1 slot(s) DAMAGED"));
    volume.write(volume.slot(1), &[0; 4096]);
    assert_eq!(json(&[&volume.image], 1)["areas"][0]["unsigned"], 1);

    let volume = Volume::new(16);
    let record = lines().0;
    let erased = Head {
        erased: true,
        ..head(RecordKind::Breadcrumbs, 3, record.as_bytes())
    };
    volume.record(&erased, record.as_bytes());
    let report = json(&[&volume.image], 1);
    assert_eq!(
        (&report["panics"], &report["areas"][0]["erased"]),
        (&json!([]), &json!(1))
    );
    assert_eq!(report["areas"][0]["records"][0]["state"], "erased");
}

#[test]
fn kernel_logs_are_listed_shown_and_searched() {
    let volume = Volume::new(16);
    let (record, tail) = lines();
    volume.breadcrumbs(1, &record);
    let stamped = (record + &tail).replace("permfs-panic:", "<0>[   62.123456] permfs-panic:");
    let newest = deflate(&format!("Panic#1 Part1\n{stamped}"));
    volume.record(&log_head(2, &newest, 1, true), &newest);
    let older = b"Panic#1 Part2\n<6>[    0.000000] Linux version\x1b[2J\n";
    volume.record(&log_head(3, older, 2, false), older);
    volume.record(&log_head(4, b"no deflate", 3, true), b"no deflate");
    let report = json(&[&volume.image], 0);
    assert_eq!(report["panics"].as_array().expect("panics").len(), 1);
    let panic = &report["panics"][0];
    assert_eq!(
        (&panic["complete"], &report["damaged_lines"]),
        (&json!(true), &json!(0))
    );
    assert_eq!(panic["sources"].as_array().expect("sources").len(), 2);
    assert_eq!(panic["records"].as_array().expect("records").len(), 4);
    assert_eq!(panic["timeline"][1]["by"], "log");
    let records = &report["areas"][0]["records"];
    assert_eq!(
        (&records[1]["kind"], &records[1]["reason"]),
        (&json!("kernel-log"), &json!("panic"))
    );
    assert_eq!(
        (&records[1]["compressed"], &records[1]["trouble"]),
        (&json!(true), &json!(null))
    );
    assert!(records[3]["trouble"]
        .as_str()
        .expect("trouble")
        .contains("decompressed"));
    let log = text(&["--log", &volume.image], 0);
    let place = |text: &str| {
        log.find(text)
            .unwrap_or_else(|| panic!("{text} not in {log}"))
    };
    assert!(place("Linux version\\u{1b}[2J") < place("rec=begin"));
    assert!(place("record 3 <==") < place("record 2 <=="));
}

#[test]
fn a_dump_for_another_reason_is_no_panic() {
    let volume = Volume::new(16);
    let oops = b"Oops#1 Part1\n<1>[    5.000000] BUG: kernel NULL pointer dereference\n";
    let mut head = log_head(1, oops, 1, false);
    head.id = 0;
    head.pstore.reason = 2;
    volume.record(&head, oops);
    let report = json(&[&volume.image], 1);
    assert_eq!(
        (
            &report["panics"],
            &report["areas"][0]["records"][0]["reason"]
        ),
        (&json!([]), &json!("oops"))
    );
    assert!(text(&["--log", &volume.image], 1).contains("NULL pointer"));
}

#[test]
fn pstore_and_the_area_tell_of_one_panic() {
    let volume = Volume::new(16);
    let (record, tail) = lines();
    volume.breadcrumbs(1, &record);
    let pstore = volume.path("pstore");
    fs::create_dir(&pstore).expect("room");
    fs::write(
        pstore.join("dmesg-erst-1"),
        format!("Panic#1 Part1\n{record}{tail}"),
    )
    .expect("room");
    let report = json(&[pstore.to_str().expect("plain"), &volume.image], 0);
    assert_eq!(report["panics"].as_array().expect("panics").len(), 1);
    let panic = &report["panics"][0];
    assert_eq!(
        (&panic["complete"], &panic["lines"]),
        (&json!(true), &json!(11))
    );
    let sources = panic["sources"].as_array().expect("sources");
    assert!(sources[0]
        .as_str()
        .expect("a name")
        .ends_with("dmesg-erst-1"));
    assert_eq!(sources[1], format!("{}, record 1", volume.image));
}

#[test]
fn a_backup_will_do_and_without_any_the_image_is_still_a_log() {
    let volume = Volume::new(300);
    let (record, tail) = lines();
    volume.breadcrumbs(1, &record);
    volume.tail(1, &tail);
    volume.write(0, &[0; 4096]);
    let report = json(&[&volume.image], 0);
    assert_eq!(report["areas"][0]["super_block"], 32256);
    assert!(text(&[&volume.image], 0).contains("super block UNUSABLE"));
    // Damaged, and said so, where the magic number still tells what it was.
    let small = Volume::new(16);
    small.breadcrumbs(1, &record);
    small.write(100, &[0xff]);
    let (out, code) = panic(&[&small.image]);
    assert_eq!(code, 2);
    assert!(
        String::from_utf8_lossy(&out.stderr).contains("damaged (checksum), and there is no backup")
    );
    small.write(0, &[0; 4096]);
    let report = json(&[&small.image], 0);
    assert_eq!(
        (&report["areas"], &report["panics"][0]["lines"]),
        (&json!([]), &json!(9))
    );
}

#[test]
fn flipped_bits_never_panic_and_are_never_believed() {
    let volume = Volume::new(16);
    let (record, tail) = lines();
    volume.breadcrumbs(1, &record);
    volume.tail(1, &tail);
    let whole = json(&[&volume.image], 0);
    let whole = whole["panics"][0]["raw_lines"].as_array().expect("lines");
    let image = fs::read(&volume.image).expect("readable");
    let first = volume.slot(1) as usize;
    let places = (0..120)
        .step_by(5)
        .chain((4096..4096 + record.len() + 16).step_by(97));
    for (n, at) in places.enumerate() {
        let byte = image[first + at] ^ 1 << (n % 8);
        volume.write((first + at) as u64, &[byte]);
        let (out, code) = panic(&["--json", &volume.image]);
        assert!((0..=2).contains(&code), "byte {at}: {out:?}");
        let report: serde_json::Value = serde_json::from_slice(&out.stdout).expect("JSON");
        for panic in report["panics"].as_array().expect("panics") {
            let lines = panic["raw_lines"].as_array().expect("lines");
            assert!(lines.iter().all(|line| whole.contains(line)), "byte {at}");
        }
        volume.write((first + at) as u64, &[image[first + at]]);
    }
}
