// SPDX-License-Identifier: GPL-2.0

//! A device in memory that remembers in which order writes and flushes came, so that a test can ask
//! for every content that a crash may leave.

use crate::{
    device::{BlockDevice, Flushes, WriteFlags},
    format::*,
};
use kernel::prelude::*;
use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap},
    rc::Rc,
    vec::Vec,
};

type Sector = [u8; SECTOR_SIZE];
/// Contents: sectors that are not there are zero.
pub type Image = HashMap<u64, Rc<Sector>>;

/// What reached the device.
#[derive(Clone)]
pub enum Event {
    Write {
        sector: u64,
        bytes: Vec<u8>,
        fua: bool,
    },
    Flush,
}

/// Properties of the device.
#[derive(Clone, Copy)]
pub struct Model {
    pub sectors: u64,
    pub sector_size: usize,
    pub cache: bool,
    pub fua: bool,
    pub read_only: bool,
}

/// How often the device was asked for what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub writes: u64,
    pub bytes: u64,
    pub flushes: u64,
    pub fua: u64,
}

#[derive(Default)]
struct State {
    image: Image,
    events: Vec<Event>,
    counts: Counts,
    /// Writes that are still let through; `None`: all.
    writes_left: Option<u64>,
    /// Sectors that read as an error until they are written.
    unreadable: BTreeSet<u64>,
    /// Flushes fail, and nothing else does.
    fail_flushes: bool,
}

/// The device; clones are the same one.
#[derive(Clone)]
pub struct TestDevice {
    model: Model,
    state: Rc<RefCell<State>>,
    flushes: Rc<Flushes>,
}

pub fn put(image: &mut Image, sector: u64, bytes: &[u8]) {
    for (i, part) in bytes.chunks_exact(SECTOR_SIZE).enumerate() {
        image.insert(sector + i as u64, Rc::new(part.try_into().unwrap()));
    }
}

impl TestDevice {
    pub fn new(model: Model, image: Image) -> Self {
        let state = State {
            image,
            ..State::default()
        };
        Self {
            model,
            state: Rc::new(RefCell::new(state)),
            flushes: Rc::default(),
        }
    }

    pub fn model(&self) -> Model {
        self.model
    }

    /// Another device of the same kind.
    pub fn with_image(&self, image: Image) -> Self {
        Self::new(self.model, image)
    }

    pub fn image(&self) -> Image {
        self.state.borrow().image.clone()
    }

    /// Forgets what came so far and returns it.
    pub fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut self.state.borrow_mut().events)
    }

    pub fn event_count(&self) -> usize {
        self.state.borrow().events.len()
    }

    pub fn take_counts(&self) -> Counts {
        std::mem::take(&mut self.state.borrow_mut().counts)
    }

    /// These sectors read as an error until they are written.
    pub fn spoil(&self, sectors: impl IntoIterator<Item = u64>) {
        self.state.borrow_mut().unreadable.extend(sectors);
    }

    /// Those of them that are left.
    pub fn spoilt(&self) -> Vec<u64> {
        self.state.borrow().unreadable.iter().copied().collect()
    }

    /// From now on flushes fail, or no longer.
    pub fn fail_flushes(&self, fail: bool) {
        self.state.borrow_mut().fail_flushes = fail;
    }

    /// After `n` more writes every write and flush fails.
    pub fn fail_after(&self, n: Option<u64>) {
        self.state.borrow_mut().writes_left = n;
    }
}

impl State {
    fn write(&mut self, sector: u64, bytes: &[u8], fua: bool) -> Result {
        match &mut self.writes_left {
            Some(0) => return Err(EIO),
            Some(n) => *n -= 1,
            None => {}
        }
        assert!(!bytes.is_empty() && bytes.len() % SECTOR_SIZE == 0);
        put(&mut self.image, sector, bytes);
        let end = sector + (bytes.len() / SECTOR_SIZE) as u64;
        self.unreadable.retain(|s| !(sector..end).contains(s));
        self.events.push(Event::Write {
            sector,
            bytes: bytes.to_vec(),
            fua,
        });
        self.counts.writes += 1;
        self.counts.bytes += bytes.len() as u64;
        self.counts.fua += u64::from(fua);
        Ok(())
    }

