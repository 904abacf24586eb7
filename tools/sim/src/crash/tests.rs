// SPDX-License-Identifier: GPL-2.0

//! Which states a log makes possible, counted by hand.

use super::*;
use std::{collections::BTreeSet, rc::Rc};

const CAPS: Caps = Caps {
    cache: true,
    fua: true,
    sector_size: 512,
};

fn write(sector: u64, fill: u8, sectors: usize) -> Write {
    let data: Rc<[u8]> = vec![fill; sectors * SECTOR].into();
    Write { sector, data }
}

fn event(w: Write, durable: bool) -> Event {
    let writes = vec![w];
    Event::Writes { writes, durable }
}

/// First bytes of sectors 0 to 15 in every state that whole writes make possible at the end.
fn states(log: &[Event], lie: Lie) -> BTreeSet<Vec<u8>> {
    let mut walk = Walk::new(Image::new(2), log, CAPS, lie);
    while walk.advance() {}
    let whole = |c: &Crash| c.cuts.iter().all(|c| matches!(c, Cut::None | Cut::All));
    let crashes = walk.systematic(&mut Rng::new(1), false);
    let images = crashes.iter().filter(|c| whole(c)).map(|c| walk.image(c));
    images
        .map(|i| (0..16).map(|s| i.sector(s).unwrap()[0]).collect())
        .collect()
}

#[test]
fn every_subset_of_what_is_cached_is_tried() {
    let log: Vec<Event> = (0..5)
        .map(|n| event(write(n, n as u8 + 1, 1), false))
        .collect();
    assert_eq!(states(&log, Lie::None).len(), 32);
}

#[test]
fn what_was_flushed_stays() {
    let log = [
        event(write(0, 1, 1), false),
        Event::Flush,
        event(write(1, 2, 1), false),
    ];
    let found = states(&log, Lie::None);
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|s| s[0] == 1));
    assert_eq!(states(&log, Lie::Flush).len(), 4);
}

#[test]
fn a_durable_write_does_not_carry_others_and_is_not_undone_by_older_ones() {
    let log = [
        event(write(0, 1, 1), false),
        event(write(1, 2, 1), false),
        event(write(0, 3, 1), true),
    ];
    let found = states(&log, Lie::None);
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|s| s[0] == 3));
}

#[test]
fn tearing_keeps_sectors_whole() {
    let log = [event(write(0, 7, 8), false)];
    let walk = Walk::new(Image::new(2), &log, CAPS, Lie::None);
    let mut torn = 0;
    for crash in walk.systematic(&mut Rng::new(3), false) {
        let image = walk.image(&crash);
        let mut there = 0;
        for s in 0..8 {
            let sector = image.sector(s).unwrap();
            assert!(sector.iter().all(|&b| b == sector[0]));
            there += usize::from(sector[0] == 7);
        }
        torn += usize::from(there > 0 && there < 8);
    }
    assert!(torn >= 2);
}
