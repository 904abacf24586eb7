// SPDX-License-Identifier: GPL-2.0

//! The callbacks of `struct inode_operations`, and which tables an inode gets.

use super::{file, iomap};
use crate::{
    bindings,
    dentry::Dentry,
    inode::{FileType, IRef, Idmap, Inode, Locked, New, Write},
    ops::{Complete, Rename},
};
use core::{marker::PhantomData, ptr, ptr::NonNull};
use kernel::{error::from_result, prelude::*};

mod attr;

/// Sets the operation tables of an inode by its type.
///
/// # Errors
///
/// `EFSCORRUPTED` for a mode that means nothing, and for a symbolic link whose target is not known.
///
/// # Safety
///
/// `inode` is a valid inode of type `T` whose attributes and tables only this thread uses; `link` is its target with a
/// NUL at the end, or empty, and lives as long as the inode can be seen under RCU.
unsafe fn set_operations<T: Complete>(inode: NonNull<bindings::inode>, link: &KVec<u8>) -> Result {
    let inode = inode.as_ptr();
    // SAFETY: The caller vouches for the inode and for the fields that are used here. They are reached one by one: the
    // inode is hashed, so that others may look at its number and its state meanwhile.
    unsafe {
        match FileType::from_mode((*inode).i_mode).ok_or(EFSCORRUPTED)? {
            FileType::Directory => {
                (*inode).i_op = &VTable::<T>::DIR;
                (*inode).__bindgen_anon_3.i_fop = file::dir_operations::<T>();
            }
            FileType::Regular => {
                (*inode).i_op = &VTable::<T>::OTHER;
                (*inode).__bindgen_anon_3.i_fop = file::file_operations::<T>();
                (*inode).i_data.a_ops = iomap::pages::address_space_operations::<T>();
                // The mapping has no folio yet.
                bindings::vfs_helper_mapping_set_large_folios(inode);
            }
            FileType::Symlink if !link.is_empty() => {
                (*inode).i_op = &VTable::<T>::FAST_LINK;
                (*inode).__bindgen_anon_5.i_link = link.as_ptr().cast_mut().cast();
            }
            FileType::Symlink if T::HAS_GET_LINK => (*inode).i_op = &VTable::<T>::LINK,
            FileType::Symlink => return Err(EFSCORRUPTED),
            _ => {
                (*inode).i_op = &VTable::<T>::OTHER;
                bindings::init_special_inode(inode, (*inode).i_mode, (*inode).i_rdev);
            }
        }
    }
    Ok(())
}

impl<'a, T: Complete> New<'a, T> {
    /// Sets the operation tables that the mode asks for, and lets the filesystem be called for the inode, whose reference is the
    /// caller's then.
    fn finish(self) -> Result<NonNull<bindings::inode>> {
        // SAFETY: The inode is valid, of type `T`, and its tables are only ours until it is no longer `I_NEW`. The link
        // stays with it.
        self.into_live(|inode, link| unsafe { set_operations::<T>(inode, link) })
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
        // SAFETY: `into_live` gave us the reference of the `New`, whose super block is alive for `'a`.
        Ok(unsafe { IRef::from_raw(inode) })
    }

    /// Gives the inode to `dentry`.
    ///
    /// # Safety
    ///
    /// `dentry` is a negative dentry of this super block whose directory is locked exclusively.
    unsafe fn instantiate(self, dentry: *mut bindings::dentry) -> Result {
        let inode = self.finish()?;
        // SAFETY: The dentry is negative and stays so until now, its directory being locked. The inode is `I_NEW`, and no
        // other dentry has it. The reference that `into_live` gave us goes over.
        unsafe { bindings::d_instantiate_new(dentry, inode.as_ptr()) };
        Ok(())
    }
}

