#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: panic-record.sh EXPR...: pstore holds the record of exactly one panic, whole, and each jq expression holds of it
# (`.` is the panic, as `permfs panic --json` gives it). Prints it, and empties pstore for the next one.
failed=0
if ! permfs panic --json /sys/fs/pstore >/tmp/record.json; then
	echo "no panic in pstore"
	exit 1
fi
permfs panic /sys/fs/pstore
for e in '.complete' "$@"; do
	if ! jq -e "(.panics | length) == 1 and .damaged_lines == 0 and .unknown_lines == 0 and (.panics[0] | $e)" /tmp/record.json >/dev/null; then
		echo "does not hold: $e"
		failed=1
	fi
done
[ "$failed" = 0 ] || jq . /tmp/record.json
rm -f /sys/fs/pstore/*
exit "$failed"
