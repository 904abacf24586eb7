// SPDX-License-Identifier: GPL-2.0

//! Faults that a tester asks for, in debugfs' folder `permfs`: points at which the kernel dies inside PermFS
//! (`panic_at`), and devices that seem to be slow (`stall`).
//!
//! `Documentation/panic-path.md` tells how they are used. One that is off costs a relaxed load.

use kernel::{
    debugfs::{Reader, Writer},
    fmt,
    prelude::*,
    sync::atomic::{Atomic, Full, Relaxed},
    uaccess::UserSliceReader,
};
#[cfg(permfs_panic)]
use permfs_core::panic::Stage;

pub(crate) mod stall;

/// A place in the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Point {
    /// A request to the device was counted and is not submitted yet.
    Submit = 1,
    /// An epoch is sealed and not written yet; the committer's lock is held.
    Commit,
    /// In the middle of an operation, the volume's lock held: the allocator looks for blocks.
    Allocator,
    /// A volume has its slot, and is not read yet.
    Mount,
    /// An unmount has begun.
    Unmount,
    /// The module goes: no volume is mounted.
    Unload,
    /// In the panic handler, for a panic or an oops within the panic; with the stage.
    Notifier,
}

impl Point {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Submit, "submit"),
        (Self::Commit, "commit"),
        (Self::Allocator, "allocator"),
        (Self::Mount, "mount"),
        (Self::Unmount, "unmount"),
        (Self::Unload, "unload"),
        (Self::Notifier, "notifier"),
    ];
}

/// In [`ARMED`], with a point's number: oops, do not panic.
const OOPS: u32 = 1 << 8;
/// Above which [`ARMED`] has the stage of [`Point::Notifier`].
#[cfg(permfs_panic)]
const STAGE_SHIFT: u32 = 16;

/// The point that is armed, 0: none.
static ARMED: Atomic<u32> = Atomic::<u32>::new(0);

/// Dies here, once, if `point` is armed. Any context.
#[inline]
pub(crate) fn at(point: Point) {
    let armed = ARMED.load(Relaxed);
    if armed & !OOPS == point as u32 {
        fire(armed);
    }
}

/// [`at`] for [`Point::Notifier`], the handler being in `stage`: it oopses by a page fault, without the
/// machinery of Rust's panics.
#[cfg(permfs_panic)]
#[inline]
pub(crate) fn in_handler(stage: Stage) {
    let armed = ARMED.load(Relaxed);
    if armed & !OOPS == notifier(stage) && disarm(armed) {
        if armed & OOPS != 0 {
            crash::context::fault();
        }
        crash::context::trigger(MESSAGE);
    }
}

/// What is in [`ARMED`] for the handler's `stage`.
#[cfg(permfs_panic)]
const fn notifier(stage: Stage) -> u32 {
    Point::Notifier as u32 | stage.as_u32() << STAGE_SHIFT
}

const MESSAGE: &CStr = c"permfs: panic_at";

/// Whether it is us who takes it.
fn disarm(armed: u32) -> bool {
    ARMED.cmpxchg(armed, 0, Full).is_ok()
}

#[cold]
#[inline(never)]
fn fire(armed: u32) {
    if !disarm(armed) {
        return;
    }
    if armed & OOPS != 0 {
        panic!("permfs: told to oops");
    }
    crash::context::trigger(MESSAGE);
}

/// The number of this CPU, for the allocator, which asks for it where it looks for blocks.
pub(crate) fn cpu() -> u32 {
    at(Point::Allocator);
    crash::context::cpu()
}

/// Bytes that are taken at once.
const TEXT_MAX: usize = 32;

/// What was written to a file, without what is blank around it.
fn text<'a>(reader: &mut UserSliceReader, buf: &'a mut [u8; TEXT_MAX]) -> Result<&'a str> {
    let text = buf.get_mut(..reader.len()).ok_or(EINVAL)?;
    reader.read_slice(text)?;
    Ok(core::str::from_utf8(text).map_err(|_| EINVAL)?.trim())
}

/// What is in [`ARMED`] for `notifier:STAGE`; without a stage it is where the handler says what is known.
#[cfg(permfs_panic)]
fn in_stage(name: &str) -> Option<u32> {
    let stage = match name.strip_prefix("notifier:") {
        Some(stage) => Stage::by_name(stage)?,
        None if name == "notifier" => Stage::Known,
        None => return None,
    };
    Some(notifier(stage))
}

/// There is no handler.
#[cfg(not(permfs_panic))]
fn in_stage(_name: &str) -> Option<u32> {
    None
}

/// The stage of what is in [`ARMED`], behind a colon, if that is [`Point::Notifier`].
fn stage_of(armed: u32) -> (&'static str, &'static str) {
    #[cfg(permfs_panic)]
    {
        if armed & (OOPS - 1) == Point::Notifier as u32 {
            return (":", Stage::from_u32(armed >> STAGE_SHIFT).name());
        }
    }
    let _ = armed;
    ("", "")
}

/// What is in [`ARMED`] for the point called `name`.
fn point(name: &str) -> Option<u32> {
    let is = |(point, n): &&(Point, &str)| *n == name && *point != Point::Notifier;
    let other = Point::ALL.iter().find(is);
    in_stage(name).or(other.map(|(point, _)| *point as u32))
}

/// What is behind the file `panic_at`.
pub(crate) struct PanicAt;

impl Writer for PanicAt {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let armed = ARMED.load(Relaxed);
        let number = armed & (OOPS - 1);
        let is = |(point, _): &&(Point, &str)| *point as u32 == number;
        let Some((_, name)) = Point::ALL.iter().find(is) else {
            return writeln!(f, "off");
        };
        let (colon, stage) = stage_of(armed);
        let how = if armed & OOPS == 0 { "" } else { " oops" };
        writeln!(f, "{name}{colon}{stage}{how}")
    }
}

impl Reader for PanicAt {
    fn read_from_slice(&self, reader: &mut UserSliceReader) -> Result {
        let mut buf = [0u8; TEXT_MAX];
        let text = text(reader, &mut buf)?;
        let (name, how) = text.split_once(' ').unwrap_or((text, ""));
        let oops = match how {
            "" => 0,
            "oops" => OOPS,
            _ => return Err(EINVAL),
        };
        let armed = if text == "off" {
            0
        } else {
            point(name).ok_or(EINVAL)? | oops
        };
        ARMED.store(armed, Relaxed);
        Ok(())
    }
}
