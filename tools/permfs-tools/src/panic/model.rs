// SPDX-License-Identifier: GPL-2.0

//! What the lines of a panic mean together. Its JSON form is documented in `Documentation/panic-lines.md`.

mod builder;
mod oops;
mod take;
mod timeline;

pub(super) use self::{
    builder::Builder,
    oops::{FailedVolume, OopsRecord},
    timeline::Span,
};

use super::{area::AreaReport, source::Unreadable};
use serde::Serialize;

/// Everything that was read. A value that was in no whole line is `null`.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    /// Version of this document's shape.
    pub(super) version: u32,
    /// The panics, oldest first.
    pub(super) panics: Vec<PanicRecord>,
    /// Oopses inside PermFS, oldest first.
    pub(super) oopses: Vec<OopsRecord>,
    /// Lines torn, cut or overwritten: nothing of them was believed.
    pub(super) damaged_lines: u64,
    /// Whole lines of a later version of the format.
    pub(super) unknown_lines: u64,
    /// Panic areas that were read.
    pub(super) areas: Vec<AreaReport>,
    /// Files that could not be read.
    pub(super) unreadable: Vec<Unreadable>,
    /// Where was searched.
    pub(super) places: Vec<String>,
}

/// Where and when something died, and of what.
#[derive(Debug, Default, Clone, Serialize)]
pub(super) struct Scene {
    /// Nanoseconds since 1970.
    pub(super) wall_ns: Option<u64>,
    /// The same, in UTC, as RFC 3339 has it.
    pub(super) time: Option<String>,
    /// Nanoseconds since the kernel started.
    pub(super) mono_ns: Option<u64>,
    /// The kernel's message.
    pub(super) message: Option<String>,
    /// The message was longer.
    pub(super) message_cut: bool,
    /// The CPU.
    pub(super) cpu: Option<u32>,
    /// `task`, `softirq`, `hardirq` or `nmi`.
    pub(super) context: Option<String>,
    /// The task's PID.
    pub(super) pid: Option<i32>,
    /// The task's name.
    pub(super) task: Option<String>,
}

/// One panic.
#[derive(Debug, Default, Clone, Serialize)]
pub(super) struct PanicRecord {
    /// Number that all its lines carry, hexadecimal.
    pub(super) id: String,
    /// All its lines were read.
    pub(super) complete: bool,
    /// Lines read, and lines written if the last one is there.
    pub(super) lines: u32,
    /// Lines that the handler wrote.
    pub(super) lines_written: Option<u32>,
    /// Where and when.
    #[serde(flatten)]
    pub(super) scene: Scene,
    /// Which machine, and which kernel.
    pub(super) host: Option<Host>,
    /// Where the code is that panicked.
    pub(super) origin: Option<Origin>,
    /// Id of the oops that the kernel made this panic of.
    pub(super) oops: Option<String>,
    /// `kernel`, `halt` or `reboot`.
    pub(super) strategy: Option<String>,
    /// The kernel's panic timeout, seconds.
    pub(super) timeout: Option<i32>,
    /// What draining and the panic lane may take together, milliseconds.
    pub(super) deadline_ms: Option<u64>,
    /// Draining and the panic lane were left to a kmsg dumper, behind another pstore backend's.
    pub(super) deferred: Option<bool>,
    /// Lines until there; `None` too if they were not left to it.
    pub(super) lines_until_deferral: Option<u32>,
    /// Those lines were read and no other: the outcome is in no source that was read, because of that.
    pub(super) outcome_deferred: bool,
    /// Volumes mounted.
    pub(super) volumes_mounted: Option<u32>,
    /// Volumes that were told of.
    pub(super) volumes: Vec<VolumeRecord>,
    /// Volumes that were not.
    pub(super) omitted: Option<Omitted>,
    /// How it ended.
    pub(super) outcome: Option<Outcome>,
    /// A reboot was turned into a halt, for the machine panicked again and again.
    pub(super) breaker: Option<Breaker>,
    /// The handler itself panicked, in the stage named.
    pub(super) nested_in_stage: Option<String>,
    /// The handler's stages, in their order.
    pub(super) timeline: Vec<Span>,
    /// The kernel's own backtrace of it, without its time stamps; empty if no log with it was read.
    pub(super) backtrace: Vec<String>,
    /// Records of panic areas that name this panic.
    pub(super) records: Vec<RecordRef>,
    /// Files and records that its lines were in.
    pub(super) sources: Vec<String>,
    /// The lines themselves, in their order.
    pub(super) raw_lines: Vec<String>,
}

/// The machine that panicked.
#[derive(Debug, Default, Clone, Serialize)]
pub(super) struct Host {
    /// Its name in the network.
    pub(super) node: Option<String>,
    /// The UUID that its firmware has for it.
    pub(super) machine: Option<String>,
    /// The kernel's release.
    pub(super) kernel: Option<String>,
}

/// Where the code is that panicked.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Origin {
    /// An instruction that faulted; else what the call of `panic()` returns to.
    pub(super) faulted: Option<bool>,
    /// Its address, hexadecimal.
    pub(super) address: Option<String>,
    /// The same as a backtrace has it.
    pub(super) symbol: Option<String>,
}

