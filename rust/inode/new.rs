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
        // SAFETY: The caller's reference keeps the inode.
        if unsafe { is_new(inode) } {
            // SAFETY: The inode is hashed and `I_NEW` and the reference is ours: `iget_locked()` has just made it for us.
            return Ok(Self::New(unsafe { New::from_raw(inode) }));
        }
        // SAFETY: The reference that `iget_locked()` gave goes over, on an inode of a super block of type `T`.
        let inode = unsafe { IRef::from_raw(inode) };
        if !inode.is_live() {
            return Err(ESTALE);
        }
        Ok(Self::Cached(inode))
    }
}

/// The `I_*` flags of an inode.
///
/// # Safety
///
/// `inode` is valid.
unsafe fn state(inode: NonNull<bindings::inode>) -> bindings::inode_state_flags_enum {
    // SAFETY: The caller vouches for the inode. The word is read whole, whoever changes other bits of it meanwhile.
    unsafe { (&raw const (*inode.as_ptr()).i_state.__state).read_volatile() }
}

/// Whether the inode is `I_NEW`.
///
/// # Safety
///
/// `inode` is valid.
unsafe fn is_new(inode: NonNull<bindings::inode>) -> bool {
    // SAFETY: The caller vouches for the inode.
    unsafe { state(inode) & bindings::inode_state_flags_enum_I_NEW != 0 }
}

