#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# When a volume turns out to be damaged, it becomes read-only by default, refuses everything with errors=shutdown, and panics
# the machine with errors=panic; one line in the kernel's log names the inode. What was fsynced before is there.
. "$(dirname "$0")/lib.sh"

image=$(disk vol 128M)

# A directory whose nodes are damaged: mounting does not meet them, listing it does.
vm_panic 'permfs: error in metadata with errors=panic' --erst "$DIR/store" --disk "$image" -- "
	mkfs.permfs -q /dev/vda && mount -t permfs /dev/vda /mnt && mkdir /mnt/dir && echo whole >/mnt/file || exit 9
	(cd /mnt/dir && seq -f 'a-name-for-the-directory-%g' 2000 | xargs touch)
	ino=\$(stat -c %i /mnt/dir); umount /mnt
	$GUEST/damage.py own /dev/vda \$ino || exit 9
	exec 2>&1
	lines() { dmesg | grep -c 'permfs: (vda):.*errors='; }

	mount -t permfs /dev/vda /mnt || exit 9
	ls /mnt/dir; ls /mnt/dir
	grep ' /mnt permfs ' /proc/mounts
	touch /mnt/new; cat /mnt/file && echo \"ro: \$(lines) line\"
	dmesg | grep -F \"inode \$ino\" || exit 9
	mount -o remount,rw /mnt; touch /mnt/new
	umount /mnt || exit 9
	echo '-- shutdown'
	dmesg --clear
	mount -t permfs -o errors=shutdown /dev/vda /mnt && echo fsynced >/mnt/new && sync /mnt/new && echo lost >/mnt/newer || exit 9
	ls /mnt/dir
	touch /mnt/refused; cat /mnt/file; sync -f /mnt; echo \"shutdown: \$(lines) line\"; dmesg | grep permfs:
	umount /mnt && mount -t permfs /dev/vda /mnt && cat /mnt/new /mnt/file && umount /mnt || exit 9
	$GUEST/kernel-is-quiet.sh || exit 9
	echo '-- panic'
	mount -t permfs -o errors=panic /dev/vda /mnt && ls /mnt/dir
	exit 9"
for line in "reading directory '/mnt/dir': Structure needs cleaning" ' permfs ro' "touch: cannot touch '/mnt/new': Read-only file system" \
	'ro: 1 line' "cat: /mnt/file: Input/output error" "cannot touch '/mnt/refused': Input/output error" 'shutdown: 1 line' fsynced; do
	expect "$line" "$DIR/out"
done

vm_status 0 --erst "$DIR/store" --disk "$image" -- "
	$GUEST/panic-record.sh '.message == \"permfs: error in metadata with errors=panic\"' '.context == \"task\" and .task == \"ls\"' \
		'.volumes[0] | .name == \"vda\" and .drain.drained' || exit 1
	timeout 60 fsck.permfs -n /dev/vda; echo \"fsck status \$?\"
	mount -t permfs /dev/vda /mnt && [ \"\$(cat /mnt/file)\" = whole ] && umount /mnt && $GUEST/kernel-is-quiet.sh"
expect 'fsck status 4' "$DIR/out"
