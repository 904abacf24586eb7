// SPDX-License-Identifier: GPL-2.0

use super::{
    super::{model::Builder, source::Logs},
    page, *,
};
use permfs_core::crc::crc32c;

const EVIL: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&lt;\u{202e}\n]]>-->";

fn report_of(lines: &[&str], name: &str) -> Report {
    let lines = (0..).zip(lines).map(|(i, body)| {
        let (rec, rest) = body.split_once(' ').unwrap_or((body, ""));
        let body = format!("permfs-panic: v=1 rec={rec} id=0000abcd i={i} {rest}");
        format!(
            "[   10.{:06}] {body} crc={:08x}\n",
            i * 250,
            crc32c(0, body.as_bytes())
        )
    });
    let mut logs = Logs::default();
    logs.push(name.into(), lines.collect::<String>().into_bytes());
    Builder::read(&mut logs)
}

fn quoted(text: &str) -> String {
    let escape = |b: u8| match b {
        b'"' | b'=' | b'\\' | ..0x20 | 0x7f.. => format!("\\x{b:02x}"),
        b => char::from(b).to_string(),
    };
    format!("\"{}\"", text.bytes().map(escape).collect::<String>())
}

/// A tag for every element that the page itself makes; nothing else may open one.
fn tags(page: &str) -> Vec<&str> {
    let parts = page.split('<').skip(1);
    let name = |part: &&str| {
        part.chars()
            .take_while(|c| c.is_ascii_alphanumeric() || "!/".contains(*c))
            .count()
    };
    let mut tags: Vec<_> = parts.map(|part| &part[..name(&part)]).collect();
    tags.sort_unstable();
    tags.dedup();
    tags
}

#[test]
fn no_text_out_of_a_log_becomes_markup() {
    let text = quoted(EVIL);
    // Where the grammar has words, a forged line may have anything.
    let word = "<script>alert(1)</script>\"'><img/src\u{a0}x>&lt;";
    let lines = [
        format!("begin wall=5 mono=3 cpu=1 ctx={word} strategy={word} timeout=-1 vols=1 deadline=500 defer=1 pid=1 comm={text}"),
        format!("msg text={text}"),
        format!("vol slot=0 state={word} inflight=1 run=2 dur=1 uuid={word} name={text}"),
        "alloc slot=0 shards=9 pressure=4 free=1 reserved=1 failed=1 dfree=1 events=1 torn=1".into(),
        format!("event slot=0 seq=0 t=5 kind={word} cpu=0 shard=3 arg=1"),
        format!("drain slot=0 drained=0 inflight=1 flush={word} lost=1 way={word} us=7 end={word}"),
        format!("lane slot=0 way={word} result={word} why={word} flush={word} seq=1 write_us=5 flush_us=6"),
        format!("end vols=1 drained=0 inflight=1 flush={word} elapsed_ns=5 next={word} lines=8"),
        format!("nested stage={word} cpu=1"),
        format!("oops wall=4 mono=2 cpu=1 ctx={word} vols=1 pid=1 comm={text} text={text}"),
        format!("failed slot=0 held=1 inflight=0 run=2 dur=1 uuid={word} name={text}"),
    ];
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let mut report = report_of(&lines, EVIL);
    assert_eq!((report.damaged_lines, report.unknown_lines), (0, 0));
    report.places.push(EVIL.into());
    report.unreadable.push(super::super::source::Unreadable {
        file: EVIL.into(),
        reason: EVIL.into(),
    });
    let page = page(&report);
    let none: Vec<String> = Vec::new();
    let ours = [
        "!DOCTYPE", "/body", "/code", "/details", "/div", "/h1", "/h2", "/head", "/html", "/i",
        "/li", "/p", "/pre", "/small", "/span", "/style", "/summary", "/table", "/td", "/th",
        "/time", "/title", "/tr", "/ul", "body", "code", "details", "div", "h1", "h2", "head",
        "html", "i", "li", "meta", "p", "pre", "small", "span", "style", "summary", "table", "td",
        "th", "time", "title", "tr", "ul",
    ];
    let strange: Vec<_> = tags(&page)
        .into_iter()
        .filter(|t| !ours.contains(t))
        .map(String::from)
        .collect();
    assert_eq!(strange, none);
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(!page.contains("onerror=alert(1)>") && !page.contains('\u{202e}'));
    // Attributes hold what the program makes and escaped texts: a quote of the log's would end one.
    for part in page.split("title=\"").skip(1) {
        let value = part.split('"').next().expect("text");
        assert!(!value.contains(['<', '>']), "{value}");
    }
}

