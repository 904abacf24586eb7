// SPDX-License-Identifier: GPL-2.0
/*
 * Wrappers (see bindings_helper.h) for who panicked: the machine, the kernel, the code.
 */
#include "bindings_helper.h"
#include <linux/dmi.h>
#include <linux/sprintf.h>
#include <linux/utsname.h>

static size_t copy_text(char *buf, size_t len, const char *text, size_t max)
{
	size_t i;

	for (i = 0; i < len && i < max; i++) {
		buf[i] = READ_ONCE(text[i]);
		if (!buf[i])
			break;
	}
	return i;
}

/*
 * No uts_sem: it may be held for ever. A torn name is better than none. By pointer: on the arrays,
 * UBSAN would put a report into the panic path.
 */
size_t crash_helper_kernel_release(char *buf, size_t len)
{
	const char *release = init_uts_ns.name.release;

	return copy_text(buf, len, release, __NEW_UTS_LEN);
}

size_t crash_helper_node_name(char *buf, size_t len)
{
	const char *node = init_uts_ns.name.nodename;

	return copy_text(buf, len, node, __NEW_UTS_LEN);
}

size_t crash_helper_machine_uuid(char *buf, size_t len)
{
	const char *uuid = dmi_get_system_info(DMI_PRODUCT_UUID);

	return uuid ? copy_text(buf, len, uuid, len) : 0;
}

/* As a backtrace has it: an address that a call returns to belongs to the call. */
size_t crash_helper_symbol(char *buf, size_t len, unsigned long addr, bool return_address)
{
	return scnprintf(buf, len, return_address ? "%pB" : "%pS", (void *)addr);
}
