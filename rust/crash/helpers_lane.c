// SPDX-License-Identifier: GPL-2.0
/*
 * Wrappers (see bindings_helper.h) for what the panic lane (lane.rs) needs of blk-mq and of
 * interrupts. The calls through a driver's pointers are one function each, so that a program which
 * walks the panic path can tell them apart: scripts/panic-allow.txt names them.
 */
#include "bindings_helper.h"
#include <linux/blk-integrity.h>
#include <linux/delay.h>
#include <linux/dma-map-ops.h>
#include <linux/iommu-dma.h>
#include <linux/irq.h>
#include <linux/irqdesc.h>
#include <linux/pci.h>
#include <linux/swiotlb.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <uapi/linux/virtio_ring.h>

/* As many queues of a virtio device as are looked at. */
#define CRASH_VIRTQUEUES 1024

struct request_queue *crash_helper_bdev_queue(struct block_device *bdev)
{
	return bdev_get_queue(bdev);
}

u64 crash_helper_bdev_start_sector(struct block_device *bdev)
{
	return bdev->bd_start_sect;
}

/* Zones and protection information need more in a request than the lane puts there. */
bool crash_helper_bdev_is_plain(struct block_device *bdev)
{
	return !bdev_is_zoned(bdev) && !blk_get_integrity(bdev->bd_disk);
}

static struct device *disk_parent(struct block_device *bdev)
{
	return disk_to_dev(bdev->bd_disk)->parent;
}

/* Of the devices above the disk that have a driver, the nth: the driver and the device's bus. */
const char *crash_helper_bdev_driver(struct block_device *bdev, unsigned int n, const char **bus)
{
	struct device *dev;

	for (dev = disk_parent(bdev); dev; dev = dev->parent) {
		if (dev->driver && dev->bus && !n--) {
			*bus = dev->bus->name;
			return dev->driver->name;
		}
	}
	return NULL;
}

struct pci_dev *crash_helper_bdev_pci(struct block_device *bdev)
{
	struct device *dev;

	for (dev = disk_parent(bdev); dev; dev = dev->parent) {
		if (dev_is_pci(dev))
			return to_pci_dev(dev);
	}
	return NULL;
}

/* Whether mapping memory for the device's DMA is more than adding an offset. */
bool crash_helper_bdev_translates_dma(struct block_device *bdev)
{
	struct pci_dev *pci = crash_helper_bdev_pci(bdev);

	return !pci || use_dma_iommu(&pci->dev) || get_dma_ops(&pci->dev) ||
	       is_swiotlb_force_bounce(&pci->dev);
}

/*
 * Drivers take a spinlock_t, and pstore calls its backend with a raw spinlock held, which may not
 * be nested so: on PREEMPT_RT a spinlock_t sleeps. In a panic it must not in any configuration,
 * and does not, because whoever calls has made sure that nobody holds it. This says so to lockdep,
 * and costs nothing without it.
 */
static DEFINE_WAIT_OVERRIDE_MAP(panic_lane_map, LD_WAIT_CONFIG);

/* For a disk whose parent is a virtio device. */
bool crash_helper_bdev_virtio_allocates(struct block_device *bdev)
{
	return virtio_has_feature(dev_to_virtio(disk_parent(bdev)), VIRTIO_RING_F_INDIRECT_DESC);
}

#if IS_ENABLED(CONFIG_VIRTIO)
/* The virtio device above the disk. */
static struct virtio_device *virtio_above(struct block_device *bdev)
{
	struct device *dev = disk_parent(bdev);

	while (dev && !(dev->bus && !strcmp(dev->bus->name, "virtio")))
		dev = dev->parent;
	return dev ? dev_to_virtio(dev) : NULL;
}
#endif

/*
 * Whether the device has been given nothing, in its queues from the `first` on, that the driver has
 * not taken back. In panic context, as the next.
 */
