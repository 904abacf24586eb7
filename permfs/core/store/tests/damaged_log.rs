// SPDX-License-Identifier: GPL-2.0

//! What a log loses is told, and a torn tail is none of it.

use super::{
    device::{Image, TestDevice},
    rig::{check, device_model, mount, Random, Rig},
};
use crate::{
    format::*,
    journal::{header::HEADER_BLOCKS, replay::Lost},
    meta::MetaWrite,
    store::Store,
};
use kernel::prelude::*;
use std::{ops::Range, rc::Rc, vec::Vec};

/// A volume whose log holds some epochs, and where each of their records is, in sectors of the device.
struct Logged {
    rig: Rig,
    records: Vec<(u64, Range<u64>)>,
}

fn logged(sector_size: usize) -> Logged {
    let mut rig = Rig::new(device_model(sector_size, true), 128, 4);
    let mut records = Vec::new();
    for _ in 0..4 {
        for _ in 0..4 {
            rig.step();
        }
        let sealed = rig.store.seal().unwrap().unwrap();
        let record = sealed.record().unwrap().clone();
        let sectors = (record.bytes.len() / SECTOR_SIZE) as u64;
        records.push((record.epoch, record.sector..record.sector + sectors));
        let outcome = sealed.write(&rig.dev);
        rig.store.complete(sealed, outcome).unwrap();
    }
    Logged { rig, records }
}

impl Logged {
    /// A device with this crash's contents, changed by `f`.
    fn device(&self, f: impl FnOnce(&mut Image, &TestDevice)) -> TestDevice {
        let mut image = self.rig.dev.image();
        let dev = self.rig.dev.with_image(Image::new());
        f(&mut image, &dev);
        let (changed, unreadable) = (self.rig.dev.with_image(image), dev);
        changed.spoil(unreadable.spoilt());
        changed
    }

    fn mount(&self, dev: &TestDevice, read_only: bool) -> Result<Store<TestDevice>> {
        mount(dev, &self.rig.sb, read_only)
    }

    /// Both mounts end at `epoch`, with nothing lost.
    fn ends_at(&self, dev: &TestDevice, epoch: u64, what: &str) {
        for read_only in [true, false] {
            let mut store = self
                .mount(dev, read_only)
                .unwrap_or_else(|e| panic!("{what}: {e:?}"));
            assert_eq!(
                (store.durable_epoch(), store.lost()),
                (epoch, None),
                "{what}"
            );
            check(&mut store, dev, self.rig.expected(epoch)).unwrap();
        }
    }

    /// A read-write mount is refused and writes nothing, a read-only one shows what came before.
    fn has_lost(&self, dev: &TestDevice, first: u64, newest: u64, what: &str) {
        dev.take_events();
        assert_eq!(self.mount(dev, false).err(), Some(EFSCORRUPTED), "{what}");
        let mut store = self
            .mount(dev, true)
            .unwrap_or_else(|e| panic!("{what}: {e:?}"));
        assert_eq!(store.lost(), Some(Lost { first, newest }), "{what}");
        assert_eq!(store.durable_epoch(), first - 1, "{what}");
        assert_eq!(store.make_writable(), Err(EFSCORRUPTED), "{what}");
        assert_eq!(dev.event_count(), 0, "{what}");
    }
}

fn flip(image: &mut Image, sector: u64, byte: usize) {
    let mut bytes = *image[&sector];
    bytes[byte] ^= 4;
    image.insert(sector, Rc::new(bytes));
}

#[test]
fn a_torn_tail_ends_the_log_whatever_it_reads_as() {
    for sector_size in [512, 4096] {
        let logged = logged(sector_size);
        let (epoch, place) = logged.records[3].clone();
        for sector in place.clone() {
            let dev = logged.device(|image, _| flip(image, sector, 100));
            logged.ends_at(&dev, epoch - 1, "flipped");
            let dev = logged.device(|_, dev| dev.spoil([sector]));
            logged.ends_at(&dev, epoch - 1, "unreadable");
        }
        let dev = logged.device(|_, dev| dev.spoil(place));
        logged.ends_at(&dev, epoch - 1, "all of it unreadable");
    }
}