/// A forged line's checksum is right and its numbers may be anything: every number in turn, and all at once.
#[test]
fn no_number_of_a_log_is_too_large() {
    let lines = [
        "begin wall=5 mono=3 cpu=1 timeout=-1 vols=1 deadline=500 defer=1 pid=1",
        "vol slot=0 state=mounted inflight=1 run=2 dur=1 uuid=00",
        "alloc slot=0 shards=9 pressure=4 free=1 reserved=1 failed=1 dfree=1 events=1 torn=1",
        "event slot=0 seq=0 t=5 kind=nospace cpu=0 shard=3 arg=1",
        "drain slot=0 drained=0 inflight=1 flush=ok lost=1 way=virtio-poll us=7",
        "lane slot=0 way=virtio-poll result=ok flush=ok seq=1 write_us=5 flush_us=6",
        "end vols=1 drained=0 inflight=1 flush=ok elapsed_ns=5 next=halt lines=8",
        "oops wall=4 mono=2 cpu=1 vols=1 pid=1",
    ];
    let all: Vec<String> = lines.iter().map(|l| (*l).to_owned()).collect();
    let told = |lines: &[String]| {
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        drop(page(&report_of(&lines, "log")));
    };
    let largest = [
        u64::MAX,
        u64::MAX / 1000,
        i64::MAX as u64,
        u64::from(u32::MAX),
    ];
    for large in largest {
        let with = |line: &str, nth: Option<usize>| {
            let fields = line.split(' ').enumerate().map(|(i, field)| {
                let (key, value) = field.split_once('=').unwrap_or((field, ""));
                let number = value.parse::<i64>().is_ok() && nth.is_none_or(|n| n == i);
                if number {
                    format!("{key}={large}")
                } else {
                    field.to_owned()
                }
            });
            fields.collect::<Vec<_>>().join(" ")
        };
        told(&all.iter().map(|l| with(l, None)).collect::<Vec<_>>());
        for (line, whole) in all.iter().enumerate() {
            for nth in 1..whole.split(' ').count() {
                let mut lines = all.clone();
                lines[line] = with(whole, Some(nth));
                told(&lines);
            }
        }
    }
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let page = page(&report_of(&["begin wall=5 mono=3 vols=0"], "log"));
    for word in [
        "http://",
        "https://",
        "src=",
        "@import",
        "url(",
        "<script",
        "<link",
        "javascript:",
    ] {
        assert!(!page.contains(word), "{word}");
    }
    assert!(page.contains("default-src 'none'") && page.contains("prefers-color-scheme: dark"));
}

#[test]
fn the_timeline_shows_what_the_handler_and_the_log_measured() {
    let report = report_of(
        &[
            "begin wall=5 mono=3 vols=1 deadline=500",
            "vol slot=0 state=mounted inflight=4 run=2 dur=1 uuid=00 name=\"vda\"",
            "drain slot=0 drained=1 inflight=0 flush=ok lost=0 way=virtio-poll us=1500",
            "lane slot=0 way=virtio-poll result=ok flush=ok seq=7 write_us=900 flush_us=4000",
            "end vols=1 drained=1 inflight=0 flush=ok elapsed_ns=9000000 next=halt lines=5",
        ],
        "log",
    );
    let spans: Vec<_> = report.panics[0]
        .timeline
        .iter()
        .map(|s| (s.stage, s.slot, s.from_ns, s.ns, s.by))
        .collect();
    let (handler, log) = (Some("handler"), Some("log"));
    assert_eq!(
        spans,
        [
            ("gate", None, None, None, None),
            ("known", None, Some(0), Some(250_000), log),
            ("write", Some(0), Some(250_000), Some(900_000), handler),
            ("flush", Some(0), None, Some(4_000_000), handler),
            ("drain", Some(0), None, Some(1_500_000), handler),
            ("outcome", None, Some(750_000), Some(250_000), log),
        ]
    );
    let page = page(&report);
    assert!(
        page.contains("class=\"flush\" style=\"margin-left:12.78%;width:44.44%\""),
        "{page}"
    );
    assert!(page.contains("caches flushed") && page.contains("9.000 ms"));
}

