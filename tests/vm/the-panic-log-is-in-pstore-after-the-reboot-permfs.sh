#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Where nothing else keeps a panic's log, a volume does: the whole log of it is in /sys/fs/pstore once the volume is mounted
# again, until its files are removed.
. "$(dirname "$0")/lib.sh"

disks=(--disk "$(disk one 128M)" --disk "$(disk two 128M)")
vm_panic 'sysrq triggered crash' "${disks[@]}" -- '
	mkdir /mnt/a /mnt/b
	for d in a b; do mkfs.permfs -q /dev/vd$d && mount -t permfs /dev/vd$d /mnt/$d || exit 9; done
	[ "$(cat /sys/module/pstore/parameters/backend)" = permfs ] || exit 9
	for i in {1..400}; do echo "a mark before the panic: $i" >/dev/kmsg; done
	echo c >/proc/sysrq-trigger'
vm_status 0 "${disks[@]}" -- '
	failed=0
	say() { echo "$*"; failed=1; }
	mkdir /mnt/a /mnt/b
	for d in a b; do mount -t permfs /dev/vd$d /mnt/$d || exit 1; done
	ls -l /sys/fs/pstore
	cat /sys/fs/pstore/dmesg-permfs-* >/tmp/log || exit 1
	for text in "Panic#1 Part1" "a mark before the panic: 1$" "a mark before the panic: 400$" \
		"Kernel panic - not syncing: sysrq triggered crash" "permfs-panic: v=1 rec=begin" "permfs-panic: v=1 rec=end"; do
		grep -q "$text" /tmp/log || say "not in the log: $text"
	done
	permfs panic --json /sys/fs/pstore | jq -e ".panics | length == 1 and .[0].complete and .[0].message == \"sysrq triggered crash\"" || say "not read"
	rm /sys/fs/pstore/* || say "not removed"
	umount /mnt/a /mnt/b
	for d in a b; do fsck.permfs -n /dev/vd$d && mount -t permfs /dev/vd$d /mnt/$d || exit 1; done
	[ -z "$(ls /sys/fs/pstore)" ] || say "there again: $(ls /sys/fs/pstore)"
	exit $failed'
