#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What users of other filesystems have reported (lost transactions, listings that end early, tools that fail), made small, does not
# happen here, on any disk that ext4 and XFS pass it on. A case that waits for a feature says so, is counted, and must fail until then.
. "$(dirname "$0")/lib.sh"

vm_status 0 --disk 1G --nvme 512M --nvme 512M -- "
	failed=0
	modprobe xfs
	for run in 'permfs nvme0n1' 'ext4 nvme1n1' 'xfs vda'; do
		$GUEST/reported/run.py \${run% *} /dev/\${run#* } || failed=1
	done
	[ \$failed = 0 ] && $GUEST/kernel-is-quiet.sh"
note "$(grep '^permfs: .* hold' "$DIR/out")"
