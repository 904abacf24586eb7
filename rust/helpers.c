// SPDX-License-Identifier: GPL-2.0
/*
 * Functions for what C has only as inline functions or macros. They decide nothing: the argument
 * for each call stands at the Rust side.
 */
#include "bindings_helper.h"

bool vfs_helper_sb_rdonly(const struct super_block *sb)
{
	return sb_rdonly(sb);
}

/* For a super block that nobody else sees yet. */
void vfs_helper_sb_set_rdonly(struct super_block *sb)
{
	WRITE_ONCE(sb->s_flags, READ_ONCE(sb->s_flags) | SB_RDONLY);
}

bool vfs_helper_sb_try_set_rdonly(struct super_block *sb)
{
	bool done;

	if (!down_write_trylock(&sb->s_umount))
		return false;
	done = sb_rdonly(sb) || sb->s_writers.frozen == SB_UNFROZEN;
	if (done)
		WRITE_ONCE(sb->s_flags, READ_ONCE(sb->s_flags) | SB_RDONLY);
	up_write(&sb->s_umount);
	return done;
}

int vfs_helper_sb_try_sync(struct super_block *sb)
{
	int ret;

	if (!down_read_trylock(&sb->s_umount))
		return -EBUSY;
	ret = sync_filesystem(sb);
	up_read(&sb->s_umount);
	return ret;
}

void vfs_helper_report_metadata(struct super_block *sb, int error)
{
	fserror_report_metadata(sb, error, GFP_NOWAIT);
}

void vfs_helper_report_shutdown(struct super_block *sb)
{
	fserror_report_shutdown(sb, GFP_NOWAIT);
}

void vfs_helper_sb_start_intwrite(struct super_block *sb)
{
	sb_start_intwrite(sb);
}

void vfs_helper_sb_end_intwrite(struct super_block *sb)
{
	sb_end_intwrite(sb);
}

void vfs_helper_sb_start_pagefault(struct super_block *sb)
{
	sb_start_pagefault(sb);
}

void vfs_helper_sb_end_pagefault(struct super_block *sb)
{
	sb_end_pagefault(sb);
}

void vfs_helper_super_set_uuid(struct super_block *sb, const u8 *uuid, unsigned int len)
{
	super_set_uuid(sb, uuid, len);
}

bool vfs_helper_fs_type_idle(struct file_system_type *fst)
{
	return hlist_empty(&fst->fs_supers);
}

void vfs_helper_fill_statfs(struct super_block *sb, struct kstatfs *buf, u64 fsid)
{
	buf->f_type = sb->s_magic;
	buf->f_bsize = sb->s_blocksize;
	buf->f_frsize = sb->s_blocksize;
	buf->f_fsid = u64_to_fsid(fsid);
}

struct kmem_cache *vfs_helper_kmem_cache_create(const char *name, unsigned int size,
						unsigned int align,
						void (*ctor)(void *))
{
	return kmem_cache_create(name, size, align, SLAB_RECLAIM_ACCOUNT | SLAB_ACCOUNT, ctor);
}

void *vfs_helper_alloc_inode_sb(struct super_block *sb, struct kmem_cache *cache)
{
	return alloc_inode_sb(sb, cache, GFP_KERNEL);
}

void vfs_helper_set_nlink(struct inode *inode, unsigned int nlink)
{
	set_nlink(inode, nlink);
}

unsigned int vfs_helper_i_nlink(const struct inode *inode)
{
	return READ_ONCE(inode->i_nlink);
}

loff_t vfs_helper_i_size_read(const struct inode *inode)
{
	return i_size_read(inode);
}

void vfs_helper_i_size_write(struct inode *inode, loff_t size)
{
	i_size_write(inode, size);
}

umode_t vfs_helper_i_mode(const struct inode *inode)
{
	return READ_ONCE(inode->i_mode);
}

unsigned int vfs_helper_i_uid_read(const struct inode *inode)
{
	return i_uid_read(inode);
}

