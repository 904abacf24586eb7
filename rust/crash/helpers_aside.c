// SPDX-License-Identifier: GPL-2.0
/*
 * Wrappers (see bindings_helper.h) that have what others have in flight end without its owners,
 * once the kernel has stopped (lane/collect.rs).
 */
#include "bindings_helper.h"
#include <linux/module.h>

/* Of a bio that was split: how the block layer ends the pieces. It keeps that to itself. */
static bio_end_io_t *end_of_piece;
/* Where this module's functions are. */
static unsigned long own_text, own_text_size;

/* In process context, before any lane is used. */
void crash_helper_learn_ends(void)
{
	struct bio piece = {}, whole = {};

	bio_chain(&piece, &whole);
	WRITE_ONCE(end_of_piece, piece.bi_end_io);
	WRITE_ONCE(own_text_size, THIS_MODULE->mem[MOD_TEXT].size);
	WRITE_ONCE(own_text, (unsigned long)THIS_MODULE->mem[MOD_TEXT].base);
}

/* As many bios as one may have been split off from, one after the other. */
#define CRASH_SPLITS 64

/*
 * Ends a bio if it is this module's, and nobody else's: once the kernel has stopped, these ends
 * count and do nothing else. None of what bio_endio() does beside that: no cgroup, no throttling.
 */
static noinline void end_own_bio(struct bio *bio, blk_status_t status)
{
	unsigned int left = CRASH_SPLITS;

	while (left--) {
		if (status)
			bio->bi_status = status;
		if (bio_flagged(bio, BIO_CHAIN) && !atomic_dec_and_test(&bio->__bi_remaining))
			return;
		if (!bio->bi_end_io || bio->bi_end_io != end_of_piece)
			break;
		status = bio->bi_status;
		bio = bio->bi_private;
	}
	if ((unsigned long)bio->bi_end_io - own_text < own_text_size)
		bio->bi_end_io(bio);
}

/* As sbitmap_deferred_clear_bit(), with a shift that can be seen to be one. */
static void clear_deferred(struct sbitmap *sb, unsigned int bit)
{
	unsigned int shift = sb->shift & 31;

	set_bit(bit & ((1U << shift) - 1), &sb->map[bit >> shift].cleared);
}

/* As blk_mq_put_tag(), without waking up who waits for one. */
static void put_tag(struct request *rq)
{
	struct blk_mq_hw_ctx *hctx = rq->mq_hctx;
	struct blk_mq_tags *tags = hctx->tags;
	atomic_t *tags_active = &hctx->nr_active;

	if (rq->tag < 0 || rq->tag < tags->nr_reserved_tags)
		return;
	if (hctx->flags & BLK_MQ_F_TAG_HCTX_SHARED)
		tags_active = &rq->q->nr_active_requests_shared_tags;
	if (hctx->flags & BLK_MQ_F_TAG_QUEUE_SHARED)
		atomic_dec(tags_active);
	WRITE_ONCE(rq->state, MQ_RQ_IDLE);
	clear_deferred(&tags->bitmap_tags.sb, rq->tag - tags->nr_reserved_tags);
}

static void end_own_bios(struct request *rq, blk_status_t status)
{
	/* A bio has a sector at least. */
	unsigned int left = blk_rq_sectors(rq);
	struct bio *bio = rq->end_io_data;
	struct bio *next;

	for (; bio && left; bio = next, left--) {
		next = bio->bi_next;
		end_own_bio(bio, status);
	}
}

static enum rq_end_io_ret end_aside(struct request *rq, blk_status_t status,
				    const struct io_comp_batch *unused)
{
	end_own_bios(rq, status);
	put_tag(rq);
	return RQ_END_IO_NONE;
}

/* What failed, or came to the device in part, SCSI would have sent again: it stays in flight. */
static enum rq_end_io_ret end_scsi_aside(struct request *rq, blk_status_t status,
					 const struct io_comp_batch *unused)
{
	if (!status && !crash_helper_scsi_residue(rq))
		end_own_bios(rq, status);
	put_tag(rq);
	return RQ_END_IO_NONE;
}

/* Nothing of it is this module's, and its tag may be another request's as well: it is left. */
static enum rq_end_io_ret end_nothing(struct request *rq, blk_status_t status,
				      const struct io_comp_batch *unused)
{
	return RQ_END_IO_NONE;
}

struct set_aside {
	rq_end_io_fn *lane;
	rq_end_io_fn *end;
	bool runs_steps;
};

static bool set_aside(struct request *rq, void *data)
{
	const struct set_aside *how = data;

	rq->cmd_flags |= REQ_POLLED;
	if (rq->end_io == how->lane || rq->end_io == how->end || rq->end_io == end_nothing)
		return true;
	if (rq->end_io && how->runs_steps)
		return true;
	/* Its end must not read the clock, ask the scheduler or wake up whom a limit holds back. */
	rq->rq_flags &= ~(RQF_IO_STAT | RQF_STATS | RQF_USE_SCHED);
	clear_bit(QUEUE_FLAG_QOS_ENABLED, &rq->q->queue_flags);
	rq->end_io_data = rq->bio;
	rq->bio = NULL;
	rq->end_io = rq->end_io ? end_nothing : how->end;
	return true;
}

/*
 * Has what is in flight end without its owners: the driver completes a request, and of its bios
 * only this module's are ended, for what the others' ends want may be held for ever by who panics.
 * They are left as they are: what they would do is in memory that is lost.
 *
 * A request with an end of its own is a step of a flush, or somebody's pass-through command. With
 * `runs_steps` these are run, whoever they belong to; or else they never end.
 *
 * Polled requests complete where they are found. Others may be sent to the CPU that they came from
 * (which is stopped), or to a softirq (which does not run). That goes for the other disks on the
 * same hardware queues, too (namespaces, LUNs): what they have in flight is found with ours.
 *
 * `lane` is the end of a lane's own requests, which are left alone. Again may be.
 */
void crash_helper_tags_set_aside(struct blk_mq_tag_set *set, rq_end_io_fn *lane, bool scsi,
				 bool runs_steps)
{
	struct set_aside how = {
		.lane = lane,
		.end = scsi ? end_scsi_aside : end_aside,
		.runs_steps = runs_steps,
	};

	blk_mq_tagset_busy_iter(set, set_aside, &how);
}

void crash_helper_queue_set_aside(struct request_queue *q, rq_end_io_fn *lane, bool scsi,
				  bool runs_steps)
{
	crash_helper_tags_set_aside(q->tag_set, lane, scsi, runs_steps);
}
