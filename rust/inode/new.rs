// SPDX-License-Identifier: GPL-2.0

//! Inodes that are being made.

use super::{container::Container, vtable, FileType, IRef, Idmap, Inode, Locked, Write};
use crate::{
    bindings,
    fs::{Complete, FileSystem},
    super_block::SuperBlock,
};
use core::{marker::PhantomData, mem::ManuallyDrop, ops::Deref, ptr::NonNull};
use kernel::{error::to_result, prelude::*};

/// What [`SuperBlock::iget_locked`] found.
pub enum Lookup<'a, T: FileSystem> {
    /// The inode was in the cache.
    Cached(IRef<'a, T>),
    /// The inode is to be read from the volume.
    New(New<'a, T>),
}

impl<T: FileSystem> Lookup<'_, T> {
    /// # Safety
    ///
    /// `inode` was just returned by `iget_locked()` for a super block of type `T` that is alive for
    /// the lifetime of the result, and the reference goes over.
    pub(crate) unsafe fn from_raw(inode: NonNull<bindings::inode>) -> Result<Self> {
        // Others wait until `I_NEW` is clear: whoever sees it set is who is to fill the inode in.
        // SAFETY: `inode` is valid.
        let state = unsafe { (&raw const (*inode.as_ptr()).i_state.__state).read_volatile() };
        if state & bindings::inode_state_flags_enum_I_NEW != 0 {
            // INVARIANT: By the state.
            return Ok(Self::New(New {
                inode,
                creating: false,
                _sb: PhantomData,
            }));
        }
        // SAFETY: By the contract.
        let inode = unsafe { IRef::from_raw(inode) };
        if !inode.is_live() {
            return Err(ESTALE);
        }
        Ok(Self::Cached(inode))
    }
}

/// An inode that only its maker uses.
///
/// The ways out are [`New::unlock_new`] and being returned from a callback that creates; otherwise
/// `Drop` fails the inode: whoever waits for it tries again or gets an error, and
/// [`evict_inode`](crate::super_block::SuperOperations::evict_inode) is not called. What was done
/// on the volume for a file whose creation fails is the filesystem's to undo.
///
/// # Invariants
///
/// `inode` is a valid inode of type `T` which is hashed and `I_NEW` (and `I_CREATING` if
/// `creating`) and not live; the reference is ours and nobody else touches the inode's attributes
/// or data.
pub struct New<'a, T: FileSystem> {
    inode: NonNull<bindings::inode>,
    creating: bool,
    _sb: PhantomData<(&'a SuperBlock<T>, T)>,
}

impl<'a, T: FileSystem> New<'a, T> {
    /// Hashes an inode that was made for a new file.
    ///
    /// # Errors
    ///
    /// `EBUSY` if an inode of that number is in use.
    ///
    /// # Safety
    ///
    /// `inode` was just returned by `new_inode()` for a super block of type `T` that is alive for
    /// `'a`, and the reference goes over.
    pub(crate) unsafe fn insert(inode: NonNull<bindings::inode>, ino: u64) -> Result<Self> {
        // SAFETY: By the contract nobody else uses the inode.
        unsafe { (*inode.as_ptr()).i_ino = ino };
        // SAFETY: As above.
        if let Err(e) = to_result(unsafe { bindings::insert_inode_locked(inode.as_ptr()) }) {
            // SAFETY: The reference is ours; the inode is unhashed and not live, so that it just
            // goes.
            unsafe { bindings::iput(inode.as_ptr()) };
            return Err(e);
        }
        // INVARIANT: By `insert_inode_locked`.
        Ok(Self {
            inode,
            creating: true,
            _sb: PhantomData,
        })
    }

    /// Sets owner, group and mode of a new file in `dir` (`inode_init_owner`).
    ///
    /// # Errors
    ///
    /// `EINVAL` if the `S_IFMT` bits of `mode` mean nothing.
    pub fn init_owner(&mut self, idmap: &Idmap, dir: &Locked<'_, T, Write>, mode: u16) -> Result {
        FileType::from_mode(mode).ok_or(EINVAL)?;
        // SAFETY: By the type invariants.
        unsafe {
            bindings::inode_init_owner(idmap.as_ptr(), self.inode.as_ptr(), dir.as_ptr(), mode)
        };
        Ok(())
    }

