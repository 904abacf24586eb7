#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A full volume says ENOSPC to who writes, keeps what it took, and can be emptied; a device that fails writes makes fsync say
# EIO and, once the log cannot be written, the volume refuse changes, and what was fsynced before is there once the device is well again.
. "$(dirname "$0")/lib.sh"

vm_status 0 --disk 96M --disk 128M -- "
	exec 2>&1
	failed=0
	holds() { if eval \"\$2\"; then echo \"ok: \$1\"; else echo \"FAIL: \$1\"; failed=1; fi; }
	mkdir /mnt/{a,b}
	mkfs.permfs -q /dev/vda && mount -t permfs /dev/vda /mnt/a && sync || exit 1
	before=\$(stat -f -c %f /mnt/a)
	head -c 5M /dev/urandom >/mnt/a/kept && sync /mnt/a/kept && sum=\$(sha256sum </mnt/a/kept)
	truncate -s 1M /mnt/a/hole
	holds 'a buffered write ends in ENOSPC' 'dd if=/dev/zero of=/mnt/a/big bs=1M conv=fsync 2>&1 | grep \"No space left\"'
	holds 'a direct one too' 'dd if=/dev/zero of=/mnt/a/direct bs=64k oflag=direct 2>&1 | grep \"No space left\"'
	i=0; while echo \$i >/mnt/a/small-\$i && sync /mnt/a/small-\$i && [ \$i -lt 3000 ]; do i=\$((i + 1)); done 2>/dev/null
	echo \"\$i small files beside it, \$(stat -f -c %f /mnt/a) blocks left\"
	for ((j = 0; j < i; j++)); do [ \"\$(</mnt/a/small-\$j)\" = \$j ] || { echo \"FAIL: small-\$j\"; failed=1; }; done
	python3 -c 'import mmap
f = open(\"/mnt/a/hole\", \"r+b\")
m = mmap.mmap(f.fileno(), 1 << 20)
for at in range(0, 1 << 20, 4096): m[at] = 1'
	holds 'a mapped hole that cannot be filled is SIGBUS' '[ \$? = 135 ]'
	holds 'what was taken is whole' '[ \"\$(sha256sum </mnt/a/kept)\" = \"\$sum\" ]'
	holds 'overwriting needs no space' 'dd if=/dev/urandom of=/mnt/a/kept bs=1M count=5 conv=notrunc,fsync status=none && sum=\$(sha256sum </mnt/a/kept)'
	holds 'a full volume mounts again' 'umount /mnt/a && fsck.permfs -n /dev/vda && mount -t permfs /dev/vda /mnt/a && [ \"\$(sha256sum </mnt/a/kept)\" = \"\$sum\" ]'
	holds 'and can be emptied' 'rm -rf /mnt/a/* && sync && [ \$((before - \$(stat -f -c %f /mnt/a))) -le 4 ]'
	umount /mnt/a && fsck.permfs -n /dev/vda || failed=1

	modprobe dm-flakey
	size=\$(blockdev --getsz /dev/vdb)
	dmsetup create dev --table \"0 \$size linear /dev/vdb 0\" && mkfs.permfs -q /dev/mapper/dev && mount -t permfs /dev/mapper/dev /mnt/b || exit 1
	fails() { dmsetup suspend --nolockfs dev && dmsetup load dev --table \"\$1\" && dmsetup resume dev; }
	echo kept >/mnt/b/kept && sync /mnt/b/kept || exit 1
	fails \"0 \$size flakey /dev/vdb 0 0 1000 1 error_writes\" || exit 1
	echo lost >/mnt/b/lost
	holds 'fsync says EIO' '! sync /mnt/b/lost'
	mkdir /mnt/b/new
	holds 'and so does a sync of what cannot be logged' '! sync -f /mnt/b'
	holds 'from then on changes are refused' '! mkdir /mnt/b/newer'
	holds 'reading goes on' '[ \$(</mnt/b/kept) = kept ]'
	holds 'the log says so' 'dmesg | grep \"permfs: .*errors=remount-ro\"'
	dmesg | grep permfs: | tail -n 4
	umount /mnt/b || failed=1
	fails \"0 \$size linear /dev/vdb 0\" || exit 1
	holds 'the volume is whole' 'fsck.permfs -n /dev/mapper/dev && mount -t permfs /dev/mapper/dev /mnt/b && [ \$(</mnt/b/kept) = kept ] && echo again >/mnt/b/lost && sync /mnt/b/lost && umount /mnt/b'
	[ \$failed = 0 ] && $GUEST/kernel-is-quiet.sh"
