// SPDX-License-Identifier: GPL-2.0

//! PermFS's ioctls, as safe functions. What the kernel reads and writes is known here and nowhere else
//! in userspace, so this is where the tools' only `unsafe` is.

use std::os::fd::AsFd;

use permfs_core::ioctl::{Quiesce, IOC_QUIESCE};
use rustix::{fs, io::Errno, ioctl};

/// `f_type` of a PermFS volume.
const MAGIC: u32 = permfs_core::format::STATFS_MAGIC;

/// Quiesces the volume that the open file `fd` is on. The result is in `arg`.
///
/// # Errors
///
/// `ENOTTY` if `fd` is not on a PermFS volume; `EPERM` without `CAP_SYS_ADMIN`; `EINVAL` for a time-out
/// that is too long.
pub fn quiesce(fd: impl AsFd, arg: &mut Quiesce) -> Result<(), Errno> {
    // The number is PermFS's own: to another filesystem or driver it may mean something else.
    if fs::fstatfs(&fd)?.f_type as u32 != MAGIC {
        return Err(Errno::NOTTY);
    }
    // SAFETY: PermFS takes this number with a pointer to a `struct permfs_quiesce`, which `Quiesce` is
    // (`repr(C)`, its size is part of the number); every value of its fields is valid.
    unsafe {
        ioctl::ioctl(
            fd,
            ioctl::Updater::<{ IOC_QUIESCE as ioctl::Opcode }, Quiesce>::new(arg),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_filesystems_are_not_asked() {
        let dir = std::fs::File::open("/proc").expect("/proc");
        assert_eq!(quiesce(&dir, &mut Quiesce::default()), Err(Errno::NOTTY));
    }
}
