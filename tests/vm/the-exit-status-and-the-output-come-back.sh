#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What a command prints and how it ends is what scripts/vm prints and how it ends; its arguments arrive as they are.
. "$(dirname "$0")/lib.sh"

mkdir "$DIR/share"
echo from-the-host >"$DIR/share/in"
vm_status 42 --no-module --share "$DIR/share" -- \
	'uname -r; echo to-stderr >/dev/stderr; cat /mnt/share/in >/mnt/share/out; seq 200000 | tail -n 1; exit 42'
expect "$("$REPO/scripts/kit" path release)" "$DIR/out"
expect to-stderr "$DIR/out"
expect 200000 "$DIR/out"
expect from-the-host "$DIR/share/out"

# Several arguments are a program and its arguments, not a shell's line.
vm_status 0 --no-module -- printf '%s|' 'a  b' '$HOME' '"' ';'
expect 'a  b|$HOME|"|;|' "$DIR/out"
