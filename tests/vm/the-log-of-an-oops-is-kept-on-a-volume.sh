#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The kernel's log of an oops that the machine survives is in our pstore, as it is in every other backend: written by a worker to a
# volume that the oops has not failed, or to one that is mounted later; there at once, after a reboot, and beside a panic's; and unlinked
# it is gone. What failed is not written to.
. "$(dirname "$0")/lib.sh"

one=$(disk one 128M)
two=$(disk two 128M)
kept='
	# kept N: so many logs of oopses are there, or are a little later.
	kept() {
		for _ in {1..100}; do
			[ "$(cat /sys/fs/pstore/* 2>/dev/null | grep -c "^Oops#[0-9]* Part1$")" = "$1" ] && return
			sleep 0.2
		done
		head -n 1 /sys/fs/pstore/*
		dmesg | tail -n 40
		exit 9
	}
	# records DISK: of oopses, in its panic area.
	records() {
		permfs panic --json "$1" | jq "[.areas[].records[] | select(.reason == \"oops\" and .state == \"whole\" and .flushed)] | length"
	}
'
vm_panic 'sysrq triggered crash' --disk "$one" --disk "$two" --files "$REPO/build/panicker/panicker.ko" -- "$kept"'
	echo 0 >/proc/sys/kernel/panic_on_oops
	mkdir /mnt/a /mnt/b
	for d in a b; do mkfs.permfs -q /dev/vd$d || exit 9; done
	mount -t permfs /dev/vda /mnt/a || exit 9
	echo "a mark before the oops" >/dev/kmsg
	echo "commit oops" >/sys/kernel/debug/permfs/panic_at
	dd if=/dev/zero of=/mnt/a/x bs=4k count=1 conv=fsync status=none 2>/dev/null
	dmesg | grep -q "rec=failed .*name=\"vda\"" || exit 9
	# There is no volume that it could go to.
	sleep 4
	kept 0
	mount -t permfs /dev/vdb /mnt/b || exit 9
	kept 1
	log=$(cat /sys/fs/pstore/dmesg-permfs-*)
	for text in "a mark before the oops" "Oops: invalid opcode" "Call Trace:" "permfs-panic: .*rec=oops " "permfs-panic: .*rec=failed "; do
		grep -q "$text" <<<"$log" || { echo "not in the log: $text"; exit 9; }
	done
	[ "$(records /dev/vda) $(records /dev/vdb)" = "0 1" ] || exit 9

	# Not of ours: every volume takes it.
	insmod /run/permfs/files/panicker.ko || exit 9
	(echo oops >/sys/module/panicker/parameters/at) 2>/dev/null
	kept 2
	[ "$(records /dev/vda) $(records /dev/vdb)" = "0 2" ] || exit 9
	rm $(grep -l "a mark before the oops" /sys/fs/pstore/* | grep -v "$(grep -l "panicker" /sys/fs/pstore/*)") || exit 9
	kept 1
	[ "$(permfs panic --json /dev/vdb | jq ".areas[0].erased")" = 1 ] || exit 9
	echo c >/proc/sysrq-trigger'
vm_status 0 --disk "$one" --disk "$two" -- "$kept"'
	mkdir /mnt/a /mnt/b
	for d in a b; do fsck.permfs -n /dev/vd$d && mount -t permfs /dev/vd$d /mnt/$d || exit 1; done
	kept 1
	grep -q "RIP: .*panicker" /sys/fs/pstore/dmesg-permfs-* && grep -q "Panic#[0-9]* Part1" /sys/fs/pstore/dmesg-permfs-* || exit 1
	permfs panic --json | jq -e ".panics | length == 1 and .[0].complete" || exit 1
	umount /mnt/a /mnt/b'