/// # Safety
///
/// For `'a`, the inode is of type `T`, there is a reference on it, and its `i_rwsem` is held as `M` says.
unsafe fn locked<'a, T: Complete, M>(inode: *mut bindings::inode) -> Locked<'a, T, M> {
    // SAFETY: An inode with a reference is valid; the caller vouches for the rest.
    unsafe { Locked::new(Inode::from_raw(inode)) }
}

/// The inode of a positive dentry, which is locked too.
///
/// # Safety
///
/// For `'a`, `dentry` is positive, of type `T`, and the `i_rwsem` of its inode is held exclusively.
unsafe fn locked_child<'a, T: Complete>(dentry: *mut bindings::dentry) -> Locked<'a, T, Write> {
    // SAFETY: A positive dentry has a reference on its inode. It stays positive: turning it negative takes that inode's lock.
    unsafe { locked(bindings::vfs_helper_d_inode(dentry)) }
}

/// What the callbacks have in common that make an inode for a name.
///
/// # Safety
///
/// `idmap` is valid, `dentry` is negative, and `dir`, its directory, is of type `T` and locked exclusively, all until this returns.
unsafe fn make<T: Complete>(
    idmap: *mut bindings::mnt_idmap,
    dir: *mut bindings::inode,
    dentry: *mut bindings::dentry,
    how: impl for<'a> FnOnce(&Idmap, &'a Locked<'_, T, Write>, &Dentry<T>) -> Result<New<'a, T>>,
) -> Result {
    // SAFETY: The caller vouches for all three. The parent dentry has a reference on the directory, and the locked directory keeps the
    // dentry's name and its being negative.
    let (idmap, dir, entry) = unsafe {
        (
            Idmap::from_raw(idmap),
            locked::<T, Write>(dir),
            Dentry::from_raw(dentry),
        )
    };
    dir.super_block().check_write()?;
    let new = how(idmap, &dir, entry)?;
    // SAFETY: The dentry is still negative. The inode is one of the directory's super block: there is no other that a `&T`
    // callback could have for that long.
    unsafe { new.instantiate(dentry) }
}

struct VTable<T>(PhantomData<T>);

impl<T: Complete> VTable<T> {
    /// Regular and special files.
    const OTHER: bindings::inode_operations = bindings::inode_operations {
        getattr: if T::HAS_GETATTR {
            Some(attr::getattr::<T>)
        } else {
            None
        },
        setattr: if T::HAS_SETATTR {
            Some(attr::setattr::<T>)
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
            Some(attr::get_link::<T>)
        } else {
            None
        },
        ..Self::OTHER
    };

    /// # Safety
    ///
    /// Called by the VFS with `dir` locked at least shared, and a dentry of it that is being looked up.
    unsafe extern "C" fn lookup(
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        _flags: c_uint,
    ) -> *mut bindings::dentry {
        // SAFETY: `__lookup_slow()` and its like hold `dir` through its dentry, and locked. The new dentry is theirs: unhashed or marked
        // as in lookup, so that nobody moves it or gives it an inode before this returns.
        let (dir, entry) = unsafe { (Inode::from_raw(dir), Dentry::from_raw(dentry)) };
        match T::lookup(dir, entry) {
            Ok(inode) => {
                let inode = inode.map_or(ptr::null_mut(), |inode| inode.into_raw().as_ptr());
                // SAFETY: The dentry is unhashed and negative as above. The reference goes over, also when it fails.
                unsafe { bindings::d_splice_alias(inode, dentry) }
            }
            Err(e) => e.to_ptr(),
        }
    }

