// SPDX-License-Identifier: GPL-2.0

//! Lines: length, escapes, what is cut.

use super::super::*;
use super::mock::Record;
use proptest::prelude::*;

fn finished(build: impl FnOnce(&mut PanicLineBuffer)) -> String {
    let mut line = PanicLineBuffer::new();
    line.start("test", 0x1234_abcd, 7);
    build(&mut line);
    String::from_utf8(line.finish().to_vec()).expect("ASCII")
}

#[test]
fn a_line_is_as_documented() {
    let line = finished(|l| {
        l.dec("a", 0)
            .dec("b", u64::MAX)
            .signed("c", i32::MIN)
            .flag("d", true)
            .bytes("e", &[0, 0xff])
            .word("f", "not-attempted")
            .quoted("g", b"a \"b\" c=d\\\n");
    });
    let body = "permfs-panic: v=1 rec=test id=1234abcd i=7 a=0 b=18446744073709551615 \
                c=-2147483648 d=1 e=00ff f=not-attempted g=\"a \\x22b\\x22 c\\x3dd\\x5c\\x0a\"";
    assert_eq!(line.rsplit_once(" crc=").expect("crc").0, body);
    assert_eq!(Record::parse(&line).text("g"), b"a \"b\" c=d\\\n");
}

#[test]
fn a_hostile_text_forges_neither_key_nor_line() {
    let forged =
        b"\" drained=1\n<0>[    1.0] permfs-panic: v=1 rec=end id=1234abcd drained=1 crc=00000000";
    let line = finished(|l| {
        l.quoted("text", forged);
    });
    assert!(!line.contains('\n'));
    assert_eq!(line.matches("v=1").count(), 1);
    assert_eq!(line.matches(" drained=").count(), 0);
    let record = Record::parse(&line);
    assert!(!record.has("drained"));
    assert!(forged.starts_with(&record.text("text")));
}

#[test]
fn a_field_that_does_not_fit_is_left_out_whole() {
    let line = finished(|l| {
        l.quoted("x", &[b'x'; 120])
            .dec("big", u64::MAX)
            .dec("small", 1);
    });
    let record = Record::parse(&line);
    assert!(!record.has("big"));
    assert_eq!(record.num("small"), 1);
    assert_eq!(record.get("cut"), "1");
}

#[test]
fn a_buffer_used_again_keeps_nothing() {
    let mut line = PanicLineBuffer::new();
    line.start("one", 1, 0).quoted("x", &[1; 300]);
    assert!(line.was_cut());
    let _ = line.finish();
    line.start("two", 1, 1);
    let text = String::from_utf8(line.finish().to_vec()).expect("ASCII");
    assert!(text.starts_with("permfs-panic: v=1 rec=two id=00000001 i=1 crc="));
}

proptest! {
    #[test]
    fn every_text_comes_back_or_is_marked_cut(
        text in prop::collection::vec(any::<u8>(), 0..400),
        number: u64,
        signed: i32,
    ) {
        let line = finished(|l| { l.dec("n", number).signed("s", signed).quoted("t", &text); });
        prop_assert!(line.len() <= LINE_MAX);
        let record = Record::parse(&line);
        prop_assert_eq!(record.num("n"), number);
        prop_assert_eq!(record.get("s"), signed.to_string());
        let back = record.text("t");
        prop_assert!(text.starts_with(&back));
        prop_assert_eq!(record.has("cut"), back.len() < text.len());
    }

    #[test]
    fn a_flipped_bit_is_noticed(at: prop::sample::Index, bit in 0u8..8) {
        let line = finished(|l| { l.dec("n", 5).quoted("t", b"sysrq triggered crash"); });
        let mut bytes = line.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let line = String::from_utf8_lossy(&bytes);
        prop_assert_eq!(Record::intact(&line), None);
    }
}
