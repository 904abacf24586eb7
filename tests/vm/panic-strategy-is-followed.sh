#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# panic_strategy decides how the machine ends after a panic: `kernel` as kernel.panic says, `halt` halts though that says
# reboot, `reboot` reboots though it says halt; the record tells it; another value does not load.
. "$(dirname "$0")/lib.sh"

erst=(--erst "$DIR/store")
die='echo c >/proc/sysrq-trigger'

# kernel, the default: the kernel's own choice, here to halt.
vm_halts "${erst[@]}" --panic-timeout 0 -- "[ \$(cat /proc/sys/kernel/panic) = 0 ] || exit 9; $die"

# reboot beside kernel.panic=0: the machine goes down, which ends the run.
vm_panic 'sysrq triggered crash' "${erst[@]}" --panic-timeout 0 --module-params panic_strategy=reboot -- "
	$GUEST/panic-record.sh '.strategy == \"kernel\" and .timeout == 0 and .outcome.next == \"halt\"' || exit 9
	[ \$(cat /proc/sys/kernel/panic) = -1 ] || exit 9
	$die"

# halt beside kernel.panic=-1, which would reboot at once.
vm_halts "${erst[@]}" --panic-timeout -1 --module-params panic_strategy=halt -- "
	$GUEST/panic-record.sh '.strategy == \"reboot\" and .outcome.next == \"reboot\"' || exit 9
	[ \$(cat /proc/sys/kernel/panic) = 0 ] || exit 9
	$die"

# The kernel's own policy is back when the module goes, unless somebody has set another one since.
vm_status 0 --panic-timeout 7 --module-params panic_strategy=reboot -- '
	policy() { [ "$(cat /proc/sys/kernel/panic)" = "$1" ] || { echo "kernel.panic is $(cat /proc/sys/kernel/panic), not $1"; exit 1; }; }
	policy -1; rmmod permfs; policy 7
	insmod "$PERMFS_KO" panic_strategy=halt; policy 0; echo 3 >/proc/sys/kernel/panic; rmmod permfs; policy 3
	insmod "$PERMFS_KO" panic_strategy=halt; rmmod permfs; policy 3; insmod "$PERMFS_KO"; policy 3; rmmod permfs; policy 3'

vm_status 0 "${erst[@]}" --no-module -- "
	$GUEST/panic-record.sh '.strategy == \"halt\" and .outcome.next == \"halt\"' || exit 1
	true"
PERMFS_KO=${PERMFS_KO:-$REPO/permfs.ko} vm_status 126 --module-params panic_strategy=2 -- true
expect "panic_strategy takes kernel, halt or reboot, not '2'" "$DIR/err"
