// SPDX-License-Identifier: GPL-2.0
/*
 * Wrappers (see bindings_helper.h) for what is done later or waited for: work and completions, and
 * the spinlocks and lists that go with them.
 */
#include "bindings_helper.h"

void vfs_helper_spin_lock_init(spinlock_t *lock)
{
	spin_lock_init(lock);
}

unsigned long vfs_helper_spin_lock_irqsave(spinlock_t *lock)
{
	unsigned long flags;

	spin_lock_irqsave(lock, flags);
	return flags;
}

void vfs_helper_spin_unlock_irqrestore(spinlock_t *lock, unsigned long flags)
{
	spin_unlock_irqrestore(lock, flags);
}

void vfs_helper_init_list_head(struct list_head *list)
{
	INIT_LIST_HEAD(list);
}

bool vfs_helper_list_empty(const struct list_head *list)
{
	return list_empty(list);
}

void vfs_helper_list_add_tail(struct list_head *entry, struct list_head *head)
{
	list_add_tail(entry, head);
}

void vfs_helper_list_replace_init(struct list_head *from, struct list_head *to)
{
	list_replace_init(from, to);
}

void vfs_helper_cond_resched(void)
{
	cond_resched();
}

void vfs_helper_init_work(struct work_struct *work, void (*func)(struct work_struct *))
{
	INIT_WORK(work, func);
}

void vfs_helper_init_delayed_work(struct delayed_work *work, void (*func)(struct work_struct *))
{
	INIT_DELAYED_WORK(work, func);
}

struct delayed_work *vfs_helper_to_delayed_work(struct work_struct *work)
{
	return to_delayed_work(work);
}

bool vfs_helper_queue_work(struct workqueue_struct *wq, struct work_struct *work)
{
	return queue_work(wq, work);
}

bool vfs_helper_queue_delayed_work(struct workqueue_struct *wq, struct delayed_work *work,
				   unsigned int msecs)
{
	return queue_delayed_work(wq, work, msecs_to_jiffies(msecs));
}

bool vfs_helper_mod_delayed_work(struct workqueue_struct *wq, struct delayed_work *work,
				 unsigned int msecs)
{
	return mod_delayed_work(wq, work, msecs_to_jiffies(msecs));
}

struct workqueue_struct *vfs_helper_alloc_workqueue(const char *name, int max_active)
{
	return alloc_workqueue("%s", WQ_MEM_RECLAIM | WQ_FREEZABLE | WQ_UNBOUND, max_active, name);
}

void vfs_helper_init_completion(struct completion *x)
{
	init_completion(x);
}
