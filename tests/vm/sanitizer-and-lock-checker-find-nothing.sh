#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# limit: 1800
# KASAN, lockdep and the kernel's other checkers find nothing wrong in a day of the module: semantics, many writers until the
# volume is full, remounts, freezes, a quiesce, two volumes and pstore, unloading; then a panic among writers, on a SATA disk too,
# and the replay.
. "$(dirname "$0")/lib.sh"
debug_kernel

# What must be on for this to mean anything, at the end too: lockdep switches itself off at its first finding.
checked='zcat /proc/config.gz | grep -qx CONFIG_KASAN=y && grep -q "debug_locks: *1" /proc/lockdep_stats ||
	{ echo "KASAN or lockdep is off"; exit 1; }'
virtio=$(disk virtio 512M) nvme=$(disk nvme 128M) sata=$(disk sata 128M)
disks=(--kernel debug --timeout 900 --disk "$virtio" --nvme "$nvme" --sata "$sata")

# With little memory, so that inodes are evicted by reclaim too, with its own locks held.
vm_status 0 "${disks[@]}" --mem 1G -- "
	$checked
	mkdir /mnt/a /mnt/b
	mkfs.permfs -q /dev/vda && mkfs.permfs -q /dev/nvme0n1 || exit 1
	mount -t permfs /dev/vda /mnt/a && mount -t permfs /dev/nvme0n1 /mnt/b || exit 1
	[ \"\$(cat /sys/module/pstore/parameters/backend)\" = permfs ] || exit 1
	mkdir /mnt/a/posix && $GUEST/posix.py /mnt/a/posix && $GUEST/posix-data.py /mnt/a/posix; status=\$?
	# Nearly full, so that the writers meet the end of the space.
	head -c 112M /dev/zero >/mnt/b/ballast && $GUEST/many-writers.py /mnt/b 4 8 1 || exit 1
	# Inodes are given back before pages are.
	echo 100000 >/proc/sys/vm/vfs_cache_pressure; cat /dev/vda /dev/nvme0n1 >/dev/null
	grep -E '^(pgsteal_kswapd|slabs_scanned) [1-9]' /proc/vmstat | grep -c . | grep -qx 2 || { echo 'no reclaim'; exit 1; }
	permfs quiesce /mnt/b && fsfreeze -f /mnt/a && fsfreeze -u /mnt/a || exit 1
	mount -o remount,ro /mnt/a && mount -o remount,rw /mnt/a && echo kept >/mnt/a/kept && sync /mnt/a/kept || exit 1
	cat /sys/kernel/debug/permfs/lanes && umount /mnt/b && umount /mnt/a || exit 1
	fsck.permfs -n /dev/vda && fsck.permfs -n /dev/nvme0n1 || exit 1
	rmmod permfs && insmod \"\$PERMFS_KO\" && mount -t permfs /dev/vda /mnt/a || exit 1
	[ \"\$(cat /mnt/a/kept)\" = kept ] && umount /mnt/a || exit 1
	$GUEST/kernel-is-quiet.sh || exit 1
	$checked
	exit \$status"
expect ' passed, 0 failed' "$DIR/out"

vm_panic 'sysrq triggered crash' "${disks[@]}" --module-params panic_deadline_ms=2000 -- "
	mkdir /mnt/a /mnt/b /mnt/c
	mount -t permfs /dev/vda /mnt/a && mount -t permfs /dev/nvme0n1 /mnt/b && rm -rf /mnt/b/* && mkdir /mnt/a/many || exit 9
	mkfs.permfs -q /dev/sda && mount -t permfs /dev/sda /mnt/c || exit 9
	for d in a b c; do echo kept >/mnt/\$d/kept && sync /mnt/\$d/kept || exit 9; done
	$GUEST/many-writers.py /mnt/a/many 3 60 2 &
	$GUEST/many-writers.py /mnt/b 2 60 3 &
	$GUEST/many-writers.py /mnt/c 2 60 4 &
	sleep 8
	$GUEST/kernel-is-quiet.sh && echo c >/proc/sysrq-trigger"
# What the checkers have to say of the panic path itself stands on the console alone.
if console | grep -E 'BUG:|WARNING:|panicked at'; then fail "found in the panic"; fi

vm_status 0 "${disks[@]}" -- "
	mkdir /mnt/a /mnt/b /mnt/c
	mount -t permfs /dev/vda /mnt/a && mount -t permfs /dev/nvme0n1 /mnt/b && mount -t permfs /dev/sda /mnt/c || exit 1
	for d in a b c; do [ \"\$(cat /mnt/\$d/kept)\" = kept ] || exit 1; done
	$GUEST/panic-record.sh '.volumes_mounted == 3' 'all(.volumes[].lane; .result == \"ok\")' || exit 1
	# Not those that are nearly all hole.
	find /mnt/? -type f -size -100M -print0 | xargs -0 cat >/dev/null && rm -rf /mnt/a/many && umount /mnt/? || exit 1
	for d in vda nvme0n1 sda; do fsck.permfs -n /dev/\$d || exit 1; done
	$GUEST/kernel-is-quiet.sh || exit 1
	$checked"
