#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A page fault while the kernel panics: in our handler, at each of its stages, in its kmsg dumper, in our pstore backend's write, and in
# another's panic notifier. The kernel would kill the task and stand still. Each ends in a reboot, as kernel.panic=-1 says; one line tells in
# which stage the handler died; the other pstore backend has its log, with that line, and so has ours where its lane was at rest.
. "$(dirname "$0")/lib.sh"

one=$(disk one 128M)
"$REPO/build/bin/mkfs.permfs" -q "$one"
machine=(--disk "$one" --files "$REPO/build/panicker/panicker.ko" --module-params panic_loop_count=0)
# What the boot after a panic looks at, before it panics.
look=:

# dies WHY HOW: a boot in which a panic is broken off by an oops, by way of the guest's command HOW, and goes on.
dies() {
	vm_panic "$1" "${machine[@]}" -- "
		set -e
		# The test machine's command line sets it.
		echo 0 >/proc/sys/kernel/panic_on_oops
		mkdir -p /mnt/a
		mount -t permfs /dev/vda /mnt/a
		$look
		sync
		$2
		exit 9"
	console | grep -qF 'Kernel panic - not syncing: an oops within the panic' || fail "the panic was not broken off"
}

# in_stage STAGE: the handler dies in STAGE, and says so once.
in_stage() {
	dies 'sysrq triggered crash' "at=/sys/kernel/debug/permfs/panic_at
		echo 'notifier:$1 oops' >\$at && [ \"\$(cat \$at)\" = 'notifier:$1 oops' ]
		echo c >/proc/sysrq-trigger"
	[ "$(console | grep -c 'permfs-panic: .*rec=nested')" = 1 ] && console | grep -q "permfs-panic: .*rec=nested .*stage=$1 " ||
		fail "not one line that the handler died in stage $1"
	told="log=\$(cat /sys/fs/pstore/dmesg-*) && grep -q 'rec=nested .*stage=$1 ' <<<\"\$log\" && grep -q 'an oops within the panic' <<<\"\$log\" &&
		permfs panic --json /sys/fs/pstore | jq -e '[.panics[].nested_in_stage] == [\"$1\"]' >/dev/null && rm /sys/fs/pstore/dmesg-* || exit 9"
}

# Another backend has the log: all from the record on is in our kmsg dumper.
machine+=(--erst "$DIR/store")
for stage in gate known lane drain flush outcome stop; do
	in_stage "$stage"
	look=$told
done

# Somebody else's fault: behind ours, and our record is as whole as ever. Before ours, and nothing of ours is run; nor is it to be.
panicker='insmod /run/permfs/files/panicker.ko; echo notifier:%s >/sys/module/panicker/parameters/at'
# shellcheck disable=SC2059
dies 'panicker: notifier' "$(printf "$panicker" -1)"
[ "$(console | grep -c 'the notifier faults')" = 2 ] || fail "the notifier behind ours was not called twice"
console | grep -q 'rec=nested' && fail "somebody else's fault is told as the handler's"
console | grep -q 'rec=end' || fail "the outcome is not told"
look="$GUEST/panic-record.sh '.message == \"panicker: notifier\"' '.volumes[0].lane.result == \"ok\"' || exit 9"
# shellcheck disable=SC2059
dies 'panicker: notifier' "$(printf "$panicker" 1)"
[ "$(console | grep -c 'the notifier faults')" = 3 ] || fail "the notifier before ours was not called three times"
console | grep -q 'permfs-panic:' && fail "something was told"

# Ours is the backend: the log is on the volume unless the lane was at work.
machine=("${machine[@]:0:6}")
look=:
for stage in known outcome; do
	in_stage "$stage"
	look=$told
done
for stage in lane log; do
	in_stage "$stage"
	look='for file in /sys/fs/pstore/dmesg-*; do [ ! -e "$file" ] || exit 9; done'
done
vm_status 0 "${machine[@]}" -- "
	mkdir /mnt/a && mount -t permfs /dev/vda /mnt/a && $look && umount /mnt/a && fsck.permfs -n /dev/vda"
