// SPDX-License-Identifier: GPL-2.0

//! What a file may hold after a power cut.

use super::journal::describe;
use crate::image::SECTOR;
use std::{ops::Range, rc::Rc};

type Sector = [u8; SECTOR];

/// A file after a call that changed it.
struct Version {
    call: u64,
    size: u64,
    /// Zeroes where there is none, and behind the size.
    sectors: Vec<Option<Rc<Sector>>>,
}

/// Bytes that a call has promised to be durable on its return.
struct Promise {
    call: u64,
    bytes: Range<u64>,
    size: bool,
}

/// A file's contents from its creation on.
pub struct File {
    versions: Vec<Version>,
    /// Calls that set the size, and the size. They are durable in the order of names.
    cuts: Vec<(u64, u64)>,
    promises: Vec<Promise>,
    /// Stores through mappings, which may be caught in the middle.
    stores: Vec<(u64, Range<u64>)>,
}

/// When the power went: `names` is the call after which the names were as they are found, `returned` the newest one
/// that had returned, and the next one was under way.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The names are those after this call.
    pub names: u64,
    /// This call had returned.
    pub returned: u64,
}

impl File {
    /// Empty, made by `call`.
    pub fn new(call: u64) -> Self {
        let (size, sectors) = (0, Vec::new());
        Self {
            versions: vec![Version {
                call,
                size,
                sectors,
            }],
            cuts: vec![(call, 0)],
            promises: Vec::new(),
            stores: Vec::new(),
        }
    }

    fn last(&self) -> &Version {
        &self.versions[self.versions.len() - 1]
    }

    /// Bytes now.
    pub fn size(&self) -> u64 {
        self.last().size
    }

    /// What bytes `at` hold now, as far as there are any.
    pub fn read(&self, at: Range<u64>) -> Vec<u8> {
        let end = at.end.min(self.size());
        let mut bytes = Vec::new();
        let mut sector = at.start / SECTOR as u64;
        while sector * (SECTOR as u64) < end {
            bytes.extend_from_slice(&self.last().sector(sector));
            sector += 1;
        }
        let skip = at.start as usize % SECTOR;
        bytes.truncate(skip + end.saturating_sub(at.start) as usize);
        bytes.drain(..skip.min(bytes.len()));
        bytes
    }

    /// `call` has written.
    pub fn write(&mut self, call: u64, at: u64, bytes: &[u8]) {
        let mut sectors = self.last().sectors.clone();
        let end = at + bytes.len() as u64;
        sectors.resize(
            sectors.len().max(end.div_ceil(SECTOR as u64) as usize),
            None,
        );
        for (n, slot) in sectors.iter_mut().enumerate() {
            let start = (n * SECTOR) as u64;
            let (from, to) = (start.max(at), (start + SECTOR as u64).min(end));
            if from < to {
                let sector = Rc::make_mut(slot.get_or_insert_with(|| Rc::new([0; SECTOR])));
                sector[(from - start) as usize..(to - start) as usize]
                    .copy_from_slice(&bytes[(from - at) as usize..(to - at) as usize]);
            }
        }
        let size = self.size().max(end);
        self.versions.push(Version {
            call,
            size,
            sectors,
        });
    }

    /// `call` has stored through a mapping.
    pub fn store(&mut self, call: u64, at: u64, bytes: &[u8]) {
        self.write(call, at, bytes);
        self.stores.push((call, at..at + bytes.len() as u64));
    }

    /// `call` has set the size.
    pub fn cut(&mut self, call: u64, size: u64) {
        let mut sectors = self.last().sectors.clone();
        sectors.truncate(size.div_ceil(SECTOR as u64) as usize);
        let tail = size as usize % SECTOR;
        if let Some(Some(last)) = sectors.get_mut((size / SECTOR as u64) as usize) {
            Rc::make_mut(last)[tail..].fill(0);
        }
        self.versions.push(Version {
            call,
            size,
            sectors,
        });
        self.cuts.push((call, size));
    }

    /// What `call` has made durable on its return.
    pub fn promise(&mut self, call: u64, bytes: Range<u64>, size: bool) {
        self.promises.push(Promise { call, bytes, size });
    }

    /// Whether `call` has set the size.
    pub fn is_cut_by(&self, call: u64) -> bool {
        self.cuts.iter().any(|&(c, _)| c == call)
    }

