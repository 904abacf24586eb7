// SPDX-License-Identifier: GPL-2.0
/*
 * Panics in the context that is asked for:
 *
 *	echo nmi >/sys/module/panicker/parameters/at
 *
 * process		in the task that writes
 * softirq		in a timer
 * hardirq		in an hrtimer that expires in its interrupt
 * nmi			in the handler of an NMI that this CPU sends to itself
 * spin			in the task that writes, when all other CPUs spin with interrupts off and
 *			hold no spinlock
 * spin-locked		the same, and each holds a spinlock
 * stopped:NAME		in an interrupt of another CPU, when a task called "stopped" has come to
 *			the function NAME, which is called with interrupts on
 *
 * As somebody whom the panic caught with a spinlock, any, and so perhaps a driver's:
 *
 * locked		as process, in a task that does no I/O
 * plugged		as process, in a task that submits I/O: it has a plug
 * softirq-locked	as softirq
 * hardirq-plugged	as hardirq, which has interrupted such a task
 *
 * irq:NAME:FIRST-LAST	in the function NAME, an interrupt's handler, when it is called for
 *			one of these interrupts and has interrupted the idle task, and
 *			no softirq
 *
 * return:NAME		in the task that next returns from the function NAME
 *
 * notifier:PRIORITY	as process, with a panic notifier of that priority which faults
 *			each time that it is called
 *
 * oops			does not panic: faults in the task that writes
 *
 * writeback:FILE	in the task that writes, which has started to write FILE's dirty pages to
 *			their disk and holds the lock of its page cache, interrupts off: that
 *			which the end of each of these writes takes
 *
 * quiesce:DISK		does not panic: quiesces the request queue of /dev/DISK for good, as a
 *			driver does that is recovering from an error
 */
#define pr_fmt(fmt) "panicker: " fmt

#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/cpumask.h>
#include <linux/fs.h>
#include <linux/hrtimer.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/pagemap.h>
#include <linux/panic.h>
#include <linux/panic_notifier.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <linux/timer.h>
#include <asm/apic.h>
#include <asm/nmi.h>

/* How long the other CPUs may take until they spin. */
#define SPIN_JIFFIES	(10 * HZ)

static DEFINE_SPINLOCK(held);
static bool softirq_locks;

static void in_softirq_timer(struct timer_list *unused)
{
	if (softirq_locks)
		spin_lock(&held);
	panic("panicker: softirq");
}

static DEFINE_TIMER(softirq_timer, in_softirq_timer);
static struct hrtimer hardirq_timer;

static enum hrtimer_restart in_hardirq_timer(struct hrtimer *unused)
{
	panic("panicker: hardirq");
	return HRTIMER_NORESTART;
}

static void submit_and_panic(bool interrupted)
{
	struct blk_plug plug;

	blk_start_plug(&plug);
	spin_lock(&held);
	if (!interrupted)
		panic("panicker: plugged");
	hrtimer_start(&hardirq_timer, ms_to_ktime(1), HRTIMER_MODE_REL_PINNED_HARD);
	for (;;)
		cpu_relax();
}

static char irq_function[32];
static unsigned int irq_first, irq_last;

/* The idle task holds no lock and submits nothing: without softirqs the handler is all. */
static int in_irq_handler(struct kprobe *unused, struct pt_regs *regs)
{
	unsigned long irq = regs_get_kernel_argument(regs, 0);

	if (irq >= irq_first && irq <= irq_last && is_idle_task(current) && !in_serving_softirq())
		panic("panicker: irq");
	return 0;
}

static struct kprobe irq_probe = {
	.symbol_name = irq_function,
	.pre_handler = in_irq_handler,
};

static int panic_in_irq(const char *value)
{
	int err;

	if (sscanf(value, "irq:%31[^:]:%u-%u", irq_function, &irq_first, &irq_last) != 3)
		return -EINVAL;
	err = register_kprobe(&irq_probe);
	if (err)
		return err;
	/* A breakpoint's handler would count as an NMI. */
	if (!kprobe_ftrace(&irq_probe)) {
		unregister_kprobe(&irq_probe);
		return -EOPNOTSUPP;
	}
	return 0;
}

