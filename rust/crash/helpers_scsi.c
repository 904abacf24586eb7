// SPDX-License-Identifier: GPL-2.0
/*
 * As helpers_lane.c, for SCSI disks. Nothing of SCSI's own modules is called: inline functions and
 * fields of the public headers only, so that permfs.ko depends on none of them.
 */
#include "bindings_helper.h"
#include <linux/math64.h>
#include <linux/unaligned.h>
#include <scsi/scsi_cmnd.h>
#include <scsi/scsi_device.h>
#include <scsi/scsi_host.h>
#include <scsi/scsi_proto.h>
#include <scsi/scsi_status.h>

/*
 * Whether a command takes the plain way: no handler of multipath states, which may queue work; no
 * protection information; no limits of a target, whose locks are released with interrupts on; and a
 * device that knows the ten byte commands, as all but old USB ones do.
 */
static bool is_plain(const struct scsi_device *sdev)
{
	const struct scsi_target *target = sdev->sdev_target;

	return !scsi_host_get_prot(sdev->host) && !sdev->handler &&
	       !target->single_lun && target->can_queue <= 0 && sdev->use_10_for_rw &&
	       !sdev->dma_drain_len && sdev->sector_size >= SECTOR_SIZE;
}

/*
 * Whether the device takes a command now; for the queue of a disk of sd's, in any context. What is
 * READY takes none of host_lock's paths in scsi_queue_rq(): these unlock with interrupts on.
 */
enum crash_scsi_state crash_helper_scsi_state(struct request_queue *q)
{
	struct scsi_device *sdev = q->queuedata;

	if (!is_plain(sdev))
		return CRASH_SCSI_NOT_PLAIN;
	if (scsi_host_in_recovery(sdev->host))
		return CRASH_SCSI_RECOVERY;
	if (scsi_get_host_state(sdev->host) != SHOST_RUNNING ||
	    sdev->sdev_state != SDEV_RUNNING || sdev->changed || blk_queue_pm_only(q))
		return CRASH_SCSI_NOT_RUNNING;
	if (atomic_read(&sdev->host->host_blocked) > 0 || sdev->host->host_self_blocked ||
	    atomic_read(&sdev->device_blocked) > 0 || !list_empty(&sdev->starved_entry))
		return CRASH_SCSI_FULL;
	if (sdev->budget_map.map && scsi_device_busy(sdev) >= sdev->queue_depth)
		return CRASH_SCSI_NO_BUDGET;
	return CRASH_SCSI_READY;
}

/*
 * What a completion does beside completing is left out: running the queue again for those who found
 * no budget or no host, telling userspace of a unit attention (workqueues), raising the device's
 * depth (locks, references), and entropy (a lock). Work that is pending is not queued again.
 */
void crash_helper_scsi_prepare_at_panic(struct request_queue *q)
{
	struct scsi_device *sdev = q->queuedata;

	atomic_set(&sdev->restarts, 0);
	set_bit(WORK_STRUCT_PENDING_BIT, work_data_bits(&sdev->requeue_work));
	set_bit(WORK_STRUCT_PENDING_BIT, work_data_bits(&sdev->event_work));
	sdev->last_queue_ramp_up = jiffies;
	q->limits.features &= ~BLK_FEAT_ADD_RANDOM;
}

/* A budget, without which no command may be sent; negative: none is left. */
int crash_helper_mq_get_budget(struct request_queue *q)
{
	return q->mq_ops->get_budget(q);
}

void crash_helper_mq_set_budget(struct request *rq, int token)
{
	rq->q->mq_ops->set_rq_budget_token(rq, token);
}

