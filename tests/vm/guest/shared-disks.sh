#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: shared-disks.sh DISK...: mounts volumes on the first and second partition of each, reads the third, all on this CPU, and
# panics on it with the reads in flight, and nothing of the volumes.
set -e
exec 2>&1
taskset -pc 0 $$ >/dev/null
"$(dirname "$0")/nvme-poll-queue.sh" nvme0n1
for disk; do
	for part in "${disk}1" "${disk}2"; do
		mkfs.permfs -q "/dev/$part"
		mkdir "/mnt/$part"
		mount -t permfs "/dev/$part" "/mnt/$part"
	done
done
cat /sys/kernel/debug/permfs/lanes
sync
for disk; do
	for n in {0..15}; do
		dd if="/dev/${disk}3" of=/dev/null bs=4k skip=$((n * 64)) iflag=direct status=none &
	done
done
# A starved machine takes its time to start 48 programs.
for _ in {1..300}; do
	few=
	for disk; do
		read -r reads _ <"/sys/block/${disk%p}/inflight"
		[ "$reads" -ge 8 ] || few="only $reads reads of $disk are in flight"
	done
	[ -n "$few" ] || break
	sleep 0.1
done
if [ -n "$few" ]; then echo "$few"; exit 1; fi
echo c >/proc/sysrq-trigger