bool crash_helper_bdev_virtio_is_empty(struct block_device *bdev, unsigned int first)
{
#if IS_ENABLED(CONFIG_VIRTIO)
	struct virtio_device *vdev = virtio_above(bdev);
	unsigned int left = CRASH_VIRTQUEUES;
	struct virtqueue *vq;

	if (!vdev)
		return false;
	list_for_each_entry(vq, &vdev->vqs, list) {
		if (!left--)
			return false;
		if (vq->index >= first && vq->num_free != virtqueue_get_vring_size(vq))
			return false;
	}
	return true;
#else
	return false;
#endif
}

/*
 * Tells the device of what is in its queues. A CPU that was stopped as it gave a lock back with
 * interrupts on, which is where the stop finds most, has put a request into a queue and not told
 * the device; and who adds one more does not tell it either, for the driver thinks that was done.
 * Telling needs no lock, and nobody minds being told twice. In panic context: nobody is left who
 * could free a queue. For a disk with a virtio device above it.
 */
void crash_helper_bdev_virtio_notify(struct block_device *bdev)
{
#if IS_ENABLED(CONFIG_VIRTIO)
	struct virtio_device *vdev = virtio_above(bdev);
	unsigned int left = CRASH_VIRTQUEUES;
	struct virtqueue *vq;

	if (!vdev)
		return;
	list_for_each_entry(vq, &vdev->vqs, list) {
		if (!left--)
			break;
		virtqueue_notify(vq);
	}
#endif
}

/* The one handler of an interrupt that may be called by hand: not shared, not threaded. */
static bool sole_handler(const struct irqaction *action, struct crash_irq *out)
{
	if (!action || action->next || action->thread_fn)
		return false;
	out->handler = action->handler;
	out->dev_id = action->dev_id;
	return true;
}

/* In process context; the lock keeps the action. */
bool crash_helper_irq_find(unsigned int irq, struct crash_irq *out)
{
	struct irq_data *data;
	struct irq_desc *desc;
	unsigned long flags;
	bool found = false;

	rcu_read_lock();
	data = irq_get_irq_data(irq);
	if (data) {
		desc = irq_data_to_desc(data);
		raw_spin_lock_irqsave(&desc->lock, flags);
		found = sole_handler(desc->action, out);
		raw_spin_unlock_irqrestore(&desc->lock, flags);
	}
	rcu_read_unlock();
	return found;
}

/* In panic context: nobody is left who could free the action. */
bool crash_helper_irq_find_at_panic(unsigned int irq, struct crash_irq *out, bool *busy)
{
	struct irq_data *data = irq_get_irq_data(irq);

	if (!data)
		return false;
	*busy = irqd_irq_inprogress(data) || irqd_irq_disabled(data);
	return sole_handler(READ_ONCE(irq_data_to_desc(data)->action), out);
}

void crash_helper_irq_call(const struct crash_irq *irq, unsigned int number)
{
	lock_map_acquire_try(&panic_lane_map);
	irq->handler(number, irq->dev_id);
	lock_map_release(&panic_lane_map);
}

/* The disk is being removed, or was: not all queues are told. */
static bool is_dead(const struct block_device *bdev)
{
	return test_bit(GD_DEAD, &bdev->bd_disk->state);
}

/*
 * Keeps the driver from taking down what is below the queue, in process context; false if it does
 * so already. For a moment a queue may be frozen for other reasons. A SCSI disk's queue lives on
 * when its disk has gone, so it is asked after; once it is marked dead, del_gendisk() waits for us.
 */
bool crash_helper_queue_enter(struct request_queue *q, const struct block_device *bdev)
{
	unsigned int tries = 1000;

	while (!percpu_ref_tryget_live(&q->q_usage_counter)) {
		if (blk_queue_dying(q) || !tries--)
			return false;
		fsleep(1000);
	}
	if (!is_dead(bdev))
		return true;
	percpu_ref_put(&q->q_usage_counter);
	return false;
}

