#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# An append of 4 KiB with fsync costs the device at most two writes and two flushes, with a volatile cache and without FUA;
# a device without a volatile cache is not asked to flush.
. "$(dirname "$0")/lib.sh"

vm_status 0 --disk 256M --disk 256M,write-cache=off -- "
	for d in vda vdb; do
		mkfs.permfs -q /dev/\$d && mkdir /mnt/\$d && mount -t permfs /dev/\$d /mnt/\$d || exit 1
	done
	[ \"\$(cat /sys/block/vda/queue/write_cache)\" = 'write back' ] || exit 9
	$GUEST/fsync-cost.py /mnt/vda vda 100 || exit 1
	flushes() { awk '{ print \$16 }' /sys/block/vdb/stat; }
	before=\$(flushes)
	dd if=/dev/zero of=/mnt/vdb/f bs=4k count=20 oflag=append conv=notrunc,fsync status=none
	echo \"without a cache: \$((\$(flushes) - before)) flushes\"
	umount /mnt/vda /mnt/vdb && fsck.permfs -n /dev/vda && fsck.permfs -n /dev/vdb && $GUEST/kernel-is-quiet.sh"
expect 'without a cache: 0 flushes' "$DIR/out"
note "$(grep -E '^writes=' "$DIR/out")"
