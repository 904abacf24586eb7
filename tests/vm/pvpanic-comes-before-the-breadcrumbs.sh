#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A host that ends the machine at pvpanic's word does so before our first line, and nothing fsynced is lost; a host that only
# takes note, or a pvpanic that the guest has turned off, costs no line and no record.
. "$(dirname "$0")/lib.sh"

one=(--disk "$(disk one 128M)" --qemu "-device pvpanic-pci")
ends=(--qemu "-action panic=exit-failure")
start='
	mkdir -p /mnt/a && mount -t permfs /dev/vda /mnt/a || exit 9
	modprobe pvpanic-pci || exit 9
	events=$(echo /sys/bus/pci/drivers/pvpanic-pci/0000:*/events)
	[ "$(cat $events)" != 0 ] || exit 9'
die='echo c >/proc/sysrq-trigger'
# recorded N: the volume has N whole reports.
recorded='
	recorded() {
		permfs panic --json /dev/vda >/tmp/panics.json
		jq -e "(.panics | length) == $1 and all(.panics[]; .complete)" /tmp/panics.json || { jq . /tmp/panics.json; exit 9; }
	}'

silent() {
	if console | grep -q 'permfs-panic:'; then fail "the host has let our lines come"; fi
}
told() {
	console | grep -q 'permfs-panic: v=1 rec=end ' || fail "no outcome on the console"
}

vm_panic 'sysrq triggered crash' "${one[@]}" "${ends[@]}" -- "mkfs.permfs -q /dev/vda || exit 9; $start
	echo kept >/mnt/a/kept; sync /mnt/a/kept /mnt/a
	$die"
silent

# QEMU's own choice, where nobody says anything, is to end it too.
vm_panic 'sysrq triggered crash' "${one[@]}" -- "$recorded; recorded 0; $start
	[ \"\$(cat /mnt/a/kept)\" = kept ] || exit 9
	$die"
silent

vm_panic 'sysrq triggered crash' "${one[@]}" --qemu "-action panic=none" -- "$recorded; recorded 0; $start; $die"
told

vm_panic 'sysrq triggered crash' "${one[@]}" "${ends[@]}" -- "$recorded; recorded 1; $start
	echo 0 >\$events || exit 9
	$die"
told

vm_status 0 "${one[@]}" -- "$recorded; recorded 2; fsck.permfs -n /dev/vda"
