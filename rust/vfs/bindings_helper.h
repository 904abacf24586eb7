/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen reads: the headers that the kernel's own bindings leave out, the constants whose macros it cannot
 * evaluate, and the prototypes of the wrappers.
 *
 * Wrappers (helpers_*.c) are functions for what C has only as inline functions or macros. They decide nothing: the
 * argument for each call stands at the Rust side.
 */
#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/capability.h>
#include <linux/compat.h>
#include <linux/completion.h>
#include <linux/exportfs.h>
#include <linux/fs.h>
#include <linux/filelock.h>
#include <linux/fs_context.h>
#include <linux/fs_parser.h>
#include <linux/fserror.h>
#include <linux/iomap.h>
#include <linux/pagemap.h>
#include <linux/part_stat.h>
#include <linux/sched/mm.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/splice.h>
#include <linux/statfs.h>
#include <linux/timekeeping.h>
#include <linux/workqueue.h>
#include <linux/writeback.h>

static const int VFS_CONST_FS_REQUIRES_DEV = FS_REQUIRES_DEV;
static const int VFS_CONST_FS_ALLOW_IDMAP = FS_ALLOW_IDMAP;
static const unsigned long VFS_CONST_SB_RDONLY = SB_RDONLY;
static const unsigned int VFS_CONST_S_SYNC = S_SYNC;
static const unsigned int VFS_CONST_S_NOATIME = S_NOATIME;
static const unsigned int VFS_CONST_S_APPEND = S_APPEND;
static const unsigned int VFS_CONST_S_IMMUTABLE = S_IMMUTABLE;
static const unsigned int VFS_CONST_S_DIRSYNC = S_DIRSYNC;
static const unsigned int VFS_CONST_IOMAP_WRITE = IOMAP_WRITE;
static const unsigned int VFS_CONST_IOMAP_ZERO = IOMAP_ZERO;
static const unsigned int VFS_CONST_IOMAP_REPORT = IOMAP_REPORT;
static const unsigned int VFS_CONST_IOMAP_FAULT = IOMAP_FAULT;
static const unsigned int VFS_CONST_IOMAP_DIRECT = IOMAP_DIRECT;
static const unsigned int VFS_CONST_IOMAP_NOWAIT = IOMAP_NOWAIT;
static const unsigned int VFS_CONST_IOMAP_OVERWRITE_ONLY = IOMAP_OVERWRITE_ONLY;
static const unsigned int VFS_CONST_IOMAP_UNSHARE = IOMAP_UNSHARE;
static const unsigned short VFS_CONST_IOMAP_HOLE = IOMAP_HOLE;
static const unsigned short VFS_CONST_IOMAP_DELALLOC = IOMAP_DELALLOC;
static const unsigned short VFS_CONST_IOMAP_MAPPED = IOMAP_MAPPED;
static const unsigned short VFS_CONST_IOMAP_UNWRITTEN = IOMAP_UNWRITTEN;
static const unsigned short VFS_CONST_IOMAP_F_NEW = IOMAP_F_NEW;
static const unsigned short VFS_CONST_IOMAP_F_DIRTY = IOMAP_F_DIRTY;
static const unsigned short VFS_CONST_IOMAP_F_SHARED = IOMAP_F_SHARED;
static const unsigned short VFS_CONST_IOMAP_IOEND_DIRECT = IOMAP_IOEND_DIRECT;
static const unsigned int VFS_CONST_IOMAP_DIO_FORCE_WAIT = IOMAP_DIO_FORCE_WAIT;
static const unsigned int VFS_CONST_IOMAP_DIO_OVERWRITE_ONLY = IOMAP_DIO_OVERWRITE_ONLY;
static const unsigned int VFS_CONST_IOMAP_DIO_BOUNCE = IOMAP_DIO_BOUNCE;
static const int VFS_CONST_IOCB_DIRECT = IOCB_DIRECT;
static const unsigned int VFS_CONST_REQ_OP_READ = REQ_OP_READ;
static const unsigned int VFS_CONST_REQ_OP_WRITE = REQ_OP_WRITE;
static const unsigned int VFS_CONST_REQ_SYNC = (unsigned int)REQ_SYNC;
static const unsigned int VFS_CONST_REQ_META = (unsigned int)REQ_META;
static const unsigned int VFS_CONST_REQ_FUA = (unsigned int)REQ_FUA;
static const unsigned int VFS_CONST_REQ_PREFLUSH = (unsigned int)REQ_PREFLUSH;
static const unsigned int VFS_CONST_BIO_MAX_VECS = BIO_MAX_VECS;
static const unsigned int VFS_CONST_WQ_FLAGS = WQ_MEM_RECLAIM | WQ_FREEZABLE | WQ_UNBOUND;
static const unsigned int VFS_CONST_GFP_NOIO = (unsigned int)GFP_NOIO;
static const unsigned int VFS_CONST_GFP_KERNEL = (unsigned int)GFP_KERNEL;
static const unsigned int VFS_CONST_ATTR_SIZE = ATTR_SIZE;

