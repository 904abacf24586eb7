// SPDX-License-Identifier: GPL-2.0

//! Mounting, unmounting, and what concerns the volume as a whole.

use crate::{
    disk::Disk,
    engine::{Engine, NO_SLOT},
    evict,
    fault::{self, Point},
    inode::{self, InodeData},
    mount::{Mount, COMMIT_INTERVAL_MS},
    options::{OnError, Options},
    quiesce::{self, Quiescer, Request},
    task, PermFs,
};
#[cfg(permfs_panic)]
use crate::{lanes, pstore::Membership};
use kernel::{prelude::*, seq_file::SeqFile, seq_print, str::CString, sync::Arc};
use permfs_core::{
    alloc::Env,
    format::{inode::FILE_SIZE_MAX, inode::LINK_MAX, BLOCK_SIZE, NAME_MAX, ROOT_INO, STATFS_MAGIC},
    panic::{Flush, SlotGuard},
    plant::{self, Fault},
    volume::{MountError, MountOptions, Volume},
};
use vfs::{
    fs::{
        param::{Table, Value},
        FileSystem, Flags,
    },
    fs_context::FsContext,
    inode::{IRef, Inode},
    new_super_block::{NewSuperBlock, Ready},
    ops::{ContextOperations, SuperOperations},
    super_block::{StatFs, SuperBlock},
};

/// Tells mount(8) and the kernel's log why a volume is refused: what an fs_context is told goes to its
/// file descriptor alone where there is one. Gives back the errno.
fn refused(fc: &FsContext, id: &CStr, why: &MountError) -> Error {
    fc.error(fmt!("{why}"));
    pr_err!("({id}): {why}\n");
    why.errno()
}

/// Says what the mount found in the log.
fn tell_of_replay(volume: &mut Volume<Disk>, id: &CStr) {
    let store = volume.store();
    let (epochs, newest) = (store.replayed(), store.durable_epoch());
    if epochs > 0 {
        pr_notice!("({id}): {epochs} epochs replayed from the log, up to {newest}\n");
    }
    if let Some(lost) = store.lost() {
        let (first, last) = (lost.first, lost.newest);
        pr_err!("({id}): rescue: the log is damaged, epochs {first} to {last} are not shown\n");
    }
}

/// Names the last panic that the volume has a record of, and tells the panic handler where the area is.
fn survey_panic_area(volume: &mut Volume<Disk>, id: &CStr) {
    match volume.survey_panic_area() {
        Ok(survey) => {
            if let Some(last) = survey.last {
                pr_notice!("({id}): the last panic that it recorded: {last}\n");
            }
            let area = volume.panic_area();
            if area.capacity() == 0 {
                pr_warn!(
                    "({id}): a slot of the panic area has {} bytes: no panic can be recorded there\n",
                    area.slot_bytes()
                );
            }
        }
        Err(e) => pr_warn!(
            "({id}): the panic area cannot be read ({e:?}): no panic will be recorded there\n"
        ),
    }
}

/// Tells of what the mount did without because it is damaged.
fn tell_of_damage(volume: &mut Volume<Disk>, id: &CStr) {
    let left = volume.left();
    if let Some(block) = left.backup {
        pr_err!(
            "({id}): the super block is unusable: its backup in block {block} serves, read-only\n"
        );
    }
    if left.shards > 0 {
        let all = volume.geometry().shards;
        pr_err!(
            "({id}): the summary of {} of {all} shards is unusable: nothing is allocated there, and their free blocks are not known\n",
            left.shards
        );
    }
    if left.orphans > 0 {
        pr_err!(
            "({id}): {} files that were to be freed or cut are damaged and stay as they are\n",
            left.orphans
        );
    }
    if left.orphan_tree {
        pr_err!("({id}): the list of files to be freed or cut is damaged: some of them may stay\n");
    }
    if let Some(r) = volume.take_report() {
        pr_err!(
            "({id}): {:?}: {}, inode {}, block {}: run fsck.permfs\n",
            r.error,
            r.what,
            r.ino,
            r.block
        );
    }
}

#[vtable]
impl FileSystem for PermFs {
    const NAME: &'static CStr = c"permfs";
    const FLAGS: Flags = Flags::REQUIRES_DEV.or(Flags::ALLOW_IDMAP);
    type Data = Arc<Mount>;
    type InodeData = InodeData;
    type Options = Options;
    const PARAMS: Table = Options::PARAMS;

