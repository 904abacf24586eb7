#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: refused.sh: mounts what is no volume, or with options that are none. Every attempt must fail with a sentence from
# mount(8) that names the fault, and with the same in the kernel's log where the fault is the volume's. Ends with 'N refused'.
cd /tmp || exit 1
damage=$(dirname "$0")/damage.py
mkdir -p /mnt/bad
failed=0 refused=0

# image SIZE: a fresh volume in ./image, on a loop device: $loop.
image() {
	rm -f image
	truncate -s "$1" image
	mkfs.permfs -q --size "$1" image 2>/dev/null || mkfs.permfs -q image
}

attach() {
	loop=$(losetup --find --show image) || exit 1
}

# refused WHAT SENTENCE [OPTIONS]: ./image must not mount.
refused() {
	local message status=0
	attach
	dmesg --clear
	message=$(timeout 60 mount -t permfs ${3:+-o "$3"} "$loop" /mnt/bad 2>&1) || status=$?
	if [ "$status" = 0 ] || [ "$status" = 124 ]; then
		echo "FAIL: $1: status $status"
		failed=$((failed + 1))
		umount /mnt/bad 2>/dev/null
	elif [[ $message != *"$2"* ]]; then
		echo "FAIL: $1: mount says '$message' and not '$2'"
		failed=$((failed + 1))
	elif [ -z "${3:-}" ] && ! dmesg | grep -qF -- "$2"; then
		echo "FAIL: $1: the kernel's log does not say '$2'"
		dmesg | tail -n 3
		failed=$((failed + 1))
	else
		refused=$((refused + 1))
	fi
	losetup -d "$loop"
}

: >image && refused '0 bytes' 'no PermFS super block'
truncate -s 512 image && refused '512 bytes' 'no PermFS super block'
truncate -s 4096 image && refused '4 KiB of zeros' 'no PermFS super block'
head -c 4M /dev/urandom >image && refused 'noise' 'no PermFS super block'
mke2fs -q -F image && refused 'an ext2' 'no PermFS super block'

image 160M && truncate -s 4096 image && refused 'cut after the super block' 'the device has 1 blocks, the volume needs 40960'
image 160M && truncate -s 20M image && refused 'cut in the middle' 'the device has 5120 blocks, the volume needs 40960'
image 160M && truncate -s -4096 image && refused 'cut by one block' 'the device has 40959 blocks, the volume needs 40960'

image 160M && "$damage" set image magic 0x12345678 && refused 'another magic number' 'no PermFS super block'
image 160M && "$damage" set image version 2 && refused 'a later version' 'format version 2 is not supported'
image 160M && "$damage" set image incompat 0x20000 && refused 'an unknown feature' 'unknown incompatible feature, bit 17 (0x20000)'
for field in block_size shard_blocks shards summary_blocks journal_start journal_blocks panic_start panic_slots; do
	for value in 0 0xffffffff; do
		image 160M && "$damage" set image $field $value && refused "$field of $value" 'the super block contradicts itself'
	done
done
image 160M && "$damage" set image blocks 0 && refused 'no blocks' 'the super block contradicts itself'
image 160M && "$damage" set image blocks 0xffffffffffffffff && refused 'too many blocks' 'the super block contradicts itself'

image 160M && "$damage" break image 1 0 && refused 'a damaged super block' 'the backup at block 32256 is whole: mount read-only'
attach
mount -t permfs -o ro "$loop" /mnt/bad && umount /mnt/bad && echo 'read-only by the backup'
losetup -d "$loop"
# mount(8) tries again read-only when it gets EROFS.
image 160M && "$damage" set image ro_compat 2
attach
dmesg --clear
mount -t permfs "$loop" /mnt/bad && ! touch /mnt/bad/x 2>/dev/null && umount /mnt/bad &&
	dmesg | grep -F 'unknown read-only compatible feature, bit 1 (0x2): mount read-only'
losetup -d "$loop"

image 160M && "$damage" break image 2 0 && refused 'a damaged state block' 'damaged'
image 160M && "$damage" break image 7 0 && refused 'a damaged head of the journal' 'damaged'
image 160M && "$damage" break image 5 0 && refused 'a damaged inode tree' 'damaged'

# crashed: ./image is a volume whose log holds an epoch for each of the files 1 to 6, as a crash leaves it.
crashed() {
	image 160M && mv image running && loop=$(losetup --find --show running) && mount -t permfs "$loop" /mnt/bad || exit 1
	for n in 1 2 3 4 5 6; do
		echo "$n" >"/mnt/bad/$n" && sync -f /mnt/bad || exit 1
	done
	cp running image && umount /mnt/bad && losetup -d "$loop"
}

crashed
attach
dmesg --clear
mount -t permfs -o ro "$loop" /mnt/bad && [ "$(cat /mnt/bad/6)" = 6 ] && umount /mnt/bad &&
	dmesg | grep -E 'permfs: .*: [0-9]+ epochs replayed from the log, up to [0-9]+$'
losetup -d "$loop"
held=$("$damage" log image 1) && [ "$held" -ge 6 ] &&
	refused 'a damaged record in the middle of the log' 'had been durable and are lost; -o ro,rescue shows what was before them'
refused 'the same, read-only' 'the log is damaged: epochs' ro
attach
fsck.permfs -n "$loop" >found
status=$?
[ "$status" = 4 ] && grep -q "the log is damaged: $((held - 1)) epochs" found &&
	mount -t permfs -o ro,rescue "$loop" /mnt/bad && grep 'permfs.*ro.*rescue' /proc/mounts && [ ! -e /mnt/bad/6 ] &&
	! mount -o remount,rw /mnt/bad 2>/dev/null && umount /mnt/bad && echo 'what was before the damage is shown'
losetup -d "$loop"
crashed
"$damage" log image -1 >/dev/null
attach
mount -t permfs "$loop" /mnt/bad && [ "$(cat /mnt/bad/5)" = 5 ] && umount /mnt/bad && fsck.permfs -n "$loop" && echo 'a torn tail is no damage'
losetup -d "$loop"

image 160M
refused 'an unknown option' nonsense nonsense
refused 'an unknown option with a value' nonsense nonsense=1
refused 'an unknown choice' errors errors=ignore
refused 'a choice without a value' errors errors
refused 'a flag with a value' discard discard=yes
# And the volume that was refused for its options alone is a good one.
attach
mount -t permfs -o errors=shutdown,nodiscard "$loop" /mnt/bad && umount /mnt/bad && fsck.permfs -n "$loop" && echo 'a good one mounts'
losetup -d "$loop"
echo "$refused refused, $failed failed"
[ "$failed" = 0 ]
