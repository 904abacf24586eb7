#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# With debugfs' permfs/stall completions are withheld, on any disk: what is in flight at a panic is collected if the stall ends
# within the drain's time, lost and said to be lost if it ends later, and the lane gives up if it outlasts the deadline.
# alone: what the handler may take is judged, and a starved machine takes longer
. "$(dirname "$0")/lib.sh"

disks=(--disk "$(disk one 128M)" --nvme "$(disk two 128M)" --erst "$DIR/store" --module-params panic_deadline_ms=2000)
guest='
	set -e
	stall=/sys/kernel/debug/permfs/stall
	mounts() {
		for d in vda nvme0n1; do
			mkdir -p /mnt/$d; mount -t permfs /dev/$d /mnt/$d
			[ ! -e /mnt/$d/kept ] || [ "$(cat /mnt/$d/kept)" = kept ]
		done
	}
	# stalls MS: panics with a request of each volume in flight, withheld for longer than any stall of the panic.
	stalls() {
		mounts
		echo 8000 >$stall
		for d in vda nvme0n1; do (mkdir /mnt/$d/$1; sync /mnt/$d/$1) & done
		sleep 3
		echo $1 >$stall
		[ "$(cat $stall)" = $1 ]
		echo c >/proc/sysrq-trigger
		exit 9
	}'
record="$GUEST/panic-record.sh"
both='.volumes | length == 2 and all(.[]; '

vm_panic 'sysrq triggered crash' "${disks[@]}" -- "$guest"'
	[ "$(cat $stall)" = 0 ]
	for d in vda nvme0n1; do mkfs.permfs -q /dev/$d; done
	mounts
	for d in vda nvme0n1; do echo kept >/mnt/$d/kept; sync /mnt/$d/kept /mnt/$d; done
	for wrong in -1 10001 soon "1 2" ""; do ! echo "$wrong" >$stall || exit 9; done 2>/dev/null
	# A request is counted in for as long; turned off, nobody waits any longer.
	echo 300 >$stall; begin=$(date +%s%N); mkdir /mnt/vda/slow; sync /mnt/vda/slow; end=$(date +%s%N)
	[ $(((end - begin) / 1000000)) -ge 300 ]
	echo 10000 >$stall; (sleep 1; echo 0 >$stall) & sync /mnt/nvme0n1; mkdir /mnt/nvme0n1/slow; timeout 6 sync /mnt/nvme0n1/slow
	umount /mnt/vda /mnt/nvme0n1
	stalls 100'

# Within the drain's second. The time is of the first question, and the volumes are asked in turn.
vm_panic 'sysrq triggered crash' "${disks[@]}" -- "$guest
	$record '.outcome.drained and .outcome.flush == \"ok\"' '$both .in_flight == 1 and .drain.end == \"done\" and .drain.lost == 0
		and .drain.us >= 99000 and .lane.result == \"ok\")' || exit 9
	stalls 1300"

# Later than that, but within the lanes' 1750 ms: they write.
vm_panic 'sysrq triggered crash' "${disks[@]}" -- "$guest
	$record '(.outcome.drained | not) and .outcome.flush == \"ok\"' '$both .in_flight == 1 and .drain.end == \"deadline\" and .drain.lost == 1
		and .drain.us >= 990000 and .lane.result == \"ok\")' || exit 9
	stalls 5000"

# Longer than all. No record, and the log is the other backend's; only the console has the outcome.
console >"$DIR/last"
"$REPO/build/bin/permfs" panic --json "$DIR/last" >"$DIR/last.json"
python3 - "$DIR/last.json" <<'END' || fail "the last report is not what a dead device makes"
import json, sys
panic, = json.load(open(sys.argv[1]))["panics"]
assert panic["complete"] and panic["outcome"]["flush"] != "ok" and panic["outcome"]["in_flight"] == 2, panic
assert 1.74e9 < panic["outcome"]["elapsed_ns"] < 3.5e9, panic["outcome"]
for volume in panic["volumes"]:
    assert volume["drain"]["end"] == "deadline" and volume["drain"]["lost"] == 1, volume
    assert volume["lane"]["result"] == "timeout" and volume["lane"]["why"] == "deadline", volume
END
vm_status 0 "${disks[@]}" -- "$guest"'
	for d in vda nvme0n1; do fsck.permfs -n /dev/$d; permfs panic --json /dev/$d | jq -e ".panics | length == 2"; done
	mounts'
