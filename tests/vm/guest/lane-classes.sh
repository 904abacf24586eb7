#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: lane-classes.sh CONTEXT: mounts volumes on every kind of device that a panic lane knows, and on some that have none, and
# panics in a CONTEXT of tests/matrix/panicker; irq:NAME:DISK is in the handler NAME for an interrupt of that disk.
set -e
exec 2>&1
context=$1
# pci DISK: the folder of the PCI function that it is on.
pci() { realpath "$(realpath "/sys/block/$1")/../../.."; }

"$(dirname "$0")/nvme-poll-queue.sh" nvme0n1
# A disk with one queue has a scheduler; vdd keeps it.
echo none | tee /sys/block/{vdc,nvme2n1}/queue/scheduler >/dev/null
grep -q '\[mq-deadline\]' /sys/block/vdd/queue/scheduler
modprobe dm_mod
dmsetup create linear --table "0 $(blockdev --getsz /dev/vde) linear /dev/vde 0"
for d in vda vdb vdc vdd mapper/linear nvme0n1 nvme1n1 nvme2n1; do
	mkdir -p "/mnt/$d"
	mount -t permfs "/dev/$d" "/mnt/$d"
done
cat /sys/kernel/debug/permfs/lanes
insmod /run/permfs/files/panicker.ko
at=/sys/module/panicker/parameters/at
if [ "${context%%:*}" != irq ]; then
	echo "$context" >$at
	sleep 10
	exit 9
fi
disk=${context##*:}
interrupts=$(cd "$(pci "$disk")/msi_irqs" && printf '%s\n' * | sort -n)
echo "${context%:*}:$(head -n 1 <<<"$interrupts")-$(tail -n 1 <<<"$interrupts")" >$at
# On both CPUs in turn: an interrupt may come to the one that submits, which is not idle at that moment.
for n in {1..200}; do
	taskset $((1 << (n % 2))) dd if="/dev/$disk" of=/dev/null bs=4k count=1 iflag=direct status=none
done
exit 9
