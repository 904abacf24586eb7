// SPDX-License-Identifier: GPL-2.0

//! Volumes with records in their panic areas, written as the panic lane writes them.

use std::{
    fs::File,
    io::Write as _,
    os::unix::fs::FileExt,
    path::PathBuf,
    process::{Command, Output},
};

use flate2::{write::DeflateEncoder, Compression};
use permfs_core::{
    crc::crc32c,
    format::{panic::*, *},
    geometry,
    panic::area::{Area, Head, PstoreMeta, RecordKind},
    store::block::{seal, stamp, Block},
};
use permfs_hostdev::{FileBlockDevice, OpenMode};
use serde_json::Value;
use tempfile::TempDir;
use zerocopy::IntoBytes;

const MKFS: &str = env!("CARGO_BIN_EXE_mkfs-permfs");
const PERMFS: &str = env!("CARGO_BIN_EXE_permfs");

/// Id of the panic that the lines here tell of.
pub const ID: u32 = 0x00c0_ffee;

/// `permfs panic ARGS`: its output and exit status.
pub fn panic(args: &[&str]) -> (Output, i32) {
    let out = Command::new(PERMFS).arg("panic").args(args).output();
    let out = out.expect("the program is built");
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(!errors.contains("panicked"), "{args:?}: {errors}");
    let code = out.status.code().expect("it died");
    (out, code)
}

/// What it printed, if it ended with `status`.
pub fn text(args: &[&str], status: i32) -> String {
    let (out, code) = panic(args);
    assert_eq!(code, status, "{args:?}: {out:?}");
    String::from_utf8(out.stdout).expect("UTF-8")
}

/// What it printed as JSON, if it ended with `status`.
pub fn json(args: &[&str], status: i32) -> Value {
    let args = [&["--json"], args].concat();
    serde_json::from_str(&text(&args, status)).expect("JSON")
}

/// A panic line, with its CRC.
pub fn line(id: u32, i: u32, rec: &str, rest: &str) -> String {
    let body = format!("permfs-panic: v=1 rec={rec} id={id:08x} i={i} {rest}");
    format!("{body} crc={:08x}\n", crc32c(0, body.as_bytes()))
}

/// A panic of one volume, as far as the record has it, and what its tail adds.
pub fn lines() -> (String, String) {
    let record = [
        ("begin", "wall=1795387569123456789 mono=62123456789 cpu=1 ctx=task strategy=kernel timeout=-1 vols=1 pid=7 comm=\"bash\""),
        ("msg", "text=\"sysrq triggered crash\""),
        ("host", "defer=0 deadline=500 release=\"7.3.4\" machine=\"\" node=\"web7\""),
        ("vol", "slot=0 state=mounted inflight=3 run=42 dur=41 uuid=01234567000040008000000000000001 name=\"vda\""),
        ("alloc", "slot=0 shards=64 pressure=5 free=1000 reserved=2 failed=1 dfree=0 events=9 torn=0"),
        ("event", "slot=0 seq=8 t=61000000000 kind=alloc-failed cpu=0 shard=12 arg=256"),
        ("event", "slot=0 seq=7 t=60000000000 kind=pressure cpu=1 shard=12 arg=9"),
        ("origin", "of=call ip=ffffffff81234567 at=\"sysrq_handle_crash+0x16/0x20\""),
        ("drain", "slot=0 drained=1 inflight=0 flush=pending lost=0 way=virtio-poll us=1250 end=done"),
    ];
    let tail = [
        (
            "lane",
            "slot=0 way=virtio-poll result=ok flush=ok seq=1 write_us=940 flush_us=4100",
        ),
        (
            "end",
            "vols=1 drained=1 inflight=0 flush=ok elapsed_ns=21000000 next=reboot lines=11",
        ),
    ];
    let print = |from: u32, lines: &[(&str, &str)]| {
        let lines = (from..).zip(lines);
        lines
            .map(|(i, (rec, rest))| line(ID, i, rec, rest))
            .collect()
    };
    (print(0, &record), print(9, &tail))
}

