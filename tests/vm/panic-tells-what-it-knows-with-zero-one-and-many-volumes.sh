#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A panic with no volume, with one and with three leaves a record in pstore that names each of them and says honestly how far
# its I/O was stopped; afterwards each is clean and holds what was fsynced.
. "$(dirname "$0")/lib.sh"

disks=()
for name in one two three; do disks+=(--disk "$(disk $name 128M)"); done
machine=6b2c9d1e-0f3a-4b5c-8d7e-9f0a1b2c3d4e
disks+=(--qemu "-uuid $machine")

vm_panic 'sysrq triggered crash' --erst "$DIR/store" "${disks[@]}" -- '
	for d in a b c; do mkfs.permfs -q -U 00000000-0000-4000-8000-00000000000$d /dev/vd$d || exit 9; done
	sync
	echo c >/proc/sysrq-trigger'

vm_panic 'sysrq triggered crash' --erst "$DIR/store" "${disks[@]}" -- "
	$GUEST/panic-record.sh '.message == \"sysrq triggered crash\"' '.volumes_mounted == 0' '.volumes == []' '.omitted == null' \
		'.context == \"task\"' '.task == \"bash\" and .pid > 1 and .cpu < 2' '.strategy == \"kernel\" and .timeout == -1' \
		\".host | .kernel == \\\"\$(uname -r)\\\" and .node == \\\"\$(uname -n)\\\"\" '.host.machine == \"$machine\"' \
		'.origin | .faulted == false and (.symbol | startswith(\"sysrq_handle_crash+0x\"))' \
		'.outcome | .drained and .in_flight == 0 and .flush == \"not-attempted\" and .next == \"reboot\"' || exit 9
	mount -t permfs /dev/vda /mnt || exit 9
	for i in {1..5}; do echo one >/mnt/\$i; sync /mnt/\$i; done
	echo c >/proc/sysrq-trigger"

vm_panic 'sysrq triggered crash' --erst "$DIR/store" "${disks[@]}" -- "
	$GUEST/panic-record.sh '.volumes_mounted == 1' '.volumes | length == 1' \
		'.volumes[0] | .name == \"vda\" and .uuid == \"00000000-0000-4000-8000-00000000000a\" and .state == \"mounted\"' \
		'.volumes[0] | .durable_epoch >= 5 and .running_epoch > .durable_epoch' \
		'.volumes[0].allocator | .shards == 2 and .free_blocks > 20000 and .free_blocks < 32768 and .failed == 0 and .double_frees == 0' \
		'.volumes[0].drain | .drained and .in_flight == 0 and .flush == \"pending\"' \
		'.volumes[0].lane | .result == \"ok\" and .flush == \"ok\" and .sequence == 1' '.outcome.flush == \"ok\"' \
		'.outcome.elapsed_ns < 1e9' || exit 9
	for d in a b c; do
		mkdir /mnt/\$d && mount -t permfs \$([ \$d = c ] && echo -oro) /dev/vd\$d /mnt/\$d || exit 9
	done
	for i in {1..5}; do echo two >/mnt/b/\$i; sync /mnt/b/\$i; done
	echo c >/proc/sysrq-trigger"

vm_status 0 --erst "$DIR/store" "${disks[@]}" -- "
	$GUEST/panic-record.sh '.volumes_mounted == 3' '[.volumes[].name] == [\"vda\", \"vdb\", \"vdc\"]' \
		'[.volumes[].uuid[35:]] == [\"a\", \"b\", \"c\"]' 'all(.volumes[]; .state == \"mounted\" and .drain.drained)' \
		'.volumes[1].durable_epoch >= 5' '[.volumes[].lane.result] == [\"ok\", \"ok\", \"refused\"]' \
		'.volumes[2].lane.why == \"read-only\"' '.outcome.drained and .outcome.in_flight == 0' '.outcome.elapsed_ns < 1e9' || exit 9
	echo \"elapsed: \$(jq '.panics[-1].outcome.elapsed_ns / 1e6 | floor' /tmp/record.json) ms for three volumes\"
	for d in a b c; do fsck.permfs -n /dev/vd\$d; mkdir /mnt/\$d && mount -t permfs /dev/vd\$d /mnt/\$d || exit 1; done
	[ \"\$(cat /mnt/a/{1..5} | sort | uniq -c | xargs)\" = '5 one' ] && [ \"\$(cat /mnt/b/{1..5} | sort | uniq -c | xargs)\" = '5 two' ] || exit 1
	umount /mnt/a /mnt/b /mnt/c
	for d in a b c; do fsck.permfs -n /dev/vd\$d || exit 1; done
	$GUEST/kernel-is-quiet.sh"
note "$(sed -n 's/^elapsed: //p' "$DIR/out")"
