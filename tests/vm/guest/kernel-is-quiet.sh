#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: kernel-is-quiet.sh: fails, and shows the lines, if the kernel's log tells of a fault, a hang or a leak.
marks='BUG:|WARNING:|Oops|panicked at|Call Trace|blocked for more than|lockup|\bstall|Objects remaining|Busy inodes'
if dmesg | grep -E "$marks"; then
	echo "the kernel's log tells of a fault"
	exit 1
fi