/* helpers_fs.c */
bool vfs_helper_sb_rdonly(const struct super_block *sb);
void vfs_helper_sb_set_rdonly(struct super_block *sb);
int vfs_helper_sb_try_sync(struct super_block *sb);
bool vfs_helper_sb_try_writeback(struct super_block *sb);
void vfs_helper_report_metadata(struct super_block *sb, int error);
void vfs_helper_sb_set_wb_err(struct super_block *sb, int error);
void vfs_helper_report_shutdown(struct super_block *sb);
void vfs_helper_sb_start_intwrite(struct super_block *sb);
void vfs_helper_sb_end_intwrite(struct super_block *sb);
void vfs_helper_sb_start_pagefault(struct super_block *sb);
void vfs_helper_sb_end_pagefault(struct super_block *sb);
void vfs_helper_super_set_uuid(struct super_block *sb, const u8 *uuid, unsigned int len);
void vfs_helper_fill_statfs(struct super_block *sb, struct kstatfs *buf, u64 fsid);
void *vfs_helper_alloc_inode_sb(struct super_block *sb, struct kmem_cache *cache);

struct inode *vfs_helper_find_inode(struct super_block *sb, bool (*matches)(struct inode *inode));
void vfs_helper_set_nlink(struct inode *inode, unsigned int nlink);
unsigned int vfs_helper_i_nlink(const struct inode *inode);
loff_t vfs_helper_i_size_read(const struct inode *inode);
void vfs_helper_i_size_write(struct inode *inode, loff_t size);
umode_t vfs_helper_i_mode(const struct inode *inode);
unsigned int vfs_helper_i_uid_read(const struct inode *inode);
unsigned int vfs_helper_i_gid_read(const struct inode *inode);
void vfs_helper_i_uid_write(struct inode *inode, unsigned int uid);
void vfs_helper_i_gid_write(struct inode *inode, unsigned int gid);
struct timespec64 vfs_helper_inode_get_atime(const struct inode *inode);
struct timespec64 vfs_helper_inode_get_mtime(const struct inode *inode);
struct timespec64 vfs_helper_inode_get_ctime(const struct inode *inode);
void vfs_helper_inode_set_atime(struct inode *inode, struct timespec64 ts);
void vfs_helper_inode_set_mtime(struct inode *inode, struct timespec64 ts);
u64 vfs_helper_i_blocks(struct inode *inode);
void vfs_helper_set_i_blocks(struct inode *inode, u64 sectors);
unsigned int vfs_helper_i_flags(const struct inode *inode);
void vfs_helper_mark_inode_dirty(struct inode *inode, bool datasync);
void vfs_helper_inode_lock(struct inode *inode);
void vfs_helper_inode_unlock(struct inode *inode);
void vfs_helper_inode_lock_shared(struct inode *inode);
void vfs_helper_inode_unlock_shared(struct inode *inode);
void vfs_helper_filemap_invalidate_lock(struct inode *inode);
void vfs_helper_filemap_invalidate_unlock(struct inode *inode);
void vfs_helper_filemap_invalidate_lock_shared(struct inode *inode);
void vfs_helper_filemap_invalidate_unlock_shared(struct inode *inode);
void vfs_helper_mapping_set_large_folios(struct inode *inode);
bool vfs_helper_mapping_stable_writes(const struct inode *inode);
bool vfs_helper_inode_is_sync(const struct inode *inode);
bool vfs_helper_inode_is_dirsync(const struct inode *inode);
bool vfs_helper_wbc_wait(const struct writeback_control *wbc);
bool vfs_helper_inode_is_nosec(const struct inode *inode);
u32 vfs_helper_new_encode_dev(dev_t dev);
dev_t vfs_helper_new_decode_dev(u32 dev);
void vfs_helper_set_delayed_kfree(struct delayed_call *call, void *ptr);

struct inode *vfs_helper_d_inode(const struct dentry *dentry);
const unsigned char *vfs_helper_d_name(const struct dentry *dentry, unsigned int *len);
bool vfs_helper_dir_emit(struct dir_context *ctx, const char *name, int len, u64 ino, unsigned int type);
bool vfs_helper_dir_emit_dots(struct file *file, struct dir_context *ctx);