/// A record of a panic area: its place among [`AreaReport::records`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct RecordRef {
    /// The device or image.
    pub(super) device: String,
    /// The record's sequence number there.
    pub(super) sequence: u64,
}

/// The panic-loop breaker.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Breaker {
    /// Panics counted, this one included.
    pub(super) panics: Option<u64>,
    /// Within so many seconds.
    pub(super) seconds: Option<u64>,
}

/// One volume.
#[derive(Debug, Default, Clone, Serialize)]
pub(super) struct VolumeRecord {
    /// Its number in the table of volumes.
    pub(super) slot: u32,
    /// Its device.
    pub(super) name: Option<String>,
    /// Its UUID.
    pub(super) uuid: Option<String>,
    /// `claimed`, `mounting`, `mounted`, `unmounting`, `failed` or `retired`.
    pub(super) state: Option<String>,
    /// I/O in flight when the lines were printed.
    pub(super) in_flight: Option<u32>,
    /// Epoch that took changes.
    pub(super) running_epoch: Option<u64>,
    /// Newest epoch that was durable.
    pub(super) durable_epoch: Option<u64>,
    /// Its allocator.
    pub(super) allocator: Option<Allocator>,
    /// Its allocator's last events, newest first.
    pub(super) events: Vec<Event>,
    /// How its I/O was stopped.
    pub(super) drain: Option<Drain>,
    /// How its panic lane fared.
    pub(super) lane: Option<Lane>,
}

/// Allocator of a volume.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Allocator {
    /// Shards.
    pub(super) shards: Option<u64>,
    /// Shards with little space.
    pub(super) shards_with_pressure: Option<u64>,
    /// Free blocks of 4 KiB.
    pub(super) free_blocks: Option<u64>,
    /// Blocks promised.
    pub(super) reserved_blocks: Option<u64>,
    /// Allocations refused.
    pub(super) failed: Option<u64>,
    /// Blocks freed while free.
    pub(super) double_frees: Option<u64>,
    /// Events ever.
    pub(super) events: Option<u64>,
    /// Events that were being written.
    pub(super) torn_events: Option<u64>,
}

/// An allocator event.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Event {
    /// Place in the order of events.
    pub(super) seq: Option<u64>,
    /// Nanoseconds since the kernel started.
    pub(super) mono_ns: Option<u64>,
    /// `alloc-failed`, `double-free`, `hint-collision` or `pressure`.
    pub(super) kind: Option<String>,
    /// CPU.
    pub(super) cpu: Option<u32>,
    /// Shard.
    pub(super) shard: Option<u64>,
    /// Depends on the kind.
    pub(super) arg: Option<u64>,
}

/// How far I/O was stopped.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Drain {
    /// Nothing was in flight any more.
    pub(super) drained: Option<bool>,
    /// What was.
    pub(super) in_flight: Option<u32>,
    /// What became of the cache flush: `not-attempted`, `pending` (left to the lane), `ok`,
    /// `failed`, `timeout` or `refused`.
    pub(super) flush: Option<String>,
    /// Requests that were given up.
    pub(super) lost: Option<u32>,
    /// How completions were collected, or `none:` and the reason.
    pub(super) way: Option<String>,
    /// Microseconds taken.
    pub(super) us: Option<u64>,
    /// Why it went no further: `done`, `deadline`, `driver-empty` or `no-way`; records of older
    /// modules do not say.
    pub(super) end: Option<String>,
}

/// How a volume's panic lane fared: the record's write, then the cache flush.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Lane {
    /// How it wrote, or `none:` and the reason.
    pub(super) way: Option<String>,
    /// `ok`, `refused`, `failed` or `timeout`.
    pub(super) result: Option<String>,
    /// Why not `ok`.
    pub(super) why: Option<String>,
    /// What became of the cache flush after the write.
    pub(super) flush: Option<String>,
    /// Sequence number of the record.
    pub(super) sequence: Option<u64>,
    /// Microseconds that the write took; `None`: it did not complete.
    pub(super) write_us: Option<u64>,
    /// Microseconds that the flush took; `None`: it did not complete.
    pub(super) flush_us: Option<u64>,
}

/// What had no lines of its own.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Omitted {
    /// Volumes in the table.
    pub(super) volumes: Option<u32>,
    /// Volumes for which the table had no room.
    pub(super) untracked: Option<u32>,
    /// I/O in flight in them.
    pub(super) in_flight: Option<u32>,
}

/// The last line.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Outcome {
    /// Nothing was in flight any more, in any volume.
    pub(super) drained: Option<bool>,
    /// What was, of all volumes.
    pub(super) in_flight: Option<u32>,
    /// `ok` only if every volume's flush completed.
    pub(super) flush: Option<String>,
    /// From the handler's begin to this line.
    pub(super) elapsed_ns: Option<u64>,
    /// `halt` or `reboot`.
    pub(super) next: Option<String>,
}
