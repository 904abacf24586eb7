// SPDX-License-Identifier: GPL-2.0

//! The panic areas of the mounted volumes as one backend of pstore.
//!
//! pstore has one place for a backend, volumes come and go. So the backend is the module's: it is there
//! while some volume has a panic lane that works, and has the records of all volumes. pstore reads
//! them when the backend is registered, hence it is registered anew whenever a volume has come or
//! gone. A panic within that moment finds no backend of ours: then the outcome is left to the kmsg
//! dumper, as it is where another backend has the place.
//!
//! Lock order: `BACKEND`, pstore's own (the folder of `/sys/fs/pstore`, `read_mutex`), `MEMBERS`.

use crate::{disk::Disk, engine::NO_SLOT, panic::handler::Handler, params::PstoreMode};
use crash::{
    kmsg::Reason,
    pstore::{Backend, Header, Kind, Registration, Stored},
    Stopped,
};
use kernel::{prelude::*, sync::Arc};
use oopses::{Kept, Oopses};
use permfs_core::panic::area::{Area, Found, Head, PstoreMeta, RecordKind, RecordState};
use vfs::time::Timespec;

mod oopses;

/// Sequences have that many bits in a record's number; the volume's slot is above them.
const SEQUENCE_BITS: u32 = 48;

/// A mounted volume whose records are shown.
struct Member {
    /// Number of its slot in the table of volumes.
    number: u32,
    area: Area,
    disk: Disk,
}

vfs::global_mutex! {
    /// Volumes whose records are shown. Held while one is read or erased, so that its volume stays.
    static MEMBERS: KVec<Member> = KVec::new();
}

vfs::global_mutex! {
    static BACKEND: Option<State> = None;
}

/// What stays while the module is loaded.
struct State {
    handler: Arc<Handler>,
    registration: Option<Pin<KBox<Registration<Lanes>>>>,
    /// What an oops has left, until it is on a volume.
    oopses: Option<Arc<Kept>>,
}

impl State {
    /// Registers anew, for the members as they are now.
    fn renew(&mut self) {
        // Before pstore lets go of us: until it has us again, somebody else may get its place.
        self.handler.defer(true);
        self.registration = None;
        let bytes = self.handler.log_capacity();
        if bytes == 0 {
            return;
        }
        let lanes = Lanes(self.handler.clone(), self.oopses(bytes));
        match KBox::pin_init(Registration::new(lanes, bytes), GFP_KERNEL) {
            Ok(registration) => {
                self.registration = Some(registration);
                self.handler.defer(false);
            }
            Err(EBUSY) => {
                pr_info!("pstore has another backend: the log of a panic goes there\n");
            }
            Err(e) => pr_warn!("no backend of pstore, so that no log of a panic is kept: {e:?}\n"),
        }
    }

    /// Room for what an oops leaves, in pieces of so many bytes; larger ones are refused if there was less room
    /// at first.
    fn oopses(&mut self, bytes: usize) -> Option<Arc<Kept>> {
        if self.oopses.is_none() {
            self.oopses = oopses::new(bytes)
                .inspect_err(|e| pr_warn!("no log of an oops is kept: {e:?}\n"))
                .ok();
        }
        self.oopses.clone()
    }
}

/// The module's part in pstore, from load to unload.
pub(crate) struct Pstore(());

impl Pstore {
    /// From now on volumes that come are shown, unless `mode` says no.
    pub(crate) fn new(handler: Arc<Handler>, mode: PstoreMode) -> Self {
        handler.defer(true);
        if mode == PstoreMode::Auto {
            *BACKEND.lock() = Some(State {
                handler,
                registration: None,
                oopses: None,
            });
        }
        Self(())
    }
}

impl Drop for Pstore {
    fn drop(&mut self) {
        // Not under the lock, for which the work of `oopses` may wait.
        let state = BACKEND.lock().take();
        drop(state);
    }
}

/// A mounted volume's part in pstore: from here until it is dropped its records are shown.
pub(crate) struct Membership {
    number: u32,
}

impl Membership {
    /// Shows the records in `area` of the volume in slot `number`, whose lane is there if it has one.
    /// Nothing if there is no slot, or if the module has no part in pstore.
    ///
    /// No lock of a volume may be held: who reclaims memory in here may want it.
    ///
    /// Errors: `ENOMEM`. That no backend could be registered is none.
    pub(crate) fn new(number: u32, area: Area, disk: &Disk) -> Result<Option<Self>> {
        if number == NO_SLOT {
            return Ok(None);
        }
        let member = Member {
            number,
            area,
            disk: disk.clone(),
        };
        let mut backend = BACKEND.lock();
        let Some(state) = backend.as_mut() else {
            return Ok(None);
        };
        MEMBERS.lock().push(member, GFP_KERNEL)?;
        state.renew();
        if let Some(oopses) = &state.oopses {
            // What no volume would take may fit here.
            oopses.remind();
        }
        Ok(Some(Self { number }))
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut backend = BACKEND.lock();
        {
            let mut members = MEMBERS.lock();
            members.retain(|m| m.number != self.number);
            if members.is_empty() {
                *members = KVec::new();
            }
        }
        if let Some(state) = backend.as_mut() {
            state.renew();
        }
    }
}

