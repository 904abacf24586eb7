// SPDX-License-Identifier: GPL-2.0

//! A filesystem that does what no type forbids and no filesystem should: it forgets references on inodes, and drops its
//! registration while it is in use. Nothing may come of it but a message and, at worst, a wait.
//!
//! It is also the second filesystem on `vfs`, and shows how little one needs. It has an empty root.

#![crate_name = "permfs"]
#![forbid(unsafe_code)]

use kernel::{new_mutex, prelude::*, sync::Mutex};
use vfs::{
    dentry::Dentry,
    file::{DirContext, File},
    fs::{
        param::{Spec, Table, Value},
        FileSystem,
    },
    fs_context::FsContext,
    inode::{IRef, Inode, Locked, Lookup, Read},
    iomap::{BeginFlags, Ioend, Mapping},
    new_super_block::{NewSuperBlock, Ready},
    ops::{ContextOperations, FileOperations, InodeOperations, IomapOperations, SuperOperations},
    registration::Registration,
    super_block::{StatFs, SuperBlock},
};

const ROOT: u64 = 1;

struct Careless;

#[pin_data]
struct Data {
    /// So that a use after its end has something to trip over.
    #[pin]
    evicted: Mutex<KVec<u64>>,
}

/// Finds an inode or makes it: a directory if it is the root, else a file.
fn iget(sb: &SuperBlock<Careless>, ino: u64) -> Result<IRef<'_, Careless>> {
    match sb.iget_locked(ino)? {
        Lookup::Cached(inode) => Ok(inode),
        Lookup::New(mut inode) => {
            inode.set_mode(if ino == ROOT { 0o040755 } else { 0o100644 })?;
            inode.set_nlink(2);
            inode.unlock_new()
        }
    }
}

#[vtable]
impl FileSystem for Careless {
    const NAME: &'static CStr = c"careless";
    type Data = Pin<KBox<Data>>;
    type InodeData = KVec<u64>;
    type Options = ();
    const PARAMS: Table = Table::new(&[Spec::END]);

    fn init_inode() -> impl PinInit<KVec<u64>, Error> {
        KVec::from_elem(ROOT, 8, GFP_KERNEL).map_err(Error::from)
    }
}

#[vtable]
impl ContextOperations for Careless {
    fn new_options(_sb: Option<&SuperBlock<Self>>) -> Result {
        Ok(())
    }

    fn parse_param(fc: &FsContext, (): &mut (), id: u8, _value: Value<'_>) -> Result {
        Err(fc.invalid(fmt!("there is no option {id}")))
    }

    fn fill_super<'a>(
        mut sb: NewSuperBlock<'a, Self>,
        _fc: &FsContext,
        (): (),
    ) -> Result<Ready<'a, Self>> {
        sb.set_block_size(4096)?;
        let data = pin_init!(Data {
            evicted <- new_mutex!(KVec::new()),
        });
        sb.init(KBox::pin_init(data, GFP_KERNEL)?)?
            .set_root(|sb| iget(sb, ROOT))
    }
}

#[vtable]
impl SuperOperations for Careless {
    fn evict_inode(inode: &Inode<Self>) {
        let mut evicted = inode.super_block().data().get_ref().evicted.lock();
        let _ = evicted.push(inode.ino() + inode.data().len() as u64, GFP_KERNEL);
    }

    fn put_super(sb: &SuperBlock<Self>) {
        if let Ok(inode) = iget(sb, 77) {
            core::mem::forget(inode);
        }
        pr_info!(
            "{} inodes were evicted\n",
            sb.data().get_ref().evicted.lock().len()
        );
    }

    fn statfs(_sb: &SuperBlock<Self>) -> Result<StatFs> {
        Ok(StatFs::default())
    }
}

#[vtable]
impl InodeOperations for Careless {
    /// `forget` and `half` are never found: the one leaves a reference behind, the other an inode that is not made yet.
    fn lookup<'a>(dir: &'a Inode<Self>, dentry: &Dentry<Self>) -> Result<Option<IRef<'a, Self>>> {
        let sb = dir.super_block();
        match dentry.name() {
            b"forget" => {
                core::mem::forget(iget(sb, ROOT));
                core::mem::forget(iget(sb, 2));
            }
            b"half" => core::mem::forget(sb.iget_locked(3)),
            b"new" => core::mem::forget(sb.new_inode(4)),
            _ => {}
        }
        Ok(None)
    }
}

#[vtable]
impl FileOperations for Careless {
    fn iterate_shared(
        _file: &File<Self>,
        _dir: &Locked<'_, Self, Read>,
        _ctx: &mut DirContext,
    ) -> Result {
        Ok(())
    }
}

#[vtable]
impl IomapOperations for Careless {
    fn begin(_inode: &Inode<Self>, _pos: u64, _len: u64, _flags: BeginFlags) -> Result<Mapping> {
        Err(EIO)
    }

    fn writeback_map(_inode: &Inode<Self>, _pos: u64, _len: u64) -> Result<Mapping> {
        Err(EIO)
    }

    fn writeback_done(_inode: &Inode<Self>, _io: &Ioend) -> Result {
        Ok(())
    }

    fn direct_done(_inode: &Inode<Self>, _pos: u64, _len: u64, _error: Option<Error>) -> Result {
        Ok(())
    }
}

#[pin_data]
struct Module {
    late: (),
    #[pin]
    filesystem: Registration<Careless>,
}

module! {
    type: Module,
    name: "careless",
    authors: ["PermFS contributors"],
    description: "A filesystem that forgets what it has and drops what is used",
    license: "GPL",
    params: {
        fail: u8 {
            default: 0,
            description: "Let init fail three seconds after the filesystem is registered",
        },
    },
}

/// The last step of init.
fn late() -> Result {
    if module_parameters::fail.value() != 0 {
        kernel::time::delay::fsleep(kernel::time::Delta::from_millis(3000));
        return Err(ENODEV);
    }
    Ok(())
}

impl kernel::InPlaceModule for Module {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            filesystem <- Registration::new(),
            late: late()?,
        })
    }
}
