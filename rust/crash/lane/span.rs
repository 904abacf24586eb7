// SPDX-License-Identifier: GPL-2.0

//! Which requests an operation becomes. Plain arithmetic, tested on the host too.

/// Bytes in a sector.
const SECTOR: u64 = 512;

/// The sectors that a lane may touch, of 512 bytes, counted on the device that it was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// The first one.
    pub sector: u64,
    /// How many.
    pub sectors: u64,
}

impl Area {
    /// Whether a buffer of `bytes` fits, and all of the area lies in whole blocks of `block` bytes
    /// on a device of `device` sectors.
    pub(super) fn holds(self, bytes: usize, block: u64, device: u64) -> bool {
        let Some(end) = self.sector.checked_add(self.sectors) else {
            return false;
        };
        let Some(mask) = block.checked_sub(1) else {
            return false;
        };
        end <= device
            && self.sectors >= (bytes as u64) / SECTOR
            && (self.sector.wrapping_mul(SECTOR) | end.wrapping_mul(SECTOR) | bytes as u64) & mask
                == 0
    }
}

/// One operation; sectors of 512 bytes of the device that the lane was made for, `at` and `len`
/// bytes of its buffer.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    /// From the device into the buffer.
    Read {
        /// First sector.
        sector: u64,
        /// Where in the buffer.
        at: usize,
        /// How much; whole blocks of the device.
        len: usize,
    },
    /// From the buffer to the device.
    Write {
        /// First sector.
        sector: u64,
        /// Where in the buffer.
        at: usize,
        /// How much; whole blocks of the device.
        len: usize,
    },
    /// What was written is durable afterwards.
    Flush,
}

/// One part of the buffer and where it belongs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    /// Sector on the device.
    pub(super) sector: u64,
    /// Offset in the buffer, in bytes.
    pub(super) at: usize,
    /// Bytes.
    pub(super) len: usize,
}

impl Span {
    /// Nothing is left.
    pub(super) const EMPTY: Self = Self {
        sector: 0,
        at: 0,
        len: 0,
    };

    /// `len` bytes at `at` of a buffer of `buffer` bytes, to or from `sector`; none if that is not
    /// whole blocks of `block` bytes, or not all in `area` and in the buffer.
    pub(super) fn new(
        area: Area,
        buffer: usize,
        block: u64,
        (sector, at, len): (u64, usize, usize),
    ) -> Option<Self> {
        let mask = block.checked_sub(1)?;
        let skipped = sector.checked_sub(area.sector)?;
        let sectors = len as u64 / SECTOR;
        let whole = (len as u64 | sector.checked_mul(SECTOR)?) & (mask | (SECTOR - 1)) == 0
            && at as u64 & (SECTOR - 1) == 0;
        let inside =
            skipped.checked_add(sectors)? <= area.sectors && at.checked_add(len)? <= buffer;
        (len != 0 && whole && inside).then_some(Self { sector, at, len })
    }

    /// Takes the next part off: no longer than `chunk` bytes, which is a power of two, and not
    /// across a multiple of it in the buffer.
    pub(super) fn take(&mut self, chunk: usize) -> Option<Self> {
        let mask = chunk.checked_sub(1)?;
        let len = self.len.min(chunk.wrapping_sub(self.at & mask));
        let part = Self { len, ..*self };
        if len == 0 {
            return None;
        }
        self.sector = self.sector.wrapping_add(len as u64 / SECTOR);
        self.at = self.at.wrapping_add(len);
        self.len = self.len.wrapping_sub(len);
        Some(part)
    }
}

/// What a queue takes in one request of one segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Sectors of a request.
    pub(super) sectors: u64,
    /// Bytes of a segment.
    pub(super) segment: u64,
    /// No segment crosses a multiple of this, less one.
    pub(super) boundary_mask: u64,
    /// What the driver takes without allocating.
    pub(super) driver: u64,
}

