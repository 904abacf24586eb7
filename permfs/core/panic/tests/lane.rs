// SPDX-License-Identifier: GPL-2.0

//! The panic lane: what is written, where, and why not.

use super::super::{area::RecordState, *};
use super::disk::{capacity, Disk, Op};
use super::mock::{end, lines, of, World};
use crate::format::{BLOCK_SIZE, HEADER_SIZE};

#[test]
fn the_record_is_the_lines_and_the_tail_the_rest() {
    let mut world = World::new();
    let disk = Disk::new(16, 16);
    let guard = world.mount_with("vda", disk.clone());
    guard.set_epochs(12, 11);
    let records = world.panics(b"boom");
    let printed = lines(&world);
    let split = printed
        .iter()
        .position(|l| l.contains(" rec=drain "))
        .unwrap();
    let joined = |lines: &[String]| lines.iter().map(|l| format!("{l}\n")).collect::<String>();
    let (data, tail) = disk.newest();
    assert_eq!(data, joined(&printed[..split]));
    assert_eq!(tail, Some(joined(&printed[split..])));

    let drain = of(&records, "drain")[0];
    assert_eq!((drain.num("drained"), drain.num("lost")), (1, 0));
    assert_eq!(
        (drain.get("flush"), drain.get("way")),
        ("pending", "mock-collect")
    );
    let lane = of(&records, "lane")[0];
    assert_eq!((lane.get("result"), lane.get("way")), ("ok", "mock-write"));
    assert_eq!((lane.num("seq"), lane.num("slot")), (1, 0));
    assert_eq!(lane.get("flush"), "ok");
    assert!(!lane.has("why"));
    assert!(lane.num("write_us") > 0 && lane.num("flush_us") > 0);
    assert_eq!(end(&records).get("flush"), "ok");
    assert_eq!(of(&records, "host")[0].num("deadline"), 500);
    // Record and tail.
    assert_eq!(world.devices.lanes[0].flushes.get(), 2);

    let found = disk.area.scan(&disk.image).unwrap().heads[0];
    assert_eq!(format!("{:08x}", found.head.id), records[0].get("id"));
    assert_eq!(found.head.wall_ns, records[0].num("wall"));
    assert_eq!(found.head.mono_ns, records[0].num("mono"));
    let last = disk.area.survey(&disk.image).unwrap().last.unwrap();
    assert_eq!(last.message.unwrap()[..], *b"boom");
}

#[test]
fn nothing_is_left_of_an_erased_record_but_its_head() {
    let mut world = World::new();
    let disk = Disk::new(4, 40);
    let _guard = world.mount_with("vda", disk.clone());
    world.panics(b"a secret");
    let has = |text: &[u8]| disk.bytes().windows(text.len()).any(|w| w == text);
    assert!(has(b"a secret") && has(b"rec=end"));
    let scan = disk.area.scan(&disk.image).unwrap();
    let (slot, sequence) = (scan.heads[0].slot, scan.heads[0].head.sequence);
    disk.area.erase(&disk.image, slot, sequence).unwrap();
    assert!(!has(b"permfs-panic:"));
    let head = disk.area.scan(&disk.image).unwrap().heads[0].head;
    assert!(head.erased && head.sequence == sequence);
    // As if the machine had gone down in between: it is done again.
    let data = (disk.area.head_block(slot) as usize + 39) * BLOCK_SIZE;
    disk.image.0.borrow_mut()[data..data + 8].copy_from_slice(b"a secret");
    disk.area.erase(&disk.image, slot, sequence).unwrap();
    assert!(!has(b"a secret"));
    assert!(disk.area.erase(&disk.image, slot, sequence + 1).is_err());
}

#[test]
fn a_signature_that_is_not_there_keeps_all_from_being_written() {
    // Magic, kind, version, block number, UUID of the header.
    for at in [0, 4, 6, 16, 32] {
        let mut world = World::new();
        let disk = Disk::new(4, 4);
        let head = disk.area.head_block(1) as usize * BLOCK_SIZE;
        disk.image.0.borrow_mut()[head + at] ^= 1;
        let before = disk.bytes();
        let _guard = world.mount_with("vda", disk.clone());
        let records = world.panics(b"x");
        let lane = of(&records, "lane")[0];
        assert_eq!(
            (lane.get("result"), lane.get("why")),
            ("refused", "signature")
        );
        assert_eq!(lane.get("flush"), "not-attempted");
        assert_eq!(end(&records).get("flush"), "not-attempted");
        assert_eq!(disk.bytes(), before, "byte {at}");
        assert_eq!(world.devices.lanes[0].flushes.get(), 0);
    }
}

#[test]
fn a_torn_head_of_an_earlier_panic_does_not_disable_its_slot() {
    let mut world = World::new();
    let disk = Disk::new(4, 4);
    let head = disk.area.head_block(1) as usize * BLOCK_SIZE;
    disk.image.0.borrow_mut()[head + HEADER_SIZE..head + BLOCK_SIZE].fill(0x77);
    let _guard = world.mount_with("vda", disk.clone());
    world.panics(b"x");
    assert_eq!(disk.records().len(), 1);
    disk.newest();
}

