#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# When a volume turns out to be damaged, it becomes read-only by default, refuses everything with errors=shutdown, and panics
# the machine with errors=panic, once its device is at rest; one line in the kernel's log names the inode. The same is done when the
# log cannot be written in the background. Who watches for errors hears of them. What was fsynced before is there.
. "$(dirname "$0")/lib.sh"

image=$(disk vol 128M)

# A directory whose nodes are damaged: mounting does not meet them, listing it does.
vm_panic 'permfs: error in metadata with errors=panic; quiesced: drained=1 in_flight=0 flush=ok' --erst "$DIR/store" --disk "$image" --disk 64M -- "
	mkfs.permfs -q /dev/vda && mount -t permfs /dev/vda /mnt && mkdir /mnt/dir && echo whole >/mnt/file || exit 9
	(cd /mnt/dir && seq -f 'a-name-for-the-directory-%g' 2000 | xargs touch)
	ino=\$(stat -c %i /mnt/dir); umount /mnt
	$GUEST/damage.py own /dev/vda \$ino || exit 9
	exec 2>&1
	lines() { dmesg | grep -c 'permfs: (vda):.*errors='; }

	mount -t permfs /dev/vda /mnt || exit 9
	$GUEST/watch-errors.py /mnt 60 >/tmp/watch & watcher=\$!
	until grep -q watching /tmp/watch; do sleep 0.1; kill -0 \$watcher || exit 9; done
	ls /mnt/dir; ls /mnt/dir
	wait \$watcher && cat /tmp/watch || exit 9
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
	echo '-- in the background'
	$GUEST/background-errors.sh || exit 9
	$GUEST/kernel-is-quiet.sh || exit 9
	echo '-- panic'
	mount -t permfs -o errors=panic /dev/vda /mnt && ls /mnt/dir
	exit 9"
for line in 'event: Structure needs cleaning (117), 1' 'unmount it, run fsck.permfs, mount it again' "reading directory '/mnt/dir': Structure needs cleaning" ',emergency_ro' "touch: cannot touch '/mnt/new': Read-only file system" \
	'ro: 1 line' "cat: /mnt/file: Input/output error" "cannot touch '/mnt/refused': Input/output error" 'shutdown: 1 line' fsynced; do
	expect "$line" "$DIR/out"
done

vm_status 0 --erst "$DIR/store" --disk "$image" -- "
	$GUEST/panic-record.sh '.message == \"permfs: error in metadata with errors=panic; quiesced: drained=1 in_flight=0 flush=ok\"' '.context == \"task\" and .task == \"ls\"' \
		'.volumes[0] | .name == \"vda\" and .drain.drained' || exit 1
	timeout 60 fsck.permfs -n /dev/vda; echo \"fsck status \$?\"
	mount -t permfs /dev/vda /mnt && [ \"\$(cat /mnt/file)\" = whole ] && umount /mnt && $GUEST/kernel-is-quiet.sh"
expect 'fsck status 4' "$DIR/out"
