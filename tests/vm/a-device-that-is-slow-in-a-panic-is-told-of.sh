#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# With debugfs' permfs/stall completions are withheld, on any disk: the record waits for them, and comes first. If the stall ends
# within its time all is well but late; if it ends within what the drain has after that, there is no record, and what is in flight
# is collected; if it outlasts that too, it is lost, and said to be.
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

# told VOLUMES [LOST]: the console's report has no record on any volume, and LOST requests of each were given up.
told() {
	console >"$DIR/last"
	"$REPO/build/bin/permfs" panic --json "$DIR/last" >"$DIR/last.json"
	python3 - "$DIR/last.json" "$@" <<-'END' || fail "the last report is not what a device makes that answers too late"
		import json, sys
		panic, = json.load(open(sys.argv[1]))["panics"]
		count, lost = int(sys.argv[2]), int((sys.argv[3:] or [0])[0])
		assert panic["complete"] and panic["outcome"]["flush"] != "ok" and panic["outcome"]["in_flight"] == count * lost, panic
		# Five eighths of the deadline, and half of the rest if something is given up.
		assert (1.62e9 if lost else 1.24e9) < panic["outcome"]["elapsed_ns"] < 3.5e9, panic["outcome"]
		assert len(panic["volumes"]) == count, panic
		for volume in panic["volumes"]:
		    assert volume["drain"]["end"] == ("deadline" if lost else "done") and volume["drain"]["lost"] == lost, volume
		    assert volume["lane"]["result"] == "timeout" and volume["lane"]["why"] == "deadline", volume
	END
}

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

# Within the records' 1250 ms.
vm_panic 'sysrq triggered crash' "${disks[@]}" -- "$guest
	$record '.outcome.drained and .outcome.flush == \"ok\"' '$both .in_flight == 1 and .drain.end == \"done\" and .drain.lost == 0
		and .lane.result == \"ok\")' '.outcome.elapsed_ns >= 99000000' || exit 9
	stalls 1000"

# The same, and then later than the records' time, but within the drain's half of the rest.
vm_panic 'sysrq triggered crash' "${disks[@]}" -- "$guest
	$record '.outcome.drained and .outcome.flush == \"ok\"' '$both .in_flight == 1 and .drain.end == \"done\" and .drain.lost == 0
		and .lane.result == \"ok\")' '.outcome.elapsed_ns >= 990000000' || exit 9
	stalls 1400"
told 2
vm_panic 'sysrq triggered crash' "${disks[@]}" -- "$guest
	rm -f /sys/fs/pstore/*
	stalls 5000"

# Longer than all. No record, and the log is the other backend's; only the console has the outcome.
told 2 1
vm_status 0 "${disks[@]}" -- "$guest"'
	for d in vda nvme0n1; do fsck.permfs -n /dev/$d; permfs panic --json /dev/$d | jq -e ".panics | length == 2"; done
	mounts'
