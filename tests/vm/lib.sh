# SPDX-License-Identifier: GPL-2.0
# What the scenarios in this folder share. A scenario begins with
#   . "$(dirname "$0")/lib.sh"
# and runs on the host; scripts/vm-test starts it, or `bash tests/vm/NAME.sh` by hand. It fails by the first command
# that fails, by `fail`, or by a warning of the guest's kernel: in these runs every WARN is a panic.
# shellcheck shell=bash
# shellcheck disable=SC2016
set -euo pipefail

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
if [ -z "${VM_TEST_DIR:-}" ]; then
	VM_TEST_DIR=$REPO/build/vm-test/$(basename "$0" .sh)
	rm -rf "$VM_TEST_DIR"
	mkdir -p "$VM_TEST_DIR"
fi
DIR=$VM_TEST_DIR
# The checks that run in the guest, as the guest sees them.
# shellcheck disable=SC2034 # for scenarios
GUEST=/run/permfs/files/guest
VM_RUNS=0

fail() {
	echo "fail: $*"
	exit 1
}

skip() {
	echo "skip: $*"
	exit 77
}

# note TEXT: stands beside the scenario's name in the runner's output; the last one counts.
note() {
	echo "note: $*"
}

# debug_kernel: for scenarios that run in the debug kernel (vm --kernel debug), and cannot where there is none.
debug_kernel() {
	"$REPO/scripts/kit" debug --check || skip "no debug kernel: make debug-kernel debug-modules (half an hour, once) makes it"
}

# disk NAME SIZE: a new, empty image; prints its path.
disk() {
	rm -f "$DIR/$1.img"
	truncate -s "$2" "$DIR/$1.img"
	echo "$DIR/$1.img"
}

# console: the log of the last run's console.
console() {
	cat "$DIR/console.$VM_RUNS"
}

# vm [OPTIONS] -- CMD...: one run of the test machine; its output and status.
vm() {
	VM_RUNS=$((VM_RUNS + 1))
	"$REPO/scripts/vm" --append panic_on_warn=1 --keep-console "$DIR/console.$VM_RUNS" --files "$REPO/tests/vm/guest" "$@"
}

# vm_status STATUS [OPTIONS] -- CMD...: a run that must end with that status. Its output goes to $DIR/out.
vm_status() {
	local want=$1 status=0
	shift
	vm "$@" >"$DIR/out" 2>"$DIR/err" || status=$?
	cat "$DIR/out" "$DIR/err"
	[ "$status" = "$want" ] || fail "the run ended with $status, not $want: ${*: -1}"
}

# vm_panic MESSAGE [OPTIONS] -- CMD...: a run in which the kernel must panic, with MESSAGE (an extended regular
# expression) as the reason; any other death fails the scenario.
vm_panic() {
	local why=$1
	shift
	vm_status 125 "$@"
	console | grep -qE "Kernel panic - not syncing: $why" || fail "no panic with the reason '$why' on the console"
}

# vm_halts [OPTIONS] -- CMD...: a run in which the kernel panics by sysrq and stays, for as long as a reboot would have taken.
# The console goes to $DIR/err.
vm_halts() {
	rm -f "$DIR/err"
	"$REPO/scripts/vm" --console --files "$REPO/tests/vm/guest" "$@" >"$DIR/out" 2>"$DIR/err" &
	local runner=$!
	for _ in {1..600}; do
		grep -q 'end Kernel panic - not syncing: sysrq triggered crash' "$DIR/err" 2>/dev/null && break
		kill -0 "$runner" 2>/dev/null || break
		sleep 0.5
	done
	expect 'end Kernel panic - not syncing: sysrq triggered crash' "$DIR/err"
	sleep 4
	kill "$runner" || fail "the machine did not halt"
	wait "$runner" || true
}

# monitor_socket: sets $socket, a place for QEMU's monitor, which goes with the scenario. Not in $DIR: a socket's path is short.
monitor_socket() {
	socket=$(mktemp -u /tmp/permfs-qmp.XXXXXX)
	trap 'rm -f "$socket"' EXIT
}

# vm_held DRIVE...: sets $machine, options for a machine whose drives, once the guest is ready, complete nothing until it
# panics; $poker is to be waited for afterwards. After monitor_socket.
vm_held() {
	rm -f "$DIR/ack"
	python3 "$REPO/tests/vm/qmp-when-ready.py" "$socket" "$DIR/ack" "${@/#/stall:}" await:GUEST_PANICKED "${@/#/release:}" &
	# shellcheck disable=SC2034 # for scenarios
	poker=$!
	# shellcheck disable=SC2034
	machine=(--ack "$DIR/ack" --qemu '-device pvpanic-pci -action panic=none' --qemu "-qmp unix:$socket,server=on,wait=off")
}

# figures: the microseconds of the last run's panic.
figures() {
	console | sed -nE -e 's/.* rec=drain .* us=([0-9]+) .*/drain \1/p' \
		-e 's/.* rec=lane .* write_us=([0-9]+) flush_us=([0-9]+) .*/write \1 flush \2/p' | tr '\n' ' '
}

# expect TEXT FILE: a line that contains TEXT must stand in FILE.
expect() {
	grep -qF -- "$1" "$2" || fail "'$1' does not stand in $2"
}