    /// # Safety
    ///
    /// Called by the VFS with `dir` locked exclusively and a negative dentry of it.
    unsafe extern "C" fn create(
        idmap: *mut bindings::mnt_idmap,
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        mode: bindings::umode_t,
    ) -> c_int {
        from_result(|| {
            // SAFETY: `lookup_open()` and `vfs_create()` hold the directory's lock over this call, and the mount's map.
            unsafe {
                make::<T>(idmap, dir, dentry, |idmap, dir, entry| {
                    T::create(idmap, dir, entry, mode)
                })?
            };
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
        let mode = mode | FileType::Directory.mode();
        // SAFETY: `vfs_mkdir()` is called between `start_creating_path()` and `end_creating_path()`, or like it, which hold the
        // directory's lock.
        match unsafe {
            make::<T>(idmap, dir, dentry, |idmap, dir, entry| {
                T::mkdir(idmap, dir, entry, mode)
            })
        } {
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
            // SAFETY: The encoding is arithmetic.
            let rdev = unsafe { bindings::vfs_helper_new_encode_dev(rdev) };
            // SAFETY: `vfs_mknod()` is called with the directory locked, as `vfs_mkdir()` is.
            unsafe {
                make::<T>(idmap, dir, dentry, |idmap, dir, entry| {
                    T::mknod(idmap, dir, entry, mode, rdev)
                })?
            };
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
            // SAFETY: The string is the caller's copy of what user space gave (`getname()`), and ends with a NUL.
            let target = unsafe { CStr::from_char_ptr(target) };
            // SAFETY: `vfs_symlink()` is called with the directory locked, as `vfs_mkdir()` is.
            unsafe {
                make::<T>(idmap, dir, dentry, |idmap, dir, entry| {
                    T::symlink(idmap, dir, entry, target)
                })?
            };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS with `dir` and the inode of `old` locked exclusively, and a negative dentry of `dir`.
    unsafe extern "C" fn link(
        old: *mut bindings::dentry,
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
    ) -> c_int {
        from_result(|| {
            // SAFETY: `vfs_link()` locks the inode, of which `old` is a positive dentry, and its caller the directory, as for `create`.
            let (inode, dir, entry) = unsafe {
                (
                    locked_child::<T>(old),
                    locked::<T, Write>(dir),
                    Dentry::from_raw(dentry),
                )
            };
            dir.super_block().check_write()?;
            T::link(&inode, &dir, entry)?;
            // SAFETY: The dentry is still negative, its directory being locked. The new reference goes over to it.
            unsafe { bindings::d_instantiate(dentry, inode.to_ref().into_raw().as_ptr()) };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS with `dir`, and the inode of `dentry`, which is in it, locked exclusively.
    unsafe extern "C" fn unlink(dir: *mut bindings::inode, dentry: *mut bindings::dentry) -> c_int {
        from_result(|| {
            // SAFETY: `vfs_unlink()` locks the inode, and its caller (`start_removing()`) the directory, which keeps the name.
            let (inode, dir, entry) = unsafe {
                (
                    locked_child::<T>(dentry),
                    locked::<T, Write>(dir),
                    Dentry::from_raw(dentry),
                )
            };
            dir.super_block().check_write()?;
            T::unlink(&dir, entry, &inode)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// As for `unlink`.
    unsafe extern "C" fn rmdir(dir: *mut bindings::inode, dentry: *mut bindings::dentry) -> c_int {
        from_result(|| {
            // SAFETY: `vfs_rmdir()` locks the directory that goes, and its caller (`start_removing()`) the one that it is in.
            let (inode, dir, entry) = unsafe {
                (
                    locked_child::<T>(dentry),
                    locked::<T, Write>(dir),
                    Dentry::from_raw(dentry),
                )
            };
            dir.super_block().check_write()?;
            T::rmdir(&dir, entry, &inode)?;
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
            // SAFETY: `start_renaming()` has locked both directories (`lock_rename()`) and holds their dentries until `end_renaming()`,
            // which is after this. That keeps both names, and which inodes they have.
            let (idmap, old_dir, new_dir, old, new) = unsafe {
                (
                    Idmap::from_raw(idmap),
                    locked::<T, Write>(old_dir),
                    locked::<T, Write>(new_dir),
                    Dentry::<T>::from_raw(old),
                    Dentry::<T>::from_raw(new),
                )
            };
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
            old_dir.super_block().check_write()?;
            T::rename(idmap, &rename)?;
            Ok(0)
        })
    }
}
