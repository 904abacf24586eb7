// SPDX-License-Identifier: GPL-2.0

//! The ioctls of PermFS, on any open file or directory of a mounted volume.

use super::panic::{Flush, PanicQuiesceResult};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `PERMFS_IOC_QUIESCE`, `_IOWR(0xED, 1, struct permfs_quiesce)`: an orderly quiesce of the volume.
pub const IOC_QUIESCE: u32 = iowr(0xed, 1, size_of::<Quiesce>());

/// `FS_IOC_SHUTDOWN`, `_IOR('X', 125, __u32)`, of `include/uapi/linux/fs.h`.
pub const IOC_SHUTDOWN: u32 = ioc(2, b'X' as u32, 125, 4);

/// [`Quiesce::timeout_ms`] if it is given as 0.
pub const QUIESCE_DEFAULT_MS: u32 = 5_000;
/// The longest [`Quiesce::timeout_ms`]: ten minutes.
pub const QUIESCE_MAX_MS: u32 = 600_000;

/// `struct permfs_quiesce`, in the byte order of the machine.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Quiesce {
    /// In: milliseconds that it may take; 0: [`QUIESCE_DEFAULT_MS`].
    pub timeout_ms: u32,
    /// In: none is defined yet, 0.
    pub flags: u32,
    /// Out: 1: there was a moment with nothing in flight.
    pub drained: u32,
    /// Out: operations that had not completed when time was over, and may be lost; may be too high.
    pub in_flight: u32,
    /// Out: what became of the cache flush, as [`Flush::as_u32`] has it.
    pub flush: u32,
    /// Out: errno, positive, of writing data and log before; 0: they are written.
    pub error: u32,
    /// Out: nanoseconds taken.
    pub elapsed_ns: u64,
    /// Out: the newest epoch that is durable.
    pub epoch: u64,
    /// In and out: 0.
    pub reserved: [u64; 2],
}

impl Quiesce {
    /// Fills in the result.
    pub fn set_result(&mut self, result: &PanicQuiesceResult) {
        self.drained = u32::from(result.drained);
        self.in_flight = result.in_flight;
        self.flush = result.flush_issued.as_u32();
    }

    /// Whether everything that the volume had acknowledged when it was called is durable.
    pub fn is_durable(&self) -> bool {
        self.drained == 1 && self.error == 0 && self.flush == Flush::Ok.as_u32()
    }
}

/// `_IOC()` of `include/uapi/asm-generic/ioctl.h`.
const fn ioc(dir: u32, group: u32, nr: u32, size: usize) -> u32 {
    dir << 30 | (size as u32) << 16 | group << 8 | nr
}

const fn iowr(group: u32, nr: u32, size: usize) -> u32 {
    ioc(3, group, nr, size)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Programs are compiled against these.
    #[test]
    fn numbers_and_layout_are_as_documented() {
        assert_eq!(IOC_QUIESCE, 0xc038_ed01);
        assert_eq!(IOC_SHUTDOWN, 0x8004_587d);
        assert_eq!(core::mem::offset_of!(Quiesce, elapsed_ns), 24);
        assert_eq!(core::mem::offset_of!(Quiesce, epoch), 32);
    }

    #[test]
    fn flush_numbers_go_back_and_forth() {
        let known = (0..6).filter_map(Flush::from_u32).map(Flush::as_u32);
        assert!(known.eq(0..6));
        assert_eq!(Flush::from_u32(6), None);
    }
}
