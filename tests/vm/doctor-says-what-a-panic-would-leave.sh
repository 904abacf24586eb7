#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# `permfs doctor` says what a panic would leave before there is one, and the next boot finds just that: nothing before a volume is
# mounted, then a record and the kernel's log; with everything else that it looks at, on a stock machine.
. "$(dirname "$0")/lib.sh"

disks=(--disk "$(disk one 128M)" --sata "$(disk two 128M)" --qemu "-device i6300esb" --qemu "-action watchdog=reset")
doctor='
	# doctor STATUS EXPR...: its exit status, and jq expressions that hold of its JSON.
	doctor() {
		local status=0 want=$1 e
		shift
		permfs doctor --json >/tmp/doctor.json || status=$?
		for e in ".version == 1" "$@"; do
			jq -e "$e" /tmp/doctor.json >/dev/null || { echo "does not hold: $e"; status=wrong; }
		done
		[ "$status" = "$want" ] || { echo "exit status $status, not $want"; permfs doctor; exit 9; }
	}
	about() { echo "[.findings[] | select(.about == \"$1\") | .grade] == [\"$2\"]"; }'

vm_panic 'sysrq triggered crash' "${disks[@]}" -- "$doctor"'
	doctor 2 ".leaves | startswith(\"leaves nothing; then the machine reboots at once\")" "$(about lanes bad)" "$(about pstore bad)" \
		"$(about module good)" "$(about kdump good)" "$(about policy good)"
	mkfs.permfs -q /dev/vda && mkdir /mnt/a && mount -t permfs /dev/vda /mnt/a || exit 9
	modprobe i6300esb || exit 9
	# systemd is not there to start it.
	doctor 1 "$(about lanes good)" "$(about pstore good)" "$(about watchdog mend)"
	exec 8>/dev/watchdog
	doctor 0 ".leaves | test(\"^leaves a record on vda and the kernel.s log in pstore .permfs.; then the machine reboots at once$\")" \
		".facts.lanes == [{volume: \"vda\", way: \"virtio-shared\", why: null}]" "$(about watchdog good)"
	mkfs.permfs -q /dev/sda && mkdir /mnt/b && mount -o ro -t permfs /dev/sda /mnt/b || exit 9
	doctor 1 ".leaves | startswith(\"leaves a record on vda and\")" "[.facts.lanes[].why] == [null, \"read-only\"]"
	sysctl -q kernel.panic=0 && doctor 1 "$(about policy mend)" && sysctl -q kernel.panic=-1
	permfs doctor
	chmod 755 /mnt/a; setpriv --reuid 1000 --regid 1000 --clear-groups permfs doctor --json >/tmp/as-user.json; [ $? = 2 ] || exit 9
	echo c >/proc/sysrq-trigger'

vm_status 0 "${disks[@]}" -- '
	mkdir /mnt/a && mount -t permfs /dev/vda /mnt/a || exit 1
	permfs panic --json /dev/vda >/tmp/vda.json && jq -e ".panics | length == 1 and .[0].complete" /tmp/vda.json || exit 1
	grep -l "sysrq triggered crash" /sys/fs/pstore/dmesg-permfs-* || exit 1
	permfs panic --json /dev/sda >/tmp/sda.json; [ $? = 1 ] || { echo "sda has a record"; exit 1; }'
