#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A panic while volumes are being mounted, one with I/O in flight, and one in the middle of an unmount, each leave a whole record
# that says so honestly, and volumes that mount and are clean. (By the filesystem's own decision: the-errors-option-decides.sh.)
. "$(dirname "$0")/lib.sh"

one=$(disk one 128M)
two=$(disk two 128M)
erst=(--erst "$DIR/store")
checked='for d in a b; do
	fsck.permfs -n /dev/vd$d; mkdir -p /mnt/$d && mount -t permfs /dev/vd$d /mnt/$d || exit 9
	[ "$(cat /mnt/$d/kept)" = kept ] || exit 9
	umount /mnt/$d && fsck.permfs -n /dev/vd$d || exit 9
done'

# One volume comes and goes as fast as it can. The other's device takes a tenth of a second a request, and the panic comes while
# its mount waits for one: mounting is what the record has to say, and that something is in flight.
vm_panic 'sysrq triggered crash' "${erst[@]}" --disk "$one" --disk "$two,throttling.iops-total=10,cache=none" -- '
	mkdir /mnt/a /mnt/b
	for d in a b; do
		mkfs.permfs -q /dev/vd$d && mount -t permfs /dev/vd$d /mnt/$d && echo kept >/mnt/$d/kept || exit 9
		umount /mnt/$d || exit 9
	done
	(while :; do mount -t permfs /dev/vda /mnt/a; touch /mnt/a/new; umount /mnt/a; done) 2>/dev/null &
	sleep 3
	mount -t permfs /dev/vdb /mnt/b &
	waiting=0
	until [ "$waiting" -ge 3 ]; do read -r reads _ </sys/block/vdb/inflight; [ "$reads" = 0 ] && waiting=0 || waiting=$((waiting + 1)); done
	echo c >/proc/sysrq-trigger'

# Four writers on a device of thirty requests a second: some of theirs are always under way.
vm_panic 'sysrq triggered crash' "${erst[@]}" --disk "$one" --disk "$two,throttling.iops-total=30,cache=none" -- "
	$GUEST/panic-record.sh '.volumes_mounted == 1 or .volumes_mounted == 2' 'any(.volumes[]; .name == \"vdb\" and .state == \"mounting\")' \
		'(.volumes[] | select(.name == \"vdb\") | .in_flight) >= 1' '.outcome.drained == false and .outcome.in_flight >= 1' || exit 9
	$checked
	mount -t permfs /dev/vdb /mnt/b || exit 9
	for i in {1..4}; do
		(while :; do dd if=/dev/zero of=/mnt/b/\$i bs=256k count=8 oflag=direct conv=notrunc; done) 2>/dev/null &
	done
	(while :; do echo more >>/mnt/b/5; sync /mnt/b/5; done) &
	sleep 6
	echo c >/proc/sysrq-trigger"

# Hundreds of blocks to bring home on a device that takes 200 kB a second: the unmount is at that for a while.
vm_panic 'sysrq triggered crash' "${erst[@]}" --disk "$one" --disk "$two,throttling.bps-write=200000,cache=none" -- "
	OUTCOME=lost $GUEST/panic-record.sh '.volumes_mounted == 1' '.volumes[0] | .name == \"vdb\" and .state == \"mounted\"' \
		'.volumes[0] | .in_flight >= 1 and .in_flight <= 64' \
		'.volumes[0].durable_epoch >= 1' || exit 9
	$checked
	mount -t permfs /dev/vdb /mnt/b || exit 9
	for d in {1..40}; do mkdir /mnt/b/d\$d && seq -f \"/mnt/b/d\$d/a-longer-name-%g\" 40 | xargs touch || exit 9; done
	sync -f /mnt/b
	umount /mnt/b &
	waiting=0
	until [ \"\$waiting\" -ge 5 ]; do
		read -r _ writes </sys/block/vdb/inflight
		if [ \"\$writes\" = 0 ] || grep -q ' /mnt/b ' /proc/mounts; then waiting=0; else waiting=\$((waiting + 1)); fi
		sleep 0.1
	done
	echo c >/proc/sysrq-trigger"

vm_status 0 "${erst[@]}" --disk "$one" --disk "$two" -- "
	OUTCOME=lost $GUEST/panic-record.sh '.volumes_mounted == 1' '.volumes[0] | .name == \"vdb\" and .state == \"unmounting\" and .in_flight >= 1' || exit 1
	mkdir -p /mnt/b && mount -t permfs /dev/vdb /mnt/b && [ \"\$(find /mnt/b -name 'a-longer-name-*' | wc -l)\" = 1600 ] && umount /mnt/b || exit 1
	$checked
	$GUEST/kernel-is-quiet.sh"
