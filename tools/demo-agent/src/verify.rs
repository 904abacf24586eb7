// SPDX-License-Identifier: GPL-2.0
//! Compares a filesystem with what was acknowledged before the panic.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::ack::{self, Content, Kind, Promise};
use crate::sources;
use crate::VerifyArgs;

/// How many broken promises are printed one by one.
const SHOWN: u64 = 20;

/// What may be found under one path.
#[derive(Default)]
struct State {
    /// The last acknowledged content; none if the file was acknowledged to be gone, or never promised.
    have: Option<Content>,
    /// The change that was under way, and what it was to lead to.
    pending: Option<(Kind, Content)>,
}

/// Counts over all files.
#[derive(Default)]
struct Tally {
    promises: u64,
    whole: u64,
    bytes: u64,
    gone: u64,
    in_flight: u64,
    unpromised: u64,
    broken: u64,
}

impl Tally {
    fn broken(&mut self, path: &str, why: &str) {
        self.broken += 1;
        if self.broken <= SHOWN {
            println!("BROKEN: {path}: {why}");
        }
    }
}

pub(crate) fn run(args: &VerifyArgs) -> Result<ExitCode> {
    let promises = ack::read(&args.ack)?;
    let mut tally = Tally {
        promises: promises.len() as u64,
        ..Tally::default()
    };
    let states = replay(promises);
    for (path, state) in &states {
        check(&args.root, path, state, &mut tally)?;
    }
    for source in sources::list(&args.sources)? {
        if !states.contains_key(&source.path) {
            check_unpromised(&args.root, &source, &mut tally)?;
        }
    }
    println!(
        "acknowledged: {} files whole, {} bytes, {} files gone as they should be; {} broken",
        tally.whole, tally.bytes, tally.gone, tally.broken
    );
    println!(
        "not acknowledged: {} changes in flight, {} new files begun; all hold old or new bytes and no others",
        tally.in_flight, tally.unpromised
    );
    if tally.promises == 0 {
        println!("BROKEN: nothing was acknowledged, so nothing was shown");
    }
    Ok(if tally.broken == 0 && tally.promises > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn replay(promises: Vec<Promise>) -> HashMap<String, State> {
    let mut states: HashMap<String, State> = HashMap::new();
    for Promise {
        kind,
        content,
        path,
    } in promises
    {
        let state = states.entry(path).or_default();
        match kind {
            Kind::Have => {
                *state = State {
                    have: Some(content),
                    pending: None,
                }
            }
            Kind::Gone => *state = State::default(),
            Kind::Replace | Kind::Append | Kind::Unlink => state.pending = Some((kind, content)),
        }
    }
    states
}

/// The file's bytes; none if it does not exist.
fn bytes_of(file: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(file) {
        Ok(data) => Ok(Some(data)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

fn check(root: &Path, path: &str, state: &State, tally: &mut Tally) -> Result<()> {
    let data = match bytes_of(&root.join(path)) {
        Ok(data) => data,
        Err(error) => {
            tally.broken(path, &format!("{error:#}"));
            return Ok(());
        }
    };
    let found = data.as_deref().map(Content::of);
    if found == state.have {
        match found {
            Some(content) => {
                tally.whole += 1;
                tally.bytes += content.len;
            }
            None => tally.gone += 1,
        }
        return Ok(());
    }
    match &state.pending {
        Some(change) if reached(state.have.as_ref(), change, data.as_deref()) => {
            tally.in_flight += 1
        }
        _ => tally.broken(path, &describe(state.have.as_ref(), found.as_ref())),
    }
    Ok(())
}

/// Whether `data` is what a crash in the middle of `change` may leave, beyond what was there before.
fn reached(have: Option<&Content>, change: &(Kind, Content), data: Option<&[u8]>) -> bool {
    let (kind, to) = change;
    match (kind, have, data) {
        (Kind::Unlink, _, data) => data.is_none(),
        (Kind::Append, Some(have), Some(data)) => {
            let Some(kept) = usize::try_from(have.len)
                .ok()
                .and_then(|len| data.get(..len))
            else {
                return false;
            };
            Content::of(kept) == *have && (data.len() as u64) < to.len || Content::of(data) == *to
        }
        // A replacement of nothing is a new file: until its fsync it may hold any part.
        (Kind::Replace, None, Some(data)) => data.len() as u64 <= to.len,
        (Kind::Replace, Some(_), Some(data)) => Content::of(data) == *to,
        _ => false,
    }
}

fn describe(have: Option<&Content>, found: Option<&Content>) -> String {
    match (have, found) {
        (Some(have), None) => format!("is missing; {} bytes were acknowledged", have.len),
        (None, Some(found)) => format!(
            "is there with {} bytes, after its removal was acknowledged",
            found.len
        ),
        (Some(have), Some(found)) if have.len != found.len => {
            format!(
                "has {} bytes instead of the {} acknowledged",
                found.len, have.len
            )
        }
        _ => "has other bytes than were acknowledged".to_owned(),
    }
}

/// A file that was being copied may be there in part. What it must not hold is another file's bytes.
fn check_unpromised(root: &Path, source: &sources::Source, tally: &mut Tally) -> Result<()> {
    let Some(data) = bytes_of(&root.join(&source.path))? else {
        return Ok(());
    };
    tally.unpromised += 1;
    let full = fs::read(&source.file)?;
    let ours = data.len() <= full.len() && data.iter().zip(&full).all(|(a, b)| a == b || *a == 0);
    if !ours {
        tally.broken(
            &source.path,
            "was not acknowledged, and holds bytes that nobody wrote to it",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::ack::Channel;
    use crate::SourceArgs;

    /// A root with one file, promises about it, and the verdict: how many are broken.
    fn broken(on_disk: Option<&[u8]>, promises: &[(Kind, &[u8])]) -> u64 {
        let folder = tempfile::tempdir().unwrap();
        if let Some(data) = on_disk {
            fs::write(folder.path().join("file"), data).unwrap();
        }
        let ack = folder.path().join("ack");
        let channel = Channel::open(&ack).unwrap();
        for (kind, data) in promises {
            channel.say(*kind, &Content::of(data), "file").unwrap();
        }
        let mut tally = Tally::default();
        for (path, state) in replay(ack::read(&ack).unwrap()) {
            check(folder.path(), &path, &state, &mut tally).unwrap();
        }
        tally.broken
    }

    #[test]
    fn what_was_acknowledged_must_be_there_byte_for_byte() {
        assert_eq!(broken(Some(b"abc"), &[(Kind::Have, b"abc")]), 0);
        assert_eq!(broken(Some(b"abd"), &[(Kind::Have, b"abc")]), 1);
        assert_eq!(broken(Some(b"ab"), &[(Kind::Have, b"abc")]), 1);
        assert_eq!(broken(None, &[(Kind::Have, b"abc")]), 1);
        assert_eq!(
            broken(Some(b""), &[(Kind::Have, b"x"), (Kind::Gone, b"")]),
            1
        );
        assert_eq!(broken(None, &[(Kind::Have, b"x"), (Kind::Gone, b"")]), 0);
    }

    #[test]
    fn a_change_in_flight_may_be_done_or_not_and_nothing_else() {
        let replaced: &[(Kind, &[u8])] = &[(Kind::Have, b"old"), (Kind::Replace, b"new")];
        assert_eq!(broken(Some(b"old"), replaced), 0);
        assert_eq!(broken(Some(b"new"), replaced), 0);
        assert_eq!(broken(Some(b"ned"), replaced), 1);
        assert_eq!(broken(None, replaced), 1);
        let appended: &[(Kind, &[u8])] = &[(Kind::Have, b"old"), (Kind::Append, b"old+more")];
        assert_eq!(broken(Some(b"old+"), appended), 0);
        assert_eq!(broken(Some(b"old+more"), appended), 0);
        assert_eq!(broken(Some(b"ol"), appended), 1);
        assert_eq!(broken(Some(b"xld+"), appended), 1);
        assert_eq!(broken(Some(b"old+mare"), appended), 1);
        let unlinked: &[(Kind, &[u8])] = &[(Kind::Have, b"old"), (Kind::Unlink, b"")];
        assert_eq!(broken(None, unlinked), 0);
        assert_eq!(broken(Some(b""), unlinked), 1);
    }

    #[test]
    fn a_file_begun_may_hold_a_part_but_no_foreign_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let source = sources::Source {
            file: folder.path().join("source"),
            path: "copy".into(),
            len: 4,
        };
        fs::write(&source.file, b"data").unwrap();
        for (found, want) in [(&b"da"[..], 0), (b"d\0\0", 0), (b"dota", 1), (b"data+", 1)] {
            fs::write(folder.path().join("copy"), found).unwrap();
            let mut tally = Tally::default();
            check_unpromised(folder.path(), &source, &mut tally).unwrap();
            assert_eq!((tally.unpromised, tally.broken), (1, want), "{found:?}");
        }
    }

    #[test]
    fn what_copy_does_verify_accepts() {
        let folder = tempfile::tempdir().unwrap();
        let from: PathBuf = folder.path().join("from");
        fs::create_dir_all(from.join("deep/deeper")).unwrap();
        for n in 0..40 {
            fs::write(
                from.join(format!("deep/deeper/{n}")),
                vec![n as u8 + 1; n * 700],
            )
            .unwrap();
        }
        let (to, ack) = (folder.path().join("to"), folder.path().join("ack"));
        let panic = crate::PanicArgs {
            panic_within: None,
            min_files: 0,
            min_mib: 0,
        };
        let copy = crate::CopyArgs {
            sources: SourceArgs {
                from: vec![from.clone()],
                then: Vec::new(),
            },
            to: to.clone(),
            ack: ack.clone(),
            threads: 3,
            seed: 7,
            shuffle: true,
            change_every: 3,
            changes: Some(200),
            panic,
        };
        assert_eq!(crate::copy::run(&copy).unwrap(), ExitCode::SUCCESS);
        let args = VerifyArgs {
            root: to.clone(),
            ack,
            sources: SourceArgs {
                from: vec![from],
                then: Vec::new(),
            },
        };
        assert_eq!(run(&args).unwrap(), ExitCode::SUCCESS);
        fs::remove_dir_all(&to).unwrap();
        assert_eq!(run(&args).unwrap(), ExitCode::FAILURE);
    }
}