/// Gives one reference back that was an [`IRef`] or a [`New`].
///
/// # Safety
///
/// `inode` is valid and of type `T`; the reference is the caller's, and is counted in its container.
pub(super) unsafe fn give_back_one<T: FileSystem>(inode: NonNull<bindings::inode>) {
    // SAFETY: The caller's reference keeps the inode. Whoever has one on an inode that is `I_NEW` has made it.
    unsafe {
        if is_new(inode) {
            drop(New::<'_, T>::counted(inode));
        } else {
            Container::<T>::of(inode.as_ptr()).note_returned();
            bindings::iput(inode.as_ptr());
        }
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
/// `inode` is a valid inode of type `T` which is hashed and `I_NEW` (and `I_CREATING` if it is to be
/// a new file) and not live; the reference is ours and is counted in its container, and nobody else touches the
/// inode's attributes or data.
pub struct New<'a, T: FileSystem> {
    inode: NonNull<bindings::inode>,
    _sb: PhantomData<(&'a SuperBlock<T>, T)>,
}

impl<'a, T: FileSystem> New<'a, T> {
    /// # Safety
    ///
    /// The type invariants hold, but for the count in the container. The super block is alive for `'a`.
    unsafe fn from_raw(inode: NonNull<bindings::inode>) -> Self {
        // SAFETY: The caller's reference keeps it valid.
        unsafe { Container::<T>::of(inode.as_ptr()) }.note_given();
        // SAFETY: It was just counted; the caller vouches for the rest.
        unsafe { Self::counted(inode) }
    }

    /// # Safety
    ///
    /// The type invariants hold. The super block is alive for `'a`.
    unsafe fn counted(inode: NonNull<bindings::inode>) -> Self {
        // INVARIANT: The caller vouches for it.
        Self {
            inode,
            _sb: PhantomData,
        }
    }

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
        // SAFETY: `new_inode()` has put it on the super block's list only, and who walks that looks at the number of none
        // that is not hashed.
        unsafe { (*inode.as_ptr()).i_ino = ino };
        // SAFETY: The inode is unhashed and has its number and its super block.
        if let Err(e) = to_result(unsafe { bindings::insert_inode_locked(inode.as_ptr()) }) {
            // SAFETY: The reference is ours; the inode is unhashed and not live, so that it just
            // goes.
            unsafe { bindings::iput(inode.as_ptr()) };
            return Err(e);
        }
        // SAFETY: `insert_inode_locked()` has hashed it with `I_NEW` and `I_CREATING`; who finds it there waits, or
        // passes it by. The reference is the caller's, and goes over.
        Ok(unsafe { Self::from_raw(inode) })
    }

    /// The inode, for writing to its fields one by one.
    ///
    /// By the type invariant no lookup gives it out, so that none of its attributes is read by anybody who goes by
    /// it. But it is hashed, and others do look at its number, its state and its place in lists: so there is never a
    /// `&mut inode`.
    fn as_raw(&mut self) -> *mut bindings::inode {
        self.inode.as_ptr()
    }

    /// Sets owner, group and mode of a new file in `dir` (`inode_init_owner`).
    ///
    /// # Errors
    ///
    /// `EINVAL` if the `S_IFMT` bits of `mode` mean nothing.
    pub fn init_owner(&mut self, idmap: &Idmap, dir: &Locked<'_, T, Write>, mode: u16) -> Result {
        FileType::from_mode(mode).ok_or(EINVAL)?;
        // SAFETY: The map and the directory are valid while they are borrowed, and the directory's attributes stay: its
        // lock is held. Those of the inode are only ours (`as_raw`).
        unsafe { bindings::inode_init_owner(idmap.as_ptr(), self.as_raw(), dir.as_ptr(), mode) };
        Ok(())
    }

    /// Sets type and permissions.
    ///
    /// # Errors
    ///
    /// `EFSCORRUPTED` if the `S_IFMT` bits mean nothing.
    pub fn set_mode(&mut self, mode: u16) -> Result {
        FileType::from_mode(mode).ok_or(EFSCORRUPTED)?;
        // SAFETY: A valid inode whose attributes are only ours (`as_raw`).
        unsafe { (*self.as_raw()).i_mode = mode };
        Ok(())
    }

    /// Sets owner and group as they are stored on disk.
    pub fn set_owner(&mut self, uid: u32, gid: u32) {
        let inode = self.as_raw();
        // SAFETY: A valid inode whose attributes are only ours (`as_raw`); any number is an id or becomes the invalid one.
        unsafe {
            bindings::vfs_helper_i_uid_write(inode, uid);
            bindings::vfs_helper_i_gid_write(inode, gid);
        }
    }

    /// Sets the generation.
    pub fn set_generation(&mut self, generation: u32) {
        // SAFETY: A valid inode whose attributes are only ours (`as_raw`).
        unsafe { (*self.as_raw()).i_generation = generation };
    }

    /// Sets the device of a special file, in the encoding of `new_encode_dev()`.
    pub fn set_rdev(&mut self, rdev: u32) {
        // SAFETY: A valid inode whose attributes are only ours (`as_raw`).
        unsafe { (*self.as_raw()).i_rdev = bindings::vfs_helper_new_decode_dev(rdev) };
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
        // SAFETY: `i_link`, through which others would read it, is set when `self` is consumed, so that nobody else has a
        // reference to the vector.
        unsafe { *self.container().link_ptr() = link };
        Ok(())
    }
}

impl<'a, T: Complete> New<'a, T> {
    /// Sets the operation tables that the mode asks for and lets the filesystem be called for the
    /// inode. Gives back the inode, whose reference is the caller's then.
    fn finish(self) -> Result<NonNull<bindings::inode>> {
        // SAFETY: The inode is valid, of type `T`, and its tables are only ours until it is no longer `I_NEW`. The link
        // is not written again, `self` being consumed, and goes with the inode, a grace period after it.
        unsafe { vtable::set_operations::<T>(self.inode, &*self.container().link_ptr())? };
        self.container().set_live();
        self.container().note_returned();
        Ok(ManuallyDrop::new(self).inode)
    }

    /// Gives the inode out.
    ///
    /// # Errors
    ///
    /// `EFSCORRUPTED` if no mode was set, or it is a symbolic link whose target the filesystem does
    /// not know.
    pub fn unlock_new(self) -> Result<IRef<'a, T>> {
        let inode = self.finish()?;
        // SAFETY: It was a `New`, so it is `I_NEW`, and only we clear that.
        unsafe { bindings::unlock_new_inode(inode.as_ptr()) };
        // SAFETY: `finish` gave us the reference of the `New`, whose super block is alive for `'a`.
        Ok(unsafe { IRef::from_raw(inode) })
    }

    /// Gives the inode to `dentry`.
    ///
    /// # Safety
    ///
    /// `dentry` is a negative dentry of this super block whose directory is locked exclusively.
    pub(crate) unsafe fn instantiate(self, dentry: *mut bindings::dentry) -> Result {
        let inode = self.finish()?;
        // SAFETY: The dentry is negative and stays so until now, its directory being locked. The inode is `I_NEW`, and no
        // other dentry has it. The reference that `finish` gave us goes over.
        unsafe { bindings::d_instantiate_new(dentry, inode.as_ptr()) };
        Ok(())
    }
}

impl<T: FileSystem> Deref for New<'_, T> {
    type Target = Inode<T>;

    fn deref(&self) -> &Inode<T> {
        // SAFETY: Our reference keeps the inode between `alloc_inode` and `destroy_inode` for as long as we are borrowed.
        unsafe { Inode::from_raw(self.inode.as_ptr()) }
    }
}

impl<T: FileSystem> Drop for New<'_, T> {
    fn drop(&mut self) {
        self.container().note_returned();
        let inode = self.as_raw();
        // SAFETY: It is `I_NEW`, and only its maker, who drops it here, clears that. The reference goes: to
        // `discard_new_inode()`, or to `iget_failed()`.
        unsafe {
            if state(self.inode) & bindings::inode_state_flags_enum_I_CREATING != 0 {
                // Without links it is evicted at once: an inode that stays cached would keep its number
                // busy.
                bindings::vfs_helper_set_nlink(inode, 0);
                bindings::discard_new_inode(inode);
            } else {
                bindings::iget_failed(inode);
            }
        }
    }
}
