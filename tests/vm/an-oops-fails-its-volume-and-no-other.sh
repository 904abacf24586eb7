#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A task that oopses inside PermFS, where that is no panic, takes its volume along and nothing else: who waits for the volume
# or comes later gets EIO, lines tell of it, the machine and the other volumes go on, and the next mount finds all that was durable.
# `permfs panic` tells of the oopses, from the console and from what the other pstore backend kept of them.
. "$(dirname "$0")/lib.sh"

disks=(--disk "$(disk one 128M)" --disk "$(disk two 128M)" --disk "$(disk three 64M)")
vm_panic 'sysrq triggered crash' --erst "$DIR/store" "${disks[@]}" -- "$GUEST/oops.sh"
# On its console are three oopses, and the panic that ended it, which came of none of them.
cp "$DIR/console.1" "$DIR/console-of-oopses"
vm_status 0 --erst "$DIR/store" --files "$DIR/console-of-oopses" "${disks[@]}" -- '
	permfs panic --json /run/permfs/files/console-of-oopses >/tmp/told.json || exit 1
	for e in ".unknown_lines == 0 and .damaged_lines == 0" ".oopses | length == 3 and all(.complete and .panic == null)" \
		".panics | length == 1 and (.[0] | .complete and .oops == null and .message == \"sysrq triggered crash\")"; do
		jq -e "$e" /tmp/told.json >/dev/null || { echo "does not hold: $e"; jq . /tmp/told.json; exit 1; }
	done
	# What was dumped when each oopsed, not what the panic had of them.
	dumps=$(grep -l "^Oops#" /sys/fs/pstore/dmesg-erst-*)
	[ "$(wc -l <<<"$dumps")" = 3 ] || { head -n 1 /sys/fs/pstore/*; exit 1; }
	permfs panic --json $dumps >/tmp/dumped.json
	jq -en "(input | .oopses) as \$told | input | .panics == [] and .unknown_lines == 0 and .damaged_lines == 0 and
		[.oopses[] | del(.sources)] == [\$told[] | del(.sources)]" \
		/tmp/told.json /tmp/dumped.json >/dev/null || { cat /tmp/dumped.json; exit 1; }
	for d in a b c; do
		mkdir /mnt/$d && fsck.permfs -n /dev/vd$d && mount -t permfs /dev/vd$d /mnt/$d && [ "$(cat /mnt/$d/kept)" = kept ] || exit 1
		umount /mnt/$d && fsck.permfs -n /dev/vd$d || exit 1
	done'
