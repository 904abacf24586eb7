#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Commits that fill half of the log have it written home at once, and not when the background's turn comes, every 5 s: many commits
# later, or when the log is full and somebody has to wait. So the tail moves to a place not far behind the middle of the log.
. "$(dirname "$0")/lib.sh"

vm_status 0 --disk 128M -- "
	exec 2>&1
	mkfs.permfs -q --journal-size 1M /dev/vda || exit 1
	tail() { permfs info --json /dev/vda | jq .journal.tail_lsn; }
	mount -t permfs /dev/vda /mnt || exit 1
	before=\$(tail)
	for i in {1..60}; do
		mkdir /mnt/\$i && (cd /mnt/\$i && touch {a..z}{1..4} && sync .) || exit 1
		[ \$(tail) = \$before ] || break
	done
	moved=\$((\$(tail) - before))
	echo \"the tail moved by \$moved of 2048 sectors, after \$i commits\"
	[ \$moved -ge 1024 ] && [ \$moved -le 1536 ] && umount /mnt && fsck.permfs -n /dev/vda && $GUEST/kernel-is-quiet.sh"
note "$(grep 'tail moved' "$DIR/out")"