static bool nmi_sent;

static int in_nmi_handler(unsigned int type, struct pt_regs *regs)
{
	if (!READ_ONCE(nmi_sent))
		return NMI_DONE;
	nmi_panic(regs, "panicker: nmi");
	return NMI_HANDLED;
}

static int send_nmi(void)
{
	int err = register_nmi_handler(NMI_LOCAL, in_nmi_handler, 0, "panicker");

	if (err)
		return err;
	preempt_disable();
	WRITE_ONCE(nmi_sent, true);
	apic->send_IPI(smp_processor_id(), NMI_VECTOR);
	preempt_enable();
	return 0;
}

static atomic_t spinning;
static atomic_t busy;
static bool spin_locks;
static DEFINE_PER_CPU(spinlock_t, held_here);

/* The idle task is never preempted, which is one reason of its own. */
static bool holds_any(void)
{
	return (preempt_count() & PREEMPT_MASK) > is_idle_task(current);
}

static void spin(void *unused)
{
	unsigned long flags;

	if (!spin_locks && holds_any()) {
		/* It is asked again. */
		atomic_set(&busy, 1);
		return;
	}
	local_irq_save(flags);
	if (spin_locks) {
		spin_lock_init(this_cpu_ptr(&held_here));
		spin_lock(this_cpu_ptr(&held_here));
	}
	atomic_inc(&spinning);
	for (;;)
		cpu_relax();
}

/* Until so many spin, or the time is over. */
static void make_spin(unsigned int cpu, int count, unsigned long end)
{
	do {
		atomic_set(&busy, 0);
		smp_call_function_single(cpu, spin, NULL, 0);
		while (atomic_read(&spinning) < count && !atomic_read(&busy) &&
		       time_before(jiffies, end))
			cpu_relax();
	} while (atomic_read(&spinning) < count && time_before(jiffies, end));
}

static int spin_and_panic(void)
{
	unsigned long end = jiffies + SPIN_JIFFIES;
	unsigned int cpu;
	int others = 0;

	cpus_read_lock();
	preempt_disable();
	for_each_online_cpu(cpu) {
		if (cpu != smp_processor_id())
			make_spin(cpu, ++others, end);
	}
	if (!others || atomic_read(&spinning) < others) {
		pr_err("%d of %d other CPUs spin\n", atomic_read(&spinning), others);
		preempt_enable();
		cpus_read_unlock();
		return -EIO;
	}
	panic("panicker: spin");
}

static void in_call(void *unused)
{
	panic("panicker: stopped");
}

/* Interrupts are on: a CPU that spins here is stopped here. */
static int stop_here(struct kprobe *probe, struct pt_regs *regs)
{
	unsigned int other = cpumask_any_but(cpu_online_mask, smp_processor_id());

	if (strcmp(current->comm, "stopped") || other >= nr_cpu_ids)
		return 0;
	if (atomic_inc_return(&spinning) > 1)
		return 0;
	smp_call_function_single(other, in_call, NULL, false);
	for (;;)
		cpu_relax();
}

static char stops_at[32];

static struct kprobe stop = {
	.symbol_name = stops_at,
	.pre_handler = stop_here,
};

static char returns_from[32];

static int at_return(struct kretprobe_instance *unused, struct pt_regs *regs)
{
	panic("panicker: return");
}

static struct kretprobe returns = {
	.kp.symbol_name = returns_from,
	.handler = at_return,
};

static int panic_at_return(const char *value)
{
	if (sscanf(value, "return:%31s", returns_from) != 1)
		return -EINVAL;
	return register_kretprobe(&returns);
}

static int fault(struct notifier_block *unused, unsigned long action, void *message)
{
	int *nowhere = ERR_PTR(-8);

	pr_emerg("the notifier faults\n");
	return READ_ONCE(*nowhere);
}

