#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Mounts a volume on each disk, brings each disk's queue into the state that the scenario wants, and panics.
set -e
exec 2>&1
volumes=(vda vdb vdc vdd sda sdb sdc nvme0n1)
stalled=(vdb vdd sdc nvme0n2)
# Namespaces are looked for side by side: until the first has the first name.
for _ in {1..20}; do
	"$(dirname "$0")/nvme-poll-queue.sh" nvme0n1
	[ "$(cat /sys/block/nvme0n1/nsid)" != 1 ] || break
done
[ "$(cat /sys/block/nvme0n1/nsid)" = 1 ]
until [ -b /dev/nvme0n2 ]; do sleep 0.1; done
for d in "${volumes[@]}"; do
	mkdir -p "/mnt/$d"
	mount -t permfs "/dev/$d" "/mnt/$d"
done
cat /sys/kernel/debug/permfs/lanes
echo 1 >/sys/block/sdc/device/queue_depth
insmod /run/permfs/files/panicker.ko

# Somebody else's reads, one of each disk, which are in flight for good once their disks complete nothing any more. That of
# nvme0n2 is polled, on the queue of a volume that is another namespace.
cat >/tmp/readers <<END
[global]
rw=randread
bs=4k
direct=1
ioengine=libaio
time_based
runtime=600
thread
END
for d in "${stalled[@]}"; do
	echo "[$d]"
	echo "filename=/dev/$d"
	[ "$d" != nvme0n2 ] || printf '%s\n' ioengine=io_uring hipri
done >>/tmp/readers
fio /tmp/readers --readonly >/tmp/fio 2>&1 &
# done_by_all: what the disks have completed; fails if one has nothing in flight.
done_by_all() {
	local d
	for d in "${stalled[@]}"; do
		awk '{ print $1 } $9 == 0 { exit 1 }' "/sys/block/$d/stat" || return
	done
}
until done_by_all >/tmp/before; do sleep 0.2; done
echo ready >/dev/permfs-ack
for _ in {1..60}; do
	sleep 1
	mv /tmp/now /tmp/before 2>/dev/null || true
	if done_by_all >/tmp/now && cmp -s /tmp/now /tmp/before; then break; fi
done
cmp /tmp/now /tmp/before || { cat /tmp/fio; exit 9; }

# Whoever changes this has the queue frozen meanwhile, which waits for the read.
echo 'write back' >/sys/block/vdb/queue/write_cache &
echo quiesce:vdc >/sys/module/panicker/parameters/at
echo offline >/sys/block/sda/device/state
echo recovery >"/sys/class/scsi_host/$(realpath /sys/block/sdb | grep -o 'host[0-9]*' | head -n 1)/state"
sleep 1
[ "$(jobs -r | wc -l)" = 2 ] || { jobs; cat /tmp/fio; exit 9; }
echo process >/sys/module/panicker/parameters/at
exit 9
