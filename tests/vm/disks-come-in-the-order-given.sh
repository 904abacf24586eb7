#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Disks are named in the order of the options, whatever their kind, those of SATA behind those of SCSI; what is written to an image is there in the next run.
. "$(dirname "$0")/lib.sh"

image=$(disk kept 48M)
vm_status 0 --no-module --disk 16M --nvme 80M --disk "$image" --nvme 96M,serial=last --sata 144M --scsi 112M \
	--scsi 128M --sata 160M -- '
	for d in vda vdb nvme0n1 nvme1n1 sda sdb sdc sdd; do echo "$d $(($(cat /sys/block/$d/size) / 2048))"; done
	cat /sys/block/nvme1n1/device/serial
	[ "$(cat /sys/block/vda/queue/write_cache)" = "write back" ] && echo flushes matter
	echo kept over the runs | dd of=/dev/vdb conv=fsync status=none'
for line in 'vda 16' 'vdb 48' 'nvme0n1 80' 'nvme1n1 96' 'sda 112' 'sdb 128' 'sdc 144' 'sdd 160' last \
	'flushes matter'; do expect "$line" "$DIR/out"; done
vm_status 0 --no-module --disk "$image,write-cache=off,log=$DIR/writes.log" -- '
	head -c 19 /dev/vda; cat /sys/block/vda/queue/write_cache
	dd if=/dev/zero of=/dev/vda bs=4k seek=1 count=3 oflag=direct status=none'
expect 'kept over the runs' "$DIR/out"
expect 'write through' "$DIR/out"
# The log of dm-log-writes begins with its magic number.
[ "$(head -c 8 "$DIR/writes.log" | od -An -tx8 | tr -d ' ')" = 006a736677736872 ] || fail "no log of writes"