    fn flush(&mut self) -> Result {
        if self.writes_left == Some(0) || self.fail_flushes {
            return Err(EIO);
        }
        self.events.push(Event::Flush);
        self.counts.flushes += 1;
        Ok(())
    }
}

impl BlockDevice for TestDevice {
    fn sectors(&self) -> u64 {
        self.model.sectors
    }

    fn sector_size(&self) -> usize {
        self.model.sector_size
    }

    fn has_write_cache(&self) -> bool {
        self.model.cache
    }

    fn has_fua(&self) -> bool {
        self.model.fua
    }

    fn read_only(&self) -> bool {
        self.model.read_only
    }

    fn read(&self, sector: u64, buf: &mut [u8]) -> Result {
        let state = self.state.borrow();
        let end = sector + (buf.len() / SECTOR_SIZE) as u64;
        if state.unreadable.range(sector..end).next().is_some() {
            return Err(EIO);
        }
        for (i, part) in buf.chunks_exact_mut(SECTOR_SIZE).enumerate() {
            match state.image.get(&(sector + i as u64)) {
                Some(bytes) => part.copy_from_slice(&bytes[..]),
                None => part.fill(0),
            }
        }
        Ok(())
    }

    fn write(&self, sector: u64, buf: &[u8], flags: WriteFlags) -> Result {
        assert!(!self.model.read_only, "write to a read-only device");
        assert_eq!(sector as usize * SECTOR_SIZE % self.model.sector_size, 0);
        assert_eq!(buf.len() % self.model.sector_size, 0);
        assert!(sector + (buf.len() / SECTOR_SIZE) as u64 <= self.model.sectors);
        if flags.preflush {
            self.flush()?;
        }
        self.state.borrow_mut().write(sector, buf, flags.fua)?;
        if !flags.fua {
            self.flushes.wrote();
        }
        Ok(())
    }

    fn write_blocks(&self, batch: &[(u64, &[u8])]) -> Result {
        for (block, bytes) in batch {
            assert_eq!(bytes.len(), BLOCK_SIZE);
            self.write(block * SECTORS_PER_BLOCK, bytes, WriteFlags::default())?;
        }
        Ok(())
    }

    fn needs_flush(&self) -> bool {
        self.model.cache && self.flushes.pending()
    }

    fn flush(&self) -> Result {
        self.flushes.flush(|| self.state.borrow_mut().flush())
    }

    fn discard(&self, _block: u64, _count: u64) -> Result {
        Ok(())
    }
}

/// Contents that a crash after the first `events` may leave, `pick(i, n)` saying for write i of those
/// that no flush has covered which of its n sectors (a bit each, from the lowest) got through.
pub fn crashed(
    base: &Image,
    events: &[Event],
    mut pick: impl FnMut(usize, usize) -> u128,
) -> Image {
    let mut image = base.clone();
    let covered = events
        .iter()
        .rposition(|e| matches!(e, Event::Flush))
        .unwrap_or(0);
    let mut open = 0;
    for (i, event) in events.iter().enumerate() {
        let Event::Write { sector, bytes, fua } = event else {
            continue;
        };
        if i < covered || *fua {
            put(&mut image, *sector, bytes);
            continue;
        }
        let parts = bytes.len() / SECTOR_SIZE;
        let mask = pick(open, parts);
        open += 1;
        for (k, part) in bytes.chunks_exact(SECTOR_SIZE).enumerate() {
            // Sectors past the mask's width share its last bit.
            if mask >> k.min(127) & 1 == 1 {
                put(&mut image, sector + k as u64, part);
            }
        }
    }
    image
}

/// Writes among `events` that no flush has covered.
pub fn open_writes(events: &[Event]) -> usize {
    let covered = events
        .iter()
        .rposition(|e| matches!(e, Event::Flush))
        .unwrap_or(0);
    let open = |e: &&Event| matches!(e, Event::Write { fua: false, .. });
    events.iter().skip(covered).filter(open).count()
}