    /// Index of the version that there was after `call`.
    fn version_after(&self, call: u64) -> usize {
        let n = self.versions.partition_point(|v| v.call <= call);
        n.saturating_sub(1)
    }

    /// Judges what was found. `Err` says what is wrong.
    pub fn check(&self, when: Moment, bytes: &[u8]) -> Result<(), String> {
        let last = self.version_after(when.returned + 1);
        let kept = self.promises.iter().filter(|p| p.call <= when.returned);
        let kept: Vec<&Promise> = kept.collect();
        let cuts = self.cuts.iter().filter(|c| c.0 <= when.names);
        let cuts: Vec<(u64, u64)> = cuts.copied().collect();
        self.check_size(when, last, &kept, &cuts, bytes.len() as u64)?;
        for (n, found) in bytes.chunks(SECTOR).enumerate() {
            let start = (n * SECTOR) as u64;
            let end = start + found.len() as u64;
            let touching = kept
                .iter()
                .filter(|p| p.bytes.start < end && start < p.bytes.end);
            let promised = touching.map(|p| p.call);
            let cut = cuts.iter().filter(|c| c.1 <= start).map(|c| c.0);
            let oldest = promised.chain(cut).max().unwrap_or(0);
            let oldest = self.version_after(oldest);
            let versions = &self.versions[oldest..=last.max(oldest)];
            let shows = |v: &Version, b: &[u8]| v.masked(n as u64, &cuts)[..b.len()] == *b;
            if versions.iter().rev().any(|v| shows(v, found)) {
                continue;
            }
            let after = self.versions[oldest].call;
            let is_torn = self.stores.iter().any(|(c, r)| {
                *c > after && *c <= when.returned + 1 && r.start < end && start < r.end
            });
            let all: Vec<_> = versions.iter().map(|v| v.masked(n as u64, &cuts)).collect();
            let mixed = |(i, b): (usize, &u8)| all.iter().any(|v| v[i] == *b);
            if is_torn && found.iter().enumerate().all(mixed) {
                continue;
            }
            let (should, calls) = (&all[all.len() - 1], all.len());
            return Err(format!(
                "bytes {start} to {end} of {} hold {}, which is not what they were after call {after} or later, of {calls} \
                 possibilities; lately {}",
                bytes.len(),
                describe(found),
                describe(&should[..found.len()]),
            ));
        }
        Ok(())
    }

    fn check_size(
        &self,
        when: Moment,
        last: usize,
        kept: &[&Promise],
        cuts: &[(u64, u64)],
        size: u64,
    ) -> Result<(), String> {
        let promised = kept.iter().filter(|p| p.size).map(|p| p.call).max();
        let cut = cuts.iter().map(|c| c.0).max();
        let first = self.version_after(promised.max(cut).unwrap_or(0));
        // A size behind a cut that is not durable is not durable either.
        let next_cut = self.cuts.iter().map(|c| c.0).find(|&c| c > when.names);
        let end = next_cut.map_or(last, |c| self.version_after(c - 1).min(last));
        let versions = &self.versions[first..=end.max(first)];
        let most = versions.iter().map(|v| v.size).max().unwrap_or(0);
        // Of a write with O_DSYNC only its own end is promised.
        let ends = kept
            .iter()
            .filter(|p| !p.size && p.call >= self.versions[first].call);
        let ends = ends.map(|p| p.bytes.end).max().unwrap_or(0);
        let least = self.versions[first].size.max(ends.min(most));
        if (least..=most).contains(&size) {
            return Ok(());
        }
        let calls = (
            self.versions[first].call,
            self.versions[end.max(first)].call,
        );
        Err(format!(
            "its size is {size}, not {least} to {most} (after calls {} to {})",
            calls.0, calls.1
        ))
    }
}

impl Version {
    fn sector(&self, n: u64) -> Sector {
        let sector = self.sectors.get(n as usize).and_then(|s| s.as_ref());
        sector.map_or([0; SECTOR], |s| **s)
    }

    /// The sector, if what `cuts` have cut since is gone: a cut takes the rest of its sector with it.
    fn masked(&self, n: u64, cuts: &[(u64, u64)]) -> Sector {
        let mut bytes = self.sector(n);
        let start = n * SECTOR as u64;
        for &(call, size) in cuts {
            if call > self.call && size < start + SECTOR as u64 {
                bytes[size.saturating_sub(start) as usize..].fill(0);
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests;