#[test]
fn errors_of_the_device_are_told_and_the_flush_is_tried() {
    for (fails, flush, flushes) in [
        (Op::Read, "not-attempted", 0),
        (Op::Write, "ok", 1),
        (Op::Flush, "failed", 0),
    ] {
        let mut world = World::new();
        let disk = Disk {
            fails: Some(fails),
            ..Disk::new(4, 4)
        };
        let _guard = world.mount_with("vda", disk.clone());
        let records = world.panics(b"x");
        let lane = of(&records, "lane")[0];
        assert_eq!(
            (lane.get("result"), lane.get("why")),
            ("failed", "io-error")
        );
        assert_eq!(lane.get("flush"), flush, "{fails:?}");
        assert_eq!(end(&records).get("flush"), flush);
        assert_eq!(world.devices.lanes[0].flushes.get(), flushes);
        // Nobody may think that it is durable.
        assert!(disk.records().iter().all(|r| r.tail.is_none()));
    }
}

#[test]
fn refusals_are_told_with_their_reason() {
    for (op, flush, written) in [
        (None, "not-attempted", 0),
        (Some(Op::Read), "not-attempted", 0),
        (Some(Op::Write), "not-attempted", 0),
        (Some(Op::Flush), "refused", 1),
    ] {
        let mut world = World::new();
        let mut disk = Disk::new(4, 4);
        match op {
            None => disk.refusal = Some("in-block-layer"),
            Some(op) => disk.refuses = Some((op, "no-tag")),
        }
        let _guard = world.mount_with("vda", disk.clone());
        let records = world.panics(b"x");
        let lane = of(&records, "lane")[0];
        let why = if op.is_none() {
            "in-block-layer"
        } else {
            "no-tag"
        };
        assert_eq!((lane.get("result"), lane.get("why")), ("refused", why));
        assert_eq!(lane.get("flush"), flush);
        assert_eq!(end(&records).get("flush"), flush);
        assert_eq!(disk.records().len(), written);
        if op.is_none() {
            assert_eq!(world.devices.lanes[0].polls.get(), 0);
        }
    }
}

#[test]
fn a_volume_without_a_lane_says_why() {
    let mut world = World::new();
    let _with = world.mount_with("vda", Disk::new(4, 4));
    let none = world.mount("dm-0");
    none.set_lane(&LaneInfo {
        number: None,
        collects: "none:not-mq",
        writes: "none:not-mq",
    });
    let _early = world.mount("vdc");
    let records = world.panics(b"x");
    let lanes = of(&records, "lane");
    let said: Vec<_> = lanes
        .iter()
        .skip(1)
        .map(|l| (l.get("way"), l.get("why")))
        .collect();
    assert_eq!(said, [("none:not-mq", "not-mq"), ("none", "not-ready")]);
    assert_eq!(of(&records, "drain")[1].get("way"), "none:not-mq");
    // One flush completed, and that is not all of them.
    assert_eq!(lanes[0].get("flush"), "ok");
    assert_eq!(end(&records).get("flush"), "not-attempted");
}

#[test]
fn lines_that_do_not_fit_the_slot_are_left_out_whole() {
    let mut world = World::new();
    let disk = Disk::new(4, 4);
    let _guard = world.mount_with("vda", disk.clone());
    let more: Vec<_> = (0..9).map(|n| world.mount(&format!("v{n}"))).collect();
    for slot in world.table.slots() {
        for _ in 0..3 {
            slot.events().push(crate::alloc::Event::EMPTY);
        }
    }
    world.panics(&[b'm'; 300]);
    let (data, tail) = disk.newest();
    assert!(data.len() <= capacity(4));
    let printed = lines(&world);
    for line in data.lines().chain(tail.as_deref().unwrap_or("").lines()) {
        assert!(printed.iter().any(|l| l == line), "{line}");
    }
    drop(more);
}

#[test]
fn sequences_go_on_and_slots_come_round() {
    let disk = Disk::new(4, 4);
    for n in 1..=11u64 {
        let mut world = World::new();
        let _guard = world.mount_with("vda", disk.clone());
        let records = world.panics(format!("panic {n}").as_bytes());
        assert_eq!(of(&records, "lane")[0].num("seq"), n);
        let found: Vec<_> = disk.records().iter().map(|r| r.head.sequence).collect();
        let expected: Vec<_> = (n.saturating_sub(3).max(1)..=n).collect();
        assert_eq!(found, expected);
        for record in disk.records() {
            assert_eq!(record.state, RecordState::Whole);
            assert!(record.tail.is_some());
            let text = format!("panic {}", record.head.sequence);
            assert_eq!(record.message().unwrap().unwrap()[..], *text.as_bytes());
        }
    }
}

#[test]
fn a_panic_in_any_stage_is_told_and_leaves_the_lanes_alone() {
    for stage in [
        Stage::Gate,
        Stage::Lane,
        Stage::Drain,
        Stage::Flush,
        Stage::Outcome,
    ] {
        let mut world = World::new();
        let disk = Disk::new(4, 4);
        let guard = world.mount_with("vda", disk.clone());
        guard.gate().enter().unwrap();
        let hooks = world.hooks(PanicStrategy::Kernel).expect("once");
        world.machine.fails_in.set(Some(stage));
        let gone = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| hooks.panic(b"x")));
        assert!(gone.is_err());
        let polls = world.devices.lanes[0].polls.get();
        hooks.notify(b"nested");
        hooks.notify(b"nested");
        hooks.finish_deferred();
        let records = world.records();
        let nested = end(&records);
        assert_eq!(
            (nested.kind.as_str(), nested.get("stage")),
            ("nested", stage.name())
        );
        assert_eq!(of(&records, "nested").len(), 1);
        assert_eq!(world.devices.lanes[0].polls.get(), polls);
        assert!(disk.records().iter().all(|r| r.tail.is_none()));
    }
}
