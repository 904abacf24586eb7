/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen reads for this crate: as ../bindings_helper.h, with wrappers of its own beside it.
 */
#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/kdebug.h>
#include <linux/kexec.h>
#include <linux/kmsg_dump.h>
#include <linux/nmi.h>
#include <linux/panic.h>
#include <linux/panic_notifier.h>
#include <linux/pci.h>
#include <linux/pstore.h>
#include <linux/reboot.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/stacktrace.h>
#include <linux/workqueue.h>

static const unsigned int CRASH_CONST_REQ_OP_READ = REQ_OP_READ;
static const unsigned int CRASH_CONST_REQ_OP_WRITE = REQ_OP_WRITE;
static const unsigned int CRASH_CONST_REQ_OP_FLUSH = REQ_OP_FLUSH;
static const unsigned int CRASH_CONST_REQ_LANE = (unsigned int)(REQ_SYNC | REQ_POLLED | REQ_FAILFAST_MASK);
static const unsigned char CRASH_CONST_BLK_STS_RESOURCE = (__force unsigned char)BLK_STS_RESOURCE;
static const unsigned char CRASH_CONST_BLK_STS_DEV_RESOURCE = (__force unsigned char)BLK_STS_DEV_RESOURCE;
static const int CRASH_CONST_PSTORE_FLAGS_DMESG = PSTORE_FLAGS_DMESG;
static const unsigned int CRASH_CONST_SYS_HALT = SYS_HALT;
static const unsigned int CRASH_CONST_SYS_POWER_OFF = SYS_POWER_OFF;

/* An interrupt's handler and what it is called with. */
struct crash_irq {
	irqreturn_t (*handler)(int irq, void *dev_id);
	void *dev_id;
};

/* Whether a SCSI device takes a command. */
enum crash_scsi_state {
	CRASH_SCSI_READY,
	CRASH_SCSI_NOT_PLAIN,
	CRASH_SCSI_RECOVERY,
	CRASH_SCSI_NOT_RUNNING,
	CRASH_SCSI_FULL,
	CRASH_SCSI_NO_BUDGET,
};

/* Which of the other CPUs were stopped where an irq-safe lock may be held. */
enum crash_other_cpus {
	CRASH_OTHERS_HOLD_NONE,
	CRASH_OTHERS_NMI,
	CRASH_OTHERS_REDIRECTED,
};

/* What a command has come to: it is to be sent again if the device had to tell something else. */
enum crash_scsi_outcome {
	CRASH_SCSI_DONE,
	CRASH_SCSI_AGAIN,
	CRASH_SCSI_FAILED,
};

/* helpers_panic.c */
bool crash_helper_in_nmi(void);
bool crash_helper_in_hardirq(void);
bool crash_helper_in_softirq(void);
unsigned int crash_helper_cpu(void);
int crash_helper_current_pid(void);
void crash_helper_current_comm(char *buf, size_t len);
bool crash_helper_kexec_crash_loaded(void);
enum crash_other_cpus crash_helper_other_cpus(void);
void crash_helper_cpu_relax(void);
void crash_helper_delay_tenth_second(void);
void crash_helper_fault(void);

/* helpers_origin.c */
size_t crash_helper_kernel_release(char *buf, size_t len);
size_t crash_helper_node_name(char *buf, size_t len);
size_t crash_helper_machine_uuid(char *buf, size_t len);
size_t crash_helper_symbol(char *buf, size_t len, unsigned long addr, bool return_address);

/* helpers_oops.c */
void crash_helper_init_irq_work(struct irq_work *work, void (*func)(struct irq_work *));
void crash_helper_init_delayed_work(struct delayed_work *work, void (*func)(struct work_struct *));
struct delayed_work *crash_helper_to_delayed_work(struct work_struct *work);
bool crash_helper_schedule_delayed_work(struct delayed_work *work, unsigned int msecs);
struct task_struct *crash_helper_current(void);
struct task_struct *crash_helper_get_current_task(void);
bool crash_helper_is_exiting(struct task_struct *task, bool was);
unsigned long crash_helper_instruction_pointer(const struct pt_regs *regs);
bool crash_helper_within_module(unsigned long addr, const struct module *mod);

