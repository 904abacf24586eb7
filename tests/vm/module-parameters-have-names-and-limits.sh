#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The module's parameters show their values in sysfs, by name; a value that does not fit refuses the load, and the log says
# what would.
. "$(dirname "$0")/lib.sh"

# Quotes in the messages are the kernel log's own.
vm_status 0 -- '
	failed=0
	say() { echo "$*"; failed=1; }
	# shows PARAMETER VALUE
	shows() {
		local is
		is=$(cat /sys/module/permfs/parameters/$1)
		[ "$is" = "$2" ] || say "$1 shows $is, not $2"
		[ "$(stat -c %a /sys/module/permfs/parameters/$1)" = 444 ] || say "$1 is not 0444"
	}
	# refused PARAMETER=VALUE SENTENCE
	refused() {
		dmesg -C
		if insmod "$PERMFS_KO" "$1" 2>/dev/null; then say "$1 loads"; rmmod permfs; fi
		dmesg | grep -qF "permfs: $2" || { say "$1: no line says: $2"; dmesg; }
	}
	shows panic_strategy kernel
	shows panic_lane auto
	shows pstore auto
	shows panic_deadline_ms 500
	shows panic_loop_count 5
	shows panic_loop_secs 600
	rmmod permfs
	insmod "$PERMFS_KO" panic_strategy=halt panic_strategy=kernel panic_lane=off pstore=off panic_deadline_ms=0x10 \
		panic_loop_count=0 panic_loop_secs=1000000 || say "good values do not load"
	shows panic_strategy kernel
	shows panic_lane off
	shows pstore off
	shows panic_deadline_ms 16
	shows panic_loop_count 0
	shows panic_loop_secs 1000000
	rmmod permfs
	refused panic_strategy=Halt "panic_strategy takes kernel, halt or reboot, not '\''Halt'\''"
	refused panic_strategy= "panic_strategy takes kernel, halt or reboot, not '\'\''"
	refused panic_lane=1 "panic_lane takes auto, force or off, not '\''1'\''"
	refused pstore=on "pstore takes auto or off, not '\''on'\''"
	refused panic_deadline_ms=0 "panic_deadline_ms takes a number from 1 to 2000, not '\''0'\''"
	refused panic_deadline_ms=2001 "panic_deadline_ms takes a number from 1 to 2000, not '\''2001'\''"
	refused panic_loop_secs=4294967297 "panic_loop_secs takes a number from 1 to 1000000, not '\''4294967297'\''"
	refused panic_loop_count=-1 "panic_loop_count takes a number from 0 to 16, not '\''-1'\''"
	refused panic_loop_count=17 "panic_loop_count takes a number from 0 to 16, not '\''17'\''"
	if insmod "$PERMFS_KO" panic_strategy 2>/dev/null; then say "a name without a value loads"; fi
	insmod "$PERMFS_KO" || say "it does not load again"
	exit $failed'
