#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A task that oopses inside PermFS, where that is no panic, takes its volume along and nothing else: who waits for the volume
# or comes later gets EIO, lines tell of it, the machine and the other volumes go on, and the next mount finds all that was durable.
. "$(dirname "$0")/lib.sh"

disks=(--disk "$(disk one 128M)" --disk "$(disk two 128M)" --disk "$(disk three 64M)")
vm_panic 'sysrq triggered crash' "${disks[@]}" -- "$GUEST/oops.sh"
vm_status 0 "${disks[@]}" -- '
	for d in a b c; do
		mkdir /mnt/$d && fsck.permfs -n /dev/vd$d && mount -t permfs /dev/vd$d /mnt/$d && [ "$(cat /mnt/$d/kept)" = kept ] || exit 1
		umount /mnt/$d && fsck.permfs -n /dev/vd$d || exit 1
	done'
