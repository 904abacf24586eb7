// SPDX-License-Identifier: GPL-2.0

//! The callbacks of `struct inode_operations`, and which tables an inode gets.

use super::{Attr, FileType, Idmap, Inode, Kstat, Locked, New, Rename, Write};
use crate::{bindings, dentry::Dentry, file, fs::Complete, iomap};
use core::{marker::PhantomData, ptr};
use kernel::{error::from_result, prelude::*};

/// Sets the operation tables of an inode by its type.
///
/// # Errors
///
/// `EFSCORRUPTED` for a mode that means nothing, and for a symbolic link whose target is not known.
///
/// # Safety
///
/// `inode` is a new inode of type `T` that only this thread uses; `link` is its target with a NUL
/// at the end, or empty, and lives as long as the inode can be seen under RCU.
pub(super) unsafe fn set_operations<T: Complete>(
    inode: *mut bindings::inode,
    link: &KVec<u8>,
) -> Result {
    // SAFETY: By the contract.
    let inode = unsafe { &mut *inode };
    match FileType::from_mode(inode.i_mode).ok_or(EFSCORRUPTED)? {
        FileType::Directory => {
            inode.i_op = &VTable::<T>::DIR;
            inode.__bindgen_anon_3.i_fop = file::dir_operations::<T>();
        }
        FileType::Regular => {
            inode.i_op = &VTable::<T>::OTHER;
            inode.__bindgen_anon_3.i_fop = file::file_operations::<T>();
            inode.i_data.a_ops = iomap::address_space_operations::<T>();
            // SAFETY: The mapping has no folio yet.
            unsafe { bindings::vfs_helper_mapping_set_large_folios(inode) };
        }
        FileType::Symlink if !link.is_empty() => {
            inode.i_op = &VTable::<T>::FAST_LINK;
            inode.__bindgen_anon_5.i_link = link.as_ptr().cast_mut().cast();
        }
        FileType::Symlink if T::HAS_GET_LINK => inode.i_op = &VTable::<T>::LINK,
        FileType::Symlink => return Err(EFSCORRUPTED),
        _ => {
            inode.i_op = &VTable::<T>::OTHER;
            let (mode, rdev) = (inode.i_mode, inode.i_rdev);
            // SAFETY: A new inode whose mode says that it is special.
            unsafe { bindings::init_special_inode(inode, mode, rdev) };
        }
    }
    Ok(())
}

/// # Safety
///
/// The inode is of type `T`, and its `i_rwsem` is held as `M` says for `'a`.
unsafe fn locked<'a, T: Complete, M>(inode: *mut bindings::inode) -> Locked<'a, T, M> {
    // SAFETY: By the contract.
    unsafe { Locked::new(Inode::from_raw(inode)) }
}

struct VTable<T>(PhantomData<T>);

impl<T: Complete> VTable<T> {
    /// Regular and special files.
    const OTHER: bindings::inode_operations = bindings::inode_operations {
        getattr: if T::HAS_GETATTR {
            Some(Self::getattr)
        } else {
            None
        },
        setattr: if T::HAS_SETATTR {
            Some(Self::setattr)
        } else {
            None
        },
        ..pin_init::zeroed()
    };

    const DIR: bindings::inode_operations = bindings::inode_operations {
        lookup: Some(Self::lookup),
        create: if T::HAS_CREATE {
            Some(Self::create)
        } else {
            None
        },
        link: if T::HAS_LINK { Some(Self::link) } else { None },
        unlink: if T::HAS_UNLINK {
            Some(Self::unlink)
        } else {
            None
        },
        symlink: if T::HAS_SYMLINK {
            Some(Self::symlink)
        } else {
            None
        },
        mkdir: if T::HAS_MKDIR {
            Some(Self::mkdir)
        } else {
            None
        },
        rmdir: if T::HAS_RMDIR {
            Some(Self::rmdir)
        } else {
            None
        },
        mknod: if T::HAS_MKNOD {
            Some(Self::mknod)
        } else {
            None
        },
        rename: if T::HAS_RENAME {
            Some(Self::rename)
        } else {
            None
        },
        ..Self::OTHER
    };

    /// Symbolic links whose target is in memory.
    const FAST_LINK: bindings::inode_operations = bindings::inode_operations {
        get_link: Some(bindings::simple_get_link),
        ..Self::OTHER
    };

    const LINK: bindings::inode_operations = bindings::inode_operations {
        get_link: if T::HAS_GET_LINK {
            Some(Self::get_link)
        } else {
            None
        },
        ..Self::OTHER
    };

