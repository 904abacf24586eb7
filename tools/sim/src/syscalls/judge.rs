// SPDX-License-Identifier: GPL-2.0

//! Which states of the disk are tried, and whether each is what the calls allow.

use super::{
    content::Moment,
    history::{History, BESIDE},
    log::Log,
    names::{differences, line, Names},
};
use crate::{
    crash::{Crash, Cut, Walk},
    disk::{Caps, Event, Lie, SimDisk},
    image::{Image, BLOCK, PER_BLOCK},
    model::ROOT,
    oracle::blocks_of,
    rng::Rng,
    runner::guarded,
    verify::{because, fsck, mount},
};
use kernel::prelude::KVec;
use permfs_core::{
    device::BlockDevice,
    extent::Mapping,
    inode::{S_IFDIR, S_IFLNK, S_IFMT, S_IFREG},
    volume::Volume,
};
use std::collections::HashMap;

/// Of so many states one is cut again, in the mount.
const AGAIN: u64 = 8;

/// A program's run, and the log of its disk.
pub struct Trial {
    /// What was done.
    pub history: History,
    /// What the disk has seen.
    pub log: Log,
    /// What kind of disk it is.
    pub caps: Caps,
    /// Blocks of the volume.
    pub blocks: u64,
}

/// One state to try.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Draw {
    /// Event under way.
    point: usize,
    /// Its number among all states.
    number: u64,
    how: How,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum How {
    /// Nothing of what is not durable is there.
    Least,
    /// All of it is.
    Most,
    /// By chance.
    Random,
}

/// What was tried.
#[derive(Default)]
pub struct Outcome {
    /// States.
    pub states: u64,
    /// Of these, at a flush or a FUA write.
    pub boundaries: u64,
    /// Cut once more, in the mount.
    pub again: u64,
    /// Number of a state, how many had been tried with it, and what is wrong with it.
    pub failures: Vec<(u64, u64, String)>,
}

/// What the volume on a disk shows.
struct Found {
    names: Names,
    /// Contents of regular files.
    files: HashMap<u64, Vec<u8>>,
}

impl Trial {
    /// The states: each boundary twice, then `random` by chance. In the order of the log.
    fn draws(&self, seed: u64, random: u64) -> Vec<Draw> {
        let first = self.log.marks.first().map_or(0, |m| m.0);
        let events = self.log.events.len();
        let boundary = |&p: &usize| match self.log.events.get(p) {
            Some(Event::Flush) => true,
            Some(Event::Writes { durable, .. }) => *durable && self.caps.cache,
            _ => p == events,
        };
        let boundaries: Vec<usize> = (first..=events).filter(boundary).collect();
        let mut draws = Vec::new();
        let mut draw = |point, how| {
            let number = draws.len() as u64;
            draws.push(Draw { point, number, how });
        };
        for &point in &boundaries {
            draw(point, How::Least);
            draw(point, How::Most);
        }
        for n in 0..random {
            let mut rng = Rng::part(seed, n);
            // Just before a flush most is in question.
            let point = if self.caps.cache && rng.one_in(2) {
                *rng.pick(&boundaries)
            } else {
                first + rng.index(events + 1 - first)
            };
            draw(point, How::Random);
        }
        draws.sort_unstable();
        draws
    }

    /// Tries `random` states by chance, and those at every boundary; or state `only`, of which it tells. `tick` is called
    /// after each state.
    pub fn run(
        &self,
        seed: u64,
        random: u64,
        only: Option<u64>,
        mut tick: impl FnMut(u64),
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let base = Image::new(self.blocks);
        let mut walk = Walk::new(base, &self.log.events, self.caps, Lie::None);
        let draws = self.draws(seed, random);
        let all = draws.len() as u64;
        for draw in draws {
            if only.is_some_and(|n| n != draw.number) {
                continue;
            }
            while walk.point() < draw.point && walk.advance() {}
            let mut rng = Rng::part(!seed, draw.number);
            let crash = match draw.how {
                How::Least => walk.all(Cut::None),
                How::Most => walk.all(Cut::All),
                How::Random => walk.random(&mut rng, 1).remove(0),
            };
            if only.is_some() {
                self.tell(&crash);
            }
            outcome.states += 1;
            outcome.boundaries += u64::from(draw.how != How::Random);
            let image = walk.image(&crash);
            let again = rng.one_in(AGAIN);
            outcome.again += u64::from(again);
            let judged = guarded(|| {
                let disk = self.judge(&image, crash.point)?;
                if again {
                    self.cut_again(&image, &disk, crash.point, &mut rng)?;
                }
                Ok(())
            });
            if let Err(why) = judged {
                outcome.failures.push((draw.number, outcome.states, why));
            }
            tick(all);
        }
        outcome
    }

    /// Prints what was going on.
    fn tell(&self, crash: &Crash) {
        let returned = self.log.returned(crash.point).unwrap_or(0) as usize;
        println!("the last calls that had returned, and the one under way:");
        let calls = &self.history.calls;
        let last = (returned + 2).min(calls.len());
        for call in &calls[returned.saturating_sub(30)..last] {
            let result = call.result.map_or("failed".into(), |r| r.to_string());
            println!("    {call} = {result}");
        }
        println!("the last events at the disk, and the one under way:");
        let from = crash.point.saturating_sub(20);
        for (n, event) in self.log.events.iter().enumerate().skip(from).take(21) {
            println!("    {n}: {event:?}");
        }
        println!("what became of each write in question: {:?}", crash.cuts);
    }

