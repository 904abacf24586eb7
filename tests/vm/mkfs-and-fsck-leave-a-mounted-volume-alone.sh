#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A mounted volume is neither overwritten, not even with --force, nor checked while it changes; unmounted, it is clean.
. "$(dirname "$0")/lib.sh"

vm_status 0 --disk 128M -- '
	mkfs.permfs -q -L busy /dev/vda && mount -t permfs /dev/vda /mnt || exit 1
	for i in $(seq 50); do echo "file $i" > /mnt/$i; done
	sync
	mkfs.permfs --force /dev/vda; echo "mkfs status $?"
	fsck.permfs -n /dev/vda; echo "fsck status $?"
	permfs info /dev/vda | grep "^in use"
	[ "$(cat /mnt/50)" = "file 50" ] && echo still there
	umount /mnt && fsck.permfs -n /dev/vda; echo "then $?"
	mount -t permfs -o ro /dev/vda /mnt && fsck.permfs -n /dev/vda; echo "read-only $?"
	umount /mnt
	mkfs.permfs -q /dev/vda; echo "foreign $?"
	mkfs.permfs -q --force /dev/vda && fsck.permfs -n /dev/vda; echo "forced $?"'
for line in 'mkfs status 1' 'fsck status 8' 'still there' 'then 0' 'read-only 0' 'foreign 1' 'forced 0' 'in use      it is mounted on /mnt'; do
	expect "$line" "$DIR/out"
done
