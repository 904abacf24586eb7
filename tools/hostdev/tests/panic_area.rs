// SPDX-License-Identifier: GPL-2.0

//! The panic area's reader: what it finds, what it believes, and that nothing makes it panic.

mod common;

use common::{checked, params};
use kernel::prelude::*;
use permfs_core::{
    check::Problem,
    crc::crc32c,
    format::{panic::*, *},
    geometry,
    mkfs::format,
    panic::area::{Area, Head, PstoreMeta, RecordKind, RecordState, SlotState, RECENT},
    store::block::{seal, stamp, Block},
};
use permfs_hostdev::MemoryBlockDevice;
use proptest::prelude::*;

/// A volume with four slots of four blocks.
fn volume() -> (MemoryBlockDevice, Area) {
    let dev = MemoryBlockDevice::new(4096);
    let mut params = params();
    params.wishes.panic_slots = Some(4);
    params.wishes.panic_slot_blocks = Some(4);
    format(&dev, &params).unwrap();
    let (sb, geometry) = geometry::read_super(&dev).unwrap();
    let area = Area::of(&sb, &geometry);
    (dev, area)
}

fn head(kind: RecordKind, sequence: u64, data: &[u8]) -> Head {
    Head {
        kind,
        erased: false,
        sequence,
        id: 0x1234_0000 + sequence as u32,
        len: data.len() as u32,
        crc: crc32c(0, data),
        wall_ns: 1_000_000_000 * sequence,
        mono_ns: 5,
        pstore: PstoreMeta::default(),
    }
}

/// The bytes of head, data and guard, as one write.
fn image(area: &Area, head: &Head, data: &[u8]) -> std::vec::Vec<u8> {
    let mut block: Block = [0; BLOCK_SIZE];
    let at = area.head_block(area.slot_of(head.sequence));
    stamp(&mut block, Kind::PanicSlot, at, OWNER_VOLUME, &area.uuid);
    head.to_disk()
        .write_to_prefix(&mut block[HEADER_SIZE..])
        .unwrap();
    seal(&mut block, head.sequence);
    let guard = PanicGuard {
        magic: GUARD_MAGIC.into(),
        len: head.len.into(),
        sequence: head.sequence.into(),
    };
    let mut bytes = [&block[..], data, guard.as_bytes()].concat();
    bytes.resize(bytes.len().next_multiple_of(SECTOR_SIZE), 0);
    bytes
}

/// Writes the first `len` bytes of a record's write.
fn put(dev: &MemoryBlockDevice, area: &Area, head: &Head, bytes: &[u8]) {
    let first = area.head_block(area.slot_of(head.sequence));
    for (block, piece) in (first..).zip(bytes.chunks(BLOCK_SIZE)) {
        let mut whole = dev.block(block);
        whole[..piece.len()].copy_from_slice(piece);
        dev.set_block(block, whole);
    }
}

fn write(dev: &MemoryBlockDevice, area: &Area, kind: RecordKind, sequence: u64, data: &[u8]) {
    let head = head(kind, sequence, data);
    put(dev, area, &head, &image(area, &head, data));
}

fn write_tail(dev: &MemoryBlockDevice, area: &Area, sequence: u64, text: &[u8]) {
    let at = area.tail_block(area.slot_of(sequence)).unwrap();
    let mut block: Block = [0; BLOCK_SIZE];
    stamp(&mut block, Kind::PanicSlot, at, OWNER_VOLUME, &area.uuid);
    let tail = PanicTail {
        sequence: sequence.into(),
        len: (text.len() as u32).into(),
        reserved: [0; 52],
    };
    let bytes = [tail.as_bytes(), text].concat();
    block[HEADER_SIZE..HEADER_SIZE + bytes.len()].copy_from_slice(&bytes);
    seal(&mut block, sequence);
    dev.set_block(at, block);
}

fn line(body: &str) -> std::string::String {
    std::format!("{body} crc={:08x}\n", crc32c(0, body.as_bytes()))
}

