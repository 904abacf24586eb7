#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A panic collects what is in flight on virtio-scsi disks, writes its record and the kernel's log to them and flushes: on two
# disks of one controller, which share its queues; on a disk that has a unit attention to tell first; and over a poll queue. A
# device that SCSI has given up is left alone.
. "$(dirname "$0")/lib.sh"

monitor_socket
image=$(disk one 128M)
other=$(disk two 128M)
recorded='.volumes | all(.lane | .result == "ok" and .way == "virtio-scsi" and .flush == "ok")'
collected='.volumes | all(.in_flight == 4 and .drain.drained and .drain.way == "virtio-scsi")'

# figures: the microseconds of the last run's panic.
figures() {
	console | sed -nE -e 's/.* rec=drain .* us=([0-9]+) .*/drain \1/p' \
		-e 's/.* rec=lane .* write_us=([0-9]+) flush_us=([0-9]+) .*/write \1 flush \2/p' | tr '\n' ' '
}

# One queue, whose completions would go to a softirq. The disks complete nothing from when the guest is ready until it panics.
python3 "$REPO/tests/vm/qmp-when-ready.py" "$socket" "$DIR/ack" stall:scsi0 stall:lun1 await:GUEST_PANICKED release:scsi0 \
	release:lun1 &
poker=$!
vm_panic 'sysrq triggered crash' --scsi "$image,num_queues=1" --ack "$DIR/ack" \
	--qemu "-drive if=none,id=lun1,format=raw,cache=writeback,file=$other" \
	--qemu '-device scsi-hd,drive=lun1,bus=scsi0-hba.0,lun=1 -device pvpanic-pci -action panic=none' \
	--qemu "-qmp unix:$socket,server=on,wait=off" -- '
	modprobe pvpanic-pci || exit 9
	mkdir /mnt/a /mnt/b
	for d in a b; do
		mkfs.permfs -q /dev/sd$d && mount -t permfs -o noatime /dev/sd$d /mnt/$d || exit 9
		echo kept >/mnt/$d/kept && sync /mnt/$d/kept || exit 9
	done
	[ "$(grep -c "panic_lane=virtio-scsi collects=virtio-scsi" /sys/kernel/debug/permfs/lanes)" = 2 ] || exit 9
	echo "a mark before the panic" >/dev/kmsg
	for i in {a,b}/{1,2,3,4,5}; do dd if=/dev/zero of=/mnt/$i bs=64K count=1 conv=fsync status=none || exit 9; done
	sync -f /mnt/a && sync -f /mnt/b || exit 9
	echo ready >/dev/permfs-ack
	sleep 2
	# The first of a disk is what stalls it. Reads: nothing becomes dirty, so that no commit comes in between.
	for i in {a,b}/{1,2,3,4,5}; do dd if=/mnt/$i of=/dev/null bs=64K count=1 iflag=direct status=none & done
	sleep 2
	for d in a b; do [ "$(xargs </sys/block/sd$d/inflight)" = "4 0" ] || exit 9; done
	echo c >/proc/sysrq-trigger'
wait "$poker" || fail "QEMU did not do it"
shared=$(figures)
vm_status 0 --scsi "$image" --scsi "$other" -- "
	mkdir /mnt/a /mnt/b
	for d in a b; do mount -t permfs /dev/sd\$d /mnt/\$d && [ \"\$(cat /mnt/\$d/kept)\" = kept ] || exit 1; done
	grep -q 'a mark before the panic' /sys/fs/pstore/dmesg-permfs-* || exit 1
	$GUEST/panic-record.sh '.volumes_mounted == 2' '$collected' '$recorded' '.outcome | .drained and .flush == \"ok\"' || exit 1
	umount /mnt/a /mnt/b && fsck.permfs -n /dev/sda && fsck.permfs -n /dev/sdb || exit 1"

# The disk grows while nothing is sent to it, and nobody is told: the panic's first command is answered with that.
rm -f "$DIR/ack"
python3 "$REPO/tests/vm/qmp-when-ready.py" "$socket" "$DIR/ack" \
	'{"execute": "block_resize", "arguments": {"device": "scsi0", "size": 167772160}}' &
poker=$!
vm_panic 'sysrq triggered crash' --scsi "$image,param_change=off" --ack "$DIR/ack" \
	--qemu "-qmp unix:$socket,server=on,wait=off" -- '
	mount -t permfs /dev/sda /mnt && echo new >/mnt/new && sync /mnt/new || exit 9
	sleep 2
	echo ready >/dev/permfs-ack
	sleep 4
	[ "$(cat /sys/block/sda/size)" = 262144 ] || exit 9
	echo c >/proc/sysrq-trigger'
wait "$poker" || fail "QEMU did not do it"
console | grep -q 'Capacity data has changed' || fail "the disk had nothing to tell"
attention=$(figures)

# The same disk over a poll queue, after the record of that panic was read.
vm_panic 'sysrq triggered crash' --scsi "$image,num_queues=3" --append virtio_scsi.virtscsi_poll_queues=1 -- "
	dmesg | grep -q '1/0/1 default/read/poll queues' || exit 9
	mount -t permfs /dev/sda /mnt && [ \"\$(cat /mnt/new)\" = new ] || exit 9
	$GUEST/panic-record.sh '$recorded' || exit 9
	echo c >/proc/sysrq-trigger"
polled=$(figures)
vm_status 0 --scsi "$image" -- "
	mount -t permfs /dev/sda /mnt || exit 1
	$GUEST/panic-record.sh '$recorded' || exit 1
	umount /mnt && fsck.permfs -n /dev/sda || exit 1"

vm_panic 'sysrq triggered crash' --scsi "$image" -- '
	mount -t permfs /dev/sda /mnt && echo offline >/sys/block/sda/device/state || exit 9
	echo c >/proc/sysrq-trigger'
console | grep -q 'rec=lane .* result=refused why=not-running flush=not-attempted' || fail "an offline device is not refused"
note "us: two disks ${shared}; with an attention ${attention}; on a poll queue $polled"
