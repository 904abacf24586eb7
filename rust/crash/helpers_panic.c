// SPDX-License-Identifier: GPL-2.0
/*
 * Wrappers (see bindings_helper.h) for the CPU, its context and its task, as a panic or an oops
 * finds them.
 */
#include "bindings_helper.h"

bool crash_helper_in_nmi(void)
{
	return in_nmi();
}

bool crash_helper_in_hardirq(void)
{
	return in_hardirq();
}

bool crash_helper_in_softirq(void)
{
	return in_serving_softirq();
}

unsigned int crash_helper_cpu(void)
{
	return raw_smp_processor_id();
}

int crash_helper_current_pid(void)
{
	return task_pid_nr(current);
}

/* No task_lock: it may be held by whoever was interrupted. A torn name is better than none. */
void crash_helper_current_comm(char *buf, size_t len)
{
	/* By pointer: on the array, UBSAN would put a report into the panic path. */
	const char *comm = current->comm;
	size_t i;

	for (i = 0; i < min_t(size_t, len, TASK_COMM_LEN); i++)
		buf[i] = READ_ONCE(comm[i]);
}

bool crash_helper_kexec_crash_loaded(void)
{
	return kexec_crash_loaded();
}

/*
 * In a panic. How a CPU was stopped is read from its count of reasons not to preempt, which holds
 * still then: of each spinlock that is held there is one in it. The idle task has one of its own.
 *
 * - By the ordinary interrupt: it counts as being in an interrupt, and no irq-safe lock is held.
 * - By NMI, because it did not answer, or with crash_kexec_post_notifiers: it counts as being in
 *   an NMI. It may hold what its count says, vpanic()'s own reason included if it was in there.
 * - By itself, having handed the panic on to this CPU (panic_force_cpu=): it counts as neither,
 *   with one reason of vpanic()'s. In an interrupt it looks like the first; but what an interrupt
 *   may hold is asked of its handler, which is in progress.
 * - It never ran or went offline: in its idle task, with one reason.
 *
 * One that is online and is in no NMI runs on: the NMI did not reach it either.
 */
enum crash_other_cpus crash_helper_other_cpus(void)
{
	/* By pointer: on the array, UBSAN would put a report into the panic path. */
	const unsigned long *offsets = __per_cpu_offset;
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		struct task_struct *task = *SHIFT_PERCPU_PTR(&current_task, offsets[cpu]);
		unsigned int count = READ_ONCE(*SHIFT_PERCPU_PTR(&__preempt_count, offsets[cpu]));
		unsigned int reasons = count & PREEMPT_MASK;

		if (cpu == raw_smp_processor_id())
			continue;
		if (task && !task_pid_nr(task) && reasons)
			reasons--;
		if (count & NMI_MASK ? reasons : cpu_online(cpu))
			return CRASH_OTHERS_NMI;
		if (!(count & (NMI_MASK | HARDIRQ_MASK)) && reasons > 1)
			return CRASH_OTHERS_REDIRECTED;
	}
	return CRASH_OTHERS_HOLD_NONE;
}

void crash_helper_cpu_relax(void)
{
	cpu_relax();
}

/* As panic() waits for its reboot: nothing is asked but how long a turn of a loop takes. */
void crash_helper_delay_tenth_second(void)
{
	touch_nmi_watchdog();
	mdelay(100);
}

/* A page fault that nobody expects: nothing is ever mapped where error pointers point. */
void crash_helper_fault(void)
{
	int *nowhere = ERR_PTR(-8);

	WRITE_ONCE(*nowhere, 0);
}
