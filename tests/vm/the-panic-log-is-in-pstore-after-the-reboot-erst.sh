#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The machine itself keeps a panic's log over the reboot in erst, without permfs.ko: what later scenarios stand on.
. "$(dirname "$0")/lib.sh"

vm_panic 'sysrq triggered crash' --no-module --erst "$DIR/store" -- '
	[ -z "$(ls /sys/fs/pstore)" ] || exit 9
	echo "a mark before the panic" >/dev/kmsg
	echo c >/proc/sysrq-trigger'
vm_status 0 --no-module --erst "$DIR/store" -- 'cat /sys/fs/pstore/dmesg-erst-*'
expect 'a mark before the panic' "$DIR/out"
expect 'Kernel panic - not syncing: sysrq triggered crash' "$DIR/out"
