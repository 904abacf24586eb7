#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# However scripts/vm is stopped, its machine goes with it, and so do its files.
. "$(dirname "$0")/lib.sh"

cache=$("$REPO/scripts/kit" path cache)

# machine_of PID: the process ids of the machine that the runner started.
machine_of() {
	pgrep -P "$1" || true
}

for signal in INT TERM HUP KILL; do
	# In the background a shell makes its children ignore INT; python3 as the parent does not.
	python3 -c 'import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
os.execv(sys.argv[1], sys.argv[1:])' "$REPO/scripts/vm" --no-module --disk 16M -- \
		'echo begun; sleep 1000' >"$DIR/out" 2>&1 &
	runner=$!
	for _ in {1..600}; do
		grep -q begun "$DIR/out" && break
		sleep 0.1
	done
	expect begun "$DIR/out"
	machine=$(machine_of "$runner")
	[ -n "$machine" ] || fail "no machine is running under the runner"
	[ -d "$cache/run/vm.$runner" ] || fail "the runner has no folder of its own"
	kill -s "$signal" "$runner"
	status=0
	wait "$runner" || status=$?
	echo "$signal: status $status"
	[ "$status" = $((128 + $(kill -l "$signal"))) ] || fail "$signal ended the runner with $status"
	for _ in {1..50}; do
		[ -d "/proc/$machine" ] || break
		sleep 0.1
	done
	[ ! -d "/proc/$machine" ] || fail "after $signal the machine is still there"
	[ "$signal" = KILL ] || [ ! -d "$cache/run/vm.$runner" ] || fail "after $signal the runner's files are still there"
done

# What a killed runner could not remove, the next one does.
vm_status 0 --no-module -- true
[ ! -d "$cache/run/vm.$runner" ] || fail "the killed runner's files are still there"
