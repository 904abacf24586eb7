// SPDX-License-Identifier: GPL-2.0

//! One line: its CRC, its fields.

use permfs_core::crc::crc32c;

/// What every line of this format begins with, whatever its version.
pub(super) const MARKER: &[u8] = b"permfs-panic: v=";
const CRC_KEY: &[u8] = b" crc=";
const CRC_DIGITS: usize = 8;

/// A line whose CRC is right. Two are equal if they are the same text, whatever log they were in.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Kind of record.
    pub(super) kind: String,
    /// The panic that it belongs to.
    pub(super) id: u32,
    /// Its place among the lines of that panic.
    pub(super) index: u32,
    /// When the kernel's log has it, in microseconds since boot; `None` where a log has no time stamps.
    pub(super) log_us: Option<u64>,
    /// The line itself, CRC included.
    pub(super) raw: String,
    fields: Vec<(String, Vec<u8>)>,
}

/// What stands at a marker.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// A whole line, and its length in bytes.
    Whole(Line, usize),
    /// A whole line of a version or shape that this program does not know, and its length.
    Unknown(usize),
    /// Torn, cut or overwritten.
    Damaged,
}

impl PartialEq for Line {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}

impl Eq for Line {}

impl Line {
    /// Parses what begins with [`MARKER`]; there may be more behind the line.
    pub(super) fn parse(text: &[u8]) -> Parsed {
        let Some(end) = find(text, CRC_KEY) else {
            return Parsed::Damaged;
        };
        let (body, tail) = text.split_at(end);
        let digits = tail.get(CRC_KEY.len()..CRC_KEY.len() + CRC_DIGITS);
        let sum = format!("{:08x}", crc32c(0, body));
        if digits != Some(sum.as_bytes()) {
            return Parsed::Damaged;
        }
        let len = end + CRC_KEY.len() + CRC_DIGITS;
        // The CRC is right, so this is what was written; if it is not understood, it is newer.
        let raw = String::from_utf8_lossy(&text[..len]).into_owned();
        match Self::fields_of(body).and_then(|fields| Self::from_fields(fields, raw)) {
            Some(line) => Parsed::Whole(line, len),
            None => Parsed::Unknown(len),
        }
    }

    fn from_fields(mut fields: Vec<(String, Vec<u8>)>, raw: String) -> Option<Self> {
        let mut take = |key: &str| {
            let at = fields.iter().position(|(k, _)| k == key)?;
            String::from_utf8(fields.remove(at).1).ok()
        };
        if take("v")? != "1" {
            return None;
        }
        Some(Self {
            kind: take("rec")?,
            id: u32::from_str_radix(&take("id")?, 16).ok()?,
            index: take("i")?.parse().ok()?,
            log_us: None,
            raw,
            fields,
        })
    }

    fn fields_of(body: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
        let mut rest = body.strip_prefix(b"permfs-panic:")?;
        let mut fields = Vec::new();
        while let Some(r) = rest.strip_prefix(b" ") {
            let eq = r.iter().position(|&b| b == b'=')?;
            let key = std::str::from_utf8(&r[..eq]).ok()?.to_owned();
            let r = &r[eq + 1..];
            let (value, r) = match r.strip_prefix(b"\"") {
                Some(r) => {
                    let close = r.iter().position(|&b| b == b'"')?;
                    (unescape(&r[..close])?, &r[close + 1..])
                }
                None => {
                    let end = r.iter().position(|&b| b == b' ').unwrap_or(r.len());
                    (r[..end].to_vec(), &r[end..])
                }
            };
            fields.push((key, value));
            rest = r;
        }
        rest.is_empty().then_some(fields)
    }

    /// The bytes of a field.
    pub(super) fn bytes(&self, key: &str) -> Option<&[u8]> {
        let field = self.fields.iter().find(|(k, _)| k == key);
        field.map(|(_, value)| value.as_slice())
    }

    /// A field as text; what is not UTF-8 in it becomes U+FFFD.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        self.bytes(key)
            .map(|b| String::from_utf8_lossy(b).into_owned())
    }

    /// A field as a number.
    pub(super) fn number<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        std::str::from_utf8(self.bytes(key)?).ok()?.parse().ok()
    }

    /// A field that is 0 or 1.
    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        match self.bytes(key)? {
            b"0" => Some(false),
            b"1" => Some(true),
            _ => None,
        }
    }

    /// Whether the writer had to leave something out.
    pub(super) fn cut(&self) -> bool {
        self.flag("cut").unwrap_or(false)
    }
}

fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [b, tail @ ..] = rest {
        rest = tail;
        if *b != b'\\' {
            out.push(*b);
            continue;
        }
        let digits = rest.strip_prefix(b"x")?.get(..2)?;
        out.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = &rest[3..];
    }
    Some(out)
}

/// Where `needle` begins in `text`.
pub(super) fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    text.windows(needle.len()).position(|w| w == needle)
}