    /// The power goes once more, somewhere in the mount that `disk` has logged.
    fn cut_again(
        &self,
        image: &Image,
        disk: &SimDisk,
        point: usize,
        rng: &mut Rng,
    ) -> Result<(), String> {
        let log = disk.take_log();
        let mut walk = Walk::new(image.clone(), &log, self.caps, Lie::None);
        for _ in 0..rng.index(log.len() + 1) {
            walk.advance();
        }
        let crash = walk.random(rng, 1).remove(0);
        let judged = self.judge(&walk.image(&crash), point);
        judged.map(drop).map_err(|e| {
            let (at, of) = (crash.point, log.len());
            format!("after a second cut, in the mount, at event {at} of {of}: {e}")
        })
    }

    /// Judges one state of the disk, and gives that on which it was mounted.
    fn judge(&self, image: &Image, point: usize) -> Result<SimDisk, String> {
        fsck(image, self.caps, "fsck")?;
        let disk = SimDisk::new(image.clone(), self.caps, Lie::None);
        let mut vol = mount(disk.clone(), false)?;
        let found = look(&mut vol, &disk)?;
        let returned = self.log.returned(point).unwrap_or(0);
        let candidates = self.history.candidates(returned);
        let mut wrong = Vec::new();
        for &names in &candidates {
            match self.compare(&found, Moment { names, returned }) {
                Ok(()) => {
                    fsck(&disk.image(), self.caps, "fsck after the mount")?;
                    return Ok(disk);
                }
                Err(why) => wrong.push(why),
            }
        }
        // The nearest ones are the likelier explanation.
        wrong.sort_by_key(|(distance, _)| *distance);
        let why: Vec<String> = wrong.into_iter().take(2).map(|(_, why)| why).collect();
        Err(format!(
            "call {returned} had returned, and the names are those after none of {} calls that they may be after; {}",
            candidates.len(),
            why.join("; or ")
        ))
    }

    /// Compares with the volume after call `when.names`. Errors say how far it is from that, and what is wrong.
    fn compare(&self, found: &Found, when: Moment) -> Result<(), (usize, String)> {
        let names = &self.history.names[when.names as usize];
        let mut wrong = differences(names, &found.names);
        // Where names are wrong contents tell nothing more.
        let mut distance = wrong.len() * 100;
        let mut inodes = HashMap::new();
        for (path, (_, ino)) in names.iter().filter(|_| distance == 0) {
            let there = found.names[path].1;
            if *inodes.entry(*ino).or_insert(there) != there {
                wrong.push(format!("{path} is another file"));
            } else if let (Some(file), Some(bytes)) =
                (self.history.files.get(ino), found.files.get(&there))
            {
                let judged = file.check(when, bytes);
                wrong.extend(judged.err().map(|why| format!("{path}: {why}")));
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        distance += wrong.len();
        wrong.truncate(6);
        Err((
            distance,
            format!("as after call {}: {}", when.names, wrong.join("; ")),
        ))
    }
}

/// Everything that a program would see.
fn look(vol: &mut Volume<SimDisk>, disk: &SimDisk) -> Result<Found, String> {
    let (mut names, mut files) = (Names::new(), HashMap::new());
    let mut todo = vec![(String::from("/"), ROOT)];
    while let Some((path, ino)) = todo.pop() {
        let attr = vol.iget(ino).map_err(because(&path))?.attr;
        let mut target = KVec::new();
        match attr.mode & S_IFMT {
            S_IFDIR if path.trim_matches('/') == BESIDE => (),
            S_IFDIR => {
                let below = |name: &[u8], ino, _, _| {
                    todo.push((format!("{path}{}/", name.escape_ascii()), ino));
                    todo.len() < 10_000
                };
                vol.readdir(ino, 0, below).map_err(because(&path))?;
            }
            S_IFLNK => vol.readlink(ino, &mut target).map_err(because(&path))?,
            S_IFREG => {
                if let std::collections::hash_map::Entry::Vacant(new) = files.entry(ino) {
                    new.insert(
                        read(vol, disk, ino, attr.size).map_err(|e| format!("{path}: {e}"))?,
                    );
                }
            }
            _ => (),
        }
        let target = std::str::from_utf8(&target).unwrap_or_default();
        names.insert(path, (line(attr.mode, attr.nlink, target), ino));
    }
    Ok(Found { names, files })
}

fn read(vol: &mut Volume<SimDisk>, disk: &SimDisk, ino: u64, size: u64) -> Result<Vec<u8>, String> {
    let end = blocks_of(size);
    let mut bytes = vec![0; end as usize * BLOCK];
    let mut at = 0;
    while at < end {
        let len = match vol.map(ino, at, end - at).map_err(because("map"))? {
            Mapping::Hole { len } => len,
            Mapping::Data { phys, len } => {
                let len = len.min(end - at);
                let place = at as usize * BLOCK..(at + len) as usize * BLOCK;
                disk.read(phys * PER_BLOCK, &mut bytes[place])
                    .map_err(because("data"))?;
                len
            }
        };
        at += len.max(1);
    }
    bytes.truncate(size as usize);
    Ok(bytes)
}
