// SPDX-License-Identifier: GPL-2.0

//! The log of an oops that the machine survives, on its way to a volume.
//!
//! pstore hands it out in the context of the oops. It waits in memory that was there before, and a second later
//! a work writes it, by ordinary I/O, to the panic area of a volume to which a panic might be written and which that
//! oops has not failed. If there is none it waits for a mount; what finds no room by then is not kept, the
//! first oopses being worth more than those that come of them.

use super::{id_of, BACKEND, MEMBERS};
use crash::stash::{Keeper, Stash};
use kernel::{prelude::*, sync::Arc};
use permfs_core::panic::{
    area::{Head, PstoreMeta, RecordKind},
    VOLUMES,
};

/// Pieces that wait at most. pstore makes two of an oops, unless `kmsg_bytes` asks for more than its default.
const PIECES: usize = 4;

/// What waits.
pub(super) type Kept = Stash<Oopses>;

/// Room for pieces of at most so many bytes.
pub(super) fn new(bytes: usize) -> Result<Arc<Kept>> {
    let kept = Arc::pin_init(Stash::new(Oopses, PIECES, bytes), GFP_KERNEL)?;
    Ok(kept)
}

/// Writes what waits.
pub(super) struct Oopses;

/// What stands beside a piece.
#[derive(Clone, Copy)]
pub(super) struct Tag {
    meta: PstoreMeta,
    mono_ns: u64,
}

impl Oopses {
    /// For a piece that is put aside now. Context: any, NMI included.
    pub(super) fn tag(meta: PstoreMeta) -> Tag {
        Tag {
            meta,
            mono_ns: vfs::time::mono_fast_ns(),
        }
    }
}

impl Keeper for Oopses {
    type Tag = Tag;

    fn kept(&self, stash: &Kept) {
        // Held, so that pstore's records change once, and after the volume's.
        let mut backend = BACKEND.lock();
        let mut written = false;
        stash.each(|tag, data| {
            let done = write(&tag, data);
            written |= done;
            done
        });
        if let (true, Some(state)) = (written, backend.as_mut()) {
            state.renew();
        }
    }
}

/// Writes a piece to the first volume that takes it. False if none did.
fn write(tag: &Tag, data: &[u8]) -> bool {
    let members = MEMBERS.lock();
    for member in members.iter() {
        let slots = VOLUMES.slots();
        let slot = usize::try_from(member.number)
            .ok()
            .and_then(|n| slots.get(n));
        let Some((slot, area)) = slot.and_then(|slot| Some((slot, slot.takes_records()?))) else {
            continue;
        };
        let head = head_of(tag, slot.take_sequence());
        match area.store(&member.disk, &head, data) {
            Ok(()) => {
                pr_info!(
                    "the log of an oops is kept: dmesg-permfs-{}\n",
                    id_of(member.number, head.sequence)
                );
                return true;
            }
            Err(e) => pr_err!("the log of an oops was not written to a volume: {e:?}\n"),
        }
    }
    false
}

fn head_of(tag: &Tag, sequence: u64) -> Head {
    let seconds = tag.meta.time_sec.saturating_mul(1_000_000_000);
    Head {
        kind: RecordKind::Log,
        erased: false,
        sequence,
        // Of no panic.
        id: 0,
        len: 0,
        crc: 0,
        wall_ns: seconds.saturating_add(tag.meta.time_nsec.into()),
        mono_ns: tag.mono_ns,
        pstore: tag.meta,
    }
}