    /// # Safety
    ///
    /// Called by the VFS with `dir` locked at least shared, and a dentry that is in lookup.
    unsafe extern "C" fn lookup(
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        _flags: c_uint,
    ) -> *mut bindings::dentry {
        // SAFETY: By the contract both are valid and of type `T`.
        match T::lookup(unsafe { Inode::from_raw(dir) }, unsafe {
            Dentry::from_raw(dentry)
        }) {
            Ok(inode) => {
                let inode = inode.map_or(ptr::null_mut(), |inode| inode.into_raw().as_ptr());
                // SAFETY: The reference goes over, also when it fails; `dentry` is in lookup.
                unsafe { bindings::d_splice_alias(inode, dentry) }
            }
            Err(e) => e.to_ptr(),
        }
    }

    /// # Safety
    ///
    /// Called by the VFS with `dir` locked exclusively and a negative dentry.
    unsafe extern "C" fn create(
        idmap: *mut bindings::mnt_idmap,
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        mode: bindings::umode_t,
    ) -> c_int {
        from_result(|| {
            // SAFETY: By the contract.
            let (idmap, dir) = unsafe { (Idmap::from_raw(idmap), locked::<T, Write>(dir)) };
            // SAFETY: By the contract.
            let new = T::create(idmap, &dir, unsafe { Dentry::from_raw(dentry) }, mode)?;
            // SAFETY: By the contract.
            unsafe { new.instantiate(dentry)? };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// As for `create`.
    unsafe extern "C" fn mkdir(
        idmap: *mut bindings::mnt_idmap,
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        mode: bindings::umode_t,
    ) -> *mut bindings::dentry {
        let make = || -> Result {
            // SAFETY: By the contract.
            let (idmap, dir) = unsafe { (Idmap::from_raw(idmap), locked::<T, Write>(dir)) };
            // SAFETY: By the contract.
            let entry = unsafe { Dentry::from_raw(dentry) };
            let new = T::mkdir(idmap, &dir, entry, mode | FileType::Directory.mode())?;
            // SAFETY: By the contract.
            unsafe { new.instantiate(dentry) }
        };
        match make() {
            // Null stands for the dentry that was passed.
            Ok(()) => ptr::null_mut(),
            Err(e) => e.to_ptr(),
        }
    }

    /// # Safety
    ///
    /// As for `create`.
    unsafe extern "C" fn mknod(
        idmap: *mut bindings::mnt_idmap,
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        mode: bindings::umode_t,
        rdev: bindings::dev_t,
    ) -> c_int {
        from_result(|| {
            // SAFETY: By the contract.
            let (idmap, dir) = unsafe { (Idmap::from_raw(idmap), locked::<T, Write>(dir)) };
            // SAFETY: By the contract; the encoding is arithmetic.
            let (entry, rdev) = unsafe {
                (
                    Dentry::from_raw(dentry),
                    bindings::vfs_helper_new_encode_dev(rdev),
                )
            };
            let new: New<'_, T> = T::mknod(idmap, &dir, entry, mode, rdev)?;
            // SAFETY: By the contract.
            unsafe { new.instantiate(dentry)? };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// As for `create`; `target` is a NUL-terminated string.
    unsafe extern "C" fn symlink(
        idmap: *mut bindings::mnt_idmap,
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        target: *const c_char,
    ) -> c_int {
        from_result(|| {
            // SAFETY: By the contract.
            let (idmap, dir) = unsafe { (Idmap::from_raw(idmap), locked::<T, Write>(dir)) };
            // SAFETY: By the contract.
            let (entry, target) =
                unsafe { (Dentry::from_raw(dentry), CStr::from_char_ptr(target)) };
            let new = T::symlink(idmap, &dir, entry, target)?;
            // SAFETY: By the contract.
            unsafe { new.instantiate(dentry)? };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS with `dir` and the inode of `old` locked exclusively, and `dentry`
    /// negative.
    unsafe extern "C" fn link(
        old: *mut bindings::dentry,
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
    ) -> c_int {
        from_result(|| {
            // SAFETY: By the contract.
            let (inode, dir) = unsafe {
                (
                    locked::<T, Write>(bindings::vfs_helper_d_inode(old)),
                    locked::<T, Write>(dir),
                )
            };
            // SAFETY: By the contract.
            T::link(&inode, &dir, unsafe { Dentry::from_raw(dentry) })?;
            let inode = inode.to_ref().into_raw();
            // SAFETY: The reference goes over to the dentry, which is negative.
            unsafe { bindings::d_instantiate(dentry, inode.as_ptr()) };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS with `dir` and the inode of `dentry` locked exclusively.
    unsafe extern "C" fn unlink(dir: *mut bindings::inode, dentry: *mut bindings::dentry) -> c_int {
        from_result(|| {
            // SAFETY: By the contract.
            let (inode, dir) = unsafe {
                (
                    locked::<T, Write>(bindings::vfs_helper_d_inode(dentry)),
                    locked::<T, Write>(dir),
                )
            };
            // SAFETY: By the contract.
            T::unlink(&dir, unsafe { Dentry::from_raw(dentry) }, &inode)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// As for `unlink`.
    unsafe extern "C" fn rmdir(dir: *mut bindings::inode, dentry: *mut bindings::dentry) -> c_int {
        from_result(|| {
            // SAFETY: By the contract.
            let (inode, dir) = unsafe {
                (
                    locked::<T, Write>(bindings::vfs_helper_d_inode(dentry)),
                    locked::<T, Write>(dir),
                )
            };
            // SAFETY: By the contract.
            T::rmdir(&dir, unsafe { Dentry::from_raw(dentry) }, &inode)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS with both directories locked exclusively, and the renames of the super
    /// block serialised if they differ, so that both names are stable.
    unsafe extern "C" fn rename(
        idmap: *mut bindings::mnt_idmap,
        old_dir: *mut bindings::inode,
        old: *mut bindings::dentry,
        new_dir: *mut bindings::inode,
        new: *mut bindings::dentry,
        flags: c_uint,
    ) -> c_int {
        from_result(|| {
            if flags & !(bindings::RENAME_NOREPLACE | bindings::RENAME_EXCHANGE) != 0 {
                return Err(EINVAL);
            }
            // SAFETY: By the contract.
            let (idmap, old_dir, new_dir) = unsafe {
                (
                    Idmap::from_raw(idmap),
                    locked::<T, Write>(old_dir),
                    locked::<T, Write>(new_dir),
                )
            };
            // SAFETY: By the contract.
            let (old, new) = unsafe { (Dentry::<T>::from_raw(old), Dentry::<T>::from_raw(new)) };
            let rename = Rename {
                old_dir: &old_dir,
                old,
                inode: old.inode().ok_or(ENOENT)?,
                new_dir: &new_dir,
                new,
                target: new.inode(),
                noreplace: flags & bindings::RENAME_NOREPLACE != 0,
                exchange: flags & bindings::RENAME_EXCHANGE != 0,
            };
            T::rename(idmap, &rename)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS with the inode of `dentry` locked exclusively.
    unsafe extern "C" fn setattr(
        idmap: *mut bindings::mnt_idmap,
        dentry: *mut bindings::dentry,
        attr: *mut bindings::iattr,
    ) -> c_int {
        from_result(|| {
            // SAFETY: By the contract.
            let (idmap, entry, attr) = unsafe {
                (
                    Idmap::from_raw(idmap),
                    Dentry::from_raw(dentry),
                    Attr::from_raw(attr),
                )
            };
            // SAFETY: By the contract.
            let inode = unsafe { locked::<T, Write>(bindings::vfs_helper_d_inode(dentry)) };
            T::setattr(idmap, entry, &inode, attr)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS with a valid path of this filesystem.
    unsafe extern "C" fn getattr(
        idmap: *mut bindings::mnt_idmap,
        path: *const bindings::path,
        stat: *mut bindings::kstat,
        request_mask: u32,
        _flags: c_uint,
    ) -> c_int {
        from_result(|| {
            // SAFETY: By the contract the path's dentry is positive.
            let inode = unsafe { bindings::vfs_helper_d_inode((*path).dentry) };
            // SAFETY: By the contract.
            unsafe { bindings::generic_fillattr(idmap, request_mask, inode, stat) };
            // SAFETY: By the contract; `stat` is ours for the call.
            let (inode, stat) = unsafe { (Inode::from_raw(inode), Kstat::from_raw(stat)) };
            T::getattr(inode, stat, request_mask)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS for a symbolic link of this filesystem: with a dentry and a reference on
    /// the inode, or without a dentry under RCU.
    unsafe extern "C" fn get_link(
        dentry: *mut bindings::dentry,
        inode: *mut bindings::inode,
        done: *mut bindings::delayed_call,
    ) -> *const c_char {
        if dentry.is_null() {
            return ECHILD.to_ptr::<c_char>();
        }
        // SAFETY: By the contract a reference is held.
        match T::get_link(unsafe { Inode::from_raw(inode) }) {
            Ok(target) => {
                // SAFETY: NUL-terminated.
                let copy = unsafe {
                    bindings::kstrdup(target.as_char_ptr(), bindings::VFS_CONST_GFP_KERNEL)
                };
                if copy.is_null() {
                    return ENOMEM.to_ptr::<c_char>();
                }
                // SAFETY: `done` is valid; the VFS calls it when it is through with the copy.
                unsafe { bindings::vfs_helper_set_delayed_kfree(done, copy.cast()) };
                copy
            }
            Err(e) => e.to_ptr::<c_char>(),
        }
    }
}
