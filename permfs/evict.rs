// SPDX-License-Identifier: GPL-2.0

//! The end of an inode in memory.

use crate::{iomap, PermFs};
use permfs_core::plant::{self, Fault};
use vfs::inode::Inode;

/// The last reference is gone: gives back what writing had promised, and frees a file without a name.
pub(crate) fn evict(inode: &Inode<PermFs>) {
    let sb = inode.super_block();
    let mount = sb.data();
    iomap::forget_all(inode);
    if inode.nlink() == 0 && !sb.is_read_only() {
        let _write = sb.start_intwrite();
        // Step by step: a large file takes many, and whoever waits for the volume has it in between.
        let step = || {
            let mut volume = mount.engine().volume()?;
            match plant::is(Fault::Steps) {
                false => volume.evict_step(inode.ino()),
                true => volume.evict(inode.ino()).map(|()| true),
            }
        };
        let outcome = loop {
            match step() {
                Ok(false) => continue,
                outcome => break outcome,
            }
        };
        // Nobody is left to tell: the volume's error policy is all. The orphan tree still has the
        // inode, so the next mount tries again.
        let _ = mount.check(sb, outcome);
    }
}
