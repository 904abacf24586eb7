// SPDX-License-Identifier: GPL-2.0

//! What the program in the test machine has done: a line a call.

/// Bytes in a cell of what a call writes.
const CELL: usize = 32;

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its number: they count from 0.
    pub number: u64,
    /// Its name.
    pub name: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// What it gave, or `None` if it has failed.
    pub result: Option<u64>,
}

impl Call {
    fn parse(line: &str) -> Option<Self> {
        let (call, result) = line.split_once(" = ")?;
        let mut words = call.split(' ').map(String::from);
        Some(Self {
            number: words.next()?.parse().ok()?,
            name: words.next()?,
            args: words.collect(),
            result: match result {
                "ok" => Some(0),
                number => number.parse().ok(),
            },
        })
    }

    /// Argument `n`.
    pub fn arg(&self, n: usize) -> &str {
        self.args.get(n).map_or("", |arg| arg)
    }

    /// Argument `n`, a number.
    pub fn number_at(&self, n: usize) -> Result<u64, String> {
        let arg = self.arg(n);
        arg.parse()
            .map_err(|_| format!("{self}: {arg} is no number"))
    }

    /// Whether `word` is one of those in argument `n`.
    pub fn has(&self, n: usize, word: &str) -> bool {
        self.arg(n).split(',').any(|w| w == word)
    }
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.number, self.name, self.args.join(" "))
    }
}

/// The calls of program `label` in `text`, in their order, none left out.
pub fn read(text: &str, label: &str) -> Result<Vec<Call>, String> {
    let mut calls = Vec::new();
    for line in text.lines() {
        let Some(line) = line.strip_prefix(label).and_then(|l| l.strip_prefix(' ')) else {
            continue;
        };
        let call = Call::parse(line).ok_or_else(|| format!("{line}: not a call"))?;
        if call.number != calls.len() as u64 {
            return Err(format!("{line}: call {} should stand here", calls.len()));
        }
        calls.push(call);
    }
    Ok(calls)
}

/// The first `len` bytes that call `number` writes: each cell holds the call's number and its own.
pub fn content(number: u64, len: usize) -> Vec<u8> {
    let cells = (0..len.div_ceil(CELL)).map(|cell| format!("{number:015}.{cell:015}\n"));
    let mut bytes = cells.collect::<String>().into_bytes();
    bytes.truncate(len);
    bytes
}

/// Says in words what bytes of a file hold.
pub fn describe(bytes: &[u8]) -> String {
    let zeroes = bytes.iter().filter(|&&b| b == 0).count();
    let text = bytes.escape_ascii().to_string();
    match zeroes {
        n if n == bytes.len() => "zeroes".into(),
        0 => format!("{:.70}…", text),
        n => format!("{n} zeroes and {:.70}…", text.replace("\\x00", "")),
    }
}