unsigned int vfs_helper_i_gid_read(const struct inode *inode)
{
	return i_gid_read(inode);
}

void vfs_helper_i_uid_write(struct inode *inode, unsigned int uid)
{
	i_uid_write(inode, uid);
}

void vfs_helper_i_gid_write(struct inode *inode, unsigned int gid)
{
	i_gid_write(inode, gid);
}

struct timespec64 vfs_helper_inode_get_atime(const struct inode *inode)
{
	return inode_get_atime(inode);
}

struct timespec64 vfs_helper_inode_get_mtime(const struct inode *inode)
{
	return inode_get_mtime(inode);
}

struct timespec64 vfs_helper_inode_get_ctime(const struct inode *inode)
{
	return inode_get_ctime(inode);
}

void vfs_helper_inode_set_atime(struct inode *inode, struct timespec64 ts)
{
	inode_set_atime_to_ts(inode, ts);
}

void vfs_helper_inode_set_mtime(struct inode *inode, struct timespec64 ts)
{
	inode_set_mtime_to_ts(inode, ts);
}

u64 vfs_helper_i_blocks(struct inode *inode)
{
	u64 sectors;

	spin_lock(&inode->i_lock);
	sectors = inode->i_blocks;
	spin_unlock(&inode->i_lock);
	return sectors;
}

void vfs_helper_set_i_blocks(struct inode *inode, u64 sectors)
{
	spin_lock(&inode->i_lock);
	inode->i_blocks = sectors;
	inode->i_bytes = 0;
	spin_unlock(&inode->i_lock);
}

unsigned int vfs_helper_i_flags(const struct inode *inode)
{
	return READ_ONCE(inode->i_flags);
}

void vfs_helper_mark_inode_dirty(struct inode *inode, bool datasync)
{
	__mark_inode_dirty(inode, datasync ? I_DIRTY_DATASYNC : I_DIRTY_SYNC);
}

void vfs_helper_inode_lock(struct inode *inode)
{
	inode_lock(inode);
}

void vfs_helper_inode_unlock(struct inode *inode)
{
	inode_unlock(inode);
}

void vfs_helper_inode_lock_shared(struct inode *inode)
{
	inode_lock_shared(inode);
}

void vfs_helper_inode_unlock_shared(struct inode *inode)
{
	inode_unlock_shared(inode);
}

void vfs_helper_filemap_invalidate_lock(struct inode *inode)
{
	filemap_invalidate_lock(inode->i_mapping);
}

void vfs_helper_filemap_invalidate_unlock(struct inode *inode)
{
	filemap_invalidate_unlock(inode->i_mapping);
}

void vfs_helper_filemap_invalidate_lock_shared(struct inode *inode)
{
	filemap_invalidate_lock_shared(inode->i_mapping);
}

void vfs_helper_filemap_invalidate_unlock_shared(struct inode *inode)
{
	filemap_invalidate_unlock_shared(inode->i_mapping);
}

void vfs_helper_mapping_set_large_folios(struct inode *inode)
{
	mapping_set_large_folios(inode->i_mapping);
}

bool vfs_helper_mapping_stable_writes(const struct inode *inode)
{
	return mapping_stable_writes(inode->i_mapping);
}

bool vfs_helper_inode_is_nosec(const struct inode *inode)
{
	return IS_NOSEC(inode);
}

u32 vfs_helper_new_encode_dev(dev_t dev)
{
	return new_encode_dev(dev);
}

dev_t vfs_helper_new_decode_dev(u32 dev)
{
	return new_decode_dev(dev);
}

void vfs_helper_set_delayed_kfree(struct delayed_call *call, void *ptr)
{
	set_delayed_call(call, kfree_link, ptr);
}

struct inode *vfs_helper_d_inode(const struct dentry *dentry)
{
	return d_inode(dentry);
}

const unsigned char *vfs_helper_d_name(const struct dentry *dentry, unsigned int *len)
{
	*len = dentry->d_name.len;
	return dentry->d_name.name;
}

