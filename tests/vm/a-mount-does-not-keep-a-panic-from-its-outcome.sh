#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Where another pstore backend owns the log, drain and lane are left to a kmsg dumper, which goes behind all others at each mount.
# A panic in the moment in which it has just left its old place finds it in the new one: the outcome is told, the record written.
. "$(dirname "$0")/lib.sh"

one=$(disk one 64M)
two=$(disk two 64M)
vm_panic 'panicker: return' --erst "$DIR/store" --disk "$one" --disk "$two" --files "$REPO/build/panicker/panicker.ko" -- '
	mkdir /mnt/a /mnt/b
	mkfs.permfs -q /dev/vda && mkfs.permfs -q /dev/vdb && mount -t permfs /dev/vda /mnt/a || exit 9
	insmod /run/permfs/files/panicker.ko && echo return:kmsg_dump_unregister >/sys/module/panicker/parameters/at || exit 9
	mount -t permfs /dev/vdb /mnt/b
	exit 9'
for line in deferred drain lane end; do
	console | grep -q "permfs-panic: v=1 rec=$line " || fail "no line '$line'"
done
"$REPO/build/bin/permfs" panic --json "$one" | python3 -c 'import json, sys
[panic] = json.load(sys.stdin)["panics"]
sys.exit(not (panic["complete"] and panic["volumes"][0]["lane"]["result"] == "ok"))' ||
	fail "the volume that was mounted has no whole record"
