// SPDX-License-Identifier: GPL-2.0

//! The states that a crash may leave: what is durable, plus any part of what is not.

use crate::{
    disk::{Caps, Event, Lie, Write},
    image::{Image, SECTOR},
    rng::Rng,
};

/// Writes under way of which every subset is tried.
const EXHAUSTIVE: usize = 8;

/// What becomes of a write that is not durable yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nothing.
    None,
    /// All of it.
    All,
    /// Its first units.
    Front(usize),
    /// All but its first units.
    Back(usize),
    /// Some units, by this seed.
    Some(u64),
    /// All of it, but the power went in the middle of this unit.
    Garbled(usize),
    /// The same, and the disk says so: the unit reads as an error until it is written again.
    Unreadable(usize),
}

/// A crash: when, and what becomes of what was not durable, in the order of submission.
#[derive(Clone, Debug)]
pub struct Crash {
    /// Events before it are done, and it is under way.
    pub point: usize,
    /// One for each write in question.
    pub cuts: Vec<Cut>,
}

/// Whether a write is metadata, which must bear to have a unit spoilt: its checksums say so.
fn is_metadata(write: &Write) -> bool {
    write
        .data
        .starts_with(&permfs_core::format::MAGIC.to_le_bytes())
}

/// A walk along a log, at each point of which the disk could lose power.
pub struct Walk<'a> {
    log: &'a [Event],
    caps: Caps,
    lie: Lie,
    point: usize,
    /// What a flush has made durable.
    durable: Image,
    /// Done since, and whether it is durable all the same.
    tail: Vec<(&'a Write, bool)>,
}

impl<'a> Walk<'a> {
    /// At the start of the log of a disk that held `base`.
    pub fn new(base: Image, log: &'a [Event], caps: Caps, lie: Lie) -> Self {
        Self {
            log,
            caps,
            lie,
            point: 0,
            durable: base,
            tail: Vec::new(),
        }
    }

    /// Event that is under way.
    pub fn point(&self) -> usize {
        self.point
    }

    /// The event under way is done. False at the end of the log.
    pub fn advance(&mut self) -> bool {
        let Some(event) = self.log.get(self.point) else {
            return false;
        };
        self.point += 1;
        match event {
            Event::Writes { writes, durable } => {
                let durable = *durable && (self.lie != Lie::Fua || !self.caps.cache);
                if durable && self.tail.is_empty() {
                    // Nothing that may be lost lies below it.
                    for w in writes {
                        self.durable.write(w.sector, &w.data);
                    }
                } else {
                    self.tail.extend(writes.iter().map(|w| (w, durable)));
                }
            }
            Event::Flush if self.lie == Lie::Flush => (),
            // What was in the cache before is gone, whatever is flushed later.
            Event::FailedFlush if self.caps.cache => self.tail.retain(|(_, durable)| *durable),
            Event::FailedFlush => (),
            Event::Flush => {
                for (w, _) in self.tail.drain(..) {
                    self.durable.write(w.sector, &w.data);
                }
            }
        }
        true
    }

