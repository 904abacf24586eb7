// SPDX-License-Identifier: GPL-2.0

//! What the volume was after each operation, what was acknowledged when, and what each write wrote.

use crate::{
    disk::{Caps, Event},
    image::{hash, BLOCK, PER_BLOCK, SECTOR},
    model::Model,
    pattern::{self, WriteId},
};
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    rc::Rc,
};

/// The volume as a walk over it shows it.
#[derive(Clone, Default)]
pub struct Dump {
    /// A line an entry: path, inode, all attributes, target; in the order of paths.
    pub lines: Vec<String>,
    /// Regular files: inode and size.
    pub files: BTreeMap<u64, u64>,
    /// Inodes.
    pub inodes: u64,
}

impl Dump {
    /// A number that tells dumps apart.
    pub fn hash(&self) -> u64 {
        let mut sum = 0;
        for line in &self.lines {
            let mut bytes = line.clone().into_bytes();
            bytes.resize(bytes.len().next_multiple_of(8), 0);
            sum = hash(sum, &bytes);
        }
        sum
    }
}

/// A moment after an operation that changed what one can see.
pub struct Step {
    /// Events at the disk up to then.
    pub events: usize,
    /// Epochs that the operation may have been in: first and last.
    pub epochs: (u64, u64),
    /// What was done.
    pub what: String,
    /// The volume afterwards.
    pub dump: Rc<Dump>,
    /// And the model.
    pub model: Model,
    /// Its hash.
    pub hash: u64,
}

/// What a block of a file holds.
enum Content {
    /// Data of a write, and zeroes behind so many sectors.
    Write(WriteId, u64),
    /// What was found there after an earlier crash.
    Found(Box<[u8]>),
}

impl Content {
    /// Whether sector `s` of block `logical` of file `ino` looks like `bytes`.
    fn is(&self, (ino, logical): (u64, u32), s: u64, bytes: &[u8]) -> bool {
        match self {
            Content::Write(id, valid) if s < *valid => {
                bytes == pattern::sector(ino, u64::from(logical) * PER_BLOCK + s, *id)
            }
            Content::Write(..) => bytes.iter().all(|&b| b == 0),
            Content::Found(block) => block.chunks(SECTOR).nth(s as usize) == Some(bytes),
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Content::Write(id, valid) => write!(f, "write {id} ({valid} sectors)"),
            Content::Found(_) => f.write_str("what was there"),
        }
    }
}

/// One write of a file's block.
struct BlockWrite {
    content: Content,
    /// Event at the disk that it was.
    event: usize,
}

/// A block of a file, from when it entered the map until it was cut off.
struct Place {
    from: usize,
    until: usize,
    writes: Vec<BlockWrite>,
}

/// With `events` events done, so many steps, and what `data` events wrote to files, were acknowledged.
struct Ack {
    events: usize,
    steps: usize,
    data: usize,
}

/// Everything that the comparison needs.
pub struct Oracle {
    caps: Caps,
    /// Moments, in order. The first is the volume as mkfs made it.
    pub steps: Vec<Step>,
    acks: Vec<Ack>,
    places: HashMap<(u64, u32), Vec<Place>>,
    /// Events that were flushes, in order, up to the first that failed.
    flushes: Vec<usize>,
    hashes: HashMap<u64, Vec<usize>>,
}

impl Oracle {
    /// Knows nothing yet.
    pub fn new(caps: Caps) -> Self {
        Self {
            caps,
            steps: Vec::new(),
            acks: Vec::new(),
            places: HashMap::new(),
            flushes: Vec::new(),
            hashes: HashMap::new(),
        }
    }

    /// Number of the step that the next [`Oracle::step`] makes.
    pub fn next_step(&self) -> usize {
        self.steps.len()
    }

    /// Something visible was done.
    pub fn step(
        &mut self,
        events: usize,
        epochs: (u64, u64),
        what: String,
        dump: Dump,
        model: Model,
    ) {
        let hash = dump.hash();
        self.hashes.entry(hash).or_default().push(self.steps.len());
        self.steps.push(Step {
            events,
            epochs,
            what,
            dump: Rc::new(dump),
            model,
            hash,
        });
    }