static void fill_rw(struct scsi_cmnd *cmd, const struct scsi_device *sdev, bool write, u64 lba,
		    unsigned int blocks)
{
	if (sdev->use_16_for_rw || lba + blocks > U32_MAX || blocks > U16_MAX) {
		cmd->cmd_len = 16;
		cmd->cmnd[0] = write ? WRITE_16 : READ_16;
		put_unaligned_be64(lba, &cmd->cmnd[2]);
		put_unaligned_be32(blocks, &cmd->cmnd[10]);
	} else {
		cmd->cmd_len = 10;
		cmd->cmnd[0] = write ? WRITE_10 : READ_10;
		put_unaligned_be32(lba, &cmd->cmnd[2]);
		put_unaligned_be16(blocks, &cmd->cmnd[7]);
	}
}

/*
 * Makes a read, write or flush, whose sector and length are set, a command that comes back whatever
 * becomes of it. sd's own would be put on a list for a worker when the device answers with a unit
 * attention or asks for a retry, and its errors are printed from allocated buffers; one that was
 * made outside, as this, is ended. So the fields are set that scsi_alloc_request() sets, and those
 * that its callers do; the others scsi_queue_rq() sets for each request without RQF_DONTPREP.
 */
void crash_helper_scsi_fill(struct request *rq)
{
	struct scsi_cmnd *cmd = blk_mq_rq_to_pdu(rq);
	const struct scsi_device *sdev = rq->q->queuedata;
	unsigned int size = sdev->sector_size;
	bool write = req_op(rq) == REQ_OP_WRITE;

	memset(cmd->cmnd, 0, sizeof(cmd->cmnd));
	if (req_op(rq) == REQ_OP_FLUSH) {
		cmd->cmd_len = sdev->use_16_for_sync ? 16 : 10;
		cmd->cmnd[0] = sdev->use_16_for_sync ? SYNCHRONIZE_CACHE_16 : SYNCHRONIZE_CACHE;
	} else {
		fill_rw(cmd, sdev, write, div_u64(rq->__sector, size / SECTOR_SIZE),
			rq->__data_len / size);
	}
	init_rcu_head(&cmd->rcu);
	cmd->flags = 0;
	cmd->sense_len = 0;
	cmd->jiffies_at_alloc = jiffies;
	cmd->retries = 0;
	cmd->allowed = 0;
	rq->timeout = rq->q->rq_timeout;
	rq->cmd_flags &= ~(__force blk_opf_t)REQ_OP_MASK;
	rq->cmd_flags |= write ? REQ_OP_DRV_OUT : REQ_OP_DRV_IN;
}

/* Bytes of a command that has ended which were not moved. */
unsigned int crash_helper_scsi_residue(struct request *rq)
{
	return scsi_get_resid(blk_mq_rq_to_pdu(rq));
}

/*
 * What a command has come to whose request has ended. The request's status does not tell: it is
 * good when the sense is deferred, and when less was moved than asked for.
 */
enum crash_scsi_outcome crash_helper_scsi_outcome(struct request *rq)
{
	struct scsi_cmnd *cmd = blk_mq_rq_to_pdu(rq);
	const u8 *sense = cmd->sense_buffer;
	u8 key;

	if (!cmd->result)
		return scsi_get_resid(cmd) ? CRASH_SCSI_FAILED : CRASH_SCSI_DONE;
	if (get_host_byte(cmd) == DID_RESET)
		return CRASH_SCSI_AGAIN;
	if (get_host_byte(cmd) != DID_OK || get_status_byte(cmd) != SAM_STAT_CHECK_CONDITION)
		return CRASH_SCSI_FAILED;
	switch (sense[0] & 0x7f) {
	case 0x70:
		key = sense[2] & 0xf;
		break;
	case 0x72:
		key = sense[1] & 0xf;
		break;
	case 0x71:
	case 0x73:
		/* Deferred: it tells of an earlier command, and this one was not executed. */
		return CRASH_SCSI_AGAIN;
	default:
		return CRASH_SCSI_FAILED;
	}
	if (key == RECOVERED_ERROR && !scsi_get_resid(cmd))
		return CRASH_SCSI_DONE;
	return key == UNIT_ATTENTION ? CRASH_SCSI_AGAIN : CRASH_SCSI_FAILED;
}
