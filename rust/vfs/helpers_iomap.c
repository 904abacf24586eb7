// SPDX-License-Identifier: GPL-2.0
/* Wrappers (see bindings_helper.h) for iomap: ranges, ioends, and reads that it does not end. */
#include "bindings_helper.h"

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
