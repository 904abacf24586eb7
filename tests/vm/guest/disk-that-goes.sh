#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: disk-that-goes.sh ROUNDS: in each round the SCSI disk /dev/sda is mounted and, a few milliseconds later and later in each,
# deleted under it; then it is found again. Prints how often it had been mounted. The last time it stays, with its lane.
set -u
there() { until [ -b /dev/sda ]; do sleep 0.1; done; }

mkfs.permfs -q /dev/sda || exit 1
mounted=0
for ((round = 0; round < $1; round++)); do
	mount -t permfs /dev/sda /mnt 2>/dev/null &
	sleep "0.$(printf %03d $((round * 7)))"
	echo 1 >/sys/block/sda/device/delete
	wait $! && mounted=$((mounted + 1))
	umount /mnt 2>/dev/null
	echo '- - -' >/sys/class/scsi_host/host0/scan
	there
done
echo "mounted $mounted of $1 times"
mount -t permfs /dev/sda /mnt && grep -q 'panic_lane=virtio-scsi' /sys/kernel/debug/permfs/lanes || exit 1
umount /mnt && fsck.permfs -n /dev/sda
