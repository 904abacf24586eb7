#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: bad-blocks.sh: volumes of which one block gives an input/output error (device mapper's error target). It costs what stands
# in it: the rest is mounted, read, written and checked, and what was done without is told.
export DM_DISABLE_UDEV=1
damage=$(dirname "$0")/damage.py
cd /tmp && mkdir -p /mnt/bad || exit 1
failed=0
holds() { if eval "$2"; then echo "ok: $1"; else echo "FAIL: $1"; failed=1; fi; }
told() { dmesg | grep -qF -- "$1" || { dmesg | grep permfs; return 1; }; }

# without BLOCK [IMAGE]: /dev/mapper/bad is the image with that block unreadable, and the kernel's log is empty.
without() {
	local at=$(($1 * 8)) size
	loop=$(losetup --find --show "${2:-image}") && size=$(blockdev --getsz "$loop") || exit 1
	{
		[ $at = 0 ] || echo "0 $at linear $loop 0"
		echo "$at 8 error"
		echo "$((at + 8)) $((size - at - 8)) linear $loop $((at + 8))"
	} | dmsetup create bad || exit 1
	dmesg --clear
}

whole() {
	dmsetup remove bad && losetup -d "$loop" || exit 1
}

# A volume of three shards, with a file of many extents that was removed and is still open when the power goes.
rm -f image && truncate -s 320M image && mkfs.permfs -q image && mount -o loop -t permfs image /mnt/bad || exit 1
mkdir /mnt/bad/dir && echo kept >/mnt/bad/dir/file && head -c 1M /dev/urandom >/mnt/bad/big || exit 1
for i in {0..39}; do dd if=/dev/zero of=/mnt/bad/open bs=4k count=1 seek=$((i * 2)) conv=notrunc status=none; done
sync -f /mnt/bad
exec 5</mnt/bad/open
ino=$(stat -c %i /mnt/bad/open)
# A checkpoint, so that the blocks stand at their homes.
fsfreeze -f /mnt/bad && fsfreeze -u /mnt/bad && rm /mnt/bad/open && sync -f /mnt/bad && cp --sparse=always image crashed || exit 1
exec 5<&-
umount /mnt/bad || exit 1
sum=$(mount -o loop,ro -t permfs image /mnt/bad && sha256sum </mnt/bad/big && umount /mnt/bad) || exit 1
intact='[ "$(cat /mnt/bad/dir/file)" = kept ] && [ "$(sha256sum </mnt/bad/big)" = "$sum" ]'
checked() { fsck.permfs -n /dev/mapper/bad >fsck.out 2>&1; [ $? = 4 ] && grep -q "block $1 cannot be read (input/output error)" fsck.out || { cat fsck.out; return 1; }; }

without 3
holds 'fsck reports an unreadable summary and goes on' 'checked 3 && grep -q "inodes (" fsck.out'
holds 'a read-only mount needs no summary' 'mount -t permfs -o ro /dev/mapper/bad /mnt/bad && eval "$intact" && umount /mnt/bad'
holds 'a read-write one goes on without' 'mount -t permfs /dev/mapper/bad /mnt/bad && eval "$intact" && told "the summary of 3 of 3 shards is unusable"'
holds 'what needs no block works' 'chmod 640 /mnt/bad/dir/file && sync -f /mnt/bad && [ "$(stat -c %a /mnt/bad/dir/file)" = 640 ]'
holds 'what does is refused' '! cp dir /mnt/bad/x 2>/dev/null && ! { head -c 1M /dev/zero >/mnt/bad/x && sync /mnt/bad/x; } 2>/dev/null && eval "$intact"'
holds 'permfs info says what is not counted' 'permfs info /dev/mapper/bad | grep -q "the summary of 3 shards is unusable"'
umount /mnt/bad && whole

without 1
holds 'fsck reports an unreadable bitmap' 'checked 1'
holds 'a volume with one is mounted' 'mount -t permfs /dev/mapper/bad /mnt/bad && eval "$intact"'
holds 'who needs it goes elsewhere, and errors= decides' 'head -c 1M /dev/urandom >/mnt/bad/new; sync -f /mnt/bad; told "EIO: bitmap, inode 0, block 1; errors=remount-ro" && grep -q " /mnt/bad permfs rw,.*emergency_ro" /proc/mounts && eval "$intact"'
umount /mnt/bad && whole
holds 'and nothing was harmed' 'fsck.permfs -n image'

without 0
holds 'fsck takes a backup' 'checked 0 && grep -q "the backup in block 32256 was taken" fsck.out'
holds 'an unreadable super block: read-only by a backup' 'mount -t permfs -o ro /dev/mapper/bad /mnt/bad && eval "$intact" && told "its backup in block 32256 serves, read-only" && umount /mnt/bad'
holds 'and by no means read-write' '! mount -t permfs -o rw /dev/mapper/bad /mnt/bad 2>mount.out && grep -q "the backup at block 32256 is whole: mount read-only" mount.out'
holds 'permfs info does too' 'permfs info /dev/mapper/bad | grep -q "read from the backup in block 32256"'
whole
cp --sparse=always image zeroed && dd if=/dev/zero of=zeroed bs=4k count=1 conv=notrunc status=none
holds 'so does one of zeros' 'mount -o loop,ro -t permfs zeroed /mnt/bad && eval "$intact" && umount /mnt/bad'

without "$("$damage" blocks crashed "$ino" | head -n 1)" crashed
holds 'an orphan that cannot be read is left' 'mount -t permfs /dev/mapper/bad /mnt/bad && eval "$intact" && told "1 files that were to be freed or cut are damaged" && echo x >/mnt/bad/more && sync -f /mnt/bad && umount /mnt/bad'
whole
holds 'and freed once it can be' 'mount -o loop -t permfs crashed /mnt/bad && umount /mnt/bad && fsck.permfs -n crashed'

"$damage" set image panic_slot_blocks 1
dmesg --clear
holds 'panic slots that hold nothing are told of' 'mount -o loop -t permfs image /mnt/bad && told "a slot of the panic area has 4096 bytes: no panic can be recorded there" && told "panic_lane=none:area-small" && umount /mnt/bad'
rm -f image crashed zeroed
[ $failed = 0 ] && echo 'one bad block costs what it holds'
