// SPDX-License-Identifier: GPL-2.0

//! A log of writes in the form of dm-log-writes (`drivers/md/dm-log-writes.c`), which QEMU's `blklogwrites` has as well.

use crate::{
    disk::{Event, Write},
    image::{hash, BLOCK, SECTOR},
};
use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    fs::File,
    io::{BufReader, Read},
    path::Path,
    rc::Rc,
};

const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;
const MARK: u64 = 8;
/// What a block behind the volume begins with that is a mark.
const MARK_BLOCK: &[u8] = b"permfs-oracle ";

/// What a disk has seen.
#[derive(Default)]
pub struct Log {
    /// Writes and flushes, each write an event of its own.
    pub events: Vec<Event>,
    /// Events that were done when the call of that number had returned.
    pub marks: Vec<(usize, u64)>,
}

/// The call that a mark names.
fn mark(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    text.trim_matches(['\0', '\n', ' ']).parse().ok()
}

/// The sectors that an event writes.
fn sectors(event: &Event) -> impl Iterator<Item = (u64, &[u8])> {
    let writes = match event {
        Event::Writes { writes, .. } => &writes[..],
        _ => &[],
    };
    writes
        .iter()
        .flat_map(|w| (w.sector..).zip(w.data.chunks(SECTOR)))
}

/// What is left of a write without these sectors.
fn without(write: &Write, gone: &BTreeSet<u64>) -> Vec<Write> {
    let kept = (write.sector..).zip(write.data.chunks(SECTOR));
    let kept: Vec<_> = kept.filter(|(sector, _)| !gone.contains(sector)).collect();
    let runs = kept.chunk_by(|one, next| one.0 + 1 == next.0);
    let write = |run: &[(u64, &[u8])]| Write {
        sector: run[0].0,
        data: run
            .iter()
            .flat_map(|(_, bytes)| bytes.iter().copied())
            .collect(),
    };
    runs.map(write).collect()
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let bytes = bytes.get(at..at + 8).and_then(|b| b.try_into().ok());
    u64::from_le_bytes(bytes.unwrap_or_default())
}

impl Log {
    /// Reads the log at `path` of a disk of which the volume takes the first `blocks` blocks. `cache`: whether what is written
    /// without FUA waits for a flush.
    pub fn read(path: &Path, blocks: u64, cache: bool) -> Result<Self, String> {
        let because = |e| format!("{}: {e}", path.display());
        let mut file = BufReader::new(File::open(path).map_err(because)?);
        let mut log = Self::default();
        let mut head = vec![0; SECTOR];
        file.read_exact(&mut head).map_err(because)?;
        // QEMU writes the super block with the first flush.
        let unit = match (word(&head, 0), word(&head, 24) as u32) {
            (MAGIC, unit) => unit as usize,
            (0, 0) => SECTOR,
            _ => return Err(format!("{} is no log of writes", path.display())),
        };
        if unit % SECTOR != 0 || unit > 1 << 16 {
            return Err(format!("{}: a unit of {unit} bytes", path.display()));
        }
        head.resize(unit, 0);
        file.read_exact(&mut head[SECTOR..]).map_err(because)?;
        // The count in the super block is brought up to date only now and then: an entry that says nothing is the end.
        while file.read_exact(&mut head).is_ok() {
            let (sector, sectors, flags) = (word(&head, 0), word(&head, 8), word(&head, 16));
            if sectors == 0 && flags == 0 {
                break;
            }
            if flags & MARK != 0 {
                let text = head.get(32..32 + word(&head, 24) as usize);
                log.mark(text.and_then(mark))?;
                continue;
            }
            if flags & FLUSH != 0 {
                log.events.push(Event::Flush);
            }
            if sectors == 0 {
                continue;
            }
            if flags & DISCARD != 0 {
                return Err(
                    "the disk was told to discard, and the judge knows nothing of that".into(),
                );
            }
            let mut data = vec![0; sectors as usize * unit];
            file.read_exact(&mut data).map_err(because)?;
            let sector = sector * (unit / SECTOR) as u64;
            if sector >= blocks * (BLOCK / SECTOR) as u64 {
                log.mark(data.strip_prefix(MARK_BLOCK).and_then(|d| mark(&d[..17])))?;
                continue;
            }
            let data: Rc<[u8]> = data.into();
            log.events.push(Event::Writes {
                writes: vec![Write { sector, data }],
                durable: !cache || flags & FUA != 0,
            });
        }
        Ok(log)
    }