    fn init_inode() -> impl PinInit<InodeData, Error> {
        InodeData::new()
    }
}

#[vtable]
impl ContextOperations for PermFs {
    fn new_options(sb: Option<&SuperBlock<Self>>) -> Result<Options> {
        Ok(sb.map_or_else(Options::default, |sb| sb.data().options()))
    }

    fn parse_param(fc: &FsContext, options: &mut Options, id: u8, value: Value<'_>) -> Result {
        options.parse(fc, id, value)
    }

    fn fill_super<'a>(
        mut sb: NewSuperBlock<'a, Self>,
        fc: &FsContext,
        options: Options,
    ) -> Result<Ready<'a, Self>> {
        sb.set_block_size(BLOCK_SIZE as u32)?;
        sb.set_magic(STATFS_MAGIC);
        sb.set_maxbytes(FILE_SIZE_MAX);
        sb.set_max_links(LINK_MAX);
        sb.set_time_gran(1);
        sb.set_time_range(i64::MIN, i64::MAX);

        let slot = SlotGuard::claim(sb.id().to_bytes(), &[0; 16]);
        let number = slot.number().unwrap_or(NO_SLOT);
        let disk = Disk::new(sb.block_device(), number, slot.gate())?;
        let mount_options = MountOptions {
            read_only: sb.is_read_only(),
            rescue: options.rescue,
            slot,
            env: Env {
                cpu: fault::cpu,
                now_ns: vfs::time::mono_fast_ns,
            },
        };
        fault::at(Point::Mount);
        let mut volume =
            Volume::mount(disk.clone(), mount_options).map_err(|e| refused(fc, sb.id(), &e))?;
        tell_of_damage(&mut volume, sb.id());
        sb.set_uuid(&volume.uuid());
        volume.store().set_discard(options.discard);
        tell_of_replay(&mut volume, sb.id());
        survey_panic_area(&mut volume, sb.id());
        #[cfg(permfs_panic)]
        let area = volume.panic_area();
        #[cfg(permfs_panic)]
        let lane = lanes::open(number, &area, &disk, sb.is_read_only(), sb.id());
        #[cfg(permfs_panic)]
        let pstore = Membership::new(number, area, &disk)?;
        let engine = Arc::pin_init(Engine::new(volume, disk, number), GFP_KERNEL)?;
        let name = CString::try_from_fmt(fmt!("{}", sb.id()))?;
        let quiescer = Arc::pin_init(Quiescer::new(engine.clone(), name), GFP_KERNEL)?;
        let mount = Arc::pin_init(Mount::new(engine, quiescer, options), GFP_KERNEL)?;
        #[cfg(permfs_panic)]
        mount.keep_lane(lane, pstore);
        let read_only = sb.is_read_only();
        let sb = sb.init(mount)?;
        sb.data().quiescer().open(sb.background(task::QUIESCE));
        if !read_only {
            sb.schedule(task::FLUSH, COMMIT_INTERVAL_MS);
        }
        sb.set_root(|sb| inode::iget(sb, ROOT_INO))
    }

    fn reconfigure(sb: &SuperBlock<Self>, fc: &FsContext, options: &mut Options) -> Result {
        let mount = sb.data();
        let read_only = fc.leaves_read_only(sb);
        if read_only && !sb.is_read_only() {
            // The VFS has written all files back.
            mount.commit(sb)?;
            mount.engine().volume()?.remount_ro()?;
            #[cfg(permfs_panic)]
            mount.close_lane();
        } else if !read_only && sb.is_read_only() && mount.policy().has_failed() {
            fc.error(fmt!(
                "the volume became read-only because of an error: unmount it, run fsck.permfs, mount it again"
            ));
            return Err(EROFS);
        } else if !read_only && sb.is_read_only() {
            let mut volume = mount.engine().volume()?;
            let outcome = volume.remount_rw();
            outcome.map_err(|e| refused(fc, sb.id(), &e))?;
            tell_of_damage(&mut volume, sb.id());
            drop(volume);
            #[cfg(permfs_panic)]
            mount.open_lane(sb)?;
            sb.schedule(task::FLUSH, COMMIT_INTERVAL_MS);
        }
        mount.set_options(options);
        Ok(())
    }
}

