#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: others-writeback.sh DISK FILESYSTEM [without]: a volume at rest on the DISK's first partition, and a FILESYSTEM on its
# second; a panic with the lock held that the end of each of the latter's writes takes, and these in flight. `without` the volume.
set -e
exec 2>&1
disk=$1 fs=$2
part=${disk}
[[ $disk != *[0-9] ]] || part=${disk}p
mkfs.permfs -q "/dev/${part}1"
"mkfs.$fs" -q "/dev/${part}2"
mkdir /mnt/volume /mnt/other
[ "${3:-}" ] || mount -t permfs "/dev/${part}1" /mnt/volume
modprobe -q "$fs" || true
mount -t "$fs" "/dev/${part}2" /mnt/other
insmod /run/permfs/files/panicker.ko
dd if=/dev/zero of=/mnt/other/file bs=64k count=8 conv=fsync status=none
sync
cat /sys/kernel/debug/permfs/lanes
# Their blocks are there: every other one is changed, so that each is a request of its own. On the CPU that panics: its NMI-less
# handler cannot run any more.
exec taskset 1 python3 - <<PY
import mmap, os
fd = os.open("/mnt/other/file", os.O_RDWR)
for block in range(0, 128, 2):
    os.pwrite(fd, b"x" * 4096, block * 4096)
open("/sys/module/panicker/parameters/at", "w").write("writeback:/mnt/other/file")
PY
