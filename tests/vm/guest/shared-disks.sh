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
sleep 0.5
for disk; do
	read -r reads _ <"/sys/block/${disk%p}/inflight"
	if [ "$reads" -lt 8 ]; then echo "only $reads reads of $disk are in flight"; exit 1; fi
done
echo c >/proc/sysrq-trigger
