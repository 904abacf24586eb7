// SPDX-License-Identifier: GPL-2.0
/*
 * Memory fails from the panic on, on the debug kernel: before the other panic notifiers slab and
 * page allocations are set to fail, every one. Loaded after the mounts, its dumper comes after
 * pstore's, so between its two lines lies all that a filesystem does in a panic:
 *
 *	insmod famine.ko failslab=0x... fail_page_alloc=0x...	(from /proc/kallsyms)
 *
 * Each failure but those that asked for no warning is on the console with its stack (verbose=2).
 * A control before and one after shows that what is asked for then is refused.
 */
#define pr_fmt(fmt) "famine: " fmt

#include <linux/fault-inject.h>
#include <linux/gfp.h>
#include <linux/kmsg_dump.h>
#include <linux/limits.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/panic_notifier.h>
#include <linux/slab.h>

/* More than a panic can ask for; what is missing of it at the end were the failures. */
#define ENOUGH	1000000

static ulong failslab;
module_param(failslab, ulong, 0);
MODULE_PARM_DESC(failslab, "address of failslab, which begins with a struct fault_attr");

static ulong fail_page_alloc;
module_param(fail_page_alloc, ulong, 0);
MODULE_PARM_DESC(fail_page_alloc, "address of fail_page_alloc, which begins with a struct fault_attr");

static struct fault_attr *slab, *pages;

static int failures(struct fault_attr *attr)
{
	return ENOUGH - atomic_read(&attr->times);
}

/* Two allocations as one may ask for in any context. */
static void control(const char *when)
{
	void *object = kmalloc(64, GFP_ATOMIC);
	unsigned long page = __get_free_page(GFP_ATOMIC);

	pr_emerg("%s: an object is %s, a page is %s; failures so far: slab %d, pages %d\n", when,
		 object ? "given" : "refused", page ? "given" : "refused", failures(slab),
		 failures(pages));
	kfree(object);
	free_page(page);
}

static void begin(struct fault_attr *attr)
{
	attr->verbose = 2;
	attr->ratelimit_state.interval = 0;
	attr->interval = 1;
	attr->task_filter = false;
	atomic_set(&attr->times, ENOUGH);
	attr->probability = 100;
}

static int at_panic(struct notifier_block *unused, unsigned long event, void *message)
{
	begin(slab);
	begin(pages);
	control("begin");
	return NOTIFY_DONE;
}

/* Before whatever leaves its priority alone. */
static struct notifier_block first = { .notifier_call = at_panic, .priority = INT_MAX - 1 };

static void at_end(struct kmsg_dumper *unused, struct kmsg_dump_detail *detail)
{
	control("end");
}

static struct kmsg_dumper last = { .dump = at_end, .max_reason = KMSG_DUMP_PANIC };

/* Stays loaded: the machine ends with it. */
static int __init famine_init(void)
{
	int err;

	if (!failslab || !fail_page_alloc)
		return -EINVAL;
	slab = (struct fault_attr *)failslab;
	pages = (struct fault_attr *)fail_page_alloc;
	err = kmsg_dump_register(&last);
	if (err)
		return err;
	atomic_notifier_chain_register(&panic_notifier_list, &first);
	return 0;
}
module_init(famine_init);

MODULE_DESCRIPTION("Lets every allocation fail from the panic on");
MODULE_LICENSE("GPL");
