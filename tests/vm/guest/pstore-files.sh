#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: pstore-files.sh [taken]: records of volumes as files of pstore; `taken`: pstore has another backend.
slot=$(dirname "$(readlink -f "$0")")/panic-slot.py
failed=0
say() { echo "$*"; failed=1; }

# files NAME...: what /sys/fs/pstore must hold.
files() {
	local is
	is=$(ls /sys/fs/pstore | tr '\n' ' ')
	[ "${is% }" = "$*" ] || say "line ${BASH_LINENO[0]}: pstore has '$is', not '$*'"
}
# holds NAME TEXT
holds() {
	[ "$(cat "/sys/fs/pstore/$1")" = "$2" ] || say "$1 holds '$(cat "/sys/fs/pstore/$1")', not '$2'"
}
backend() {
	local is
	is=$(cat /sys/module/pstore/parameters/backend)
	[ "$is" = "$1" ] || say "line ${BASH_LINENO[0]}: the backend is $is, not $1"
}
# disk DEVICE TEXT...: what `show` must say of it.
disk() {
	local dev=$1 is
	shift
	is=$("$slot" show "$dev" | tr '\n' ',')
	[ "$is" = "$*" ] || say "line ${BASH_LINENO[0]}: $dev has $is, not $*"
}
# Numbers of records: the volume's slot above, the sequence below.
second=$((1 << 48))

mkdir -p /mnt/a /mnt/b /mnt/c
mkfs.permfs -q /dev/vda || exit 1
"$slot" put /dev/vda 3 1 'a log'

if [ "$1" = taken ]; then
	backend erst
	mount -t permfs /dev/vda /mnt/a || say "no mount where pstore is taken"
	backend erst
	files
	dmesg | grep -q 'permfs: pstore has another backend' || say "that it is taken is not said"
	# The place becomes free: the next mount takes it.
	rmmod permfs 2>/dev/null && say "a module with a mount goes"
	umount /mnt/a || say "umount"
	exit $failed
fi

mkfs.permfs -q /dev/vdb && mkfs.permfs -q /dev/vdc || exit 1
"$slot" put /dev/vda 4 2 "$(printf 'line of the log %d\n' {1..2000})" compressed
"$slot" put /dev/vda 5 1 'torn' torn
"$slot" put /dev/vda 6 0 'permfs-panic: v=1' lines
"$slot" put /dev/vdb 3 1 'of the second volume'
backend '(null)'
files

mount -t permfs /dev/vda /mnt/a || exit 1
backend permfs
files dmesg-permfs-3 dmesg-permfs-4
holds dmesg-permfs-3 'a log'
holds dmesg-permfs-4 "$(printf 'line of the log %d\n' {1..2000})"
[ "$(stat -c %Y /sys/fs/pstore/dmesg-permfs-3)" = 1000000003 ] || say "a record's file has not its time"
rmmod permfs 2>/dev/null && say "a module with a mount goes"

# A second volume: both are shown.
mount -t permfs /dev/vdb /mnt/b || exit 1
files dmesg-permfs-$((second + 3)) dmesg-permfs-3 dmesg-permfs-4
holds dmesg-permfs-$((second + 3)) 'of the second volume'
holds dmesg-permfs-3 'a log'

# What is unlinked is erased on its volume, there only, and durably.
rm /sys/fs/pstore/dmesg-permfs-3 || say "rm"
disk /dev/vda 3 2 1,4 2 0,5 2 0,6 1 0,
disk /dev/vdb 3 2 0,
files dmesg-permfs-$((second + 3)) dmesg-permfs-4

# The first volume goes, with what is its own; the other's stays, and can be erased.
umount /mnt/a || say "umount"
backend permfs
files dmesg-permfs-$((second + 3))
# Back again: its slot is the lowest that is free.
mount -t permfs /dev/vda /mnt/a || exit 1
files dmesg-permfs-$((second + 3)) dmesg-permfs-4
rm /sys/fs/pstore/* || say "rm"
disk /dev/vda 3 2 1,4 2 1,5 2 0,6 1 0,
disk /dev/vdb 3 2 1,
umount /mnt/a /mnt/b || say "umount"
backend '(null)'
files
fsck.permfs -n /dev/vda >/tmp/fsck || { cat /tmp/fsck; say "fsck finds something"; }

# A volume that is shut down, and one that is unmounted lazily, leave nothing behind either.
"$slot" put /dev/vdb 7 1 'again'
mount -t permfs /dev/vdb /mnt/b || exit 1
files dmesg-permfs-7
exec 7>/mnt/b/file
umount -l /mnt/b || say "umount -l"
backend permfs
exec 7>&-
for _ in {1..50}; do
	[ "$(cat /sys/module/pstore/parameters/backend)" = '(null)' ] && break
	sleep 0.1
done
backend '(null)'

# Mounts of pstore, of volumes, and readers, all at once.
for i in {20..35}; do "$slot" put /dev/vda "$i" 1 "$(printf 'record %d of many\n' "$i")"; done
"$slot" put /dev/vdc 1 1 'of the third'
umount /sys/fs/pstore
(for _ in {1..60}; do mount -t pstore pstore /sys/fs/pstore; cat /sys/fs/pstore/* >/dev/null 2>&1; umount /sys/fs/pstore; done) &
(for _ in {1..20}; do mount -t permfs /dev/vda /mnt/a; umount /mnt/a; done) &
(for _ in {1..20}; do mount -t permfs /dev/vdc /mnt/c; umount /mnt/c; done) &
wait
mountpoint -q /sys/fs/pstore || mount -t pstore pstore /sys/fs/pstore
backend '(null)'
files
mount -t permfs /dev/vda /mnt/a || exit 1
[ "$(ls /sys/fs/pstore | wc -l)" = 16 ] || say "there are $(ls /sys/fs/pstore | wc -l) records, not 16"
umount /mnt/a

# Unload, and load without.
rmmod permfs || say "rmmod"
insmod "$PERMFS_KO" pstore=off || exit 1
mount -t permfs /dev/vda /mnt/a || exit 1
backend '(null)'
files
umount /mnt/a
rmmod permfs || say "rmmod"
exit $failed