#[test]
fn damage_in_the_middle_of_the_log_is_no_torn_tail() {
    let logged = logged(512);
    let newest = logged.records[3].0;
    for (epoch, place) in &logged.records[..3] {
        for sector in [place.start, place.end - 1] {
            let dev = logged.device(|image, _| flip(image, sector, 60));
            logged.has_lost(&dev, *epoch, newest, "flipped");
            let dev = logged.device(|_, dev| dev.spoil([sector]));
            logged.has_lost(&dev, *epoch, newest, "unreadable");
        }
    }
    logged.ends_at(&logged.device(|_, _| ()), newest, "whole");
}

#[test]
fn a_device_that_reads_nothing_is_not_taken_for_an_empty_log() {
    let mut logged = logged(512);
    // A ring that is longer than a torn record can be.
    logged.rig = Rig::new(device_model(512, true), 1024, 5);
    logged.rig.step();
    logged.rig.store.commit().unwrap();
    let ring = logged.rig.sb.journal_start.get() * SECTORS_PER_BLOCK;
    let dev = logged.device(|_, dev| dev.spoil(ring..ring + 1024 * SECTORS_PER_BLOCK));
    assert_eq!(logged.mount(&dev, true).err(), Some(EIO));
    assert_eq!(logged.mount(&dev, false).err(), Some(EIO));
}

#[test]
fn a_slot_of_the_header_that_is_lost_is_made_up_for_or_told() {
    let mut logged = logged(512);
    let header = logged.rig.sb.journal_header.get() * SECTORS_PER_BLOCK;
    let slots = (0..HEADER_BLOCKS).map(|n| header + n * SECTORS_PER_BLOCK);
    let newest = logged.rig.store.durable_epoch();
    for slot in slots.clone() {
        // The header has been written once since mkfs, and the log not been used again since: either will do.
        let dev = logged.device(|_, dev| dev.spoil(slot..slot + SECTORS_PER_BLOCK));
        let store = logged.mount(&dev, true).unwrap();
        assert!(store.lost().is_none() || store.durable_epoch() < newest);
    }
    // Now the ring comes round, and the tail moves.
    let mut random = Random(1);
    while logged.rig.store.ring.head < 3 * logged.rig.store.ring.sectors() {
        logged.rig.step();
        if random.below(3) == 0 {
            logged.rig.store.commit().unwrap();
        }
        if random.below(40) == 0 {
            logged.rig.store.checkpoint().unwrap();
        }
    }
    logged.rig.store.commit().unwrap();
    let epoch = logged.rig.store.durable_epoch();
    // More than a lap since the older slot was written: what it points to is gone.
    let tail = logged.rig.store.ring.tail;
    while logged.rig.store.ring.tail == tail {
        logged.rig.step();
        logged.rig.store.checkpoint().unwrap();
    }
    for _ in 0..600 {
        let n = random.next().to_le_bytes();
        logged
            .rig
            .store
            .run(|op| op.write(STATE_BLOCK, 8, &n))
            .unwrap();
        logged.rig.store.commit().unwrap();
    }
    let now = logged.rig.store.durable_epoch();
    assert!(now > epoch);
    let outcomes: Vec<_> = slots
        .map(|slot| {
            let dev = logged.device(|_, dev| dev.spoil(slot..slot + SECTORS_PER_BLOCK));
            let store = logged.mount(&dev, true).unwrap();
            (
                store.durable_epoch() == now,
                store.lost().map(|lost| lost.newest),
            )
        })
        .collect();
    // Without the older slot all is there; without the newest, either that is so too, or it is told.
    assert!(outcomes.contains(&(true, None)), "{outcomes:?}");
    for outcome in outcomes {
        assert!(
            matches!(outcome, (true, None)) || outcome == (false, Some(now)),
            "{outcome:?}"
        );
    }
}
