#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Commits that fill half of the log have it written home at once, and not when the background's turn comes: every 5 s.
. "$(dirname "$0")/lib.sh"

vm_status 0 --disk 128M -- "
	exec 2>&1
	mkfs.permfs -q --journal-size 1M /dev/vda || exit 1
	tail() { permfs info --json /dev/vda | jq .journal.tail_lsn; }
	mount -t permfs /dev/vda /mnt || exit 1
	begin=\$(cut -d. -f1 /proc/uptime) before=\$(tail)
	for i in {1..40}; do
		mkdir /mnt/\$i && (cd /mnt/\$i && touch {a..z}{1..4} && sync .) || exit 1
		[ \$(tail) = \$before ] || break
	done
	took=\$((\$(cut -d. -f1 /proc/uptime) - begin))
	echo \"tail \$before, then \$(tail), after \$i commits and \$took s\"
	[ \$(tail) != \$before ] && [ \$took -lt 4 ] && umount /mnt && fsck.permfs -n /dev/vda && $GUEST/kernel-is-quiet.sh"
