// SPDX-License-Identifier: GPL-2.0

//! Reading the super block: a volume, or a sentence that says why it is none.

use super::{Geometry, Invalid};
use crate::{
    device::BlockDevice,
    format::*,
    store::block::{self, Block},
};
use kernel::{fmt, prelude::*};

/// Why there is no super block to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuperError {
    /// The device could not be read.
    Io(Error),
    /// There is no PermFS super block.
    NotPermfs,
    /// There is one, of another version of the format.
    Version(u16),
    /// Its checksum, block number or kind is wrong.
    Damaged,
    /// It needs features that this driver does not know: these bits of `feature_incompat`.
    Incompat(u64),
    /// Its numbers contradict each other.
    Geometry(Invalid),
    /// The device has fewer blocks than the volume.
    Truncated {
        /// Blocks of the device.
        device: u64,
        /// Blocks of the volume.
        volume: u64,
    },
}

impl From<Error> for SuperError {
    fn from(e: Error) -> Self {
        SuperError::Io(e)
    }
}

impl From<SuperError> for Error {
    /// The errno that mount gives. `EINVAL` tells mount(8) that the device holds something else.
    fn from(e: SuperError) -> Error {
        match e {
            SuperError::Io(e) => e,
            SuperError::NotPermfs | SuperError::Incompat(_) | SuperError::Version(_) => EINVAL,
            SuperError::Damaged | SuperError::Geometry(_) | SuperError::Truncated { .. } => {
                EFSCORRUPTED
            }
        }
    }
}

impl fmt::Display for SuperError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SuperError::Io(e) => {
                write!(f, "cannot read the super block (errno {})", -e.to_errno())
            }
            SuperError::NotPermfs => f.write_str("no PermFS super block"),
            SuperError::Version(v) => {
                write!(f, "format version {v} is not supported, only {VERSION}")
            }
            SuperError::Damaged => f.write_str("the super block is damaged (checksum)"),
            SuperError::Incompat(bits) => {
                write!(
                    f,
                    "unknown incompatible feature, bit {} ({bits:#x})",
                    bits.trailing_zeros()
                )
            }
            SuperError::Geometry(why) => {
                f.write_str("the super block contradicts itself: ")?;
                fmt::Display::fmt(why, f)
            }
            SuperError::Truncated { device, volume } => {
                write!(
                    f,
                    "the device has {device} blocks, the volume needs {volume}"
                )
            }
        }
    }
}

/// Whether an unknown `feature_ro_compat` bit allows only a read-only mount: those bits.
pub fn ro_compat_unknown(sb: &SuperBlock) -> u64 {
    sb.feature_ro_compat.get() & !FEATURE_RO_COMPAT
}

/// Reads the super block at the volume's start and checks all of it against the device.
pub fn read_super<D: BlockDevice>(dev: &D) -> Result<(SuperBlock, Geometry), SuperError> {
    read_at(dev, 0)
}

/// The first backup that is whole: its block, and what it says.
pub fn find_backup<D: BlockDevice>(dev: &D) -> Option<(u64, SuperBlock, Geometry)> {
    let shards = (dev.sectors() / SECTORS_PER_BLOCK).div_ceil(SHARD_BLOCKS);
    let copies = copies(shards);
    copies.skip(1).find_map(|shard| {
        let block = shard * SHARD_BLOCKS;
        read_at(dev, block)
            .ok()
            .map(|(sb, geometry)| (block, sb, geometry))
    })
}

/// Whether the state block stands where a volume with that UUID has it: what is at the device's start is
/// not another filesystem, which the volume's backups have outlived.
pub fn has_state<D: BlockDevice>(dev: &D, uuid: &[u8; 16]) -> bool {
    let Ok(mut image) = KBox::<Block>::zeroed(GFP_KERNEL) else {
        return false;
    };
    dev.read(STATE_BLOCK * SECTORS_PER_BLOCK, &mut image[..])
        .is_ok()
        && block::is_claimed(&image, STATE_BLOCK, uuid)
}

/// The shards below `shards` that carry a copy of the super block, in order.
pub fn copies(shards: u64) -> impl Iterator<Item = u64> {
    let mut next = [0, 1, 3, 5, 7];
    core::iter::from_fn(move || {
        let shard = next.iter().copied().min()?;
        for (n, factor) in next.iter_mut().zip([0, 0, 3, 5, 7]) {
            if *n == shard {
                *n = if factor == 0 {
                    u64::MAX
                } else {
                    n.saturating_mul(factor)
                };
            }
        }
        (shard < shards).then_some(shard)
    })
}

/// Reads the copy of the super block at `at`.
pub fn read_at<D: BlockDevice>(dev: &D, at: u64) -> Result<(SuperBlock, Geometry), SuperError> {
    let (sb, geometry) = read_cut(dev, at)?;
    let device = dev.sectors() / SECTORS_PER_BLOCK;
    if geometry.blocks > device {
        return Err(SuperError::Truncated {
            device,
            volume: geometry.blocks,
        });
    }
    Ok((sb, geometry))
}

/// [`read_at`] for what may be the beginning of a volume: nothing else of the volume need be there.
pub fn read_cut<D: BlockDevice>(dev: &D, at: u64) -> Result<(SuperBlock, Geometry), SuperError> {
    let device = dev.sectors() / SECTORS_PER_BLOCK;
    if at >= device {
        return Err(SuperError::NotPermfs);
    }
    let mut image = KBox::<Block>::zeroed(GFP_KERNEL).map_err(Error::from)?;
    dev.read(at * SECTORS_PER_BLOCK, &mut image[..])?;
    let sb = parse(&image, at)?;
    let geometry = Geometry::of(&sb).map_err(SuperError::Geometry)?;
    Ok((sb, geometry))
}

/// The super block in `image`, if it is one of this version, whole, and of known features.
fn parse(image: &Block, at: u64) -> Result<SuperBlock, SuperError> {
    let header = block::header(image)?;
    if header.magic.get() != MAGIC {
        return Err(SuperError::NotPermfs);
    }
    if header.version.get() != VERSION {
        return Err(SuperError::Version(header.version.get()));
    }
    if header.kind.get() != Kind::Super as u16 || block::verify(image, at, &header.uuid).is_err() {
        return Err(SuperError::Damaged);
    }
    let payload = image.get(HEADER_SIZE..).unwrap_or_default();
    let (sb, _) = SuperBlock::read_from_prefix(payload).map_err(|_| SuperError::Damaged)?;
    if sb.uuid != header.uuid {
        return Err(SuperError::Damaged);
    }
    let unknown = sb.feature_incompat.get() & !FEATURE_INCOMPAT;
    if unknown != 0 {
        return Err(SuperError::Incompat(unknown));
    }
    Ok(sb)
}