bool vfs_helper_dir_emit(struct dir_context *ctx, const char *name, int len, u64 ino,
			 unsigned int type)
{
	return dir_emit(ctx, name, len, ino, type);
}

bool vfs_helper_dir_emit_dots(struct file *file, struct dir_context *ctx)
{
	return dir_emit_dots(file, ctx);
}

struct inode *vfs_helper_file_inode(const struct file *file)
{
	return file_inode(file);
}

void vfs_helper_file_accessed(struct file *file)
{
	file_accessed(file);
}

void vfs_helper_file_set_can_odirect(struct file *file)
{
	file->f_mode |= FMODE_CAN_ODIRECT;
}

ssize_t vfs_helper_generic_write_sync(struct kiocb *iocb, ssize_t count)
{
	return generic_write_sync(iocb, count);
}

size_t vfs_helper_iov_iter_count(const struct iov_iter *iter)
{
	return iov_iter_count(iter);
}

void vfs_helper_iov_iter_reexpand(struct iov_iter *iter, size_t count)
{
	iov_iter_reexpand(iter, count);
}

struct file *vfs_helper_vmf_file(struct vm_fault *vmf)
{
	return vmf->vma->vm_file;
}

struct file *vfs_helper_get_file(struct file *file)
{
	return get_file(file);
}

loff_t vfs_helper_folio_end(const struct folio *folio)
{
	return folio_next_pos(folio);
}

loff_t vfs_helper_last_written_block(struct inode *inode, loff_t pos, ssize_t written)
{
	return iomap_last_written_block(inode, pos, written);
}

loff_t vfs_helper_block_round_up(struct inode *inode, loff_t pos)
{
	return round_up(pos, i_blocksize(inode));
}

void vfs_helper_spin_lock_init(spinlock_t *lock)
{
	spin_lock_init(lock);
}

unsigned long vfs_helper_spin_lock_irqsave(spinlock_t *lock)
{
	unsigned long flags;

	spin_lock_irqsave(lock, flags);
	return flags;
}

void vfs_helper_spin_unlock_irqrestore(spinlock_t *lock, unsigned long flags)
{
	spin_unlock_irqrestore(lock, flags);
}

void vfs_helper_init_list_head(struct list_head *list)
{
	INIT_LIST_HEAD(list);
}

bool vfs_helper_list_empty(const struct list_head *list)
{
	return list_empty(list);
}

void vfs_helper_list_add_tail(struct list_head *entry, struct list_head *head)
{
	list_add_tail(entry, head);
}

void vfs_helper_list_replace_init(struct list_head *from, struct list_head *to)
{
	list_replace_init(from, to);
}

struct iomap_ioend *vfs_helper_ioend_pop(struct list_head *list)
{
	struct iomap_ioend *ioend = list_first_entry_or_null(list, struct iomap_ioend, io_list);

	if (ioend)
		list_del_init(&ioend->io_list);
	return ioend;
}

struct iomap_ioend *vfs_helper_ioend_from_bio(struct bio *bio)
{
	return iomap_ioend_from_bio(bio);
}

void vfs_helper_bio_clear_complete_in_task(struct bio *bio)
{
	bio_clear_flag(bio, BIO_COMPLETE_IN_TASK);
}

/* iomap's own end_io for reads is static: what it does for a read that did not fail. */
void vfs_helper_end_buffered_read(struct bio *bio)
{
	struct folio_iter fi;

	bio_for_each_folio_all(fi, bio)
		iomap_finish_folio_read(fi.folio, fi.offset, fi.length, 0);
	bio_put(bio);
}

/* The bio of iomap_bio_read_folio_range_sync(), which modules do not see. */
struct bio *vfs_helper_folio_range_bio(const struct iomap_iter *iter, struct folio *folio,
				       loff_t pos, size_t len)
{
	const struct iomap *srcmap = iomap_iter_srcmap(iter);
	struct bio *bio = bio_alloc(srcmap->bdev, 1, REQ_OP_READ | REQ_SYNC, GFP_NOFS);

	bio->bi_iter.bi_sector = iomap_sector(srcmap, pos);
	bio_add_folio_nofail(bio, folio, len, offset_in_folio(folio, pos));
	return bio;
}

