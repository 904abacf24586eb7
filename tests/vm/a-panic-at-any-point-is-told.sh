#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# debugfs' permfs/panic_at has the kernel panic once, at the point named: in a submission, in a commit, in the allocator, in a
# mount, in an unmount, in the unload, and in the panic handler itself. Each leaves its record, and a volume that is whole.
. "$(dirname "$0")/lib.sh"

one=$(disk one 128M)
erst=(--erst "$DIR/store")
ready='
	set -e
	mkdir -p /mnt/a
	at=/sys/kernel/debug/permfs/panic_at
	[ "$(cat $at)" = off ]
'
volume="$ready"'
	mount -t permfs /dev/vda /mnt/a
	[ "$(cat /mnt/a/kept)" = kept ]
'
mounted='.volumes_mounted == 1 and .volumes[0].state == "mounted"'

vm_panic 'permfs: panic_at' "${erst[@]}" --disk "$one" -- "$ready"'
	mkfs.permfs -q /dev/vda
	mount -t permfs /dev/vda /mnt/a
	echo kept >/mnt/a/kept; sync
	echo "submit" >$at
	[ "$(cat $at)" = submit ]
	for wrong in nowhere "submit soon" "notifier:nowhere" ""; do ! echo "$wrong" >$at || exit 9; done 2>/dev/null
	echo off >$at; sync
	echo submit >$at
	echo more >/mnt/a/more; sync
	exit 9'

# Whoever panics first is told by the next run.
then_panic() {
	local holds=$1
	shift
	vm_panic "${PANIC:-permfs: panic_at}" "${erst[@]}" --disk "$one" -- "
		$GUEST/panic-record.sh '.message == \"${SAYS:-permfs: panic_at}\"' $holds || exit 9
		fsck.permfs -n /dev/vda || exit 9
		$*
		exit 9"
}

then_panic "'$mounted' '.volumes[0].in_flight == 1'" "$volume echo commit >\$at; echo x >/mnt/a/x; sync"
then_panic "'$mounted' '.volumes[0].running_epoch > .volumes[0].durable_epoch'" "$volume echo allocator >\$at; dd if=/dev/zero of=/mnt/a/big bs=1M count=8; sync"
then_panic "'$mounted'" "$ready echo mount >\$at; mount -t permfs /dev/vda /mnt/a"
then_panic "'.volumes[0].state == \"mounting\"'" "$volume echo unmount >\$at; umount /mnt/a"
then_panic "'.volumes_mounted == 1'" "$ready echo unload >\$at; rmmod permfs"
PANIC='sysrq triggered crash' then_panic "'.volumes_mounted == 0'" "$volume echo notifier >\$at; echo c >/proc/sysrq-trigger"

# The handler panicked after it had closed the gates; the rest is not claimed.
vm_status 0 "${erst[@]}" --disk "$one" -- '
	permfs panic --json /sys/fs/pstore >/tmp/record.json
	jq -e "(.panics | length) == 1 and (.panics[0] | .nested_in_stage == \"known\" and .id != \"00000000\" and (.complete | not))" /tmp/record.json || { cat /tmp/record.json; exit 1; }
	fsck.permfs -n /dev/vda && mkdir /mnt/a && mount -t permfs /dev/vda /mnt/a && [ "$(cat /mnt/a/kept)" = kept ]'
