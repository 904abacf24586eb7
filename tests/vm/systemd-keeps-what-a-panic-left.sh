#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# On a machine with systemd: systemd-pstore moves the log that a volume kept out of /sys/fs/pstore, and our unit archives the
# panic, once, over any number of boots.
. "$(dirname "$0")/lib.sh"

disks=(--disk "$(disk one 128M)" --disk "$(disk archive 64M)")
vm_panic 'sysrq triggered crash' "${disks[@]}" -- '
	mkfs.ext4 -q /dev/vdb
	mkfs.permfs -q /dev/vda && mount -t permfs /dev/vda /mnt || exit 9
	echo "a mark before the panic" >/dev/kmsg
	echo c >/proc/sysrq-trigger'
for boot in first second; do
	vm_status 0 "${disks[@]}" --files "$REPO/scripts/systemd" -- "
		failed=0
		say() { echo \"\$*\"; failed=1; }
		# What the machine keeps over boots.
		mkdir -p /var/lib/systemd/pstore /var/lib/permfs/panic /run/kept && mount /dev/vdb /run/kept || exit 1
		for d in systemd/pstore permfs/panic; do mkdir -p /run/kept/\$d && mount --bind /run/kept/\$d /var/lib/\$d || exit 1; done
		$GUEST/systemd-boot.sh 'mount -t permfs /dev/vda /mnt && ls /sys/fs/pstore >/run/before' >/tmp/boot || exit 1
		cat /tmp/boot; find /run/kept -type f
		[ -z \"\$(ls /sys/fs/pstore)\" ] || say \"not moved: \$(ls /sys/fs/pstore)\"
		grep -rq 'a mark before the panic' /var/lib/systemd/pstore || say 'not in what systemd-pstore moved'
		grep -q '^permfs-panic-archive .*success' /tmp/boot || say 'the unit failed'
		[ \"\$(ls /var/lib/permfs/panic | grep -c '\.json\$')\" = 1 ] || say 'not one panic in the archive'
		jq -e '.panics[0] | .complete and .message == \"sysrq triggered crash\"' /var/lib/permfs/panic/*.json || say 'not whole'
		grep -q 'a mark before the panic' /var/lib/permfs/panic/*.log || say 'no log in the archive'
		case $boot in
		first) grep -q dmesg-permfs /run/before || say 'pstore had nothing after the mount' ;;
		second) [ ! -s /run/before ] || say 'moved, and there again' ;;
		esac
		exit \$failed"
done