#[test]
fn the_timeline_of_a_panic_that_was_an_oops_begins_with_it() {
    let oops = "oops wall=1000 mono=1000 cpu=1 ctx=task vols=1 pid=7";
    let failed = "failed slot=0 held=1 inflight=2 run=6 dur=5 uuid=00 name=\"vda\"";
    let begin = "begin wall=2500000 mono=2500000 vols=1 pid=7";
    let report = report_of(&[oops, failed, begin], "log");
    assert_eq!(report.panics[0].timeline[0].stage, "gate");
    let page = page(&report);
    for part in [
        "<title>PermFS: panics 1, oopses 1</title>",
        "<tr><th scope=\"row\">oops</th><td>oops 0000abcd: 1 volume(s) fail</td><td class=\"track\"></td><td>2.499 ms before</td></tr>",
        "<details class=\"panic\" open>\n<summary><h1>Panic",
        "<details class=\"panic\">\n<summary><h1>Oops <code>0000abcd</code>",
        "<th scope=\"row\">volume vda</th><td>00: failed, epoch 6 running, 5 durable; 2 I/O in flight; the task held",
        "<li class=\"good\">complete, 2 lines</li>",
    ] {
        assert!(page.contains(part), "{part} not in\n{page}");
    }
}

#[test]
fn the_map_says_what_it_covers() {
    let alloc = |shards: u64| {
        format!("alloc slot=0 shards={shards} pressure=3 free=1 reserved=0 failed=0 dfree=0 events=40 torn=0")
    };
    let event = "event slot=0 seq=39 t=5 kind=pressure cpu=0 shard=7 arg=1";
    let small = page(&report_of(
        &["begin wall=5 mono=3 vols=1", &alloc(10), event],
        "log",
    ));
    assert_eq!(small.matches("<i class=\"h0\"").count(), 9);
    assert!(small.contains("<i class=\"h1\" title=\"shard 7: pressure\">"));
    assert!(
        small.contains("3 of 10 shards under pressure") && small.contains("A cell is a shard; ")
    );
    assert!(small.contains("of the 1 that the record has") && small.contains("40 events"));
    let large = page(&report_of(
        &["begin wall=5 mono=3 vols=1", &alloc(1_000_000_007), event],
        "log",
    ));
    let cells = large.matches("<i class=\"h").count();
    assert!((1..=480).contains(&cells), "{cells}");
    assert!(
        large.contains("title=\"shards 0 to 2083333: pressure\""),
        "{large}"
    );
}

#[test]
fn what_did_not_complete_has_no_length() {
    let page_of = |lane: &str| page(&report_of(&["begin wall=5 mono=3 vols=1", lane], "log"));
    let late = "lane slot=0 way=nvme-reap result=timeout why=deadline flush=not-attempted seq=4 write_us=0 flush_us=0";
    let late = page_of(late);
    assert_eq!(late.matches("did not complete").count(), 2);
    assert!(
        late.contains("NO record: timeout, deadline (by nvme-reap)"),
        "{late}"
    );
    let none = page_of("lane slot=0 way=none:not-mq result=refused why=not-mq flush=not-attempted");
    assert!(none.contains("<td>none (not-mq)</td>") && !none.contains("did not complete"));
    let early = page_of("lane slot=0 way=none result=refused why=not-ready flush=not-attempted");
    assert!(early.contains("none (the mount had not come so far)"));
    let unflushed = "lane slot=0 way=nvme-poll result=ok flush=timeout seq=4 write_us=7 flush_us=0";
    assert!(page_of(unflushed).contains(
        "record 4 written, NOT known to be durable: flush timeout (by nvme-poll, write 7.000 µs)"
    ));
    let left = |end| {
        format!(
            "drain slot=0 drained=0 inflight=2 flush=pending lost=2 way=nvme-reap us=9 end={end}"
        )
    };
    assert!(page_of(&left("driver-empty")).contains("2 given up, which the driver did not have;"));
    assert!(page_of(&left("deadline")).contains("2 given up at the deadline;"));
}
