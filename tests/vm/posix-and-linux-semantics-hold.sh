#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What POSIX and Linux promise of a filesystem holds, and the volume it was tried on is clean afterwards.
. "$(dirname "$0")/lib.sh"

vm_status 0 --disk 512M -- "
	mkfs.permfs -q /dev/vda && mount -t permfs /dev/vda /mnt || exit 1
	$GUEST/posix.py /mnt; status=\$?
	$GUEST/posix-data.py /mnt || status=1
	umount /mnt && fsck.permfs -n /dev/vda; echo \"fsck status \$?\"
	mkfs.permfs -q -f /dev/vda && mount -t permfs /dev/vda /mnt || exit 1
	$GUEST/vfs-rules-32-bit.py /mnt || status=1
	$GUEST/vfs-rules.py /dev/vda /mnt || status=1
	$GUEST/vfs-rules-gone.py /mnt || status=1
	$GUEST/kernel-is-quiet.sh && exit \$status"
expect ' passed, 0 failed' "$DIR/out"
expect 'fsck status 0' "$DIR/out"
note "$(grep -E '^[0-9]+ passed' "$DIR/out" | paste -sd';')"
