#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# limit: 1200
# While a few in a hundred of the kernel's allocations fail, of one process or all those below permfs.ko, calls fail with ENOMEM
# or EIO and with nothing else; nothing oopses, what an fsync has acknowledged is there after a remount, and the volume is clean.
. "$(dirname "$0")/lib.sh"
debug_kernel

vm_status 0 --kernel debug --timeout 1100 --disk 512M -- "
	mkdir /mnt/vol && mkfs.permfs -q /dev/vda || exit 1
	for whose in tasks module; do
		mount -t permfs /dev/vda /mnt/vol && mkdir /mnt/vol/\$whose || exit 1
		ln -sfn /mnt/vol/\$whose /mnt/at
		$GUEST/enomem.py \$whose /mnt/at 60 1 || exit 1
		umount /mnt/vol; fsck.permfs -n /dev/vda || exit 1
		mount -t permfs /dev/vda /mnt/vol && $GUEST/enomem.py verify /mnt/at && umount /mnt/vol && fsck.permfs -n /dev/vda || exit 1
	done
	$GUEST/kernel-is-quiet.sh"