    /// Puts writes in the order in which they were done, which `below`, a log of the same writes made below this one, has.
    ///
    /// dm-log-writes logs a write without FUA at the flush behind it. If a FUA write to the same sectors came in between, it is
    /// logged first, and the older write would lie over it. What lies below a newer, durable write is dropped.
    pub fn untangle(&mut self, below: &Log) -> Result<(), String> {
        let mut order: HashMap<(u64, u64), VecDeque<usize>> = HashMap::new();
        for (n, event) in below.events.iter().enumerate() {
            for (sector, bytes) in sectors(event) {
                order
                    .entry((sector, hash(0, bytes)))
                    .or_default()
                    .push_back(n);
            }
        }
        // Of each sector the newest write that is durable and logged by now.
        let mut newest: HashMap<u64, usize> = HashMap::new();
        for event in &mut self.events {
            let mut superseded = BTreeSet::new();
            let durable = matches!(event, Event::Writes { durable: true, .. });
            for (sector, bytes) in sectors(event) {
                let place = order.get_mut(&(sector, hash(0, bytes)));
                let place = place.and_then(VecDeque::pop_front);
                let place = place.ok_or("a write is not in the log below")?;
                let newest = newest.entry(sector).or_default();
                if durable {
                    *newest = place.max(*newest);
                } else if place < *newest {
                    superseded.insert(sector);
                }
            }
            if let Event::Writes { writes, .. } = event {
                if !superseded.is_empty() {
                    *writes = writes
                        .iter()
                        .flat_map(|w| without(w, &superseded))
                        .collect();
                }
            }
        }
        Ok(())
    }

    fn mark(&mut self, number: Option<u64>) -> Result<(), String> {
        // dm-log-writes makes one of its own when it ends, without a number.
        if let Some(number) = number {
            if self.marks.last().is_some_and(|&(_, n)| n >= number) {
                return Err(format!("mark {number} comes late"));
            }
            self.marks.push((self.events.len(), number));
        }
        Ok(())
    }

    /// The newest call that had returned when event `point` was under way.
    pub fn returned(&self, point: usize) -> Option<u64> {
        let n = self.marks.partition_point(|&(events, _)| events <= point);
        Some(self.marks[n.checked_sub(1)?].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(sector: u64, fill: &[u8], durable: bool) -> Event {
        let data = fill.iter().flat_map(|&b| [b; SECTOR]).collect();
        let writes = vec![Write { sector, data }];
        Event::Writes { writes, durable }
    }

    fn log(events: Vec<Event>) -> Log {
        let marks = Vec::new();
        Log { events, marks }
    }

    #[test]
    fn what_lies_below_a_durable_write_is_dropped_and_what_lies_over_it_is_not() {
        let below = log(vec![
            write(0, b"abc", false),
            write(1, b"n", true),
            write(0, b"xyz", false),
        ]);
        let mut log = log(vec![
            write(1, b"n", true),
            write(0, b"abc", false),
            write(0, b"xyz", false),
        ]);
        log.untangle(&below).unwrap();
        let left: Vec<_> = log
            .events
            .iter()
            .map(|e| sectors(e).map(|s| (s.0, s.1[0])).collect::<Vec<_>>())
            .collect();
        let newer = vec![(0, b'x'), (1, b'y'), (2, b'z')];
        assert_eq!(left, [vec![(1, b'n')], vec![(0, b'a'), (2, b'c')], newer]);
        log.events.push(write(0, b"?", false));
        assert!(log.untangle(&below).is_err());
    }
}