#[test]
fn a_new_area_is_empty_and_begins_at_one() {
    let (dev, area) = volume();
    let scan = area.scan(&dev).unwrap();
    assert_eq!(&scan.states[..], [SlotState::Empty; 4]);
    assert!(scan.heads.is_empty());
    let survey = area.survey(&dev).unwrap();
    assert_eq!((survey.next_sequence, survey.unsigned), (1, 0));
    assert!(survey.last.is_none());
    assert_eq!(survey.recent, [0; RECENT]);
}

#[test]
fn records_come_oldest_first_whatever_slot_they_are_in() {
    let (dev, area) = volume();
    for sequence in 1..=6 {
        write(
            &dev,
            &area,
            RecordKind::Log,
            sequence,
            &[sequence as u8; 3000],
        );
    }
    write_tail(&dev, &area, 4, b"late lines");
    // Belongs to the record that was there before.
    write_tail(&dev, &area, 1, b"of the first");
    let scan = area.scan(&dev).unwrap();
    let order: std::vec::Vec<_> = scan
        .heads
        .iter()
        .map(|f| (f.head.sequence, f.slot))
        .collect();
    assert_eq!(order, [(3, 3), (4, 0), (5, 1), (6, 2)]);
    assert_eq!(scan.next_sequence(), 7);
    for found in &scan.heads {
        let record = area.read(&dev, found).unwrap();
        assert_eq!(record.state, RecordState::Whole);
        assert_eq!(&record.data[..], [found.head.sequence as u8; 3000]);
        let tail = record.tail.map(|t| t.to_vec());
        let expected = (found.head.sequence == 4).then(|| b"late lines".to_vec());
        assert_eq!(tail, expected);
    }
}

#[test]
fn a_write_cut_at_any_sector_is_torn_and_the_older_record_stays() {
    let (dev, area) = volume();
    // Without a zero, which would be what belongs behind the guard.
    let old: std::vec::Vec<u8> = (0..5000u32).map(|i| i as u8 | 1).collect();
    for sequence in 1..=4 {
        write(&dev, &area, RecordKind::Breadcrumbs, sequence, &old);
    }
    for len in [0, 1, 496, 497, 4000, area.capacity()] {
        let data = std::vec![0xa5; len];
        let head = head(RecordKind::Breadcrumbs, 5, &data);
        let bytes = image(&area, &head, &data);
        for cut in (0..bytes.len()).step_by(SECTOR_SIZE) {
            let torn = dev.snapshot();
            put(&torn, &area, &head, &bytes[..cut]);
            let scan = area.scan(&torn).unwrap();
            let states: std::vec::Vec<_> = scan
                .heads
                .iter()
                .map(|f| (f.head.sequence, area.read(&torn, f).unwrap().state))
                .collect();
            let whole = [2, 3, 4].map(|n| (n, RecordState::Whole));
            if cut == 0 {
                assert_eq!(states[0], (1, RecordState::Whole));
                assert_eq!(states[1..], whole);
                assert_eq!(scan.next_sequence(), 5);
            } else {
                assert_eq!(states[..3], whole);
                // The head is in the first sector; its record is never taken for whole.
                assert_eq!(
                    states[3],
                    (5, RecordState::Torn),
                    "{len} bytes cut at {cut}"
                );
                assert_eq!(scan.next_sequence(), 6);
            }
        }
    }
}

#[test]
fn a_sector_that_did_not_arrive_is_noticed() {
    let (dev, area) = volume();
    write(&dev, &area, RecordKind::Log, 1, &[1; 8000]);
    let data: std::vec::Vec<u8> = (0..8000u32).map(|i| (i / 7) as u8).collect();
    let head = head(RecordKind::Log, 5, &data);
    let bytes = image(&area, &head, &data);
    let first = area.head_block(1);
    for missing in (0..bytes.len()).step_by(SECTOR_SIZE) {
        let torn = dev.snapshot();
        let old: std::vec::Vec<u8> = (first..first + 3).flat_map(|b| torn.block(b)).collect();
        let mut mixed = bytes.clone();
        let end = (missing + SECTOR_SIZE).min(mixed.len());
        mixed[missing..end].copy_from_slice(&old[missing..end]);
        // The rest of the head's block is zero before and after.
        let harmless = mixed == bytes;
        put(&torn, &area, &head, &mixed);
        let scan = area.scan(&torn).unwrap();
        let record = area.read(&torn, &scan.heads[0]).unwrap();
        assert_eq!(
            record.state == RecordState::Whole,
            harmless,
            "sector at {missing}"
        );
    }
}