void vfs_helper_cond_resched(void)
{
	cond_resched();
}

void vfs_helper_init_work(struct work_struct *work, void (*func)(struct work_struct *))
{
	INIT_WORK(work, func);
}

void vfs_helper_init_delayed_work(struct delayed_work *work, void (*func)(struct work_struct *))
{
	INIT_DELAYED_WORK(work, func);
}

struct delayed_work *vfs_helper_to_delayed_work(struct work_struct *work)
{
	return to_delayed_work(work);
}

bool vfs_helper_queue_work(struct workqueue_struct *wq, struct work_struct *work)
{
	return queue_work(wq, work);
}

bool vfs_helper_queue_delayed_work(struct workqueue_struct *wq, struct delayed_work *work,
				   unsigned int msecs)
{
	return queue_delayed_work(wq, work, msecs_to_jiffies(msecs));
}

bool vfs_helper_mod_delayed_work(struct workqueue_struct *wq, struct delayed_work *work,
				 unsigned int msecs)
{
	return mod_delayed_work(wq, work, msecs_to_jiffies(msecs));
}

struct workqueue_struct *vfs_helper_alloc_workqueue(const char *name, int max_active)
{
	return alloc_workqueue("%s", WQ_MEM_RECLAIM | WQ_FREEZABLE | WQ_UNBOUND, max_active, name);
}

void vfs_helper_init_completion(struct completion *x)
{
	init_completion(x);
}

struct block_device *vfs_helper_file_bdev(struct file *file)
{
	return file_bdev(file);
}

u64 vfs_helper_bdev_nr_bytes(struct block_device *bdev)
{
	return bdev_nr_bytes(bdev);
}

unsigned int vfs_helper_bdev_logical_block_size(struct block_device *bdev)
{
	return bdev_logical_block_size(bdev);
}

unsigned int vfs_helper_bdev_physical_block_size(struct block_device *bdev)
{
	return bdev_physical_block_size(bdev);
}

bool vfs_helper_bdev_write_cache(struct block_device *bdev)
{
	return bdev_write_cache(bdev);
}

bool vfs_helper_bdev_fua(struct block_device *bdev)
{
	return bdev_fua(bdev);
}

unsigned int vfs_helper_bdev_max_discard_sectors(struct block_device *bdev)
{
	return bdev_max_discard_sectors(bdev);
}

bool vfs_helper_queue_is_mq(struct request_queue *q)
{
	return queue_is_mq(q);
}

bool vfs_helper_bdev_read_only(struct block_device *bdev)
{
	return bdev_read_only(bdev);
}

/*
 * Memory that a bio can point at: the linear map or vmalloc space, not the image of a module.
 * Aligned for the device, and so that no page boundary is inside of a logical block.
 */
bool vfs_helper_buffer_is_dmaable(struct block_device *bdev, const void *ptr)
{
	if ((unsigned long)ptr & (bdev_dma_alignment(bdev) | (bdev_logical_block_size(bdev) - 1)))
		return false;
	return is_vmalloc_addr(ptr) || (virt_addr_valid(ptr) && !is_vmalloc_or_module_addr(ptr));
}

/* Adds as much of the buffer as one call can; 0: the bio is full. */
unsigned int vfs_helper_bio_add_buffer(struct bio *bio, void *ptr, unsigned int len)
{
	if (is_vmalloc_addr(ptr))
		return bio_add_vmalloc_chunk(bio, ptr, len);
	len = min_t(unsigned int, len, PAGE_SIZE - offset_in_page(ptr));
	return bio_add_page(bio, virt_to_page(ptr), len, offset_in_page(ptr));
}