/// The backend: for a panic, and for an oops that the machine survives.
struct Lanes(Arc<Handler>, Option<Arc<Kept>>);

/// Where an enumeration is.
#[derive(Default)]
struct Cursor {
    /// Slot of the volume that it is at; [`None`] before the first.
    volume: Option<u32>,
    /// What is left of that volume's records, the next one last.
    records: KVVec<Found>,
}

#[vtable]
impl Backend for Lanes {
    const NAME: &'static CStr = c"permfs";
    const MAX_REASON: Reason = Reason::Oops;
    type Cursor = Cursor;

    fn write(&self, stopped: Option<Stopped<'_>>, header: &Header, data: &[u8]) -> Result<u64> {
        let meta = PstoreMeta {
            kind: header.kind.number(),
            reason: header.reason,
            part: header.part,
            count: header.count.unsigned_abs(),
            compressed: header.compressed,
            // No panic was before 1970.
            time_sec: header.time.sec.unsigned_abs(),
            time_nsec: header.time.nsec,
        };
        // The number is for erasing what was just written, which pstore does not do.
        match (stopped, &self.1) {
            (Some(stopped), _) => self.0.write_log(stopped, &meta, data),
            (None, Some(oopses)) if header.reason == Reason::Oops as u32 => {
                oopses.put(Oopses::tag(meta), data).map(|()| 0)
            }
            _ => Err(EBUSY),
        }
    }

    fn next(&self, cursor: &mut Cursor) -> Result<Option<Stored>> {
        loop {
            let members = MEMBERS.lock();
            while let Some(found) = cursor.records.pop() {
                let member = members.iter().find(|m| Some(m.number) == cursor.volume);
                // A volume that has gone takes its records along.
                let Some(member) = member else { continue };
                match member.stored(&found) {
                    Ok(None) => {}
                    Ok(stored) => return Ok(stored),
                    Err(e) => member.unreadable(e),
                }
            }
            // `None` is before all numbers.
            let later = members.iter().filter(|m| Some(m.number) > cursor.volume);
            let Some(member) = later.min_by_key(|m| m.number) else {
                return Ok(None);
            };
            cursor.volume = Some(member.number);
            match member.area.scan(&member.disk) {
                // From the end: the newest come first.
                Ok(scan) => cursor.records = scan.heads,
                Err(e) => member.unreadable(e),
            }
        }
    }

    fn erase(&self, _kind: Kind, id: u64) -> Result {
        let members = MEMBERS.lock();
        let (number, sequence) = (id >> SEQUENCE_BITS, id & ((1 << SEQUENCE_BITS) - 1));
        let member = members.iter().find(|m| u64::from(m.number) == number);
        let member = member.ok_or(ENOENT)?;
        member
            .area
            .erase(&member.disk, member.area.slot_of(sequence), sequence)
            .inspect_err(|e| pr_err!("a record of a panic was not erased: {e:?}\n"))
    }
}

/// Number of a record: slot of the volume, and sequence, which is far from filling its bits.
fn id_of(number: u32, sequence: u64) -> u64 {
    u64::from(number) << SEQUENCE_BITS | sequence & ((1 << SEQUENCE_BITS) - 1)
}

impl Member {
    /// The record, if it is a piece of a log that nobody has erased.
    fn stored(&self, found: &Found) -> Result<Option<Stored>> {
        let head = &found.head;
        let kind = Kind::from_number(head.pstore.kind);
        let (RecordKind::Log, false, Some(kind)) = (head.kind, head.erased, kind) else {
            return Ok(None);
        };
        let record = self.area.read(&self.disk, found)?;
        if record.state != RecordState::Whole || record.data.is_empty() {
            return Ok(None);
        }
        Ok(Some(Stored {
            id: id_of(self.number, head.sequence),
            header: header(kind, head),
            data: record.data,
        }))
    }

    fn unreadable(&self, e: Error) {
        pr_err!("the panic area of a volume cannot be read: {e:?}\n");
    }
}

fn header(kind: Kind, head: &Head) -> Header {
    let PstoreMeta {
        reason,
        part,
        count,
        compressed,
        time_sec,
        time_nsec,
        ..
    } = head.pstore;
    Header {
        kind,
        time: Timespec {
            sec: i64::try_from(time_sec).unwrap_or(0),
            nsec: time_nsec,
        },
        reason,
        count: i32::try_from(count).unwrap_or(0),
        part,
        compressed,
    }
}