    /// After `events` events, everything up to step `steps` - 1, and data written by events before `data`, was
    /// acknowledged as durable.
    pub fn ack(&mut self, events: usize, steps: usize, data: usize) {
        self.acks.push(Ack {
            events,
            steps,
            data,
        });
    }

    /// Block `logical` of file `ino` enters the map with the next step; write `id` has filled it.
    pub fn mapped(&mut self, ino: u64, logical: u32, id: WriteId, valid: u64, event: usize) {
        let content = Content::Write(id, valid);
        self.enter((ino, logical), BlockWrite { content, event });
    }

    /// Block `logical` of file `ino` was in the map from the start, with this content.
    pub fn found(&mut self, ino: u64, logical: u32, bytes: &[u8]) {
        let content = Content::Found(bytes.into());
        self.enter((ino, logical), BlockWrite { content, event: 0 });
    }

    fn enter(&mut self, block: (u64, u32), write: BlockWrite) {
        let place = Place {
            from: self.steps.len(),
            until: usize::MAX,
            writes: vec![write],
        };
        self.places.entry(block).or_default().push(place);
    }

    /// It did not enter the map after all.
    pub fn not_mapped(&mut self, ino: u64, logical: u32, len: u32) {
        for block in logical..logical + len {
            if let Some(places) = self.places.get_mut(&(ino, block)) {
                places.pop();
            }
        }
    }

    /// A block that is in the map is written again, in place.
    pub fn overwritten(&mut self, ino: u64, logical: u32, id: WriteId, valid: u64, event: usize) {
        if let Some(place) = self
            .places
            .get_mut(&(ino, logical))
            .and_then(|p| p.last_mut())
        {
            let content = Content::Write(id, valid);
            place.writes.push(BlockWrite { content, event });
        }
    }

    /// Blocks of `ino` from `logical` on leave the map with the next step.
    pub fn cut(&mut self, ino: u64, logical: u32) {
        let step = self.steps.len();
        for ((of, block), places) in &mut self.places {
            if *of == ino && *block >= logical {
                for place in places.iter_mut().filter(|p| p.until == usize::MAX) {
                    place.until = step;
                }
            }
        }
    }

    /// The workload is over; this is what the disk has seen.
    pub fn finish(&mut self, log: &[Event]) {
        let flushes = log.iter().enumerate();
        let flushes = flushes.take_while(|(_, e)| !matches!(e, Event::FailedFlush));
        let flushes = flushes.filter(|(_, e)| matches!(e, Event::Flush));
        self.flushes = flushes.map(|(i, _)| i).collect();
    }

    /// Steps acknowledged when event `point` is under way.
    pub fn acked(&self, point: usize) -> usize {
        let before = self.acks.iter().filter(|a| a.events <= point);
        before.map(|a| a.steps).max().unwrap_or(1)
    }

    /// Events of which what they wrote to files was acknowledged when event `point` is under way.
    fn acked_data(&self, point: usize) -> usize {
        let before = self.acks.iter().filter(|a| a.events <= point);
        before.map(|a| a.data).max().unwrap_or(0)
    }

    /// Steps done when event `point` is under way.
    pub fn done(&self, point: usize) -> usize {
        self.steps.partition_point(|s| s.events <= point)
    }

    /// Whether a crash may leave the volume as it was after `step`: the end of an epoch.
    fn is_boundary(&self, step: usize, done: usize) -> bool {
        step + 1 >= done || self.steps[step].epochs.0 < self.steps[step + 1].epochs.1
    }

    /// The steps after which the volume was like `dump`, of those that a crash at `point` may leave.
    pub fn candidates(&self, dump: &Dump, point: usize) -> Vec<usize> {
        let (acked, done) = (self.acked(point), self.done(point));
        let same = self
            .hashes
            .get(&dump.hash())
            .map(|s| &s[..])
            .unwrap_or_default();
        let within = same.iter().filter(|&&s| s + 1 >= acked && s < done);
        within
            .copied()
            .filter(|&s| self.is_boundary(s, done))
            .collect()
    }

