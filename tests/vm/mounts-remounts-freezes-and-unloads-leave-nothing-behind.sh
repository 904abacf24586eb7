#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A volume is mounted twice, remounted, frozen and thawed, told to discard, mounted over and over; then the module goes and
# comes again, also by force, and nothing of it is left in the kernel.
. "$(dirname "$0")/lib.sh"

vm_status 0 --disk 256M,discard=unmap --disk 128M -- "
	exec 2>&1
	failed=0
	holds() { if eval \"\$2\"; then echo \"ok: \$1\"; else echo \"FAIL: \$1\"; failed=1; fi; }
	mkdir /mnt/{a,again,b}
	mkfs.permfs -q /dev/vda && mkfs.permfs -q /dev/vdb && mount -t permfs /dev/vda /mnt/a || exit 1

	echo one >/mnt/a/f
	holds 'a device is mounted at two places' 'mount -t permfs /dev/vda /mnt/again && [ \$(cat /mnt/again/f) = one ]'
	echo two >/mnt/again/f
	holds 'and is one volume' '[ \$(cat /mnt/a/f) = two ] && umount /mnt/a && [ \$(cat /mnt/again/f) = two ] && mount --move /mnt/again /mnt/a'
	holds 'two volumes at once' 'mount -t permfs /dev/vdb /mnt/b && cp /mnt/a/f /mnt/b/f && cmp /mnt/a/f /mnt/b/f'
	holds 'the module is in use' '! rmmod permfs'
	umount /mnt/b

	exec 5>/mnt/a/open
	holds 'no remount under a writer' '! mount -o remount,ro /mnt/a'
	exec 5>&-
	holds 'remount read-only' 'mount -o remount,ro /mnt/a && ! touch /mnt/a/x && fsck.permfs -n /dev/vda'
	holds 'and back, with other options' 'mount -o remount,rw,errors=shutdown /mnt/a && touch /mnt/a/x'
	holds 'which are shown' 'grep -E \" /mnt/a permfs rw,.*errors=shutdown\" /proc/mounts'
	holds 'a wrong option changes nothing' '! mount -o remount,errors=no /mnt/a && grep -q errors=shutdown /proc/mounts && touch /mnt/a/y'

	echo before >/mnt/a/frozen
	fsfreeze -f /mnt/a
	(echo after >/mnt/a/frozen; echo written >/tmp/written) &
	sleep 2
	holds 'a frozen volume takes no write' '[ ! -e /tmp/written ] && [ \$(cat /mnt/a/frozen) = before ]'
	dd if=/dev/vda of=/tmp/copy bs=1M iflag=direct conv=sparse status=none
	holds 'and is whole on its device' 'fsck.permfs -n /tmp/copy'
	fsfreeze -u /mnt/a
	wait \$!
	holds 'a thawed one does' '[ \$(cat /mnt/a/frozen) = after ]'

	discarded() { awk '{ print \$14 }' /sys/block/vda/stat; }
	dd if=/dev/zero of=/mnt/a/big bs=1M count=32 conv=fsync status=none
	rm /mnt/a/big; sync; sleep 1; sync
	holds 'no discard without the option' '[ \$(discarded) = 0 ]'
	mount -o remount,discard /mnt/a
	dd if=/dev/zero of=/mnt/a/big bs=1M count=32 conv=fsync status=none
	rm /mnt/a/big; sync; sleep 1; sync
	holds '32 MiB are discarded with it' '[ \$(discarded) -ge 65536 ]'
	echo \"discarded: \$(discarded) sectors\"
	umount /mnt/a && fsck.permfs -n /dev/vda || failed=1

	for i in {1..10}; do
		mount -t permfs /dev/vda /mnt/a && cp -r /usr/share/zoneinfo/Europe /mnt/a/copy-\$i && rm -rf /mnt/a/copy-\$((i - 2)) && umount /mnt/a || failed=1
	done
	fsck.permfs -n /dev/vda || failed=1
	for i in {1..3}; do
		holds 'the module goes' 'rmmod permfs && ! grep permfs /proc/filesystems && ! grep permfs /proc/slabinfo /proc/modules'
		insmod \$PERMFS_KO || failed=1
		mount -t permfs /dev/vda /mnt/a && touch /mnt/a/copy-10/new && umount /mnt/a || failed=1
	done
	mount -t permfs /dev/vda /mnt/a
	exec 5>/mnt/a/held
	rmmod -f permfs 5>&- &
	sleep 1
	holds 'a forced unload waits' 'grep -q \"^permfs .* Unloading\" /proc/modules'
	holds 'what is open goes on' 'echo kept | dd conv=fsync status=none >&5'
	exec 5>&-
	holds 'until the volume is unmounted' 'umount /mnt/a && wait \$! && ! grep permfs /proc/modules /proc/slabinfo'
	holds 'and pstore has no backend' '[ \"\$(cat /sys/module/pstore/parameters/backend)\" = \"(null)\" ]'
	insmod \$PERMFS_KO && mount -t permfs /dev/vda /mnt/a || failed=1
	holds 'with all that was written' '[ \$(cat /mnt/a/held) = kept ] && umount /mnt/a && fsck.permfs -n /dev/vda'
	rmmod permfs
	[ \$failed = 0 ] && $GUEST/kernel-is-quiet.sh"
