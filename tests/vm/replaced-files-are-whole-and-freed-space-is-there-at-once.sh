#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A file that was replaced by rename, or cut to nothing and written again, without fsync, has old or new contents after a cut, and none is
# empty. What a removal or a truncation has freed can be written again at once. A full volume takes what replaces, cuts or removes, and
# what it took of data, in the smallest pieces, it keeps.
# ext4 goes through the same steps.
. "$(dirname "$0")/lib.sh"

vm_status 0 --disk 96M --disk 96M -- "
	exec 2>&1
	failed=0
	$GUEST/replaced-and-refilled.py permfs /dev/vda || failed=1
	$GUEST/replaced-and-refilled.py ext4 /dev/vdb || failed=1
	[ \$failed = 0 ] && $GUEST/kernel-is-quiet.sh"
note "$(grep -c '^ok:' "$DIR/out") answers"