void vfs_helper_bio_read_done(void *ptr, unsigned int len)
{
	if (is_vmalloc_addr(ptr))
		invalidate_kernel_vmap_range(ptr, len);
}

struct bio *vfs_helper_bio_alloc(struct block_device *bdev, unsigned short vecs,
				 blk_opf_t opf, u64 sector)
{
	struct bio *bio = bio_alloc(bdev, vecs, opf, GFP_NOIO);

	bio->bi_iter.bi_sector = sector;
	return bio;
}

void vfs_helper_bio_set_error(struct bio *bio, int error)
{
	bio->bi_status = errno_to_blk_status(error);
}

int vfs_helper_bio_error(const struct bio *bio)
{
	return blk_status_to_errno(bio->bi_status);
}

bool vfs_helper_bio_is_read(const struct bio *bio)
{
	return bio_op(bio) == REQ_OP_READ;
}

unsigned int vfs_helper_memalloc_nofs_save(void)
{
	return memalloc_nofs_save();
}

void vfs_helper_memalloc_nofs_restore(unsigned int flags)
{
	memalloc_nofs_restore(flags);
}

unsigned int vfs_helper_memalloc_noio_save(void)
{
	return memalloc_noio_save();
}

void vfs_helper_memalloc_noio_restore(unsigned int flags)
{
	memalloc_noio_restore(flags);
}

bool vfs_helper_in_nmi(void)
{
	return in_nmi();
}

bool vfs_helper_in_hardirq(void)
{
	return in_hardirq();
}

bool vfs_helper_in_softirq(void)
{
	return in_serving_softirq();
}

bool vfs_helper_irqs_disabled(void)
{
	return irqs_disabled();
}

unsigned int vfs_helper_cpu(void)
{
	return raw_smp_processor_id();
}

int vfs_helper_current_pid(void)
{
	return task_pid_nr(current);
}

/* No task_lock: it may be held by whoever was interrupted. A torn name is better than none. */
void vfs_helper_current_comm(char *buf, size_t len)
{
	/* By pointer: on the array, UBSAN would put a report into the panic path. */
	const char *comm = current->comm;
	size_t i;

	for (i = 0; i < min_t(size_t, len, TASK_COMM_LEN); i++)
		buf[i] = READ_ONCE(comm[i]);
}

bool vfs_helper_kexec_crash_loaded(void)
{
	return kexec_crash_loaded();
}

/* In a panic: more than one if the others were stopped by NMI, or could not be stopped. */
unsigned int vfs_helper_cpus_online(void)
{
	return num_online_cpus();
}

void vfs_helper_cpu_relax(void)
{
	cpu_relax();
}

struct task_struct *vfs_helper_current(void)
{
	return current;
}

struct task_struct *vfs_helper_get_current_task(void)
{
	return get_task_struct(current);
}

/* Whether a task is on its way out or, if it was that before already, dead. */
bool vfs_helper_is_exiting(struct task_struct *task, bool was)
{
	return was ? READ_ONCE(task->exit_state) : READ_ONCE(task->flags) & PF_EXITING;
}

void vfs_helper_init_irq_work(struct irq_work *work, void (*func)(struct irq_work *))
{
	init_irq_work(work, func);
}

bool vfs_helper_schedule_delayed_work(struct delayed_work *work, unsigned int msecs)
{
	return schedule_delayed_work(work, msecs_to_jiffies(msecs));
}

unsigned long vfs_helper_instruction_pointer(const struct pt_regs *regs)
{
	return regs ? instruction_pointer((struct pt_regs *)regs) : 0;
}

bool vfs_helper_within_module(unsigned long addr, const struct module *mod)
{
	/* within_module() by pointer: on the array, UBSAN would report in the panic path. */
	const struct module_memory *mem = mod->mem;
	unsigned int i;

	for (i = 0; i < MOD_MEM_NUM_TYPES; i++)
		if (addr - (unsigned long)mem[i].base < mem[i].size)
			return true;
	return false;
}