void crash_helper_queue_exit(struct request_queue *q)
{
	percpu_ref_put(&q->q_usage_counter);
}

struct blk_mq_hw_ctx *crash_helper_queue_hctx(struct request_queue *q, unsigned int n)
{
	return queue_hctx(q, n);
}

/* Where a polled request from this CPU goes. */
struct blk_mq_hw_ctx *crash_helper_queue_polled_hctx(struct request_queue *q)
{
	struct blk_mq_tag_set *set = q->tag_set;
	struct blk_mq_queue_map *map = &set->map[HCTX_TYPE_DEFAULT];
	unsigned int n;

	if (set->nr_maps > HCTX_TYPE_POLL && set->map[HCTX_TYPE_POLL].nr_queues)
		map = &set->map[HCTX_TYPE_POLL];
	n = map->mq_map[raw_smp_processor_id()];
	return n < q->nr_hw_queues ? queue_hctx(q, n) : NULL;
}

bool crash_helper_hctx_is_stopped(const struct blk_mq_hw_ctx *hctx)
{
	return test_bit(BLK_MQ_S_STOPPED, &hctx->state);
}

/* Its first request would take the tags' lock. */
bool crash_helper_hctx_is_newly_shared(const struct blk_mq_hw_ctx *hctx)
{
	return (hctx->flags & BLK_MQ_F_TAG_QUEUE_SHARED) &&
	       !test_bit(BLK_MQ_S_TAG_ACTIVE, &hctx->state);
}

bool crash_helper_hctx_has_requests(const struct blk_mq_hw_ctx *hctx)
{
	return hctx->tags && sbitmap_any_bit_set(&hctx->tags->bitmap_tags.sb);
}

struct in_driver {
	const struct request_queue *q;
	const struct blk_mq_hw_ctx *hctx;
	bool found;
};

static bool is_in_driver(struct request *rq, void *data)
{
	struct in_driver *iter = data;

	if (iter->hctx ? rq->mq_hctx->driver_data != iter->hctx->driver_data : rq->q != iter->q)
		return true;
	if (blk_mq_rq_state(rq) != MQ_RQ_IN_FLIGHT)
		return true;
	iter->found = true;
	return false;
}

/*
 * A request of one hardware queue, or of all of a disk's, that the driver has and has not
 * completed. NVMe's namespaces have hardware queues of their own, but what the driver has for one,
 * and locks, is the same.
 */
bool crash_helper_queue_has_requests_in_driver(const struct request_queue *q,
					       const struct blk_mq_hw_ctx *hctx)
{
	struct in_driver iter = { .q = q, .hctx = hctx };

	blk_mq_tagset_busy_iter(q->tag_set, is_in_driver, &iter);
	return iter.found;
}

bool crash_helper_queue_is_going(const struct request_queue *q, const struct block_device *bdev)
{
	return is_dead(bdev) || blk_queue_dying(q) || READ_ONCE(q->mq_freeze_depth) ||
	       percpu_ref_is_dying((struct percpu_ref *)&q->q_usage_counter);
}

/*
 * Nobody uses the queue: what polling looks at may be gone. percpu_ref_is_zero() without its lock,
 * which is against percpu_ref_exit(), and nobody is left who could call that.
 */
bool crash_helper_queue_is_unused(struct request_queue *q)
{
	struct percpu_ref_data *data = READ_ONCE(q->q_usage_counter.data);
	unsigned long __percpu *count;

	if (blk_queue_dying(q) || !data)
		return true;
	return !__ref_is_percpu(&q->q_usage_counter, &count) && !atomic_long_read(&data->count);
}

bool crash_helper_queue_is_quiesced(const struct request_queue *q)
{
	return blk_queue_quiesced(q);
}

