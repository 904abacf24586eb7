// SPDX-License-Identifier: GPL-2.0

//! Walking a volume, and judging what a crash has left.

use crate::{
    crash::Walk,
    disk::{Caps, Lie, SimDisk},
    image::{Image, BLOCK, PER_BLOCK},
    model::{Kind, Model, ROOT},
    oracle::{blocks_of, Dump, Oracle},
    rng::Rng,
};
use kernel::prelude::{Error, KVec};
use permfs_core::{
    alloc::Env,
    check::check,
    device::BlockDevice,
    extent::Mapping,
    inode::{Time, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG},
    panic::SlotGuard,
    volume::{MountOptions, NewInode, Volume},
};
use std::collections::BTreeSet;

/// Entries that a walk follows: more than any workload makes, so that a loop ends.
const ENTRIES_MAX: usize = 100_000;

/// An error with what was tried.
pub fn because(what: &str) -> impl Fn(Error) -> String + '_ {
    move |e| format!("{what}: errno {}", -e.to_errno())
}

/// Mounts what is on `disk`.
pub fn mount(disk: SimDisk, read_only: bool) -> Result<Volume<SimDisk>, String> {
    let options = MountOptions {
        read_only,
        rescue: false,
        slot: SlotGuard::claim(b"sim", &[0; 16]),
        env: Env::default(),
    };
    Volume::mount(disk, options).map_err(|e| format!("mount: {e}"))
}

/// Checks what is in `image`, on which nothing may be wrong and to which nothing may be written.
pub fn fsck(image: &Image, caps: Caps, when: &str) -> Result<(), String> {
    let disk = SimDisk::new(image.clone(), caps, Lie::None);
    let mut found = Vec::new();
    check(disk.clone(), &mut |finding| found.push(finding.to_string())).map_err(because(when))?;
    if disk.events() != 0 {
        return Err(format!("{when}: it has written"));
    }
    if found.is_empty() {
        Ok(())
    } else {
        found.truncate(8);
        Err(format!("{when}: {}", found.join("; ")))
    }
}

/// A line of the comparison with the model: what both know of an entry.
fn plain(path: &str, ino: u64, mode: u16, nlink: u32, size: Option<u64>, target: &str) -> String {
    format!("{path} {ino} {mode:o} {nlink} {size:?} {target}")
}

/// A volume as a walk sees it: every attribute, and what the model also knows.
pub fn walk(vol: &mut Volume<SimDisk>) -> Result<(Dump, Vec<String>), String> {
    let mut dump = Dump::default();
    let mut plains = Vec::new();
    let mut inodes = BTreeSet::new();
    let mut todo = vec![(String::from("/"), ROOT)];
    while let Some((path, ino)) = todo.pop() {
        let attr = vol.iget(ino).map_err(because(&path))?.attr;
        inodes.insert(ino);
        let mut target = String::new();
        let mut size = Some(attr.size);
        match attr.mode & S_IFMT {
            S_IFDIR => {
                size = None;
                let mut names: Vec<(Vec<u8>, u64)> = Vec::new();
                vol.readdir(ino, 0, |name, ino, _, _| {
                    names.push((name.into(), ino));
                    names.len() < ENTRIES_MAX
                })
                .map_err(because(&path))?;
                for (name, ino) in names {
                    todo.push((format!("{path}{}/", name.escape_ascii()), ino));
                }
            }
            S_IFLNK => {
                let mut buf = KVec::new();
                vol.readlink(ino, &mut buf).map_err(because(&path))?;
                target = buf.escape_ascii().to_string();
            }
            S_IFREG => {
                dump.files.insert(ino, attr.size);
            }
            _ => (),
        }
        dump.lines.push(format!("{path} {ino} {attr:?} {target}"));
        plains.push(plain(&path, ino, attr.mode, attr.nlink, size, &target));
        if plains.len() > ENTRIES_MAX {
            return Err("the walk does not end".into());
        }
    }
    dump.lines.sort_unstable();
    plains.sort_unstable();
    dump.inodes = inodes.len() as u64;
    Ok((dump, plains))
}

/// The same lines from the model.
pub fn walk_model(model: &Model) -> Vec<String> {
    let mut plains = Vec::new();
    let mut todo = vec![(String::from("/"), ROOT)];
    while let Some((path, ino)) = todo.pop() {
        let Some(node) = model.nodes.get(&ino) else {
            plains.push(format!("{path} {ino} is not in the model"));
            continue;
        };
        let (mut size, mut target) = (Some(0), String::new());
        match &node.kind {
            Kind::Dir { entries, .. } => {
                size = None;
                for (name, &ino) in entries {
                    todo.push((format!("{path}{}/", name.escape_ascii()), ino));
                }
            }
            Kind::File { size: bytes, .. } => size = Some(*bytes),
            Kind::Symlink(to) => {
                size = Some(to.len() as u64);
                target = to.escape_ascii().to_string();
            }
            Kind::Special => (),
        }
        plains.push(plain(&path, ino, node.mode, node.nlink, size, &target));
    }
    plains.sort_unstable();
    plains
}

/// How much is done with one state, beyond fsck, mount, and comparison.
#[derive(Clone, Copy, Debug, Default)]
pub struct Depth {
    /// A second crash, while the volume is being mounted.
    pub crash_again: bool,
    /// The volume is used afterwards, and checked again.
    pub go_on: bool,
    /// It is also mounted read-only.
    pub read_only: bool,
}

