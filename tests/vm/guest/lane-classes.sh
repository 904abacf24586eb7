#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: lane-classes.sh CONTEXT [linear]: mounts volumes on every kind of device that a panic lane knows, and on some that have
# none, and panics in a CONTEXT of tests/matrix/panicker, with N: before it on CPU N; irq:NAME:DISK is in the handler NAME for an interrupt of that disk. With
# `linear` the volume of sdb is on what device mapper makes of it.
set -e
exec 2>&1
context=$1
if [[ $context =~ ^([0-9]+):(.*) ]]; then
	context=${BASH_REMATCH[2]}
	taskset -pc "${BASH_REMATCH[1]}" $$ >/dev/null
fi
# pci DISK: the folder of the PCI function that it is on.
pci() {
	local folder
	folder=$(realpath "/sys/block/$1")
	until [ -d "$folder/msi_irqs" ] || [ "$folder" = / ]; do folder=$(dirname "$folder"); done
	echo "$folder"
}

"$(dirname "$0")/nvme-poll-queue.sh" nvme0n1
# A disk with one queue has a scheduler.
grep -q '\[mq-deadline\]' /sys/block/vdc/queue/scheduler
volumes=(vda vdb vdc sda sdb nvme0n1 nvme1n1 nvme2n1)
if [ "${2:-}" = linear ]; then
	modprobe dm_mod
	dmsetup create linear --table "0 $(blockdev --getsz /dev/sdb) linear /dev/sdb 0"
	volumes[4]=mapper/linear
fi
for d in "${volumes[@]}"; do
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
