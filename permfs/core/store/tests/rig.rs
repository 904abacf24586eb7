// SPDX-License-Identifier: GPL-2.0

//! A small volume, random operations on it, and a model that says what must be there.
//!
//! The state block holds a catalogue of items: metadata blocks with random contents, and runs of file
//! data whose contents follow from a tag. After a crash all of it is compared with the model as it was
//! at the end of the newest durable epoch.

use super::device::{put, Image, Model, TestDevice};
use crate::{
    alloc::Env,
    device::BlockDevice,
    format::*,
    geometry::{Geometry, Wishes},
    journal::header,
    meta::{MetaRead, MetaWrite},
    panic::SlotGuard,
    store::{block, Store},
};
use kernel::prelude::*;
use std::{
    collections::{BTreeMap, HashMap},
    format,
    string::String,
    vec,
    vec::Vec,
};

pub const UUID: [u8; 16] = *b"rig rig rig rig!";
const OWNER: u64 = 99;
/// Items in the catalogue, 24 bytes each, from here in the state block's payload.
const ITEMS: usize = 48;
const CATALOGUE: usize = 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    Node { block: u64, payload: Vec<u8> },
    Data { block: u64, len: u32, tag: u64 },
}

pub type Items = BTreeMap<usize, Item>;

/// Deterministic numbers (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

pub fn device_model(sector_size: usize, fua: bool) -> Model {
    Model {
        sectors: (SHARD_BLOCKS + 600) * SECTORS_PER_BLOCK,
        sector_size,
        cache: true,
        fua,
        read_only: false,
    }
}

/// An empty volume of one shard and 600 blocks of another, whose bitmap was never written.
pub fn volume(journal_blocks: u64) -> (Image, SuperBlock) {
    let wishes = Wishes {
        journal_blocks: Some(journal_blocks),
        ..Wishes::default()
    };
    let g = Geometry::new(SHARD_BLOCKS + 600, &wishes).unwrap();
    let sb = SuperBlock {
        uuid: UUID,
        blocks: g.blocks.into(),
        block_size: (BLOCK_SIZE as u32).into(),
        shard_blocks: (SHARD_BLOCKS as u32).into(),
        shards: g.shards.into(),
        summary_blocks: g.summary_blocks.into(),
        journal_header: g.journal_header.into(),
        journal_start: g.journal_start.into(),
        journal_blocks: g.journal_blocks.into(),
        panic_start: g.panic_start.into(),
        panic_slots: g.panic_slots.into(),
        panic_slot_blocks: g.panic_slot_blocks.into(),
        ..SuperBlock::read_from_bytes(&[0; size_of::<SuperBlock>()]).unwrap()
    };
    let mut image = Image::new();
    let mut add = |kind, block: u64, fill: &dyn Fn(&mut [u8])| {
        let mut bytes = [0u8; BLOCK_SIZE];
        block::stamp(&mut bytes, kind, block, OWNER_VOLUME, &UUID);
        fill(&mut bytes[HEADER_SIZE..]);
        block::seal(&mut bytes, 0);
        put(&mut image, block * SECTORS_PER_BLOCK, &bytes);
    };
    add(Kind::State, STATE_BLOCK, &|_| ());
    add(Kind::Bitmap, SHARD_BITMAP, &|p| g.fill_bitmap(0, p));
    add(Kind::Summary, SUMMARY_START, &|p| {
        for shard in 0..g.shards {
            let entry = SummaryEntry {
                free: (g.free_at_start(shard) as u32).into(),
                flags: if shard == 0 { 0 } else { SUMMARY_UNINIT }.into(),
                reserved: 0.into(),
            };
            let at = shard as usize * size_of::<SummaryEntry>();
            p[at..at + size_of::<SummaryEntry>()].copy_from_slice(entry.as_bytes());
        }
    });
    let (mut even, mut odd) = ([0; BLOCK_SIZE], [0; BLOCK_SIZE]);
    header::format([&mut even, &mut odd], g.journal_header, &UUID, 1000);
    for (block, bytes) in [even, odd].iter().enumerate() {
        let block = g.journal_header + block as u64;
        put(&mut image, block * SECTORS_PER_BLOCK, bytes);
    }
    (image, sb)
}

pub fn mount(dev: &TestDevice, sb: &SuperBlock, read_only: bool) -> Result<Store<TestDevice>> {
    let slot = SlotGuard::claim(b"test", &UUID);
    Store::mount(dev.clone(), *sb, read_only, slot, Env::default())
}

/// Contents of data block `block` of an item with this tag.
fn data_bytes(tag: u64, block: u64) -> Vec<u8> {
    let word = (tag ^ block.rotate_left(32)).to_le_bytes();
    word.iter().copied().cycle().take(BLOCK_SIZE).collect()
}