static struct notifier_block faults = { .notifier_call = fault };

static int panic_with_notifier(const char *value)
{
	if (sscanf(value, "notifier:%d", &faults.priority) != 1)
		return -EINVAL;
	atomic_notifier_chain_register(&panic_notifier_list, &faults);
	panic("panicker: notifier");
}

/* Only if some of it is still in flight: a panic without that would show nothing. */
static int write_back_and_panic(const char *value)
{
	struct address_space *mapping;
	unsigned long flags;
	struct file *file;
	char path[64];
	int err;

	if (sscanf(value, "writeback:%63s", path) != 1)
		return -EINVAL;
	file = filp_open(path, O_RDONLY | O_LARGEFILE, 0);
	if (IS_ERR(file))
		return PTR_ERR(file);
	mapping = file->f_mapping;
	err = filemap_fdatawrite(mapping);
	if (!err) {
		xa_lock_irqsave(&mapping->i_pages, flags);
		if (xa_marked(&mapping->i_pages, PAGECACHE_TAG_WRITEBACK))
			panic("panicker: writeback");
		xa_unlock_irqrestore(&mapping->i_pages, flags);
		err = -ENODATA;
	}
	fput(file);
	return err;
}

static int leave_quiesced(const char *value)
{
	struct file *file;
	char path[40];
	char disk[32];

	if (sscanf(value, "quiesce:%31s", disk) != 1)
		return -EINVAL;
	snprintf(path, sizeof(path), "/dev/%s", disk);
	/* Never closed: the queue has to stay. */
	file = bdev_file_open_by_path(path, BLK_OPEN_READ, NULL, NULL);
	if (IS_ERR(file))
		return PTR_ERR(file);
	blk_mq_quiesce_queue(bdev_get_queue(file_bdev(file)));
	return 0;
}

static int at_set(const char *value, const struct kernel_param *unused)
{
	if (sysfs_streq(value, "process"))
		panic("panicker: process");
	if (sysfs_streq(value, "oops"))
		return fault(NULL, 0, NULL);
	if (sysfs_streq(value, "locked")) {
		spin_lock(&held);
		panic("panicker: locked");
	}
	if (sysfs_streq(value, "plugged") || sysfs_streq(value, "hardirq-plugged"))
		submit_and_panic(value[0] == 'h');
	softirq_locks = sysfs_streq(value, "softirq-locked");
	if (softirq_locks || sysfs_streq(value, "softirq")) {
		mod_timer(&softirq_timer, jiffies + 1);
		return 0;
	}
	if (sysfs_streq(value, "hardirq")) {
		hrtimer_start(&hardirq_timer, ms_to_ktime(1), HRTIMER_MODE_REL_HARD);
		return 0;
	}
	if (sysfs_streq(value, "nmi"))
		return send_nmi();
	spin_locks = sysfs_streq(value, "spin-locked");
	if (spin_locks || sysfs_streq(value, "spin"))
		return spin_and_panic();
	if (sscanf(value, "stopped:%31s", stops_at) == 1)
		return register_kprobe(&stop);
	if (strstarts(value, "return:"))
		return panic_at_return(value);
	if (strstarts(value, "notifier:"))
		return panic_with_notifier(value);
	if (strstarts(value, "writeback:"))
		return write_back_and_panic(value);
	if (strstarts(value, "quiesce:"))
		return leave_quiesced(value);
	return panic_in_irq(value);
}

static const struct kernel_param_ops at_ops = { .set = at_set };

module_param_cb(at, &at_ops, NULL, 0200);
MODULE_PARM_DESC(at, "the context to panic in");

/* Stays loaded: what it arms ends with the machine, and nothing waits for it. */
static int __init panicker_init(void)
{
	hrtimer_setup(&hardirq_timer, in_hardirq_timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);
	return 0;
}
module_init(panicker_init);

MODULE_DESCRIPTION("Panics in the context that is asked for");
MODULE_LICENSE("GPL");
