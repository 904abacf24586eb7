#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Truncated, foreign, damaged and too new images and wrong options are refused with a sentence; metadata with bits turned, with
# checksums wrong and with checksums right, ends in errors and never in an oops, a warning or a hang. One block that is damaged or
# cannot be read costs what stands in it, and not the mount.
# SEEDS=N tries more of them.
# limit: 1500
. "$(dirname "$0")/lib.sh"

seeds=${SEEDS:-8}

vm_status 0 --timeout $((600 + seeds * 20)) -- "
	modprobe loop && modprobe dm-mod
	$GUEST/refused.sh || exit 1
	$GUEST/bad-blocks.sh || exit 1
	$GUEST/damaged-images.sh flip 1 $((seeds / 2)) || exit 1
	$GUEST/damaged-images.sh craft 101 $((100 + seeds)) || exit 1
	$GUEST/kernel-is-quiet.sh"
for line in 'read-only by the backup' 'a good one mounts' 'what was before the damage is shown' 'a torn tail is no damage' \
	'epochs replayed from the log' 'one bad block costs what it holds' 'bit 1 (0x2): mount read-only' ' refused, 0 failed'; do
	expect "$line" "$DIR/out"
done
note "$(grep -E 'refused, 0 failed|hung$' "$DIR/out" | paste -sd' ')"
