#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: [OUTCOME=lost] panic-record.sh EXPR...: pstore holds the record of exactly one panic; it and what the volumes' panic areas have of the same
# panic are whole, and each jq expression holds of it (`.` is the panic, as `permfs panic --json` gives it). Prints it, and
# empties pstore for the next one. With OUTCOME=lost the end may be missing, in pstore nothing else: ERST has its record before the
# lane's turn comes, and a lane whose device did not answer in time has none, or one without its end.
failed=0
volumes=()
for disk in /dev/vd? /dev/nvme?n1 /dev/sd?; do
	if [ -b "$disk" ] && permfs info "$disk" >/dev/null 2>&1; then volumes+=("$disk"); fi
done
if ! permfs panic --json /sys/fs/pstore >/tmp/pstore.json; then
	echo "no panic in pstore"
	exit 1
fi
id=$(jq -r '.panics[0].id' /tmp/pstore.json)
permfs panic --json /sys/fs/pstore "${volumes[@]}" >/tmp/record.json
if [ "${OUTCOME:-}" != lost ]; then
	set -- .complete "$@"
elif ! jq -e '.panics[0] | .complete or .outcome_deferred' /tmp/pstore.json >/dev/null; then
	echo "pstore lacks more than what was deferred"
	failed=1
fi
for e in "$@"; do
	if ! jq -e ".damaged_lines == 0 and .unknown_lines == 0 and (.panics[] | select(.id == \"$id\") | $e)" /tmp/record.json >/dev/null; then
		echo "does not hold: $e"
		failed=1
	fi
done
if [ "$(jq '.panics | length' /tmp/pstore.json)" != 1 ]; then
	echo "not one panic in pstore"
	failed=1
fi
if [ "$failed" = 0 ]; then permfs panic /sys/fs/pstore "${volumes[@]}"; else jq . /tmp/record.json; fi
rm -f /sys/fs/pstore/*
exit "$failed"
