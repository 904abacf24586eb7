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
use crate::sources::Source;

/// Ends the name of a file that is about to replace another; such a file is nobody's promise.
const REPLACEMENT: &str = ".replacement";

/// One writer's changes. It changes only files that it has copied and acknowledged itself, so that all promises about a
/// file come from one writer, in order.
pub(crate) struct Changes<'a> {
    job: &'a Job<'a>,
    mine: Vec<&'a Source>,
    rng: Rng,
}

impl<'a> Changes<'a> {
    pub(crate) fn new(job: &'a Job<'a>, number: usize) -> Self {
        let rng = Rng::new(job.args.seed.wrapping_mul(31).wrapping_add(number as u64));
        Changes {
            job,
            mine: Vec::new(),
            rng,
        }
    }

    /// Takes note of a file that was acknowledged, and makes a change if it is time for one.
    pub(crate) fn copied(&mut self, source: &'a Source) -> Result<()> {
        self.mine.push(source);
        match (self.mine.len() as u64).checked_rem(self.job.args.change_every) {
            Some(0) => self.one(),
            _ => Ok(()),
        }
    }

    /// Makes changes until the number that the caller asked for is reached, or for ever.
    pub(crate) fn go_on(&mut self) -> Result<()> {
        while !self.mine.is_empty() && self.wanted() {
            self.one()?;
        }
        Ok(())
    }

    fn wanted(&self) -> bool {
        let done = self.job.progress.changes.load(Ordering::Relaxed);
        self.job.args.changes.is_none_or(|max| done < max)
    }

    fn one(&mut self) -> Result<()> {
        let Some(source) = self
            .mine
            .get(self.rng.below(self.mine.len() as u64) as usize)
        else {
            return Ok(());
        };
        let target = self.job.args.to.join(&source.path);
        let done = match self.rng.below(4) {
            0 | 1 => append(self.job, &target, &source.path, &mut self.rng),
            2 => replace(self.job, &target, &source.path, &mut self.rng),
            _ => unlink_and_write(self.job, &target, &source.path, &mut self.rng),
        };
        done.with_context(|| format!("cannot change {}", target.display()))?;
        self.job.progress.changes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
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
