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

/* In a panic: more than one if the others were stopped by NMI, or could not be stopped. */
unsigned int crash_helper_cpus_online(void)
{
	return num_online_cpus();
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