#[test]
fn erasing_marks_the_record_and_overwrites_its_data_and_no_others() {
    let (dev, area) = volume();
    for sequence in 1..=5 {
        write(&dev, &area, RecordKind::Log, sequence, b"data");
    }
    area.erase(&dev, 3, 3).unwrap();
    area.erase(&dev, 3, 3).unwrap();
    // Slot 1 has record 5 by now.
    assert_eq!(area.erase(&dev, 1, 1), Err(ENOENT));
    assert_eq!(area.erase(&dev, 4, 4), Err(ENOENT));
    assert_eq!(area.erase(&dev.read_only_view(), 0, 4), Err(EROFS));
    let scan = area.scan(&dev).unwrap();
    let erased: std::vec::Vec<_> = scan.heads.iter().map(|f| f.head.erased).collect();
    assert_eq!(erased, [false, true, false, false]);
    for (at, data) in [(0, b"data"), (1, b"\0\0\0\0"), (2, b"data"), (3, b"data")] {
        let record = area.read(&dev, &scan.heads[at]).unwrap();
        assert_eq!(&record.data[..], data);
    }
    assert_eq!(scan.next_sequence(), 6);
    assert_eq!(checked(&dev).1, []);
}

#[test]
fn a_survey_tells_of_the_newest_panic() {
    let (dev, area) = volume();
    let quoted = r#"permfs-panic: v=1 rec=msg id=00000001 i=1 text="a \x22b\x22\x5c \x3d""#;
    let forged = r#"permfs-panic: v=1 rec=vol id=00000001 i=0 name=" rec\x3dmsg text\x3d""#;
    let text = [line(forged), line(quoted), line("rec=end")].concat();
    write(&dev, &area, RecordKind::Breadcrumbs, 1, b"no line at all");
    write(&dev, &area, RecordKind::Breadcrumbs, 2, text.as_bytes());
    write(&dev, &area, RecordKind::Log, 3, b"the log");
    let survey = area.survey(&dev).unwrap();
    let last = survey.last.unwrap();
    assert_eq!((last.id, last.wall_ns), (0x1234_0002, 2_000_000_000));
    assert_eq!(last.message.unwrap()[..], *b"a \"b\"\\ =");
    assert_eq!(survey.recent[..3], [2_000_000_000, 1_000_000_000, 0]);
    area.erase(&dev, 2, 2).unwrap();
    let survey = area.survey(&dev).unwrap();
    let last = survey.last.unwrap();
    assert_eq!(
        (last.id, last.message.map(|m| m.to_vec())),
        (0x1234_0001, None)
    );
    assert_eq!((survey.recent[1], survey.next_sequence), (0, 4));
}

