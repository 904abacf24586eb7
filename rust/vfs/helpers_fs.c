// SPDX-License-Identifier: GPL-2.0
/* Wrappers (see bindings_helper.h) for super blocks, inodes, dentries and files. */
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

int vfs_helper_sb_try_sync(struct super_block *sb)
{
	int ret;

	if (!down_read_trylock(&sb->s_umount))
		return -EBUSY;
	ret = sync_filesystem(sb);
	up_read(&sb->s_umount);
	return ret;
}

bool vfs_helper_sb_try_writeback(struct super_block *sb)
{
	if (!down_read_trylock(&sb->s_umount))
		return false;
	sync_inodes_sb(sb);
	up_read(&sb->s_umount);
	return true;
}

void vfs_helper_report_metadata(struct super_block *sb, int error)
{
	fserror_report_metadata(sb, error, GFP_NOWAIT);
}

void vfs_helper_sb_set_wb_err(struct super_block *sb, int error)
{
	errseq_set(&sb->s_wb_err, error);
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

void vfs_helper_fill_statfs(struct super_block *sb, struct kstatfs *buf, u64 fsid)
{
	buf->f_type = sb->s_magic;
	buf->f_bsize = sb->s_blocksize;
	buf->f_frsize = sb->s_blocksize;
	buf->f_fsid = u64_to_fsid(fsid);
}

void *vfs_helper_alloc_inode_sb(struct super_block *sb, struct kmem_cache *cache)
{
	return alloc_inode_sb(sb, cache, GFP_KERNEL);
}

/*
 * An inode of @sb that @matches, or NULL. No reference is taken: for a super block that nobody else
 * uses, and inodes that somebody has a reference on.
 */
struct inode *vfs_helper_find_inode(struct super_block *sb, bool (*matches)(struct inode *inode))
{
	struct inode *inode, *found = NULL;

	spin_lock(&sb->s_inode_list_lock);
	list_for_each_entry(inode, &sb->s_inodes, i_sb_list) {
		if (matches(inode)) {
			found = inode;
			break;
		}
	}
	spin_unlock(&sb->s_inode_list_lock);
	return found;
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

bool vfs_helper_inode_is_sync(const struct inode *inode)
{
	return IS_SYNC(inode);
}

bool vfs_helper_inode_is_dirsync(const struct inode *inode)
{
	return IS_DIRSYNC(inode);
}

bool vfs_helper_wbc_wait(const struct writeback_control *wbc)
{
	return wbc->sync_mode == WB_SYNC_ALL && !wbc->for_sync;
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

/* Whether positions in a directory have to fit into 31 bits for who reads it: as in ext4. */
bool vfs_helper_has_short_positions(const struct file *file)
{
	if (file->f_mode & FMODE_32BITHASH)
		return true;
	if (file->f_mode & FMODE_64BITHASH)
		return false;
#ifdef CONFIG_COMPAT
	return in_compat_syscall();
#else
	return BITS_PER_LONG == 32;
#endif
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