    /// Writes under way, of the event at this point.
    fn in_flight(&self) -> &'a [Write] {
        match self.log.get(self.point) {
            Some(Event::Writes { writes, .. }) => writes,
            _ => &[],
        }
    }

    /// Writes done, and not durable.
    fn cached(&self) -> usize {
        self.tail.iter().filter(|(_, durable)| !durable).count()
    }

    /// All writes that are not durable, in the order of submission.
    fn in_question(&self) -> impl Iterator<Item = &'a Write> + '_ {
        let cached = self.tail.iter().filter(|(_, durable)| !durable);
        cached.map(|(w, _)| *w).chain(self.in_flight())
    }

    /// What is on the disk after `crash`, which is at this point.
    pub fn image(&self, crash: &Crash) -> Image {
        let mut image = self.durable.clone();
        let mut cuts = crash.cuts.iter().copied();
        for &(w, durable) in &self.tail {
            let cut = if durable {
                Cut::All
            } else {
                cuts.next().unwrap_or(Cut::None)
            };
            apply(&mut image, w, cut, self.caps.sector_size);
        }
        for w in self.in_flight() {
            let cut = cuts.next().unwrap_or(Cut::None);
            apply(&mut image, w, cut, self.caps.sector_size);
        }
        image
    }

    /// Every crash at this point, if few writes are in question; else those that break most, and some
    /// by chance. `again`: states without anything of the event under way have been tried before.
    pub fn systematic(&self, rng: &mut Rng, again: bool) -> Vec<Crash> {
        let (cached, flying) = (self.cached(), self.in_flight().len());
        let all = cached + flying;
        let mut found: Vec<Vec<Cut>> = Vec::new();
        if all <= EXHAUSTIVE {
            for set in 0..1u32 << all {
                found.push((0..all).map(|i| cut(set >> i & 1 == 1)).collect());
            }
        } else {
            for i in 0..=all {
                found.push((0..all).map(|j| cut(j < i)).collect());
                found.push((0..all).map(|j| cut(j != i)).collect());
                found.push((0..all).map(|j| cut(j == i)).collect());
            }
            for _ in 0..24 {
                let cuts = self.in_question().map(|w| self.random_cut(w, rng));
                found.push(cuts.collect());
            }
        }
        // Torn writes, with all of the others there and with none.
        for i in 0..all.min(2 * EXHAUSTIVE) {
            let torn = [
                Cut::Front(rng.index(8) + 1),
                Cut::Back(rng.index(8) + 1),
                Cut::Some(rng.number()),
            ];
            for torn in torn {
                for others in [false, true] {
                    found.push(
                        (0..all)
                            .map(|j| if i == j { torn } else { cut(others) })
                            .collect(),
                    );
                }
            }
        }
        for (i, write) in self.in_question().take(2 * EXHAUSTIVE).enumerate() {
            if is_metadata(write) {
                let unit = rng.index(write.data.len() / self.caps.sector_size);
                for spoilt in [Cut::Garbled(unit), Cut::Unreadable(unit)] {
                    for others in [false, true] {
                        let one = |j| if i == j { spoilt } else { cut(others) };
                        found.push((0..all).map(one).collect());
                    }
                }
            }
        }
        let is_new = |cuts: &Vec<Cut>| !again || cuts[cached..].iter().any(|&c| c != Cut::None);
        found.retain(is_new);
        let point = self.point;
        found
            .into_iter()
            .map(|cuts| Crash { point, cuts })
            .collect()
    }

    /// The crash after which all writes in question are there, or none, or whatever `cut` says of each.
    pub fn all(&self, cut: Cut) -> Crash {
        Crash {
            point: self.point,
            cuts: self.in_question().map(|_| cut).collect(),
        }
    }

    /// `count` crashes by chance.
    pub fn random(&self, rng: &mut Rng, count: usize) -> Vec<Crash> {
        let point = self.point;
        let one = |rng: &mut Rng| {
            // All there, nothing there, and mixtures of any degree.
            let much = rng.below(5);
            let cuts = self.in_question().map(|write| match much {
                0 => Cut::None,
                1 => Cut::All,
                _ => self.random_cut(write, rng),
            });
            Crash {
                point,
                cuts: cuts.collect(),
            }
        };
        (0..count).map(|_| one(rng)).collect()
    }

    fn random_cut(&self, write: &Write, rng: &mut Rng) -> Cut {
        match rng.below(24) {
            0..=8 => Cut::None,
            9..=17 => Cut::All,
            18..=20 => Cut::Front(rng.index(16) + 1),
            21 if is_metadata(write) => {
                Cut::Garbled(rng.index(write.data.len() / self.caps.sector_size))
            }
            22 if is_metadata(write) => {
                Cut::Unreadable(rng.index(write.data.len() / self.caps.sector_size))
            }
            _ => Cut::Some(rng.number()),
        }
    }
}

fn cut(there: bool) -> Cut {
    if there {
        Cut::All
    } else {
        Cut::None
    }
}

/// Puts on `image` what `cut` leaves of a write; `unit` bytes are written whole.
fn apply(image: &mut Image, write: &Write, cut: Cut, unit: usize) {
    let mut rng = match cut {
        Cut::Some(seed) => Rng::new(seed),
        _ => Rng::new(0),
    };
    let unit_sectors = unit / SECTOR;
    for (n, piece) in write.data.chunks(unit).enumerate() {
        let there = match cut {
            Cut::None => false,
            Cut::All => true,
            Cut::Front(units) => n < units,
            Cut::Back(units) => n >= units,
            Cut::Some(_) => rng.one_in(2),
            Cut::Garbled(unit) if unit == n => {
                // The first half is new, the second what was there.
                let half = piece.len() / 2;
                let mut mixed = vec![0; piece.len()];
                image.read(write.sector + (n * unit_sectors) as u64, &mut mixed);
                mixed[..half].copy_from_slice(&piece[..half]);
                image.write(write.sector + (n * unit_sectors) as u64, &mixed);
                false
            }
            Cut::Unreadable(unit) if unit == n => {
                let at = write.sector + (n * unit_sectors) as u64;
                image.spoil(at, unit_sectors as u64);
                false
            }
            Cut::Garbled(_) | Cut::Unreadable(_) => true,
        };
        if there {
            image.write(write.sector + (n * unit_sectors) as u64, piece);
        }
    }
}

#[cfg(test)]
mod tests;