struct inode *vfs_helper_file_inode(const struct file *file);
bool vfs_helper_has_short_positions(const struct file *file);
void vfs_helper_file_accessed(struct file *file);
void vfs_helper_file_set_can_odirect(struct file *file);
ssize_t vfs_helper_generic_write_sync(struct kiocb *iocb, ssize_t count);
size_t vfs_helper_iov_iter_count(const struct iov_iter *iter);
void vfs_helper_iov_iter_reexpand(struct iov_iter *iter, size_t count);
struct file *vfs_helper_vmf_file(struct vm_fault *vmf);
struct file *vfs_helper_get_file(struct file *file);

/* helpers_iomap.c */
loff_t vfs_helper_folio_end(const struct folio *folio);
loff_t vfs_helper_last_written_block(struct inode *inode, loff_t pos, ssize_t written);
loff_t vfs_helper_block_round_up(struct inode *inode, loff_t pos);
struct iomap_ioend *vfs_helper_ioend_pop(struct list_head *list);
struct iomap_ioend *vfs_helper_ioend_from_bio(struct bio *bio);
void vfs_helper_bio_clear_complete_in_task(struct bio *bio);
void vfs_helper_end_buffered_read(struct bio *bio);
struct bio *vfs_helper_folio_range_bio(const struct iomap_iter *iter, struct folio *folio, loff_t pos, size_t len);

/* helpers_block.c */
struct request_queue *vfs_helper_bdev_queue(struct block_device *bdev);
struct block_device *vfs_helper_file_bdev(struct file *file);
u64 vfs_helper_bdev_nr_bytes(struct block_device *bdev);
unsigned int vfs_helper_bdev_logical_block_size(struct block_device *bdev);
unsigned int vfs_helper_bdev_physical_block_size(struct block_device *bdev);
bool vfs_helper_bdev_write_cache(struct block_device *bdev);
bool vfs_helper_bdev_fua(struct block_device *bdev);
unsigned int vfs_helper_bdev_max_discard_sectors(struct block_device *bdev);
bool vfs_helper_queue_is_mq(struct request_queue *q);
bool vfs_helper_bdev_read_only(struct block_device *bdev);
bool vfs_helper_buffer_is_dmaable(struct block_device *bdev, const void *ptr);
unsigned int vfs_helper_bio_add_buffer(struct bio *bio, void *ptr, unsigned int len);
void vfs_helper_bio_read_done(void *ptr, unsigned int len);
struct bio *vfs_helper_bio_alloc(struct block_device *bdev, unsigned short vecs, blk_opf_t opf, u64 sector);
void vfs_helper_bio_set_error(struct bio *bio, int error);
int vfs_helper_bio_error(const struct bio *bio);
bool vfs_helper_bio_is_read(const struct bio *bio);

/* helpers_mm.c */
struct kmem_cache *vfs_helper_kmem_cache_create(const char *name, unsigned int size, unsigned int align,
						void (*ctor)(void *));
unsigned int vfs_helper_memalloc_nofs_save(void);
void vfs_helper_memalloc_nofs_restore(unsigned int flags);
unsigned int vfs_helper_memalloc_noio_save(void);
void vfs_helper_memalloc_noio_restore(unsigned int flags);

/* helpers_work.c */
void vfs_helper_spin_lock_init(spinlock_t *lock);
unsigned long vfs_helper_spin_lock_irqsave(spinlock_t *lock);
void vfs_helper_spin_unlock_irqrestore(spinlock_t *lock, unsigned long flags);
void vfs_helper_init_list_head(struct list_head *list);
bool vfs_helper_list_empty(const struct list_head *list);
void vfs_helper_list_add_tail(struct list_head *entry, struct list_head *head);
void vfs_helper_list_replace_init(struct list_head *from, struct list_head *to);
void vfs_helper_cond_resched(void);
void vfs_helper_init_work(struct work_struct *work, void (*func)(struct work_struct *));
void vfs_helper_init_delayed_work(struct delayed_work *work, void (*func)(struct work_struct *));
struct delayed_work *vfs_helper_to_delayed_work(struct work_struct *work);
bool vfs_helper_queue_work(struct workqueue_struct *wq, struct work_struct *work);
bool vfs_helper_queue_delayed_work(struct workqueue_struct *wq, struct delayed_work *work, unsigned int msecs);
bool vfs_helper_mod_delayed_work(struct workqueue_struct *wq, struct delayed_work *work, unsigned int msecs);
struct workqueue_struct *vfs_helper_alloc_workqueue(const char *name, int max_active);
void vfs_helper_init_completion(struct completion *x);
