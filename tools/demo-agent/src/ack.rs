// SPDX-License-Identifier: GPL-2.0
//! The acknowledgement channel: what was promised, one line a promise, outside of the volume under test.
//!
//! A line is `KIND LENGTH SHA256 PATH`. The kinds:
//! - `have`: from now on the file holds exactly this content, whatever happens;
//! - `gone`: from now on the file does not exist;
//! - `replace`, `append`, `unlink`: this is about to be done. Until the next `have` or `gone` of the file, a crash may
//!   leave it as it was or as it is to become (and an append anywhere between).
//!
//! A line is written by one write(2) and its newline comes last, so a line without one was never promised.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Mutex;

use anyhow::{bail, Context, Result};
use sha2::{Digest, Sha256};

/// A file's content by length in bytes and SHA-256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) len: u64,
    pub(crate) sha: String,
}

impl Content {
    pub(crate) fn of(data: &[u8]) -> Self {
        let sha = Sha256::digest(data)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Content {
            len: data.len() as u64,
            sha,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Have,
    Gone,
    Replace,
    Append,
    Unlink,
}

const NAMES: [(Kind, &str); 5] = [
    (Kind::Have, "have"),
    (Kind::Gone, "gone"),
    (Kind::Replace, "replace"),
    (Kind::Append, "append"),
    (Kind::Unlink, "unlink"),
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Promise {
    pub(crate) kind: Kind,
    pub(crate) content: Content,
    pub(crate) path: String,
}

impl Promise {
    fn line(&self) -> String {
        let name = NAMES
            .iter()
            .find(|(kind, _)| *kind == self.kind)
            .map_or("", |(_, name)| name);
        format!(
            "{name} {} {} {}\n",
            self.content.len, self.content.sha, self.path
        )
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(4, ' ');
        let name = words.next()?;
        let (kind, _) = NAMES.iter().find(|(_, known)| *known == name)?;
        let len = words.next()?.parse().ok()?;
        let sha = words.next()?.to_owned();
        let path = words.next()?.to_owned();
        Some(Promise {
            kind: *kind,
            content: Content { len, sha },
            path,
        })
    }
}

/// The writing end, shared by all writers.
pub(crate) struct Channel(Mutex<File>);

impl Channel {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::options().append(true).create(true).open(path);
        Ok(Channel(Mutex::new(file.with_context(|| {
            format!("cannot open {}", path.display())
        })?)))
    }

    /// Puts a promise on the channel; it is outside of this machine when this returns, if the channel is a virtio port.
    pub(crate) fn say(&self, kind: Kind, content: &Content, path: &str) -> Result<()> {
        let line = Promise {
            kind,
            content: content.clone(),
            path: path.to_owned(),
        }
        .line();
        let mut file = match self.0.lock() {
            Ok(file) => file,
            Err(_) => bail!("another writer failed while it held the channel"),
        };
        file.write_all(line.as_bytes())
            .context("the acknowledgement channel does not take any more")
    }
}

/// Reads all promises of a channel's file. The last line may be cut off by the crash; any other must be whole.
pub(crate) fn read(path: &Path) -> Result<Vec<Promise>> {
    let mut text = String::new();
    File::open(path)
        .and_then(|mut file| file.read_to_string(&mut text))
        .with_context(|| format!("cannot read {}", path.display()))?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut promises = Vec::new();
    for (number, line) in whole.lines().enumerate() {
        match Promise::parse(line) {
            Some(promise) => promises.push(promise),
            None => bail!(
                "{}:{}: not an acknowledgement: {line:?}",
                path.display(),
                number + 1
            ),
        }
    }
    Ok(promises)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_back_as_it_went() {
        let promise = Promise {
            kind: Kind::Append,
            content: Content::of(b"abc"),
            path: "a folder/a file".into(),
        };
        assert_eq!(Promise::parse(promise.line().trim_end()), Some(promise));
    }

    #[test]
    fn a_line_cut_off_by_the_crash_was_not_promised() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ack");
        let channel = Channel::open(&path).unwrap();
        channel.say(Kind::Have, &Content::of(b"1"), "one").unwrap();
        channel.say(Kind::Gone, &Content::of(b""), "two").unwrap();
        let text = std::fs::read(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 1]).unwrap();
        let promises = read(&path).unwrap();
        assert_eq!(promises.len(), 1);
        assert_eq!(promises[0].path, "one");
    }
}