/* helpers_lane.c */
struct request_queue *crash_helper_bdev_queue(struct block_device *bdev);
u64 crash_helper_bdev_start_sector(struct block_device *bdev);
bool crash_helper_bdev_is_plain(struct block_device *bdev);
const char *crash_helper_bdev_driver(struct block_device *bdev, unsigned int n, const char **bus);
struct pci_dev *crash_helper_bdev_pci(struct block_device *bdev);
bool crash_helper_bdev_translates_dma(struct block_device *bdev);
bool crash_helper_bdev_virtio_allocates(struct block_device *bdev);
bool crash_helper_bdev_virtio_is_empty(struct block_device *bdev, unsigned int first);
void crash_helper_bdev_virtio_notify(struct block_device *bdev);
bool crash_helper_irq_find(unsigned int irq, struct crash_irq *out);
bool crash_helper_irq_find_at_panic(unsigned int irq, struct crash_irq *out, bool *busy);
void crash_helper_irq_call(const struct crash_irq *irq, unsigned int number);
struct blk_mq_hw_ctx *crash_helper_queue_hctx(struct request_queue *q, unsigned int n);
struct blk_mq_hw_ctx *crash_helper_queue_polled_hctx(struct request_queue *q);
bool crash_helper_hctx_is_stopped(const struct blk_mq_hw_ctx *hctx);
bool crash_helper_hctx_is_newly_shared(const struct blk_mq_hw_ctx *hctx);
bool crash_helper_hctx_has_requests(const struct blk_mq_hw_ctx *hctx);
bool crash_helper_queue_has_requests_in_driver(const struct request_queue *q,
					       const struct blk_mq_hw_ctx *hctx);
bool crash_helper_queue_enter(struct request_queue *q, const struct block_device *bdev);
void crash_helper_queue_exit(struct request_queue *q);
bool crash_helper_queue_is_going(const struct request_queue *q, const struct block_device *bdev);
bool crash_helper_queue_is_unused(struct request_queue *q);
bool crash_helper_queue_is_quiesced(const struct request_queue *q);
void crash_helper_queue_prepare_at_panic(struct request_queue *q);
struct request *crash_helper_request_alloc_at_panic(struct request_queue *q, blk_opf_t opf);
void crash_helper_bio_fill(struct bio *bio, struct bio_vec *vec, struct block_device *bdev, blk_opf_t opf, u64 sector,
			   void *addr, unsigned int len);
unsigned char crash_helper_mq_queue_rq(struct request *rq);
void crash_helper_mq_poll(struct blk_mq_hw_ctx *hctx);
void *crash_helper_alloc_dma_pages(unsigned int order);
void crash_helper_free_pages(void *addr, unsigned int order);
bool crash_helper_current_does_io(void);
int crash_helper_preempt_depth(void);

/* helpers_aside.c */
void crash_helper_learn_ends(void);
void crash_helper_tags_set_aside(struct blk_mq_tag_set *set, rq_end_io_fn *lane, bool scsi, bool runs_steps);
void crash_helper_queue_set_aside(struct request_queue *q, rq_end_io_fn *lane, bool scsi, bool runs_steps);

/* helpers_pstore.c */
struct crash_held_inodes;
struct crash_held_inodes *crash_helper_hold_inodes(struct super_block *sb);
void crash_helper_release_inodes(struct crash_held_inodes *held);

/* helpers_scsi.c */
enum crash_scsi_state crash_helper_scsi_state(struct request_queue *q);
void crash_helper_scsi_prepare_at_panic(struct request_queue *q);
int crash_helper_mq_get_budget(struct request_queue *q);
void crash_helper_mq_set_budget(struct request *rq, int token);
void crash_helper_scsi_fill(struct request *rq);
enum crash_scsi_outcome crash_helper_scsi_outcome(struct request *rq);
unsigned int crash_helper_scsi_residue(struct request *rq);

/* helpers_ata.c */
bool crash_helper_ata_is_plain(struct request_queue *q);
bool crash_helper_ata_is_handled_by(struct request_queue *q, const void *dev_id);
bool crash_helper_ata_in_recovery(struct request_queue *q);
bool crash_helper_ata_is_away(struct request_queue *q);
bool crash_helper_ata_has_room(struct request_queue *q, bool flush);
bool crash_helper_ata_has_commands(struct request_queue *q);
bool crash_helper_ata_is_locked(struct request_queue *q);
void crash_helper_ata_prepare_at_panic(struct request_queue *q, rq_end_io_fn *lane, bool runs_steps);