/// Raw deflate, as fs/pstore/platform.c compresses.
pub fn deflate(text: &str) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).expect("memory");
    encoder.finish().expect("memory")
}

/// A volume in an image file, with four slots of 64 KiB.
pub struct Volume {
    folder: TempDir,
    pub image: String,
    file: File,
    pub area: Area,
}

impl Volume {
    pub fn new(mib: u64) -> Self {
        let folder = TempDir::new().expect("a folder for temporary files");
        let path = folder.path().join("disk");
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path);
        let file = file.expect("a new file");
        file.set_len(mib << 20).expect("room");
        let image = path.to_str().expect("a plain path").to_owned();
        let out = Command::new(MKFS)
            .args(["-q", "--panic-slots", "4", &image])
            .output();
        assert!(out.expect("the program is built").status.success());
        let dev = FileBlockDevice::open(&path, OpenMode::Read).expect("readable");
        let (sb, geometry) = geometry::read_super(&dev).expect("a volume");
        Self {
            folder,
            image,
            file,
            area: Area::of(&sb, &geometry),
        }
    }

    /// A path in the volume's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, offset: u64, bytes: &[u8]) {
        self.file.write_all_at(bytes, offset).expect("room");
    }

    /// Byte offset of the slot of the record with that sequence.
    pub fn slot(&self, sequence: u64) -> u64 {
        self.area.head_block(self.area.slot_of(sequence)) * BLOCK_SIZE as u64
    }

    /// Writes head, data and guard.
    pub fn record(&self, head: &Head, data: &[u8]) {
        let at = self.slot(head.sequence);
        let mut block = self.block(at / BLOCK_SIZE as u64);
        let disk = head.to_disk();
        block[HEADER_SIZE..][..disk.as_bytes().len()].copy_from_slice(disk.as_bytes());
        seal(&mut block, head.sequence);
        let guard = PanicGuard {
            magic: GUARD_MAGIC.into(),
            len: head.len.into(),
            sequence: head.sequence.into(),
        };
        self.write(at, &[&block[..], data, guard.as_bytes()].concat());
    }

    /// Writes panic lines as a record.
    pub fn breadcrumbs(&self, sequence: u64, lines: &str) {
        self.record(
            &head(RecordKind::Breadcrumbs, sequence, lines.as_bytes()),
            lines.as_bytes(),
        );
    }

    /// Writes a tail with `text`.
    pub fn tail(&self, sequence: u64, text: &str) {
        let at = self.slot(sequence) / BLOCK_SIZE as u64 + u64::from(self.area.slot_blocks) - 1;
        let mut block = self.block(at);
        let tail = PanicTail {
            sequence: sequence.into(),
            len: (text.len() as u32).into(),
            reserved: [0; 52],
        };
        let bytes = [tail.as_bytes(), text.as_bytes()].concat();
        block[HEADER_SIZE..][..bytes.len()].copy_from_slice(&bytes);
        seal(&mut block, sequence);
        self.write(at * BLOCK_SIZE as u64, &block[..]);
    }

    fn block(&self, at: u64) -> Block {
        let mut block: Block = [0; BLOCK_SIZE];
        stamp(
            &mut block,
            Kind::PanicSlot,
            at,
            OWNER_VOLUME,
            &self.area.uuid,
        );
        block
    }
}

/// The head of a record of this panic.
pub fn head(kind: RecordKind, sequence: u64, data: &[u8]) -> Head {
    Head {
        kind,
        erased: false,
        sequence,
        id: ID,
        len: data.len() as u32,
        crc: crc32c(0, data),
        wall_ns: 1_795_387_569_123_456_789,
        mono_ns: 62_123_456_789,
        pstore: PstoreMeta::default(),
    }
}

/// The head of a piece of the kernel's log, compressed or not.
pub fn log_head(sequence: u64, data: &[u8], part: u32, compressed: bool) -> Head {
    Head {
        pstore: PstoreMeta {
            reason: 1,
            part,
            count: 1,
            compressed,
            ..PstoreMeta::default()
        },
        ..head(RecordKind::Log, sequence, data)
    }
}