/// A mounted volume and what must be on it.
pub struct Rig {
    pub dev: TestDevice,
    pub sb: SuperBlock,
    pub store: Store<TestDevice>,
    pub items: Items,
    /// Items at the end of each epoch that had operations.
    pub at_epoch: HashMap<u64, Items>,
    pub random: Random,
    /// Metadata blocks freed: data likes to take their places.
    freed: Vec<u64>,
}

impl Rig {
    pub fn new(model: Model, journal_blocks: u64, seed: u64) -> Self {
        let (image, sb) = volume(journal_blocks);
        let dev = TestDevice::new(model, image);
        let store = mount(&dev, &sb, false).unwrap();
        let at_epoch = HashMap::from([(0, Items::new())]);
        Self {
            dev,
            sb,
            store,
            items: Items::new(),
            at_epoch,
            random: Random(seed),
            freed: Vec::new(),
        }
    }

    /// What must be there when `epoch` is the newest durable one.
    pub fn expected(&self, epoch: u64) -> &Items {
        let newest = self.at_epoch.keys().filter(|&&e| e <= epoch).max().unwrap();
        &self.at_epoch[newest]
    }

    /// One random operation.
    pub fn step(&mut self) {
        let slot = self.random.below(ITEMS as u64) as usize;
        let goal = if self.random.below(4) == 0 {
            SHARD_BLOCKS + 10
        } else {
            0
        };
        match (self.items.get(&slot).cloned(), self.random.below(4)) {
            (None, 0 | 1) => self.add_node(slot, goal),
            (None, _) => self.add_data(slot, goal),
            (Some(item), 0) => self.remove(slot, item),
            (Some(Item::Node { block, .. }), _) => self.change(slot, block),
            (Some(Item::Data { .. }), 1) => self.fail_in_the_middle(goal),
            (Some(item), _) => self.remove(slot, item),
        }
        self.at_epoch
            .insert(self.store.running_epoch(), self.items.clone());
    }

    fn add_node(&mut self, slot: usize, goal: u64) {
        let seed = self.random.next();
        let (block, payload) = self
            .store
            .run(|op| {
                let block = op.alloc(Kind::Node, OWNER, goal)?;
                let mut payload = vec![0; PAYLOAD_SIZE];
                scribble(op, block, &mut payload, &mut Random(seed))?;
                enter(op, slot, block, 0, 0)?;
                Ok((block, payload))
            })
            .unwrap();
        self.items.insert(slot, Item::Node { block, payload });
    }

    fn change(&mut self, slot: usize, block: u64) {
        let seed = self.random.next();
        let Some(Item::Node { payload, .. }) = self.items.get_mut(&slot) else {
            return;
        };
        self.store
            .run(|op| {
                assert_eq!(op.read(block, Kind::Node, OWNER)?, &payload[..]);
                scribble(op, block, payload, &mut Random(seed))
            })
            .unwrap();
    }

    fn add_data(&mut self, slot: usize, goal: u64) {
        let tag = self.random.next();
        let want = 1 + self.random.below(6) as u32;
        let goal = self.freed.pop().unwrap_or(goal);
        let (block, len) = self.store.reserve_data(goal, want, false).unwrap();
        for b in block..block + u64::from(len) {
            self.dev.write_blocks(&[(b, &data_bytes(tag, b))]).unwrap();
        }
        let claim = |op: &mut super::super::Op<'_, _>| {
            op.claim(block, len)?;
            enter(op, slot, block, len, tag)
        };
        self.store.run(claim).unwrap();
        self.items.insert(slot, Item::Data { block, len, tag });
    }

    fn remove(&mut self, slot: usize, item: Item) {
        if let Item::Node { block, .. } = &item {
            self.freed.insert(0, *block);
        }
        self.store
            .run(|op| {
                match item {
                    Item::Node { block, .. } => op.free(block)?,
                    Item::Data { block, len, .. } => op.free_data(block, len)?,
                }
                enter(op, slot, 0, 0, 0)
            })
            .unwrap();
        self.items.remove(&slot);
    }

    /// An operation that does a lot of everything and then fails: nothing of it may be seen.
    fn fail_in_the_middle(&mut self, goal: u64) {
        let seed = self.random.next();
        let items = self.items.clone();
        let mut free = 0;
        let result: Result = self.store.run(|op| {
            free = op.store.allocator.free_blocks();
            for (slot, item) in items.iter().take(4) {
                match item {
                    Item::Node { block, payload } if seed & 1 == 0 => {
                        let mut payload = payload.clone();
                        scribble(op, *block, &mut payload, &mut Random(seed))?;
                    }
                    Item::Node { block, .. } => op.free(*block)?,
                    Item::Data { block, len, .. } => op.free_data(*block, *len)?,
                }
                enter(op, *slot, 7, 7, 7)?;
            }
            let block = op.alloc(Kind::Node, OWNER, goal)?;
            scribble(op, block, &mut vec![0; PAYLOAD_SIZE], &mut Random(seed))?;
            op.reserve_data(goal, 3)?;
            Err(ENOTEMPTY)
        });
        assert_eq!(result, Err(ENOTEMPTY));
        assert_eq!(self.store.allocator().free_blocks(), free);
        let items = std::mem::take(&mut self.items);
        check(&mut self.store, &self.dev, &items).unwrap();
        self.items = items;
    }
}