impl Limits {
    /// Bytes of the largest request: a power of two, at least a page of 4 KiB; none if the queue
    /// does not take that.
    pub(super) fn chunk(self) -> Option<usize> {
        let least = self
            .sectors
            .saturating_mul(SECTOR)
            .min(self.segment)
            .min(self.boundary_mask.saturating_add(1))
            .min(self.driver);
        let chunk = 1_usize.checked_shl(least.checked_ilog2()?)?;
        (chunk >= 4096).then_some(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AREA: Area = Area {
        sector: 64,
        sectors: 256,
    };

    #[test]
    fn area_must_hold_the_buffer_in_whole_blocks() {
        assert!(AREA.holds(131_072, 4096, 320));
        assert!(!AREA.holds(131_072, 4096, 319), "past the device");
        assert!(
            !AREA.holds(135_168, 4096, 320),
            "buffer larger than the area"
        );
        assert!(!AREA.holds(512, 4096, 320), "buffer not whole blocks");
        let odd = Area { sector: 65, ..AREA };
        assert!(odd.holds(65_536, 512, 400) && !odd.holds(65_536, 4096, 400));
        let wrap = Area {
            sector: u64::MAX,
            sectors: 2,
        };
        assert!(!wrap.holds(512, 512, u64::MAX));
        assert!(!AREA.holds(512, 0, 320));
    }

    #[test]
    fn span_outside_of_area_or_buffer_is_refused() {
        let new = |sector, at, len| Span::new(AREA, 65_536, 512, (sector, at, len));
        assert!(new(64, 0, 65_536).is_some());
        assert!(new(319, 65_024, 512).is_some());
        assert!(new(63, 0, 512).is_none() && new(320, 0, 512).is_none());
        assert!(new(319, 0, 1024).is_none(), "across the end of the area");
        assert!(
            new(64, 65_024, 1024).is_none(),
            "across the end of the buffer"
        );
        assert!(
            new(64, 0, 0).is_none() && new(64, 0, 100).is_none() && new(64, 100, 512).is_none()
        );
        assert!(new(u64::MAX, 0, 512).is_none() && new(64, usize::MAX - 511, 512).is_none());
        assert!(Span::new(AREA, 65_536, 4096, (65, 0, 4096)).is_none());
        assert!(Span::new(AREA, 65_536, 4096, (64, 0, 512)).is_none());
        assert!(Span::new(AREA, 65_536, 0, (64, 0, 512)).is_none());
    }

    #[test]
    fn parts_cover_the_span_once_and_keep_to_the_chunk() {
        for chunk in [4096, 8192, 65_536] {
            for at in (0..16_384).step_by(512) {
                for len in (512..40_960).step_by(1536) {
                    let mut span = Span {
                        sector: 100,
                        at,
                        len,
                    };
                    let (mut sector, mut end) = (100, at);
                    while let Some(part) = span.take(chunk) {
                        assert_eq!((part.sector, part.at), (sector, end));
                        assert!(part.len > 0 && part.len <= chunk && part.len % 512 == 0);
                        assert_eq!(part.at / chunk, (part.at + part.len - 1) / chunk);
                        sector += part.len as u64 / 512;
                        end += part.len;
                    }
                    assert_eq!(end, at + len);
                }
            }
        }
        assert_eq!(Span::EMPTY.clone().take(4096), None);
        assert_eq!(
            Span {
                sector: 0,
                at: 0,
                len: 512
            }
            .take(0),
            None
        );
    }

    #[test]
    fn chunk_is_the_smallest_limit() {
        let limits = Limits {
            sectors: u64::MAX,
            segment: u64::MAX,
            boundary_mask: u64::MAX,
            driver: 1 << 20,
        };
        assert_eq!(limits.chunk(), Some(1 << 20));
        assert_eq!(
            Limits {
                sectors: 255,
                ..limits
            }
            .chunk(),
            Some(65_536)
        );
        assert_eq!(
            Limits {
                segment: 8192,
                ..limits
            }
            .chunk(),
            Some(8192)
        );
        assert_eq!(
            Limits {
                boundary_mask: 0xffff,
                ..limits
            }
            .chunk(),
            Some(65_536)
        );
        assert_eq!(
            Limits {
                segment: 2048,
                ..limits
            }
            .chunk(),
            None
        );
        assert_eq!(
            Limits {
                sectors: 0,
                ..limits
            }
            .chunk(),
            None
        );
    }
}