    /// Whether block `logical` of file `ino` is in the map after `step`.
    pub fn is_mapped(&self, ino: u64, logical: u32, step: usize) -> bool {
        self.place(ino, logical, step).is_some()
    }

    fn place(&self, ino: u64, logical: u32, step: usize) -> Option<&Place> {
        let places = self.places.get(&(ino, logical))?;
        places.iter().find(|p| p.from <= step && step < p.until)
    }

    /// Compares what a block of a file holds with what it may hold if the volume is as after `step`
    /// and the crash was at `point`. `size` is the file's.
    pub fn compare(
        &self,
        (ino, logical): (u64, u32),
        size: u64,
        step: usize,
        point: usize,
        bytes: &[u8],
    ) -> Result<(), String> {
        let Some(place) = self.place(ino, logical, step) else {
            return Err(format!("block {logical} of inode {ino} should be a hole"));
        };
        // What was done before a flush that was done is there, and what was acknowledged; more may be.
        let flushed = match self.flushes.partition_point(|&f| f < point) {
            _ if !self.caps.cache => point,
            0 => 0,
            n => self.flushes[n - 1],
        };
        let flushed = flushed.max(self.acked_data(point));
        let oldest = place
            .writes
            .iter()
            .rposition(|w| w.event < flushed)
            .unwrap_or(0);
        let issued = place.writes[oldest..]
            .iter()
            .take_while(|w| w.event <= point);
        let writes: Vec<&BlockWrite> = issued.collect();
        for (s, sector) in (0..PER_BLOCK).zip(bytes.chunks(SECTOR)) {
            let at = u64::from(logical) * PER_BLOCK + s;
            if at * SECTOR as u64 >= size {
                break;
            }
            if !writes
                .iter()
                .any(|w| w.content.is((ino, logical), s, sector))
            {
                let all: Vec<String> = writes.iter().map(|w| w.content.to_string()).collect();
                return Err(format!(
                    "sector {at} of inode {ino} is {}, not of {}",
                    pattern::describe(sector),
                    all.join(" or ")
                ));
            }
        }
        Ok(())
    }

    /// Says why nothing fits: the differences from the nearest step that would do.
    pub fn explain(&self, dump: &Dump, point: usize) -> String {
        let (acked, done) = (self.acked(point), self.done(point));
        let mut text = format!("steps {}..={} would do", acked - 1, done - 1);
        if let Some(like) = self.hashes.get(&dump.hash()) {
            text += &format!("; it is as after {like:?}: ");
            let (first, last) = (like[0], like[like.len() - 1]);
            text += if last + 1 < acked {
                "acknowledged changes are lost"
            } else if first >= done {
                "it holds what was not done yet"
            } else {
                "the middle of an epoch"
            };
            return text;
        }
        let nearest =
            (acked - 1..done).min_by_key(|&s| difference(&self.steps[s].dump, dump).len());
        let Some(nearest) = nearest else { return text };
        text += &format!(
            "; nearest is step {nearest} ({}):",
            self.steps[nearest].what
        );
        for line in difference(&self.steps[nearest].dump, dump).iter().take(12) {
            text += "\n    ";
            text += line;
        }
        text
    }
}

fn difference(expected: &Dump, found: &Dump) -> Vec<String> {
    let missing = expected.lines.iter().filter(|l| !found.lines.contains(l));
    let surplus = found.lines.iter().filter(|l| !expected.lines.contains(l));
    let missing = missing.map(|l| format!("- {l}"));
    missing.chain(surplus.map(|l| format!("+ {l}"))).collect()
}

/// Blocks that `size` bytes take.
pub fn blocks_of(size: u64) -> u32 {
    size.div_ceil(BLOCK as u64) as u32
}
