#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Where pstore keeps the log in EFI's variables, a panic's breadcrumbs are there after the reboot, up to the deferral, and all of
# them in the volume's panic area; what is unlinked in pstore is gone from the variables for good, and the volume's record stays.
. "$(dirname "$0")/lib.sh"

machine=(--efi "$DIR/variables" --disk "$(disk one 128M)")
vm_panic 'sysrq triggered crash' "${machine[@]}" -- '
	[ -z "$(ls /sys/fs/pstore)" ] || exit 9
	mkfs.permfs -q /dev/vda && mount -t permfs /dev/vda /mnt || exit 9
	dmesg | grep -q "permfs: pstore has another backend" || exit 9
	[ "$(cat /sys/module/pstore/parameters/backend)" = efi_pstore ] || exit 9
	echo one >/mnt/file
	sync /mnt/file
	echo "a mark before the panic" >/dev/kmsg
	echo c >/proc/sysrq-trigger'
for line in begin deferred drain lane end; do
	console | grep -q "permfs-panic: v=1 rec=$line " || fail "no line '$line' on the console"
done

vm_status 0 "${machine[@]}" -- '
	failed=0
	say() { echo "$*"; failed=1; }
	ls -l /sys/fs/pstore
	mount -t efivarfs efivarfs /sys/firmware/efi/efivars && ls /sys/firmware/efi/efivars | grep ^dump-type || say "no variable"
	[ -z "$(ls /sys/fs/pstore | grep -v "^dmesg-efi_pstore-")" ] || say "not of EFI: $(ls /sys/fs/pstore)"
	cat /sys/fs/pstore/dmesg-efi_pstore-* >/tmp/log || exit 1
	for text in "Panic#1 Part1" "a mark before the panic" "Kernel panic - not syncing: sysrq triggered crash" \
		"permfs-panic: v=1 rec=begin" "permfs-panic: v=1 rec=deferred"; do
		grep -q "$text" /tmp/log || say "not in the log: $text"
	done
	if grep "permfs-panic: v=1 rec=end" /tmp/log; then say "EFI has what came after its turn"; fi

	# Each place by itself, then the two together.
	one=".damaged_lines == 0 and .unknown_lines == 0 and (.panics | length == 1)"
	one+=" and (.panics[0] | .message == \"sysrq triggered crash\" and "
	whole=".complete and .outcome.flush == \"ok\" and .volumes[0].lane.result == \"ok\" and .volumes[0].lane.flush == \"ok\""
	read_it() { # PLACES... EXPR
		permfs panic --json "${@:1:$#-1}" >/tmp/panic.json && jq -e "$one ${*: -1})" /tmp/panic.json >/dev/null && return
		jq . /tmp/panic.json
		say "does not hold of ${*:1:$#-1}: ${*: -1}"
	}
	read_it /sys/fs/pstore ".deferred and .outcome_deferred and .volumes_mounted == 1 and (.volumes[0].name == \"vda\")"
	id=$(jq -r ".panics[0].id" /tmp/panic.json)
	read_it /dev/vda ".id == \"$id\" and $whole"
	read_it /sys/fs/pstore /dev/vda ".id == \"$id\" and $whole"
	permfs panic /sys/fs/pstore /dev/vda

	rm /sys/fs/pstore/* || say "not removed"
	[ -z "$(ls /sys/fs/pstore)" ] || say "not gone: $(ls /sys/fs/pstore)"
	mount -t permfs /dev/vda /mnt && [ "$(cat /mnt/file)" = one ] || say "the file that was synced is not there"
	umount /mnt && fsck.permfs -n /dev/vda || say "the volume is not clean"
	exit $failed'

vm_status 0 "${machine[@]}" -- '
	failed=0
	say() { echo "$*"; failed=1; }
	[ -z "$(ls /sys/fs/pstore)" ] || say "there again: $(ls /sys/fs/pstore)"
	mount -t efivarfs efivarfs /sys/firmware/efi/efivars && [ -n "$(ls /sys/firmware/efi/efivars)" ] || say "no variables at all"
	if ls /sys/firmware/efi/efivars | grep ^dump-type; then say "variables are left"; fi
	permfs panic --json /dev/vda | jq -e ".panics | length == 1 and .[0].complete" >/dev/null || say "the record of the volume is gone"
	exit $failed'
