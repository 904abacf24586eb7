// SPDX-License-Identifier: GPL-2.0
/* Wrappers (see bindings_helper.h) for block devices and bios. */
#include "bindings_helper.h"

struct block_device *vfs_helper_file_bdev(struct file *file)
{
	return file_bdev(file);
}

struct request_queue *vfs_helper_bdev_queue(struct block_device *bdev)
{
	return bdev_get_queue(bdev);
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
