// SPDX-License-Identifier: GPL-2.0

//! Finds panic lines in text of any kind: dmesg, pstore, a serial console's log, a journal.

use super::line::{find, Line, Parsed, MARKER};

/// What a text held.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Whole lines, in the text's order.
    pub(super) lines: Vec<Line>,
    /// Lines torn, cut or overwritten.
    pub(super) damaged: u64,
    /// Whole lines of a later version.
    pub(super) unknown: u64,
}

/// Reads all panic lines of `text`.
pub(super) fn scan(text: &[u8]) -> Found {
    let mut found = Found::default();
    // A serial console ends lines with CR LF, and a torn one may hold a CR alone; zeros are what memory and
    // disks hold where nothing was written.
    for physical in text.split(|b| b"\n\r\0".contains(b)) {
        scan_line(physical, &mut found);
    }
    found
}

/// Two writers of a console may have put several lines into one.
fn scan_line(physical: &[u8], found: &mut Found) {
    let mut rest = physical;
    while let Some(at) = find(rest, MARKER) {
        let (before, line) = rest.split_at(at);
        if !begins_a_line(before) {
            // Quoted by somebody, such as the panic message itself.
            rest = &line[MARKER.len()..];
            continue;
        }
        let len = match Line::parse(line) {
            Parsed::Whole(mut line, len) => {
                line.log_us = log_time(before);
                found.lines.push(line);
                len
            }
            Parsed::Unknown(len) => {
                found.unknown += 1;
                len
            }
            Parsed::Damaged => {
                found.damaged += 1;
                MARKER.len()
            }
        };
        rest = &line[len..];
    }
}

/// Whether a line of the kernel's log can begin behind `before`: nothing, `<0>`, `[   12.345678] `,
/// `[   12.345678][   T12] `, or a journal's `… kernel: `. Whatever stood before that on a console
/// that others write to does not matter.
fn begins_a_line(before: &[u8]) -> bool {
    if before.is_empty() || before.ends_with(b"kernel: ") {
        return true;
    }
    let digits = |b: &[u8]| !b.is_empty() && b.iter().all(u8::is_ascii_digit);
    if let Some(level) = before.strip_suffix(b">") {
        let open = level.iter().rposition(|&b| b == b'<');
        return open.is_some_and(|o| digits(&level[o + 1..]));
    }
    let Some(stamp) = before.strip_suffix(b"] ") else {
        return false;
    };
    let Some(open) = stamp.iter().rposition(|&b| b == b'[') else {
        return false;
    };
    let inner = stamp[open + 1..].trim_ascii();
    let inner = inner
        .strip_prefix(b"T")
        .or(inner.strip_prefix(b"C"))
        .unwrap_or(inner);
    let mut parts = inner.splitn(2, |&b| b == b'.');
    parts.next().is_some_and(digits) && parts.next().is_none_or(digits)
}

/// The time stamp in the kernel's prefix, microseconds since boot: `[   62.123456] ` or `[   62.123456][   C3] `.
fn log_time(before: &[u8]) -> Option<u64> {
    let mut rest = before.strip_suffix(b" ")?;
    // The caller, if any, stands behind the time.
    for _ in 0..2 {
        let group = rest.strip_suffix(b"]")?;
        let open = group.iter().rposition(|&b| b == b'[')?;
        let inner = std::str::from_utf8(group[open + 1..].trim_ascii()).ok()?;
        if let Some((seconds, micros)) = inner.split_once('.') {
            let micros: u64 = Some(micros).filter(|m| m.len() == 6)?.parse().ok()?;
            return seconds
                .parse::<u64>()
                .ok()?
                .checked_mul(1_000_000)?
                .checked_add(micros);
        }
        rest = &group[..open];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::log_time;

    #[test]
    fn the_log_s_time_is_found_where_there_is_one() {
        for (before, us) in [
            ("<0>[   62.123456] ", Some(62_123_456)),
            ("[   62.000001][   C3] ", Some(62_000_001)),
            ("Nov 22 22:46:09 host kernel: ", None),
            ("", None),
            ("[   62.5] ", None),
            ("[99999999999999999999.000000] ", None),
        ] {
            assert_eq!(log_time(before.as_bytes()), us, "{before}");
        }
    }
}
