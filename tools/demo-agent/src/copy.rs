// SPDX-License-Identifier: GPL-2.0
//! Copies the sources with an fsync each and acknowledges them, then hands over to the changes.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{self, ExitCode};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{anyhow, Context, Result};

use crate::ack::{Channel, Content, Kind};
use crate::churn::Changes;
use crate::panicker::{self, Progress};
use crate::rng::Rng;
use crate::sources::{self, Source};
use crate::CopyArgs;

/// What the writers share.
pub(crate) struct Job<'a> {
    pub(crate) args: &'a CopyArgs,
    pub(crate) sources: Vec<Source>,
    pub(crate) channel: Channel,
    pub(crate) progress: Progress,
    /// The next source that nobody has taken.
    next: AtomicUsize,
}

pub(crate) fn run(args: &CopyArgs) -> Result<ExitCode> {
    let mut sources = sources::list(&args.sources)?;
    if args.shuffle {
        Rng::new(args.seed).shuffle(&mut sources);
    }
    if sources.is_empty() {
        return Err(anyhow!("there is no file to copy"));
    }
    make_folders(&args.to, &sources)?;
    let job = Job {
        args,
        sources,
        channel: Channel::open(&args.ack)?,
        progress: Progress::default(),
        next: AtomicUsize::new(0),
    };
    thread::scope(|scope| {
        scope.spawn(|| panicker::run(&args.panic, args.seed, &job.progress));
        let writers: Vec<_> = (0..args.threads.max(1))
            .map(|number| {
                scope.spawn({
                    let job = &job;
                    move || {
                        // The others would wait for a panic whose conditions cannot come any more.
                        if let Err(error) = writer(job, number) {
                            eprintln!("demo-agent: {error:#}");
                            process::exit(2);
                        }
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().map_err(|_| anyhow!("a writer panicked"))?;
        }
        // The panic is still to come if the changes were limited: the scope waits for it.
        anyhow::Ok(())
    })?;
    println!(
        "copied {} files, {} MiB; {} changes",
        job.progress.files.load(Ordering::Relaxed),
        job.progress.bytes.load(Ordering::Relaxed) >> 20,
        job.progress.changes.load(Ordering::Relaxed)
    );
    Ok(ExitCode::SUCCESS)
}

/// All folders first: the writers' fsyncs are then of files alone.
fn make_folders(to: &Path, sources: &[Source]) -> Result<()> {
    for source in sources {
        if let Some(folder) = Path::new(&source.path).parent() {
            let folder = to.join(folder);
            if !folder.is_dir() {
                fs::create_dir_all(&folder)
                    .with_context(|| format!("cannot make {}", folder.display()))?;
            }
        }
    }
    Ok(())
}

fn writer(job: &Job<'_>, number: usize) -> Result<()> {
    let mut changes = Changes::new(job, number);
    while let Some(source) = job.sources.get(job.next.fetch_add(1, Ordering::Relaxed)) {
        let data = fs::read(&source.file)
            .with_context(|| format!("cannot read {}", source.file.display()))?;
        let target = job.args.to.join(&source.path);
        write_new(&target, &data).with_context(|| format!("cannot write {}", target.display()))?;
        job.channel
            .say(Kind::Have, &Content::of(&data), &source.path)?;
        job.progress.files.fetch_add(1, Ordering::Relaxed);
        job.progress.bytes.fetch_add(source.len, Ordering::Relaxed);
        changes.copied(source)?;
    }
    changes.go_on()
}

/// A new file with `data`, on stable storage when this returns.
pub(crate) fn write_new(target: &Path, data: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(target)?;
    file.write_all(data)?;
    file.sync_all()
}
