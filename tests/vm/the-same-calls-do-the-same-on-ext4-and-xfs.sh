#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A random sequence of system calls has the same results on PermFS, ext4 and XFS, and no sync sends fewer flushes than both
# (on disks with native FUA, where a journal's record alone flushes nothing). STEPS= and SEED= choose and repeat a run.
. "$(dirname "$0")/lib.sh"

STEPS=${STEPS:-1500} SEED=${SEED:-1}
status=0
vm --nvme 512M --nvme 512M --nvme 512M -- "
	modprobe xfs
	$GUEST/differential.py $STEPS $SEED permfs=nvme0n1 ext4=nvme1n1 xfs=nvme2n1 || exit 1
	fsck.permfs -n /dev/nvme0n1 && $GUEST/kernel-is-quiet.sh" >"$DIR/out" 2>"$DIR/err" || status=$?
cat "$DIR/out" "$DIR/err"
[ "$status" = 0 ] || fail "the run ended with $status; again: make differential STEPS=$STEPS SEED=$SEED"
note "$(grep -E '^steps=' "$DIR/out")"
