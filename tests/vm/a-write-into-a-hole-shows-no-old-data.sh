#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A write into a hole, while it is being written back, does not bring old content of the device into its blocks; and files written
# through the page cache, directly and through mappings at once hold what they should, in memory and on the device.
. "$(dirname "$0")/lib.sh"

image=$(disk vol 600M)
vm_status 0 --disk "$image" -- "
	mkfs.permfs -q /dev/vda && mount -t permfs /dev/vda /mnt || exit 9
	yes 'old content' | dd of=/mnt/old bs=1M count=500 iflag=fullblock status=none && sync && rm /mnt/old && sync || exit 9
	$GUEST/hole-race.py /mnt 30 || exit 1
	rm /mnt/hole*
	for seed in 1 2 3; do $GUEST/io-mix.py /mnt \$seed 25 & pids+=\" \$!\"; done
	for pid in \$pids; do wait \$pid || exit 1; done
	umount /mnt && fsck.permfs -n /dev/vda && $GUEST/kernel-is-quiet.sh"
