#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: background-errors.sh: a volume on /dev/vdb whose device fails writes, with nobody who would sync: the commit in the
# background meets it, and does what errors= says. The device is well again for the next mount.
export DM_DISABLE_UDEV=1
failed=0
holds() { if eval "$2"; then echo "ok: $1"; else echo "FAIL: $1"; failed=1; fi; }
size=$(blockdev --getsz /dev/vdb)
table() { dmsetup suspend --nolockfs dev && dmsetup load dev --table "$1" && dmsetup resume dev; }
# within SECONDS SHELL: it becomes true.
within() {
	local end=$((SECONDS + $1))
	until eval "$2"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.2
	done
}
modprobe dm-flakey
dmsetup create dev --table "0 $size linear /dev/vdb 0" && mkfs.permfs -q /dev/mapper/dev || exit 1
for errors in remount-ro shutdown; do
	dmesg --clear
	mount -t permfs -o errors=$errors /dev/mapper/dev /mnt && echo $errors >/mnt/kept && sync /mnt/kept || exit 1
	exec 7>>/mnt/kept
	table "0 $size flakey /dev/vdb 0 0 1000 1 error_writes" || exit 1
	mkdir /mnt/lost
	holds "$errors: the log says what could not be done" 'within 20 "dmesg | grep -E \"permfs: .*EIO: the log cannot be written; errors=$errors\""'
	case $errors in
	remount-ro)
		holds 'it becomes read-only, and its flags stay' 'within 5 "grep -q \" /mnt permfs rw,.*emergency_ro\" /proc/mounts" && [ "$(cat /mnt/kept)" = remount-ro ]'
		holds 'nothing can be changed' '! touch /mnt/new && ! mkdir /mnt/new && ! ln /mnt/kept /mnt/new && ! ln -s kept /mnt/new && ! mv /mnt/kept /mnt/new && ! rm /mnt/kept && ! chmod 600 /mnt/kept' 2>/dev/null
		holds 'nor by who had a file open' '! echo more >&7' 2>/dev/null
		holds 'and stays so' '! mount -o remount,rw /mnt 2>&1 && grep -q " /mnt permfs rw,.*emergency_ro" /proc/mounts'
		holds 'it can be frozen and thawed' 'fsfreeze -f /mnt && fsfreeze -u /mnt'
		exec 7>&-
		holds 'and remounted read-only' 'mount -o remount,ro /mnt && grep -q " /mnt permfs ro,.*emergency_ro" /proc/mounts && [ "$(cat /mnt/kept)" = remount-ro ]'
		;;
	shutdown) holds 'it is shut down' '! touch /mnt/new 2>/dev/null && ! ls /mnt/lost 2>/dev/null && ! sync /mnt/kept 2>/dev/null' ;;
	esac
	exec 7>&-
	umount /mnt || exit 1
	table "0 $size linear /dev/vdb 0" || exit 1
	holds 'what was fsynced is there' 'mount -t permfs /dev/mapper/dev /mnt && [ "$(cat /mnt/kept)" = $errors ] && [ ! -e /mnt/lost ] && umount /mnt && fsck.permfs -n /dev/mapper/dev'
done
dmsetup remove dev
[ $failed = 0 ]
