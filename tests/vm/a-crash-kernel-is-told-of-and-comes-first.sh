#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# While a crash kernel is loaded (kdump) the module says, at load, at a mount and in debugfs, that a panic goes there without
# breadcrumbs; so it does; and with crash_kexec_post_notifiers the report is whole before the crash kernel starts.
. "$(dirname "$0")/lib.sh"

ko=${PERMFS_KO:-$REPO/permfs.ko}
one=(--disk "$(disk one 128M)" --append crashkernel=256M)
said='a crash kernel is loaded: unless crash_kexec_post_notifiers is set, a panic goes there without breadcrumbs'
# What the crash kernel says first is its command line, with this word. It finds no root, and goes down.
load="$GUEST/load-crash-kernel.py 'console=ttyS0 panic=-1 nr_cpus=1 the_crash_kernel' || exit 9"
guest="
	lanes=/sys/kernel/debug/permfs/lanes
	# told N: the log has said it N times.
	told() { [ \"\$(dmesg | grep -c \"permfs: $said\")\" = \"\$1\" ] || { dmesg | tail -n 40; exit 9; }; }
	mkdir -p /mnt/a
	die() { echo kept >/mnt/a/\$1; sync /mnt/a/\$1 /mnt/a; echo c >/proc/sysrq-trigger; exit 9; }"

started() {
	console | grep -q 'Command line: .*the_crash_kernel' || fail "the crash kernel did not start"
}

# Loaded before the module.
vm_panic 'sysrq triggered crash' "${one[@]}" --no-module --files "$ko" -- "$guest
	$load
	insmod /run/permfs/files/permfs.ko || exit 9
	told 1
	grep -qxF '$said' \$lanes || exit 9
	mkfs.permfs -q /dev/vda && mount -t permfs /dev/vda /mnt/a || exit 9
	told 1
	die first"
started
if console | grep -q 'permfs-panic:'; then fail "there are breadcrumbs though a crash kernel was to come first"; fi

# Loaded after it, after the mount: debugfs tells it at once, the log at the next mount. The other CPU is stopped by NMI at once now; unless
# it is seen to have held a lock then (a-lane-refuses-what-its-locks-forbid shows both), the record is on the volume.
vm_panic 'sysrq triggered crash' "${one[@]}" --append crash_kexec_post_notifiers -- "$guest
	permfs panic --json /dev/vda | jq -e '.panics == []' || exit 9
	mount -t permfs /dev/vda /mnt/a && [ \"\$(cat /mnt/a/first)\" = kept ] || exit 9
	told 0
	grep -qF crash \$lanes && exit 9
	$load
	grep -qxF '$said' \$lanes || exit 9
	umount /mnt/a && mount -t permfs /dev/vda /mnt/a || exit 9
	told 1
	die second"
started
console | sed '/the_crash_kernel/,$d' >"$DIR/before"
expect 'permfs-panic: v=1 rec=end ' "$DIR/before"
records=2
if ! grep -q 'result=ok flush=ok' "$DIR/before"; then
	records=1
	expect 'result=refused why=nmi-stop flush=not-attempted' "$DIR/before"
fi
"$REPO/build/bin/permfs" panic --json "$DIR/before" >"$DIR/panics.json" || true
python3 - "$DIR/panics.json" <<'END' || fail "the report before the crash kernel is not whole"
import json, sys
panic, = json.load(open(sys.argv[1]))["panics"]
assert panic["complete"] and panic["message"] == "sysrq triggered crash", panic
END

# With one CPU there is nobody who holds a lock: the record is on the volume.
vm_panic 'sysrq triggered crash' "${one[@]}" --cpus 1 --append crash_kexec_post_notifiers -- "$guest
	mount -t permfs /dev/vda /mnt/a && [ \"\$(cat /mnt/a/second)\" = kept ] || exit 9
	$load
	die third"
started
vm_status 0 "${one[@]}" -- "$guest
	permfs panic --json /dev/vda | jq -e '.panics | length == $records and all(.complete)' || exit 9
	fsck.permfs -n /dev/vda && mount -t permfs /dev/vda /mnt/a && [ \"\$(cat /mnt/a/third)\" = kept ]"
