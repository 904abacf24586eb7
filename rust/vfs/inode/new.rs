// SPDX-License-Identifier: GPL-2.0

//! Inodes that are being made.

use super::{container::Container, FileType, IRef, Idmap, Inode, Locked, Write};
use crate::{bindings, fs::FileSystem, super_block::SuperBlock};
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
    unsafe fn from_raw(inode: NonNull<bindings::inode>) -> Result<Self> {
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

impl<T: FileSystem> SuperBlock<T> {
    /// Looks `ino` up in the inode cache and puts a new inode there if it is missing. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, also while the inode is being created; `ESTALE` if making it has failed.
    pub fn iget_locked(&self, ino: u64) -> Result<Lookup<'_, T>> {
        // SAFETY: A valid super block, whose `alloc_inode` is set and which has data for the inodes to point at. Sleeps.
        let inode = unsafe { bindings::iget_locked(self.as_ptr(), ino) };
        let inode = NonNull::new(inode).ok_or(ENOMEM)?;
        // SAFETY: `iget_locked` gave us a reference on a valid inode of this super block.
        unsafe { Lookup::from_raw(inode) }
    }

    /// Looks `ino` up in the inode cache only. May sleep.
    pub fn ilookup(&self, ino: u64) -> Option<IRef<'_, T>> {
        // SAFETY: A valid super block; the inode hash is there from boot on. Sleeps.
        let inode = NonNull::new(unsafe { bindings::ilookup(self.as_ptr(), ino) })?;
        // SAFETY: `ilookup` gave us a reference on a valid inode that is no longer new.
        let inode = unsafe { IRef::from_raw(inode) };
        inode.is_live().then_some(inode)
    }

    /// Makes the in-memory inode for a file that is being created. The caller fills it in and gives
    /// it away.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, or `EBUSY` if an inode of that number is in use.
    pub fn new_inode(&self, ino: u64) -> Result<New<'_, T>> {
        // SAFETY: A valid super block with data, as for `iget_locked`. Sleeps.
        let inode = NonNull::new(unsafe { bindings::new_inode(self.as_ptr()) }).ok_or(ENOMEM)?;
        // SAFETY: `new_inode` gave us the only reference on a valid inode of this super block.
        unsafe { New::insert(inode, ino) }
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
pub(super) unsafe fn is_new(inode: NonNull<bindings::inode>) -> bool {
    // SAFETY: The caller vouches for the inode.
    unsafe { state(inode) & bindings::inode_state_flags_enum_I_NEW != 0 }
}

/// An inode that only its maker uses.
///
/// The ways out are [`New::unlock_new`] and being returned from a callback that creates; otherwise
/// `Drop` fails the inode: whoever waits for it tries again or gets an error, and
/// [`evict_inode`](crate::ops::SuperOperations::evict_inode) is not called. What was done
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
    pub(super) unsafe fn counted(inode: NonNull<bindings::inode>) -> Self {
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
    unsafe fn insert(inode: NonNull<bindings::inode>, ino: u64) -> Result<Self> {
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

impl<'a, T: FileSystem> New<'a, T> {
    /// Lets the filesystem be called for the inode once `set_operations` has set its tables: it gets the target of a symbolic
    /// link with a NUL at the end, or nothing. Gives back the inode, still `I_NEW`, whose reference is the caller's then.
    pub(crate) fn into_live(
        self,
        set_operations: impl FnOnce(NonNull<bindings::inode>, &KVec<u8>) -> Result,
    ) -> Result<NonNull<bindings::inode>> {
        // SAFETY: `self` is consumed, so that the link is not written again; it goes with the inode, a grace period after it.
        set_operations(self.inode, unsafe { &*self.container().link_ptr() })?;
        self.container().set_live();
        self.container().note_returned();
        Ok(ManuallyDrop::new(self).inode)
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
