#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Sources, git, cargo and SQLite work on a volume, and after a remount all of it is there and whole.
. "$(dirname "$0")/lib.sh"

vm_status 0 --timeout 840 --corpus --disk 2G -- "
	mkdir /mnt/vol && mkfs.permfs -q /dev/vda && mount -t permfs /dev/vda /mnt/vol || exit 1
	$GUEST/ordinary-day.sh work /mnt/vol /mnt/corpus || exit 1
	umount /mnt/vol && fsck.permfs -n /dev/vda || exit 1
	echo 3 >/proc/sys/vm/drop_caches
	mount -t permfs /dev/vda /mnt/vol && $GUEST/ordinary-day.sh verify /mnt/vol || exit 1
	umount /mnt/vol && fsck.permfs -n /dev/vda && $GUEST/kernel-is-quiet.sh"
expect 'an ordinary day is whole after the remount' "$DIR/out"
