#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Three rounds of scripts/chaos: panics at fault points, with stalls, on several disks; each report is true, each acknowledged
# file is there. And the command of the staging machines' unit arms a point.
# limit: 1800
. "$(dirname "$0")/lib.sh"

"$REPO/scripts/chaos" 3 --seed "${SEED:-4}" --work "$DIR/chaos" | tee "$DIR/out"
note "$(tail -n 1 "$DIR/out")"

# As systemd passes it on: one $ for two.
command=$(sed -n "s/^ExecStart=//p" "$REPO/scripts/systemd-staging/permfs-chaos.service" | sed 's/\$\$/$/g')
vm_panic 'permfs: panic_at' --disk 128M -- "
	mkdir /mnt/a && mkfs.permfs -q /dev/vda && mount -t permfs /dev/vda /mnt/a || exit 9
	export POINTS=commit STALLS='60 60'
	$command
	[ \"\$(cat /sys/kernel/debug/permfs/panic_at)\" = commit ] && [ \"\$(cat /sys/kernel/debug/permfs/stall)\" = 60 ] || exit 9
	dmesg | grep -q 'permfs-chaos: commit, stall 60 ms' || exit 9
	mkdir /mnt/a/new; sync; exit 9"