    /// Sets type and permissions.
    ///
    /// # Errors
    ///
    /// `EFSCORRUPTED` if the `S_IFMT` bits mean nothing.
    pub fn set_mode(&mut self, mode: u16) -> Result {
        FileType::from_mode(mode).ok_or(EFSCORRUPTED)?;
        // SAFETY: By the type invariant nobody else uses it.
        unsafe { (*self.inode.as_ptr()).i_mode = mode };
        Ok(())
    }

    /// Sets owner and group as they are stored on disk.
    pub fn set_owner(&mut self, uid: u32, gid: u32) {
        // SAFETY: By the type invariant.
        unsafe {
            bindings::vfs_helper_i_uid_write(self.inode.as_ptr(), uid);
            bindings::vfs_helper_i_gid_write(self.inode.as_ptr(), gid);
        }
    }

    /// Sets the generation.
    pub fn set_generation(&mut self, generation: u32) {
        // SAFETY: By the type invariant.
        unsafe { (*self.inode.as_ptr()).i_generation = generation };
    }

    /// Sets the device of a special file, in the encoding of `new_encode_dev()`.
    pub fn set_rdev(&mut self, rdev: u32) {
        // SAFETY: By the type invariant.
        unsafe { (*self.inode.as_ptr()).i_rdev = bindings::vfs_helper_new_decode_dev(rdev) };
    }

    /// Keeps the target of a symbolic link with the inode, which makes following it fast.
    ///
    /// # Errors
    ///
    /// `EFSCORRUPTED` if it is empty or has a NUL in it, `ENOMEM`.
    pub fn set_link(&mut self, target: &[u8]) -> Result {
        if target.is_empty() || target.contains(&0) {
            return Err(EFSCORRUPTED);
        }
        let mut link = KVec::with_capacity(target.len() + 1, GFP_KERNEL)?;
        link.extend_from_slice(target, GFP_KERNEL)?;
        link.push(0, GFP_KERNEL)?;
        // SAFETY: By the type invariant nobody else uses the inode, and `i_link` is not set yet.
        unsafe { *Container::<T>::of(self.inode.as_ptr()).link_ptr() = link };
        Ok(())
    }
}

impl<'a, T: Complete> New<'a, T> {
    /// Sets the operation tables that the mode asks for and lets the filesystem be called for the
    /// inode.
    fn finish(&self) -> Result {
        let inode = self.inode.as_ptr();
        // SAFETY: By the type invariant it is valid, of type `T`, and ours.
        unsafe {
            let link = &*Container::<T>::of(inode).link_ptr();
            vtable::set_operations::<T>(inode, link)?;
            Container::<T>::of(inode).set_live();
        }
        Ok(())
    }

    /// Gives the inode out.
    ///
    /// # Errors
    ///
    /// `EFSCORRUPTED` if no mode was set, or it is a symbolic link whose target the filesystem does
    /// not know.
    pub fn unlock_new(self) -> Result<IRef<'a, T>> {
        self.finish()?;
        let inode = ManuallyDrop::new(self).inode;
        // SAFETY: By the type invariant it is `I_NEW`.
        unsafe { bindings::unlock_new_inode(inode.as_ptr()) };
        // SAFETY: The reference goes over.
        Ok(unsafe { IRef::from_raw(inode) })
    }

    /// Gives the inode to `dentry`.
    ///
    /// # Safety
    ///
    /// `dentry` is a negative dentry of this super block whose directory is locked exclusively.
    pub(crate) unsafe fn instantiate(self, dentry: *mut bindings::dentry) -> Result {
        self.finish()?;
        let inode = ManuallyDrop::new(self).inode;
        // SAFETY: By the contract and the type invariant; the reference goes over.
        unsafe { bindings::d_instantiate_new(dentry, inode.as_ptr()) };
        Ok(())
    }
}

impl<T: FileSystem> Deref for New<'_, T> {
    type Target = Inode<T>;

    fn deref(&self) -> &Inode<T> {
        // SAFETY: By the type invariant.
        unsafe { Inode::from_raw(self.inode.as_ptr()) }
    }
}

impl<T: FileSystem> Drop for New<'_, T> {
    fn drop(&mut self) {
        let inode = self.inode.as_ptr();
        if self.creating {
            // Without links it is evicted at once: an inode that stays cached would keep its number
            // busy.
            // SAFETY: By the type invariant it is `I_NEW`, and the reference goes.
            unsafe {
                bindings::vfs_helper_set_nlink(inode, 0);
                bindings::discard_new_inode(inode);
            }
        } else {
            // SAFETY: As above.
            unsafe { bindings::iget_failed(inode) };
        }
    }
}
