// SPDX-License-Identifier: GPL-2.0
/*
 * Wrappers (see bindings_helper.h) for what a task that dies leaves behind: who it is, where it
 * was, and the work that lets go of its locks later.
 */
#include "bindings_helper.h"

void crash_helper_init_irq_work(struct irq_work *work, void (*func)(struct irq_work *))
{
	init_irq_work(work, func);
}

void crash_helper_init_delayed_work(struct delayed_work *work, void (*func)(struct work_struct *))
{
	INIT_DELAYED_WORK(work, func);
}

struct delayed_work *crash_helper_to_delayed_work(struct work_struct *work)
{
	return to_delayed_work(work);
}

bool crash_helper_schedule_delayed_work(struct delayed_work *work, unsigned int msecs)
{
	return schedule_delayed_work(work, msecs_to_jiffies(msecs));
}

struct task_struct *crash_helper_current(void)
{
	return current;
}

struct task_struct *crash_helper_get_current_task(void)
{
	return get_task_struct(current);
}

/* Whether a task is on its way out or, if it was that before already, dead. */
bool crash_helper_is_exiting(struct task_struct *task, bool was)
{
	return was ? READ_ONCE(task->exit_state) : READ_ONCE(task->flags) & PF_EXITING;
}

unsigned long crash_helper_instruction_pointer(const struct pt_regs *regs)
{
	return regs ? instruction_pointer((struct pt_regs *)regs) : 0;
}

bool crash_helper_within_module(unsigned long addr, const struct module *mod)
{
	/* within_module() by pointer: on the array, UBSAN would report in the panic path. */
	const struct module_memory *mem = mod->mem;
	unsigned int i;

	for (i = 0; i < MOD_MEM_NUM_TYPES; i++)
		if (addr - (unsigned long)mem[i].base < mem[i].size)
			return true;
	return false;
}