#[test]
fn a_damaged_line_is_no_message() {
    let (dev, area) = volume();
    let text = line(r#"permfs-panic: v=1 rec=msg id=00000001 i=1 text="boom""#);
    for at in 0..text.len() - 1 {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        write(&dev, &area, RecordKind::Breadcrumbs, 1, &bytes);
        let last = area.survey(&dev).unwrap().last.unwrap();
        assert!(last.message.is_none(), "byte {at}");
    }
}

#[test]
fn one_unreadable_block_hides_nothing_else() {
    let (dev, area) = volume();
    let text = line(r#"permfs-panic: v=1 rec=msg id=00000001 i=1 text="boom""#);
    let mut long = text.clone().into_bytes();
    long.resize(BLOCK_SIZE + 1000, b'x');
    write(&dev, &area, RecordKind::Breadcrumbs, 1, text.as_bytes());
    write(&dev, &area, RecordKind::Breadcrumbs, 2, &long);
    write_tail(&dev, &area, 2, b"the tail");
    let message = |dev: &MemoryBlockDevice| {
        let survey = area.survey(dev).unwrap();
        let last = survey.last.unwrap();
        (
            last.wall_ns,
            last.message.map(|m| m.to_vec()),
            survey.unsigned,
        )
    };
    let boom = Some(b"boom".to_vec());
    assert_eq!(message(&dev), (2_000_000_000, boom.clone(), 0));
    // The second block of data, and the tail.
    for block in [area.head_block(2) + 2, area.tail_block(2).unwrap()] {
        let bad = dev.snapshot();
        bad.make_unreadable(block);
        assert_eq!(message(&bad), (2_000_000_000, boom.clone(), 0));
    }
    let bad = dev.snapshot();
    bad.make_unreadable(area.head_block(2));
    assert_eq!(message(&bad), (1_000_000_000, boom, 1));
    let findings = checked(&bad).1;
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].problem, Problem::Unreadable);
}

#[test]
fn a_check_finds_odd_heads() {
    let (dev, area) = volume();
    write(&dev, &area, RecordKind::Breadcrumbs, 1, b"x");
    let found = |change: &dyn Fn(&mut Block)| {
        let copy = dev.snapshot();
        let at = area.head_block(1);
        let mut block = copy.block(at);
        change(&mut block);
        copy.set_block(at, block);
        let findings = checked(&copy).1;
        assert!(findings.iter().all(|f| f.block == at && f.detail == 1));
        findings
            .iter()
            .map(|f| f.problem)
            .collect::<std::vec::Vec<_>>()
    };
    assert_eq!(found(&|_| ()), []);
    assert_eq!(found(&|b| b.fill(0)), [Problem::PanicSlot]);
    assert_eq!(found(&|b| b[33] ^= 1), [Problem::PanicSlot]);
    assert_eq!(found(&|b| b[100] ^= 1), [Problem::PanicHead]);
    // Whole, and yet impossible: kind, sequence, length, what is to be zero.
    for (at, byte) in [(64, 9), (72, 2), (85, 0xff), (150, 1), (4000, 1)] {
        let odd = |b: &mut Block| {
            b[at] = byte;
            seal(b, 1);
        };
        assert_eq!(found(&odd), [Problem::PanicHead], "byte {at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_bytes_make_the_reader_panic(
        seeds in prop::collection::vec((0u64..16, 0usize..BLOCK_SIZE, any::<[u8; 24]>()), 0..40),
        sealed: bool,
        records in prop::collection::vec((1u64..12, 0usize..8176), 0..6),
    ) {
        let (dev, area) = volume();
        for (sequence, len) in records {
            write(&dev, &area, RecordKind::Breadcrumbs, sequence, &std::vec![b'm'; len]);
            write_tail(&dev, &area, sequence, b"tail");
        }
        for (block, at, bytes) in seeds {
            let number = area.start + block;
            let mut image = dev.block(number);
            for (to, from) in image[at..].iter_mut().zip(bytes) {
                *to = from;
            }
            if sealed {
                stamp(&mut image, Kind::PanicSlot, number, OWNER_VOLUME, &area.uuid);
                seal(&mut image, u64::from(bytes[0]));
            }
            dev.set_block(number, image);
        }
        let scan = area.scan(&dev).unwrap();
        prop_assert_eq!(scan.states.len(), 4);
        for found in &scan.heads {
            let record = area.read(&dev, found).unwrap();
            prop_assert_eq!(record.data.len(), found.head.len as usize);
            record.message().unwrap();
        }
        let survey = area.survey(&dev).unwrap();
        prop_assert!(scan.heads.iter().all(|f| f.head.sequence < survey.next_sequence));
        checked(&dev);
    }
}