/// Changes a few random ranges of a node, here and in its model.
fn scribble<D: BlockDevice>(
    op: &mut super::super::Op<'_, D>,
    block: u64,
    payload: &mut [u8],
    random: &mut Random,
) -> Result {
    for _ in 0..1 + random.below(3) {
        let start = random.below(PAYLOAD_SIZE as u64) as usize;
        let most = if random.below(8) == 0 {
            PAYLOAD_SIZE as u64
        } else {
            60
        };
        let end = (start + 1 + random.below(most) as usize).min(PAYLOAD_SIZE);
        for byte in &mut payload[start..end] {
            *byte = random.next() as u8;
        }
        op.write(block, start, &payload[start..end])?;
    }
    Ok(())
}

/// Writes a catalogue entry.
fn enter<D: BlockDevice>(
    op: &mut super::super::Op<'_, D>,
    slot: usize,
    block: u64,
    len: u32,
    tag: u64,
) -> Result {
    let mut entry = [0u8; 24];
    entry[..8].copy_from_slice(&block.to_le_bytes());
    entry[8..12].copy_from_slice(&len.to_le_bytes());
    entry[16..].copy_from_slice(&tag.to_le_bytes());
    op.read(STATE_BLOCK, Kind::State, OWNER_VOLUME)?;
    op.write(STATE_BLOCK, CATALOGUE + slot * 24, &entry)
}

/// Says what of the volume differs from `items`: catalogue, contents, bitmaps, summary.
pub fn check(store: &mut Store<TestDevice>, dev: &TestDevice, items: &Items) -> Result<(), String> {
    let fail = |e: Error| format!("tables: {e:?}");
    let geometry = Geometry::of(store.super_block()).unwrap();
    let mut maps: Vec<Vec<u8>> = vec![vec![0; PAYLOAD_SIZE]; geometry.shards as usize];
    for (shard, map) in maps.iter_mut().enumerate() {
        geometry.fill_bitmap(shard as u64, map);
    }
    let state = store
        .read(STATE_BLOCK, Kind::State, OWNER_VOLUME)
        .map_err(fail)?
        .to_vec();
    for slot in 0..ITEMS {
        let at = CATALOGUE + slot * 24;
        let block = u64::from_le_bytes(state[at..at + 8].try_into().unwrap());
        let len = u32::from_le_bytes(state[at + 8..at + 12].try_into().unwrap());
        let tag = u64::from_le_bytes(state[at + 16..at + 24].try_into().unwrap());
        let found = if block == 0 {
            None
        } else if len == 0 {
            let payload = store.read(block, Kind::Node, OWNER);
            let payload = payload
                .map_err(|e| format!("item {slot}: block {block}: {e:?}"))?
                .to_vec();
            Some(Item::Node { block, payload })
        } else {
            for b in block..block + u64::from(len) {
                let mut bytes = vec![0; BLOCK_SIZE];
                dev.read(b * SECTORS_PER_BLOCK, &mut bytes).map_err(fail)?;
                if bytes != data_bytes(tag, b) {
                    return Err(format!(
                        "item {slot}: data block {b} is not what was written"
                    ));
                }
            }
            Some(Item::Data { block, len, tag })
        };
        if found.as_ref() != items.get(&slot) {
            return Err(format!("item {slot} differs"));
        }
        for b in block..block + u64::from(len.max(u32::from(block != 0))) {
            let bit = (b % SHARD_BLOCKS) as usize;
            maps[(b / SHARD_BLOCKS) as usize][bit / 8] |= 1 << (bit % 8);
        }
    }
    for (shard, map) in maps.iter().enumerate() {
        let entry = store.summary(shard as u64).map_err(fail)?;
        let clear: u32 = map.iter().map(|b| b.count_zeros()).sum();
        if entry.free.get() != clear {
            return Err(format!(
                "summary of {shard}: {} free, not {clear}",
                entry.free.get()
            ));
        }
        if entry.flags.get() & SUMMARY_UNINIT == 0 {
            let block = shard as u64 * SHARD_BLOCKS + SHARD_BITMAP;
            if store
                .read(block, Kind::Bitmap, OWNER_VOLUME)
                .map_err(fail)?
                != &map[..]
            {
                return Err(format!("bitmap of {shard} differs"));
            }
        }
    }
    Ok(())
}
