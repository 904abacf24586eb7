#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# With panic_strategy=reboot and panic_loop_count=2 the machine reboots after two panics and halts after the third, for the
# volume remembers them; a panic whose record is erased does not count. So it is where kernel.panic is to reboot.
. "$(dirname "$0")/lib.sh"

one=(--disk "$(disk one 128M)" --panic-timeout 0 --module-params "panic_strategy=reboot panic_loop_count=2")
slot=$GUEST/panic-slot.py
die='
	mkdir /mnt/a && mount -t permfs /dev/vda /mnt/a || exit 9
	echo c >/proc/sysrq-trigger'
# told REBOOTS HALTS: the volume tells of so many panics. Emulated clocks are no measure of which came first.
told='
	told() {
		permfs panic --json /dev/vda >/tmp/panics.json || exit 9
		jq -e "all(.panics[]; .complete and .strategy == \"reboot\") and
			([.panics[] | select(.breaker == null and .outcome.next == \"reboot\")] | length) == $1 and
			([.panics[] | select(.breaker == {panics: 3, seconds: 600} and .outcome.next == \"halt\")] | length) == $2 and
			(.panics | length) == $1 + $2" /tmp/panics.json || { jq .panics /tmp/panics.json; exit 9; }
	}'

vm_panic 'sysrq triggered crash' "${one[@]}" -- "mkfs.permfs -q /dev/vda || exit 9; $die"
vm_panic 'sysrq triggered crash' "${one[@]}" -- "$told; told 1 0; $die"
vm_halts "${one[@]}" -- "$told; told 2 0; $die"
grep -q 'permfs-panic: v=1 rec=breaker .*n=3 secs=600 ' "$DIR/err" || fail "the console has no word of the breaker"

# Three panics are remembered. Without two of them the next is the second.
vm_panic 'sysrq triggered crash' "${one[@]}" -- "$told; told 2 1
	lines=(\$($slot show /dev/vda | awk '\$2 == 1 { print \$1 }'))
	[ \${#lines[@]} = 3 ] || exit 9
	$slot erase /dev/vda \${lines[0]} && $slot erase /dev/vda \${lines[1]} || exit 9
	$die"
# The kernel's log of all four is there: its records were not erased.
vm_status 0 "${one[@]}" -- "$told; told 3 1; fsck.permfs -n /dev/vda"

# It is a loop too where nobody chose a strategy and kernel.panic says to reboot.
two=(--disk "$(disk two 128M)" --panic-timeout -1 --module-params panic_loop_count=1)
vm_panic 'sysrq triggered crash' "${two[@]}" -- "mkfs.permfs -q /dev/vda || exit 9; $die"
vm_halts "${two[@]}" -- "$die"
grep -q 'permfs-panic: v=1 rec=breaker .*n=2 secs=600 ' "$DIR/err" || fail "the console has no word of the second breaker"
