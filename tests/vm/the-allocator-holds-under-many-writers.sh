#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Eight processes write, cut, move and remove files on a volume that is nearly full: every byte is right, all space comes back,
# nothing is freed twice, refusals are counted in the panic's record, and the check agrees, after an unmount and after a panic in the middle of it.
. "$(dirname "$0")/lib.sh"

image=$(disk vol 160M)
vm_panic 'sysrq triggered crash' --erst "$DIR/store" --disk "$image" -- "
	mkfs.permfs -q /dev/vda && mount -t permfs /dev/vda /mnt && mkdir /mnt/first /mnt/second && sync || exit 9
	head -c 118M /dev/urandom >/mnt/ballast && sync
	free() { stat -f -c %f /mnt; }
	before=\$(free)
	$GUEST/many-writers.py /mnt/first 8 12 1 || exit 9
	umount /mnt && fsck.permfs -n /dev/vda && mount -t permfs /dev/vda /mnt || exit 9
	rm -rf /mnt/first/*; sync
	echo \"free before \$before, after \$(free)\"
	[ \$((before - \$(free))) -le 4 ] && [ \$((\$(free) - before)) -le 4 ] || exit 9
	umount /mnt && fsck.permfs -n /dev/vda && mount -t permfs /dev/vda /mnt && $GUEST/kernel-is-quiet.sh || exit 9
	dd if=/dev/zero of=/mnt/full bs=1M count=200 2>/dev/null && exit 9
	rm /mnt/full && sync
	$GUEST/many-writers.py /mnt/second 8 60 2 &
	sleep 8
	echo c >/proc/sysrq-trigger"
grep -E 'full [1-9]' "$DIR/out" || fail "the volume was never full"
vm_status 0 --erst "$DIR/store" --disk "$image" -- "
	$GUEST/panic-record.sh '.volumes[0].allocator | .double_frees == 0 and .torn_events <= 2 and .shards == 2 and .failed >= 1 and .events >= 1' || exit 1
	fsck.permfs -n /dev/vda; mount -t permfs /dev/vda /mnt && find /mnt -type f -print0 | xargs -0 cat >/dev/null || exit 1
	rm -rf /mnt/* && umount /mnt && fsck.permfs -n /dev/vda && $GUEST/kernel-is-quiet.sh"