/// Everything about one state on which nothing may be wrong.
pub struct Judge<'a> {
    /// What should be there.
    pub oracle: &'a Oracle,
    /// The disk.
    pub caps: Caps,
    /// When it crashed.
    pub point: usize,
}

impl Judge<'_> {
    /// Judges the disk's contents `image`. `Err` says what is wrong.
    pub fn judge(&self, image: &Image, depth: Depth, rng: &mut Rng) -> Result<(), String> {
        fsck(image, self.caps, "fsck")?;
        if depth.read_only {
            let disk = SimDisk::new(image.clone(), self.caps, Lie::None);
            let mut vol = mount(disk.clone(), true)?;
            // What waits to be freed or cut waits on, so only names are compared.
            let (_, plains) = walk(&mut vol)?;
            if disk.events() != 0 {
                return Err("a read-only mount has written".into());
            }
            let disk = SimDisk::new(image.clone(), self.caps, Lie::None);
            let writable = walk(&mut mount(disk, false)?)?.1;
            if plains != writable {
                return Err("read-only, the volume shows something else".into());
            }
        }
        let disk = SimDisk::new(image.clone(), self.caps, Lie::None);
        let (vol, _) = self.recover(disk.clone(), "after the mount")?;
        if depth.crash_again {
            drop(vol);
            self.crash_again(image, &disk, rng)
        } else if depth.go_on {
            self.go_on(vol, &disk)
        } else {
            Ok(())
        }
    }

    /// Mounts and compares. Also says which step the volume is as after.
    pub fn recover(&self, disk: SimDisk, when: &str) -> Result<(Volume<SimDisk>, usize), String> {
        let mut vol = mount(disk.clone(), false).map_err(|e| format!("{when}: {e}"))?;
        let dump = walk(&mut vol).map_err(|e| format!("{when}: {e}"))?.0;
        let steps = self.oracle.candidates(&dump, self.point);
        if steps.is_empty() {
            return Err(format!(
                "{when}: {}",
                self.oracle.explain(&dump, self.point)
            ));
        }
        let statfs = vol.statfs();
        let inodes = statfs.files - statfs.files_free;
        if inodes != dump.inodes {
            return Err(format!(
                "{when}: {inodes} inodes counted, {} there",
                dump.inodes
            ));
        }
        let mut wrong = String::new();
        for step in steps {
            match self.data(&mut vol, &disk, &dump, step) {
                Ok(()) => return Ok((vol, step)),
                Err(why) => wrong = why,
            }
        }
        Err(format!("{when}: {wrong}"))
    }

    /// Compares what every file holds with what it held after `step`.
    fn data(
        &self,
        vol: &mut Volume<SimDisk>,
        disk: &SimDisk,
        dump: &Dump,
        step: usize,
    ) -> Result<(), String> {
        let mut bytes = vec![0; BLOCK];
        for (&ino, &size) in &dump.files {
            let end = blocks_of(size);
            let mut at = 0;
            while at < end {
                let (phys, len) = match vol.map(ino, at, end - at).map_err(because("map"))? {
                    Mapping::Data { phys, len } => (Some(phys), len),
                    Mapping::Hole { len } => (None, len),
                };
                for n in 0..len.min(end - at) {
                    let Some(phys) = phys else {
                        if self.oracle.is_mapped(ino, at + n, step) {
                            return Err(format!("block {} of inode {ino} is a hole", at + n));
                        }
                        continue;
                    };
                    let sector = (phys + u64::from(n)) * PER_BLOCK;
                    disk.read(sector, &mut bytes).map_err(because("data"))?;
                    self.oracle
                        .compare((ino, at + n), size, step, self.point, &bytes)?;
                }
                at += len.max(1);
            }
        }
        Ok(())
    }

    /// Crashes somewhere in the mount that `disk` has logged, and recovers from that.
    fn crash_again(&self, image: &Image, disk: &SimDisk, rng: &mut Rng) -> Result<(), String> {
        let log = disk.take_log();
        let mut walk = Walk::new(image.clone(), &log, self.caps, Lie::None);
        for _ in 0..rng.index(log.len() + 1) {
            walk.advance();
        }
        for crash in walk.random(rng, 1) {
            let image = walk.image(&crash);
            fsck(&image, self.caps, "fsck after a crash in the mount")?;
            let disk = SimDisk::new(image, self.caps, Lie::None);
            self.recover(disk, "after a crash in the mount")
                .map_err(|e| format!("{e}\n    (second crash: {crash:?} of {})", log.len()))?;
        }
        Ok(())
    }

    /// Uses the recovered volume: what it thinks is free must be so.
    fn go_on(&self, mut vol: Volume<SimDisk>, disk: &SimDisk) -> Result<(), String> {
        let now = Time {
            sec: 1 << 32,
            nsec: 1,
        };
        for n in 0..4u8 {
            let new = NewInode {
                ino: vol.allocate_ino(),
                mode: S_IFREG | 0o600,
                uid: 0,
                gid: 0,
                rdev: 0,
                symlink: None,
                now,
                generation: 1,
            };
            let name = [b'~', b'0' + n];
            let made = vol.create(ROOT, &name, &new);
            let grown = made.and_then(|inode| {
                let (phys, len) = vol.reserve_extent(inode.ino, 0, 3, false)?;
                vol.commit_extent(inode.ino, 0, phys, len, Some(4096), None)
            });
            match grown {
                Err(e) if e != kernel::prelude::ENOSPC => return Err(because("going on")(e)),
                _ => (),
            }
        }
        vol.unmount().map_err(because("unmount"))?;
        fsck(&disk.image(), self.caps, "fsck after going on")
    }
}