#[vtable]
impl SuperOperations for PermFs {
    const BACKGROUND: &'static [&'static CStr] = task::NAMES;

    fn background(sb: &SuperBlock<Self>, task: usize) -> Option<u32> {
        match task {
            task::FLUSH => sb.data().flush(sb),
            task::QUIESCE => {
                sb.data().quiescer().serve(sb);
                None
            }
            _ => None,
        }
    }

    fn evict_inode(inode: &Inode<Self>) {
        evict::evict(inode);
    }

    fn write_inode(inode: &Inode<Self>, wait: bool) -> Result {
        if wait {
            return Self::commit_metadata(inode);
        }
        // Into the running epoch; sync_fs or fsync commits it.
        inode::write_inode(inode)
    }

    fn commit_metadata(inode: &Inode<Self>) -> Result {
        inode::write_inode(inode)?;
        if plant::is(Fault::Names) {
            return Ok(());
        }
        inode::commit(inode)
    }

    fn put_super(sb: &SuperBlock<Self>) {
        let mount = sb.data();
        fault::at(Point::Unmount);
        mount.quiescer().close();
        if mount.engine().has_failed() {
            mount.engine().give_up();
        } else {
            let outcome = mount
                .engine()
                .volume()
                .and_then(|mut volume| volume.unmount());
            if let Err(e) = mount.check(sb, outcome) {
                pr_err!(
                    "({}): unmount left work to the next mount: {e:?}\n",
                    sb.id()
                );
            }
        }
        #[cfg(permfs_panic)]
        mount.close_lane();
    }

    fn sync_fs(sb: &SuperBlock<Self>, wait: bool) -> Result {
        if !wait || sb.is_read_only() || plant::is(Fault::SyncFs) {
            return Ok(());
        }
        let mount = sb.data();
        mount.commit(sb)
    }

    fn freeze_fs(sb: &SuperBlock<Self>) -> Result {
        if sb.is_read_only() {
            // By force, after an error: nothing is written any more. The VFS does not come here otherwise.
            return Ok(());
        }
        let mount = sb.data();
        // The device holds all of it durably after this.
        mount.check_log(sb, mount.engine().checkpoint())?;
        let request = Request {
            sync: false,
            close: false,
            ms: quiesce::FREEZE_MS,
        };
        let outcome = mount.quiescer().run(sb, request);
        match outcome.result.flush_issued {
            Flush::Ok => Ok(()),
            Flush::Failed => mount.check_log(sb, Err(EIO)),
            // Readers may go on while it is frozen, and so may other users of the disk.
            _ => {
                pr_warn!(
                    "({}): frozen with its device not at rest: {outcome}\n",
                    sb.id()
                );
                Ok(())
            }
        }
    }

    fn unfreeze_fs(_sb: &SuperBlock<Self>) -> Result {
        Ok(())
    }

    fn statfs(sb: &SuperBlock<Self>) -> Result<StatFs> {
        let stat = sb.data().engine().volume()?.statfs();
        Ok(StatFs {
            blocks: stat.blocks,
            blocks_free: stat.blocks_free,
            blocks_available: stat.blocks_available,
            files: stat.files,
            files_free: stat.files_free,
            name_max: NAME_MAX as u32,
            fsid: stat.fsid,
        })
    }

    fn show_options(sb: &SuperBlock<Self>, m: &SeqFile) -> Result {
        let options = sb.data().options();
        // As in ext4: the mount is writable by its flags, and nothing is written.
        if sb.is_forced_read_only() {
            seq_print!(m, ",emergency_ro");
        }
        if options.on_error != OnError::RemountRo {
            seq_print!(m, ",errors={}", options.on_error.name());
        }
        if options.discard {
            seq_print!(m, ",discard");
        }
        if options.rescue {
            seq_print!(m, ",rescue");
        }
        Ok(())
    }

    fn fh_to_inode<'a>(
        sb: &'a SuperBlock<Self>,
        ino: u64,
        generation: u32,
    ) -> Result<IRef<'a, Self>> {
        let inode = inode::iget(sb, ino)?;
        // One without a name that somebody has open can be opened again.
        if inode.generation() != generation {
            return Err(ESTALE);
        }
        Ok(inode)
    }

    fn get_parent<'a>(sb: &'a SuperBlock<Self>, child: &Inode<Self>) -> Result<IRef<'a, Self>> {
        let mount = sb.data();
        let parent = mount.engine().volume()?.parent(child.ino());
        inode::iget(sb, mount.check(sb, parent)?)
    }

    fn shutdown(sb: &SuperBlock<Self>) {
        sb.data().shut_down(sb);
    }
}