/*
 * A request that is started must neither read the clock, whose update this CPU may have
 * interrupted, nor arm the queue's timer, whose base this CPU may have locked. So the queue keeps
 * no statistics any more, and its timer looks as if it was armed and about to fire.
 */
void crash_helper_queue_prepare_at_panic(struct request_queue *q)
{
	clear_bit(QUEUE_FLAG_STATS, &q->queue_flags);
	clear_bit(QUEUE_FLAG_RQ_ALLOC_TIME, &q->queue_flags);
	if (!timer_pending(&q->timeout)) {
		q->timeout.expires = jiffies;
		q->timeout.entry.next = NULL;
		q->timeout.entry.pprev = &q->timeout.entry.next;
	}
}

/*
 * The plug's spare requests are left alone: the task may have been stopped while changing them. So
 * is the I/O scheduler: with one, a request has only a tag of the scheduler's until it is
 * dispatched, and this one goes to the driver, which needs one of the driver's.
 */
struct request *crash_helper_request_alloc_at_panic(struct request_queue *q, blk_opf_t opf)
{
	struct elevator_queue *elevator = q->elevator;
	struct blk_plug *plug = current->plug;
	struct request *rq;

	q->elevator = NULL;
	current->plug = NULL;
	rq = blk_mq_alloc_request(q, opf, BLK_MQ_REQ_NOWAIT);
	current->plug = plug;
	q->elevator = elevator;
	return IS_ERR(rq) ? NULL : rq;
}

/*
 * bio_init() without the cgroup, whose lookup takes locks. `addr` is in the linear map, and `len`
 * bytes from there are one segment.
 */
void crash_helper_bio_fill(struct bio *bio, struct bio_vec *vec, struct block_device *bdev,
			   blk_opf_t opf, u64 sector, void *addr, unsigned int len)
{
	bvec_set_virt(vec, addr, len);
	memset(bio, 0, sizeof(*bio));
	bio->bi_bdev = bdev;
	bio->bi_opf = opf;
	bio->bi_io_vec = vec;
	bio->bi_max_vecs = 1;
	bio->bi_vcnt = 1;
	bio->bi_iter.bi_sector = sector;
	bio->bi_iter.bi_size = len;
	atomic_set(&bio->__bi_remaining, 1);
	atomic_set(&bio->__bi_cnt, 1);
	bio->bi_cookie = BLK_QC_T_NONE;
}

unsigned char crash_helper_mq_queue_rq(struct request *rq)
{
	struct blk_mq_queue_data data = { .rq = rq, .last = true };
	blk_status_t status;

	lock_map_acquire_try(&panic_lane_map);
	status = rq->q->mq_ops->queue_rq(rq->mq_hctx, &data);
	lock_map_release(&panic_lane_map);
	return (__force unsigned char)status;
}

void crash_helper_mq_poll(struct blk_mq_hw_ctx *hctx)
{
	lock_map_acquire_try(&panic_lane_map);
	hctx->queue->mq_ops->poll(hctx, NULL);
	lock_map_release(&panic_lane_map);
}

void *crash_helper_alloc_dma_pages(unsigned int order)
{
	/* Below 4 GiB, so that no device needs the memory bounced. */
	gfp_t gfp = GFP_KERNEL | __GFP_ZERO | __GFP_DMA32 | __GFP_NOWARN;

	return (void *)__get_free_pages(gfp, order);
}

void crash_helper_free_pages(void *addr, unsigned int order)
{
	free_pages((unsigned long)addr, order);
}

/* What says that the current task is, or may be, inside of the block layer. */
bool crash_helper_current_does_io(void)
{
	return current->bio_list || current->plug || (current->flags & PF_WQ_WORKER);
}

/* How many reasons there are not to preempt, spinlocks held among them; negative: not counted. */
int crash_helper_preempt_depth(void)
{
	if (!IS_ENABLED(CONFIG_PREEMPT_COUNT))
		return -1;
	return preempt_count() & PREEMPT_MASK;
}
