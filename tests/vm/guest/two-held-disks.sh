#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: two-held-disks.sh WAY: makes a volume on sda and one on sdb, whose lanes must have that WAY, has four reads of each in
# the disk, which completes nothing once the guest is ready (vm_held), and panics.
modprobe pvpanic-pci || exit 9
until [ -b /dev/sdb ]; do sleep 0.1; done
mkdir /mnt/a /mnt/b
for d in a b; do
	mkfs.permfs -q /dev/sd$d && mount -t permfs -o noatime /dev/sd$d /mnt/$d || exit 9
	echo kept >/mnt/$d/kept && sync /mnt/$d/kept || exit 9
done
[ "$(grep -c "panic_lane=$1 collects=$1" /sys/kernel/debug/permfs/lanes)" = 2 ] || exit 9
echo "a mark before the panic" >/dev/kmsg
for i in {a,b}/{1,2,3,4,5}; do dd if=/dev/zero of=/mnt/$i bs=64K count=1 conv=fsync status=none || exit 9; done
sync -f /mnt/a && sync -f /mnt/b || exit 9
echo ready >/dev/permfs-ack
sleep 2
# The first of a disk is what stalls it. Reads: nothing becomes dirty, so that no commit comes in between.
for i in {a,b}/{1,2,3,4,5}; do dd if=/mnt/$i of=/dev/null bs=64K count=1 iflag=direct status=none & done
sleep 2
for d in a b; do [ "$(xargs </sys/block/sd$d/inflight)" = "4 0" ] || exit 9; done
echo c >/proc/sysrq-trigger
