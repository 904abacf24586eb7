#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: lane-pollers.sh CONTEXT: mounts a volume on each disk but sdc, polls vda and sdc, fills the ring of vdc until the driver
# stops its queue, and panics in a CONTEXT of tests/matrix/panicker.
set -e
exec 2>&1
volumes=(vda vdb vdc vdd sda sdb)
for d in "${volumes[@]}"; do
	mkdir -p "/mnt/$d"
	mount -t permfs "/dev/$d" "/mnt/$d"
done
cat /sys/kernel/debug/permfs/lanes
# controller DISK: the number of its SCSI host; the neighbour is on sdb's.
controller() {
	local address
	address=$(basename "$(realpath "/sys/block/$1/device")")
	echo "${address%%:*}"
}
[ "$(controller sdb)" = "$(controller sdc)" ] && [ "$(controller sda)" != "$(controller sdc)" ]
for d in vda vdb sda sdb sdc; do [ "$(cat "/sys/block/$d/queue/io_poll")" = 1 ]; done
insmod /run/permfs/files/panicker.ko

cat >/tmp/pollers <<END
[global]
rw=randread
bs=4k
direct=1
ioengine=io_uring
hipri
time_based
runtime=600
thread
[vda]
filename=/dev/vda
iodepth=16
[sdc]
filename=/dev/sdc
END
fio /tmp/pollers --readonly >/tmp/fio 2>&1 &
# The ring has 1024 descriptors, whatever queue-size QEMU is told; a read of 254 segments takes 256 of them.
"$(dirname "$0")/segments.py" /dev/vdc 8 &
# read_by_all: fails if a disk has nothing in flight; else what has been read from those that are to stop.
read_by_all() {
	local d
	for d in vda vdc sdc; do awk '$9 == 0 { exit 1 }' "/sys/block/$d/stat" || return; done
	awk '{ print $1 }' /sys/block/{vdc,sdc}/stat
}
# stopped DISK: whether its driver has stopped the queue.
stopped() {
	grep -q STOPPED "/sys/kernel/debug/block/$1/hctx0/state"
}
until read_by_all >/tmp/before; do sleep 0.2; done
echo ready >/dev/permfs-ack
for _ in {1..30}; do
	sleep 1
	if read_by_all >/tmp/now && cmp -s /tmp/now /tmp/before && stopped vdc; then break; fi
	mv /tmp/now /tmp/before
done
{ cmp /tmp/now /tmp/before && stopped vdc && ! stopped vdd && [ "$(jobs -r | wc -l)" = 2 ]; } ||
	{ jobs; cat /tmp/fio; grep . /sys/kernel/debug/block/vd[cd]/hctx0/state; exit 9; }
cat /sys/block/{vda,sdc}/inflight
echo "$1" >/sys/module/panicker/parameters/at
sleep 10
exit 9
