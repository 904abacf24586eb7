// SPDX-License-Identifier: GPL-2.0
//! Changes to files that were acknowledged already: replaced by rename, appended to, unlinked and written anew.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result};

use crate::ack::{Content, Kind};
use crate::copy::{write_new, Job};
use crate::rng::Rng;

/// Ends the name of a file that is about to replace another; such a file is nobody's promise.
const REPLACEMENT: &str = ".replacement";

/// Changes files until the number of changes that the caller asked for is reached, or for ever. Writer `number` takes
/// every `threads`-th file, so that each file's promises come from one writer, in order.
pub(crate) fn run(job: &Job<'_>, number: usize) -> Result<()> {
    let threads = job.args.threads.max(1);
    let mine: Vec<_> = job.sources.iter().skip(number).step_by(threads).collect();
    let mut rng = Rng::new(job.args.seed.wrapping_mul(31).wrapping_add(number as u64));
    while !mine.is_empty()
        && job
            .args
            .changes
            .is_none_or(|max| job.progress.changes.load(Ordering::Relaxed) < max)
    {
        let source = mine[rng.below(mine.len() as u64) as usize];
        let target = job.args.to.join(&source.path);
        let done = match rng.below(4) {
            0 | 1 => append(job, &target, &source.path, &mut rng),
            2 => replace(job, &target, &source.path, &mut rng),
            _ => unlink_and_write(job, &target, &source.path, &mut rng),
        };
        done.with_context(|| format!("cannot change {}", target.display()))?;
        job.progress.changes.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Bytes that no source file holds, of a random length up to 16 KiB.
fn fresh(rng: &mut Rng) -> Vec<u8> {
    let len = rng.below(16 << 10) as usize + 1;
    let mut data = Vec::with_capacity(len + 17);
    while data.len() < len {
        data.extend_from_slice(format!("{:016x}\n", rng.next()).as_bytes());
    }
    data.truncate(len);
    data
}

fn append(job: &Job<'_>, target: &Path, path: &str, rng: &mut Rng) -> Result<()> {
    let mut whole = fs::read(target)?;
    let more = fresh(rng);
    whole.extend_from_slice(&more);
    let content = Content::of(&whole);
    job.channel.say(Kind::Append, &content, path)?;
    let mut file = File::options().append(true).open(target)?;
    file.write_all(&more)?;
    file.sync_all()?;
    job.channel.say(Kind::Have, &content, path)
}

fn replace(job: &Job<'_>, target: &Path, path: &str, rng: &mut Rng) -> Result<()> {
    let data = fresh(rng);
    let content = Content::of(&data);
    let mut name = target.as_os_str().to_owned();
    name.push(REPLACEMENT);
    job.channel.say(Kind::Replace, &content, path)?;
    write_new(Path::new(&name), &data)?;
    fs::rename(&name, target)?;
    sync_folder(target)?;
    job.channel.say(Kind::Have, &content, path)
}

fn unlink_and_write(job: &Job<'_>, target: &Path, path: &str, rng: &mut Rng) -> Result<()> {
    let nothing = Content::of(b"");
    job.channel.say(Kind::Unlink, &nothing, path)?;
    fs::remove_file(target)?;
    sync_folder(target)?;
    job.channel.say(Kind::Gone, &nothing, path)?;
    let data = fresh(rng);
    let content = Content::of(&data);
    job.channel.say(Kind::Replace, &content, path)?;
    write_new(target, &data)?;
    job.channel.say(Kind::Have, &content, path)
}

fn sync_folder(target: &Path) -> std::io::Result<()> {
    match target.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
