// SPDX-License-Identifier: GPL-2.0
/*
 * Wrappers (see bindings_helper.h) for the CPU, its context and its task, as a panic or an oops
 * finds them.
 */
#include "bindings_helper.h"

bool vfs_helper_in_nmi(void)
{
	return in_nmi();
}

bool vfs_helper_in_hardirq(void)
{
	return in_hardirq();
}

bool vfs_helper_in_softirq(void)
{
	return in_serving_softirq();
}

bool vfs_helper_irqs_disabled(void)
{
	return irqs_disabled();
}

unsigned int vfs_helper_cpu(void)
{
	return raw_smp_processor_id();
}

int vfs_helper_current_pid(void)
{
	return task_pid_nr(current);
}

/* No task_lock: it may be held by whoever was interrupted. A torn name is better than none. */
void vfs_helper_current_comm(char *buf, size_t len)
{
	/* By pointer: on the array, UBSAN would put a report into the panic path. */
	const char *comm = current->comm;
	size_t i;

	for (i = 0; i < min_t(size_t, len, TASK_COMM_LEN); i++)
		buf[i] = READ_ONCE(comm[i]);
}

bool vfs_helper_kexec_crash_loaded(void)
{
	return kexec_crash_loaded();
}

/* In a panic: more than one if the others were stopped by NMI, or could not be stopped. */
unsigned int vfs_helper_cpus_online(void)
{
	return num_online_cpus();
}

void vfs_helper_cpu_relax(void)
{
	cpu_relax();
}

struct task_struct *vfs_helper_current(void)
{
	return current;
}

struct task_struct *vfs_helper_get_current_task(void)
{
	return get_task_struct(current);
}

/* Whether a task is on its way out or, if it was that before already, dead. */
bool vfs_helper_is_exiting(struct task_struct *task, bool was)
{
	return was ? READ_ONCE(task->exit_state) : READ_ONCE(task->flags) & PF_EXITING;
}

unsigned long vfs_helper_instruction_pointer(const struct pt_regs *regs)
{
	return regs ? instruction_pointer((struct pt_regs *)regs) : 0;
}

bool vfs_helper_within_module(unsigned long addr, const struct module *mod)
{
	/* within_module() by pointer: on the array, UBSAN would report in the panic path. */
	const struct module_memory *mem = mod->mem;
	unsigned int i;

	for (i = 0; i < MOD_MEM_NUM_TYPES; i++)
		if (addr - (unsigned long)mem[i].base < mem[i].size)
			return true;
	return false;
}
